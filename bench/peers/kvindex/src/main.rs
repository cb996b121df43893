// SPDX-License-Identifier: Apache-2.0
//! The peers of the KV index: applies a file of operations to one of them and prints what that cost,
//! a JSON object on the last line. bench/kvindex/driver.cpp does the same to ours.
//!
//!     kvindex_peers INDEX MODE FILE [--smoke]
//!
//! INDEX: smg, crtc, radix. MODE: pass (costs, answers), memory (from nothing, bytes and the dearest
//! update), lanes (two writers), beside (a reader beside a writer). A mode that the index does not
//! reach prints {}.

mod clock;
mod dynamo;
mod index;
mod ops;
mod smg;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use index::{Reader, Writer};
use ops::{expected, Op, OpsFile, STREAM};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CHUNK_BLOCKS: usize = 16_384; // Loaded between two measured stretches.
const SECTIONS: [&str; 5] = ["", "stream", "churn", "store1", "remove"];
const CHURN: usize = 2;

type Figures = BTreeMap<String, f64>;

fn blocks_of(op: &Op) -> (usize, usize) {
    match op {
        Op::Store { engines, .. } => (engines.len(), 0),
        Op::Remove { engines, .. } => (0, engines.len()),
        _ => (0, 0),
    }
}

/// Applies operations chunk by chunk; ns of processor time of each section.
struct Applied<'w, W: Writer> {
    writer: &'w mut W,
    waiting: usize,
    blocks: [f64; SECTIONS.len()],
    ns: [f64; SECTIONS.len()],
    section: usize,
}

impl<'w, W: Writer> Applied<'w, W> {
    fn new(writer: &'w mut W) -> Self {
        Self {
            writer,
            waiting: 0,
            blocks: [0.0; 5],
            ns: [0.0; 5],
            section: STREAM,
        }
    }

    fn add(&mut self, op: &Op) {
        let (stored, removed) = blocks_of(op);
        self.writer.load(op);
        self.waiting += stored + removed;
        if self.waiting >= CHUNK_BLOCKS {
            self.settle();
        }
    }

    fn settle(&mut self) {
        if self.waiting > 0 {
            self.ns[self.section] += self.writer.apply() as f64;
            self.blocks[self.section] += self.waiting as f64;
            self.writer.forget_loaded();
            self.waiting = 0;
        }
    }
}

fn check<R: Reader>(
    reader: &mut R,
    pods: usize,
    contents: &[u64],
    depths: &[u64],
    out: &mut Figures,
) {
    let mut found = vec![0u32; pods];
    reader.depths(contents, &mut found);
    let wrong = (0..pods).any(|pod| found[pod] != expected(depths, pod));
    *out.entry("checked".into()).or_default() += 1.0;
    *out.entry("wrong".into()).or_default() += f64::from(u8::from(wrong));
}

fn percentile(sorted: &[u64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize] as f64 * clock::ns_a_tick()
}

fn time_lookups<R: Reader>(reader: &mut R, queries: &[&[u64]], smoke: bool, out: &mut Figures) {
    let blocks = queries[0].len();
    for form in R::FORMS {
        let (mut samples, began) = (Vec::new(), Instant::now());
        let budget = Duration::from_millis(if smoke { 1 } else { 300 });
        for _ in 0..2 {
            samples.clear(); // The first round warms.
            while samples.len() < 4096 || began.elapsed() < budget {
                samples.extend(queries.iter().map(|query| reader.lookup_ticks(query, form)));
                if smoke {
                    break;
                }
            }
        }
        samples.sort_unstable();
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let metric = format!("lookup_{name}_ns_{blocks}{form}");
            out.insert(metric, percentile(&samples, share));
        }
    }
}

