// SPDX-License-Identifier: Apache-2.0
//! SMG's ChainIndex (crate kv-index).

use std::hint::black_box;
use std::sync::Arc;

use kv_index::{ChainBlockMap, ChainIndex, ContentHash, SequenceHash, StoredBlock};

use crate::clock::{own_cpu_ns, ticks};
use crate::index::{Form, Reader, Writer};
use crate::ops::Op;

enum Task {
    Store {
        pod: usize,
        parent: Option<SequenceHash>,
        from: usize,
        to: usize,
    },
    Remove {
        pod: usize,
        from: usize,
        to: usize,
    },
}

/// The maps of all pods; those that share an index divide the pods among them.
pub struct SmgWriter {
    index: Arc<ChainIndex>,
    workers: Vec<u32>,
    maps: Vec<ChainBlockMap>,
    tasks: Vec<Task>,
    blocks: Vec<StoredBlock>,
    hashes: Vec<SequenceHash>,
}

pub struct SmgReader {
    index: Arc<ChainIndex>,
    pods: usize,
    found: Vec<(u32, u32)>,
    column: Vec<u16>,
}

pub fn smg(pods: usize, writers: usize) -> (Vec<SmgWriter>, SmgReader) {
    let index = Arc::new(ChainIndex::with_max_workers(pods));
    let workers: Vec<u32> = (0..pods)
        .map(|pod| {
            index
                .intern_worker(&format!("pod-{pod}"))
                .expect("a slot a pod")
        })
        .collect();
    let writer = |_| SmgWriter {
        index: index.clone(),
        workers: workers.clone(),
        maps: (0..pods).map(|_| ChainBlockMap::new()).collect(),
        tasks: Vec::new(),
        blocks: Vec::new(),
        hashes: Vec::new(),
    };
    let made = (0..writers).map(writer).collect();
    let column = vec![0; index_width(&workers)];
    (
        made,
        SmgReader {
            index,
            pods,
            found: Vec::with_capacity(pods),
            column,
        },
    )
}

fn index_width(workers: &[u32]) -> usize {
    workers.iter().max().map_or(0, |most| *most as usize + 1)
}

impl SmgWriter {
    #[inline]
    fn run(&mut self, at: usize) {
        match self.tasks[at] {
            Task::Store {
                pod,
                parent,
                from,
                to,
            } => {
                // A store whose parent is not there is refused: the answer is then checked.
                let _ = self.index.apply_stored(
                    self.workers[pod],
                    &self.blocks[from..to],
                    parent,
                    &mut self.maps[pod],
                );
            }
            Task::Remove { pod, from, to } => {
                let hashes = &self.hashes[from..to];
                self.index
                    .apply_removed(self.workers[pod], hashes, &mut self.maps[pod]);
            }
        }
    }
}

impl Writer for SmgWriter {
    fn load(&mut self, op: &Op) {
        match op {
            Op::Store {
                pod,
                parent,
                engines,
                contents,
            } => {
                let from = self.blocks.len();
                self.blocks
                    .extend(
                        engines
                            .iter()
                            .zip(*contents)
                            .map(|(engine, content)| StoredBlock {
                                seq_hash: SequenceHash(*engine),
                                content_hash: ContentHash(*content),
                            }),
                    );
                let (pod, parent, to) = (*pod, parent.map(SequenceHash), self.blocks.len());
                self.tasks.push(Task::Store {
                    pod,
                    parent,
                    from,
                    to,
                });
            }
            Op::Remove { pod, engines } => {
                let from = self.hashes.len();
                self.hashes
                    .extend(engines.iter().map(|engine| SequenceHash(*engine)));
                self.tasks.push(Task::Remove {
                    pod: *pod,
                    from,
                    to: self.hashes.len(),
                });
            }
            _ => {}
        }
    }

    fn apply(&mut self) -> u64 {
        let began = own_cpu_ns();
        for at in 0..self.tasks.len() {
            self.run(at);
        }
        own_cpu_ns() - began
    }

    fn forget_loaded(&mut self) {
        self.tasks.clear();
        self.blocks.clear();
        self.hashes.clear();
    }

    fn worst_ns(&mut self) -> Option<u64> {
        let mut worst = 0;
        for at in 0..self.tasks.len() {
            let began = own_cpu_ns();
            self.run(at);
            worst = worst.max(own_cpu_ns() - began);
        }
        Some(worst)
    }

    fn retire(&mut self, pod: usize) -> u64 {
        let began = own_cpu_ns();
        self.index
            .apply_cleared(self.workers[pod], &mut self.maps[pod]);
        own_cpu_ns() - began
    }
}

impl Reader for SmgReader {
    /// Into a reused vector of pairs, a reused column by worker, and the crate's own hash map.
    const FORMS: &'static [Form] = &["", "_dense", "_map"];

    fn depths(&mut self, contents: &[u64], out: &mut [u32]) {
        out.fill(0);
        let found = |worker: u32, depth: u32| out[worker as usize] = depth;
        self.index
            .score_into(contents, |content| *content, false, found);
    }

    fn lookup_ticks(&mut self, contents: &[u64], form: Form) -> u64 {
        let (began, ended);
        match form {
            "" => {
                began = ticks();
                self.found.clear();
                let found = &mut self.found;
                let push = |worker, depth| found.push((worker, depth));
                self.index
                    .score_into(contents, |content| *content, false, push);
                ended = ticks();
                black_box(&self.found);
            }
            "_dense" => {
                began = ticks();
                self.column.fill(0);
                let column = &mut self.column;
                let set = |worker: u32, depth: u32| column[worker as usize] = depth as u16;
                self.index
                    .score_into(contents, |content| *content, false, set);
                ended = ticks();
                black_box(&self.column);
            }
            _ => {
                let hashes: Vec<ContentHash> = contents.iter().map(|c| ContentHash(*c)).collect();
                began = ticks();
                let scores = self.index.find_matches(&hashes, false);
                ended = ticks();
                black_box(&scores);
            }
        }
        debug_assert!(self.found.len() <= self.pods);
        ended - began
    }
}
