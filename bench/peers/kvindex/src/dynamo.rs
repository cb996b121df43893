// SPDX-License-Identifier: Apache-2.0
//! Dynamo's indexes (crate dynamo-kv-router): the concurrent compressed tree, whose only public way
//! to write is a lane's task channel, and the radix tree of one thread.

use std::cell::RefCell;
use std::hint::black_box;
use std::os::unix::thread::JoinHandleExt;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use dynamo_kv_router::indexer::WorkerTask;
use dynamo_kv_router::protocols::{
    ExternalSequenceBlockHash, KvCacheEvent, KvCacheEventData, KvCacheRemoveData, KvCacheStoreData,
    KvCacheStoredBlockData, OverlapScores,
};
use dynamo_kv_router::{
    ConcurrentRadixTreeCompressed, LocalBlockHash, RadixTree, RouterEvent, SyncIndexer,
};

use crate::clock::{own_cpu_ns, ticks, ThreadClock};
use crate::index::{Form, Reader, Writer};
use crate::ops::Op;

fn event(pod: usize, data: KvCacheEventData) -> RouterEvent {
    RouterEvent::new(
        pod as u64,
        KvCacheEvent {
            event_id: 0,
            data,
            dp_rank: 0,
        },
    )
}

fn event_of(op: &Op) -> Option<RouterEvent> {
    match op {
        Op::Store {
            pod,
            parent,
            engines,
            contents,
        } => {
            let block = |(engine, content): (&u64, &u64)| KvCacheStoredBlockData {
                block_hash: ExternalSequenceBlockHash(*engine),
                tokens_hash: LocalBlockHash(*content),
                mm_extra_info: None,
            };
            let stored = KvCacheStoreData {
                parent_hash: parent.map(ExternalSequenceBlockHash),
                start_position: None,
                blocks: engines.iter().zip(*contents).map(block).collect(),
            };
            Some(event(*pod, KvCacheEventData::Stored(stored)))
        }
        Op::Remove { pod, engines } => {
            let block_hashes = engines
                .iter()
                .map(|hash| ExternalSequenceBlockHash(*hash))
                .collect();
            let removed = KvCacheRemoveData { block_hashes };
            Some(event(*pod, KvCacheEventData::Removed(removed)))
        }
        _ => None,
    }
}

fn local(contents: &[u64]) -> Vec<LocalBlockHash> {
    contents
        .iter()
        .map(|content| LocalBlockHash(*content))
        .collect()
}

fn spread(scores: &OverlapScores, out: &mut [u32]) {
    out.fill(0);
    for (worker, depth) in &scores.scores {
        out[worker.worker_id as usize] = *depth;
    }
}

pub struct CrtcWriter {
    index: Arc<ConcurrentRadixTreeCompressed>,
    tasks: flume::Sender<WorkerTask>,
    lane: Option<JoinHandle<()>>,
    clock: ThreadClock,
    loaded: Vec<RouterEvent>,
}

pub struct CrtcReader(Arc<ConcurrentRadixTreeCompressed>);

pub fn crtc() -> (CrtcWriter, CrtcReader) {
    let index = Arc::new(ConcurrentRadixTreeCompressed::new());
    let (tasks, received) = flume::unbounded();
    let served = index.clone();
    let lane = std::thread::spawn(move || served.worker(received, None).expect("a lane ends well"));
    let clock = ThreadClock::of(lane.as_pthread_t());
    let reader = CrtcReader(index.clone());
    (
        CrtcWriter {
            index,
            tasks,
            lane: Some(lane),
            clock,
            loaded: Vec::new(),
        },
        reader,
    )
}

impl CrtcWriter {
    fn finish(&self) {
        let (done, finished) = tokio::sync::oneshot::channel();
        self.tasks
            .send(WorkerTask::Flush(done))
            .expect("the lane runs");
        finished.blocking_recv().expect("the lane answers");
    }

    fn send(&self, event: RouterEvent) {
        self.tasks
            .send(WorkerTask::Event(event))
            .expect("the lane runs");
        if self.index.try_schedule_cleanup() {
            self.tasks
                .send(WorkerTask::CleanupStaleChildren)
                .expect("the lane runs");
        }
    }
}

impl Writer for CrtcWriter {
    fn load(&mut self, op: &Op) {
        self.loaded.extend(event_of(op));
    }

    fn apply(&mut self) -> u64 {
        let began = self.clock.ns();
        for event in std::mem::take(&mut self.loaded) {
            self.send(event);
        }
        self.finish();
        self.clock.ns() - began
    }

    fn forget_loaded(&mut self) {
        self.loaded.clear();
    }