fn pass<W: Writer, R: Reader>(
    mut writer: W,
    mut reader: R,
    file: &OpsFile,
    smoke: bool,
) -> Figures {
    let mut out = Figures::new();
    let mut warm = Applied::new(&mut writer);
    let in_stream = |op: &Op| !matches!(op, Op::Section(section) if *section != STREAM);
    file.ops()
        .take_while(in_stream)
        .for_each(|op| warm.add(&op));
    warm.settle();
    let mut retired: Vec<u64> = (0..file.pods()).map(|pod| writer.retire(pod)).collect();
    retired.sort_unstable();
    out.insert("retire_us".into(), retired[retired.len() / 2] as f64 / 1e3);
    out.insert(
        "retire_us_worst".into(),
        retired[retired.len() - 1] as f64 / 1e3,
    );

    let mut applied = Applied::new(&mut writer);
    let mut timed: Vec<&[u64]> = Vec::new();
    for op in file.ops() {
        let same = matches!(&op, Op::Query { timed: true, contents, .. }
            if timed.is_empty() || timed[0].len() == contents.len());
        if !timed.is_empty() && !same {
            time_lookups(&mut reader, &timed, smoke, &mut out);
            timed.clear();
        }
        match op {
            Op::Section(section) => {
                applied.settle();
                applied.section = section;
            }
            Op::Query {
                timed: is_timed,
                contents,
                depths,
            } => {
                applied.settle();
                check(&mut reader, file.pods(), contents, depths, &mut out);
                if is_timed {
                    timed.push(contents);
                }
            }
            op => applied.add(&op),
        }
    }
    applied.settle();
    for (section, name) in SECTIONS.iter().enumerate().skip(1) {
        if applied.blocks[section] > 0.0 {
            out.insert(
                format!("{name}_ns"),
                applied.ns[section] / applied.blocks[section],
            );
        }
    }
    out
}

fn memory<W: Writer>(mut writer: W, file: &OpsFile) -> Figures {
    let base = clock::resident();
    let (mut held, mut waiting, mut worst_ns) = (0usize, 0usize, None);
    let mut samples: Vec<(usize, u64)> = Vec::new();
    for op in file
        .ops()
        .take_while(|op| !matches!(op, Op::Section(section) if *section != STREAM))
    {
        let (stored, removed) = blocks_of(&op);
        writer.load(&op);
        held = (held + stored).saturating_sub(removed);
        waiting += stored + removed;
        if waiting >= CHUNK_BLOCKS {
            worst_ns = worst_ns.max(writer.worst_ns());
            writer.forget_loaded();
            waiting = 0;
            samples.push((held, clock::resident().saturating_sub(base)));
        }
    }
    worst_ns = worst_ns.max(writer.worst_ns());
    samples.push((held, clock::resident().saturating_sub(base)));
    let most = samples.iter().map(|sample| sample.0).max().unwrap_or(1);
    let grown = samples.iter().filter(|sample| sample.0 >= most / 4);
    let worst = grown
        .map(|sample| sample.1 as f64 / sample.0 as f64)
        .fold(0.0, f64::max);
    let mut out = Figures::new();
    out.insert("held".into(), held as f64);
    out.insert("bytes_per_held".into(), worst);
    let last = samples[samples.len() - 1].1;
    out.insert(
        "bytes_per_held_end".into(),
        last as f64 / held.max(1) as f64,
    );
    if let Some(ns) = worst_ns {
        out.insert("worst_update_us".into(), ns as f64 / 1e3);
    }
    out
}

/// The stream's operations divided among lanes by pod.
fn shares(file: &OpsFile, lanes: usize) -> Vec<Vec<Op<'_>>> {
    let mut shares: Vec<Vec<Op>> = (0..lanes).map(|_| Vec::new()).collect();
    for op in file.ops() {
        match op {
            Op::Section(section) if section != STREAM => break,
            Op::Store { pod, .. } | Op::Remove { pod, .. } => shares[pod % lanes].push(op),
            _ => {}
        }
    }
    shares
}

fn rate(shares: &[Vec<Op>], ns: u64) -> Figures {
    let blocks: usize = shares
        .iter()
        .flatten()
        .map(blocks_of)
        .map(|(a, b)| a + b)
        .sum();
    Figures::from([("lanes2_mops".into(), blocks as f64 * 1e3 / ns as f64)])
}

fn smg_lanes(file: &OpsFile) -> Figures {
    let shares = shares(file, 2);
    let (mut writers, _reader) = smg::smg(file.pods(), 2);
    let mut ns = 0;
    for _ in 0..2 {
        for (writer, share) in writers.iter_mut().zip(&shares) {
            for pod in 0..file.pods() {
                writer.retire(pod);
            }
            writer.forget_loaded();
            share.iter().for_each(|op| writer.load(op));
        }
        let gate = Barrier::new(3);
        let lane = |(number, writer): (usize, &mut smg::SmgWriter)| {
            clock::pin(number);
            gate.wait();
            writer.apply();
        };
        let lane = &lane;
        std::thread::scope(|scope| {
            let running: Vec<_> = writers
                .iter_mut()
                .enumerate()
                .map(|one| scope.spawn(move || lane(one)))
                .collect();
            gate.wait();
            let began = Instant::now();
            running
                .into_iter()
                .for_each(|one| one.join().expect("a lane does not panic"));
            ns = began.elapsed().as_nanos() as u64;
        });
    }
    rate(&shares, ns)
}

