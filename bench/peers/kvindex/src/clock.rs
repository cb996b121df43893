// SPDX-License-Identifier: Apache-2.0
//! Processor time of a thread, ticks for what is too short for it, and resident memory.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is valid for writing; a clock that does not exist leaves it at zero.
    unsafe { libc::clock_gettime(clock, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

pub fn own_cpu_ns() -> u64 {
    nanoseconds(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Processor time of another thread of this process, as long as it lives.
#[derive(Clone, Copy)]
pub struct ThreadClock(libc::clockid_t);

impl ThreadClock {
    pub fn of(thread: libc::pthread_t) -> Self {
        let mut clock = 0;
        // SAFETY: the thread has not been joined: the caller holds its handle.
        unsafe { libc::pthread_getcpuclockid(thread, &mut clock) };
        Self(clock)
    }

    pub fn ns(self) -> u64 {
        nanoseconds(self.0)
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: both instructions exist on every x86-64; the fence keeps work from leaking past.
    unsafe {
        core::arch::x86_64::_mm_lfence();
        core::arch::x86_64::_rdtsc()
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub fn ticks() -> u64 {
    nanoseconds(libc::CLOCK_MONOTONIC)
}

pub fn ns_a_tick() -> f64 {
    static SCALE: OnceLock<f64> = OnceLock::new();
    *SCALE.get_or_init(|| {
        let (began, first) = (Instant::now(), ticks());
        while began.elapsed() < Duration::from_millis(50) {}
        began.elapsed().as_nanos() as f64 / (ticks() - first) as f64
    })
}

/// Bytes of private memory that are resident.
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

pub fn pin(core: usize) {
    // SAFETY: the set lives through the call; a processor that does not exist leaves us unpinned.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, std::mem::size_of::<libc::cpu_set_t>(), &set);
    }
}