    fn retire(&mut self, pod: usize) -> u64 {
        let began = self.clock.ns();
        self.send(event(pod, KvCacheEventData::Cleared));
        self.finish();
        self.clock.ns() - began
    }
}

impl Drop for CrtcWriter {
    fn drop(&mut self) {
        let _ = self.tasks.send(WorkerTask::Terminate);
        if let Some(lane) = self.lane.take() {
            let _ = lane.join();
        }
    }
}

impl Reader for CrtcReader {
    const FORMS: &'static [Form] = &[""];

    fn depths(&mut self, contents: &[u64], out: &mut [u32]) {
        spread(&self.0.find_matches(&local(contents), false), out);
    }

    fn lookup_ticks(&mut self, contents: &[u64], _: Form) -> u64 {
        let hashes = local(contents);
        let began = ticks();
        let scores = self.0.find_matches(&hashes, false);
        let ended = ticks();
        black_box(&scores);
        ended - began
    }
}

/// Processor time in ns and blocks that lanes of their own, each with the pods that are its own,
/// take for events that wait for them; the second time, when the memory is warm.
pub fn crtc_lanes(shares: &[Vec<Op>], pods: usize) -> u64 {
    let index = Arc::new(ConcurrentRadixTreeCompressed::new());
    let run = |last: bool| {
        let gate = Arc::new(std::sync::Barrier::new(shares.len() + 1));
        let mut lanes = Vec::new();
        for (number, share) in shares.iter().enumerate() {
            let (tasks, received) = flume::unbounded();
            for event in share.iter().filter_map(event_of) {
                tasks
                    .send(WorkerTask::Event(event))
                    .expect("the channel is open");
            }
            if !last {
                for pod in (0..pods).filter(|pod| pod % shares.len() == number) {
                    let cleared = event(pod, KvCacheEventData::Cleared);
                    tasks
                        .send(WorkerTask::Event(cleared))
                        .expect("the channel is open");
                }
            }
            let (served, gate) = (index.clone(), gate.clone());
            lanes.push(std::thread::spawn(move || {
                crate::clock::pin(number);
                gate.wait();
                served.worker(received, None).expect("a lane ends well");
            }));
        }
        gate.wait();
        let began = std::time::Instant::now();
        for lane in lanes {
            lane.join().expect("a lane does not panic");
        }
        began.elapsed().as_nanos() as u64
    };
    run(false);
    run(true)
}

pub struct RadixWriter {
    tree: Rc<RefCell<RadixTree>>,
    loaded: Vec<RouterEvent>,
}

pub struct RadixReader(Rc<RefCell<RadixTree>>);

pub fn radix() -> (RadixWriter, RadixReader) {
    let tree = Rc::new(RefCell::new(RadixTree::new()));
    (
        RadixWriter {
            tree: tree.clone(),
            loaded: Vec::new(),
        },
        RadixReader(tree),
    )
}

impl Writer for RadixWriter {
    fn load(&mut self, op: &Op) {
        self.loaded.extend(event_of(op));
    }

    fn apply(&mut self) -> u64 {
        let mut tree = self.tree.borrow_mut();
        let began = own_cpu_ns();
        for event in self.loaded.drain(..) {
            let _ = tree.apply_event(event); // A refused event shows in the answers.
        }
        own_cpu_ns() - began
    }

    fn forget_loaded(&mut self) {
        self.loaded.clear();
    }

    fn worst_ns(&mut self) -> Option<u64> {
        let mut tree = self.tree.borrow_mut();
        let mut worst = 0;
        for event in self.loaded.drain(..) {
            let began = own_cpu_ns();
            let _ = tree.apply_event(event);
            worst = worst.max(own_cpu_ns() - began);
        }
        Some(worst)
    }

    fn retire(&mut self, pod: usize) -> u64 {
        let mut tree = self.tree.borrow_mut();
        let began = own_cpu_ns();
        let _ = tree.apply_event(event(pod, KvCacheEventData::Cleared));
        own_cpu_ns() - began
    }
}

impl Reader for RadixReader {
    const FORMS: &'static [Form] = &[""];

    fn depths(&mut self, contents: &[u64], out: &mut [u32]) {
        spread(&self.0.borrow().find_matches(local(contents), false), out);
    }

    fn lookup_ticks(&mut self, contents: &[u64], _: Form) -> u64 {
        let (tree, hashes) = (self.0.borrow(), local(contents));
        let began = ticks();
        let scores = tree.find_matches(hashes, false);
        let ended = ticks();
        black_box(&scores);
        ended - began
    }
}