/// Lookups of the timed queries, first alone, then while a writer repeats the churn, which ends
/// where it began.
fn smg_beside(file: &OpsFile, smoke: bool) -> Figures {
    let (mut writers, mut reader) = smg::smg(file.pods(), 1);
    let mut writer = writers.remove(0);
    let mut queries: BTreeMap<usize, Vec<&[u64]>> = BTreeMap::new();
    let mut applied = Applied::new(&mut writer);
    let mut section = STREAM;
    let mut churn = Vec::new();
    for op in file.ops() {
        match op {
            Op::Section(next) => section = next,
            Op::Query {
                timed: true,
                contents,
                ..
            } => {
                queries.entry(contents.len()).or_default().push(contents);
            }
            Op::Query { .. } => {}
            op if section == STREAM => applied.add(&op),
            op if section == CHURN => churn.push(op),
            _ => break,
        }
    }
    applied.settle();
    churn.iter().for_each(|op| writer.load(op));
    let mut out = Figures::new();
    for queries in queries.values() {
        time_lookups(&mut reader, queries, smoke, &mut out);
    }
    let blocks: usize = churn.iter().map(blocks_of).map(|(a, b)| a + b).sum();
    let (stop, ns, rounds) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let started = Arc::new(Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            clock::pin(0);
            started.wait();
            while !stop.load(Ordering::Relaxed) {
                ns.fetch_add(writer.apply(), Ordering::Relaxed);
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
        clock::pin(1);
        started.wait();
        let mut beside = Figures::new();
        for queries in queries.values() {
            time_lookups(&mut reader, queries, smoke, &mut beside);
        }
        stop.store(true, Ordering::Relaxed);
        out.extend(
            beside
                .into_iter()
                .map(|(name, value)| (name + "_under_writes", value)),
        );
    });
    let written = (rounds.into_inner() * blocks as u64).max(1);
    out.insert("beside_ns".into(), ns.into_inner() as f64 / written as f64);
    out
}

fn run(index: &str, mode: &str, file: &OpsFile, smoke: bool) -> Figures {
    match (index, mode) {
        ("smg", "pass") => {
            let (mut writers, reader) = smg::smg(file.pods(), 1);
            pass(writers.remove(0), reader, file, smoke)
        }
        ("smg", "memory") => memory(smg::smg(file.pods(), 1).0.remove(0), file),
        ("smg", "lanes") => smg_lanes(file),
        ("smg", "beside") => smg_beside(file, smoke),
        ("crtc", "pass") => {
            let (writer, reader) = dynamo::crtc();
            pass(writer, reader, file, smoke)
        }
        ("crtc", "memory") => memory(dynamo::crtc().0, file),
        ("crtc", "lanes") => {
            let shares = shares(file, 2);
            let figures = |ns| rate(&shares, ns);
            figures(dynamo::crtc_lanes(&shares, file.pods()))
        }
        ("radix", "pass") => {
            let (writer, reader) = dynamo::radix();
            pass(writer, reader, file, smoke)
        }
        ("radix", "memory") => memory(dynamo::radix().0, file),
        _ => Figures::new(),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [index, mode, path, rest @ ..] = &arguments[..] else {
        eprintln!("usage: kvindex_peers INDEX MODE FILE [--smoke]");
        std::process::exit(2);
    };
    let file = OpsFile::read(path).unwrap_or_else(|problem| {
        eprintln!("kvindex_peers: {path}: {problem}");
        std::process::exit(1);
    });
    clock::pin(1);
    clock::ns_a_tick();
    let figures = run(index, mode, &file, rest.iter().any(|one| one == "--smoke"));
    let fields: Vec<String> = figures
        .iter()
        .map(|(name, value)| format!("\"{name}\": {value}"))
        .collect();
    println!("{{{}}}", fields.join(", "));
}
