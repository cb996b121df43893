// SPDX-License-Identifier: Apache-2.0
//! The operations that bench/kvindex/workload.cpp writes; the format stands in bench/kvindex/ops.h.

use std::io::Read;

const MAGIC: u64 = u64::from_le_bytes(*b"KVINDEX1");

pub const STREAM: usize = 1;

pub enum Op<'a> {
    Store {
        pod: usize,
        parent: Option<u64>,
        engines: &'a [u64],
        contents: &'a [u64],
    },
    Remove {
        pod: usize,
        engines: &'a [u64],
    },
    /// `depths` holds four 16-bit depths a word, by pod.
    Query {
        timed: bool,
        contents: &'a [u64],
        depths: &'a [u64],
    },
    Section(usize),
}

pub struct OpsFile {
    words: Vec<u64>,
}

impl OpsFile {
    pub fn read(path: &str) -> std::io::Result<Self> {
        let mut file = std::fs::File::open(path)?;
        let bytes = file.metadata()?.len() as usize;
        let mut words = vec![0u64; bytes / 8];
        let mut part = vec![0u8; 1 << 20];
        let mut at = 0;
        while at < words.len() {
            let want = part.len().min((words.len() - at) * 8);
            file.read_exact(&mut part[..want])?;
            for word in part[..want].chunks_exact(8) {
                words[at] = u64::from_le_bytes(word.try_into().unwrap());
                at += 1;
            }
        }
        if words.len() < 2 || words[0] != MAGIC {
            return Err(std::io::Error::other("not a file of operations"));
        }
        Ok(Self { words })
    }

    pub fn pods(&self) -> usize {
        self.words[1] as usize
    }

    pub fn ops(&self) -> impl Iterator<Item = Op<'_>> {
        let words = &self.words[..];
        let depth_words = self.pods().div_ceil(4);
        let mut at = 2;
        std::iter::from_fn(move || {
            let head = *words.get(at)?;
            let (kind, pod, n) = (
                head & 0xff,
                (head >> 8) as usize & 0xff_ffff,
                (head >> 32) as usize,
            );
            let body = at + 1;
            let (op, taken) = match kind {
                1 => {
                    let first = body + 1;
                    let store = Op::Store {
                        pod,
                        parent: (words[body] != 0).then_some(words[body]),
                        engines: &words[first..first + n],
                        contents: &words[first + n..first + 2 * n],
                    };
                    (store, 1 + 2 * n)
                }
                2 => (
                    Op::Remove {
                        pod,
                        engines: &words[body..body + n],
                    },
                    n,
                ),
                3 => {
                    let contents = &words[body..body + n];
                    let depths = &words[body + n..body + n + depth_words];
                    (
                        Op::Query {
                            timed: pod != 0,
                            contents,
                            depths,
                        },
                        n + depth_words,
                    )
                }
                _ => (Op::Section(n), 0),
            };
            at = body + taken;
            Some(op)
        })
    }
}

/// The depth that the naive twin gives `pod`.
pub fn expected(depths: &[u64], pod: usize) -> u32 {
    (depths[pod / 4] >> (16 * (pod % 4))) as u32 & 0xffff
}
