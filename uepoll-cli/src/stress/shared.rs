//! What the threads of one run share: the start, the target, and the two ways
//! to end early (asked to stop, or given up).

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Instant;

use super::config::Config;
use super::source::Sources;

/// One run, as its threads see it.
pub struct Shared<'a> {
    /// What to do.
    pub config: &'a Config,
    /// The sources, in the order of the items.
    pub sources: &'a Sources,
    /// Holds every thread back until all are ready.
    pub gate: Gate,
    /// Set from outside (Ctrl-C): producers end, the consumer finishes.
    stop: &'a AtomicBool,
    /// Set on a fault: everybody ends.
    abort: AtomicBool,
    /// Events after which the consumer is done.
    target: AtomicU64,
    producers_running: AtomicU32,
    produced_at: OnceLock<Instant>,
    threads_running: AtomicU32,
    /// Woken when the last thread ends.
    main: Thread,
}

impl<'a> Shared<'a> {
    /// For the calling thread as the one that watches.
    pub fn new(config: &'a Config, sources: &'a Sources, stop: &'a AtomicBool) -> Self {
        Self {
            config,
            sources,
            gate: Gate::default(),
            stop,
            abort: AtomicBool::new(false),
            target: AtomicU64::new(config.events),
            producers_running: AtomicU32::new(config.producers),
            produced_at: OnceLock::new(),
            threads_running: AtomicU32::new(config.producers + 1),
            main: std::thread::current(),
        }
    }

    /// Whether the run was asked to stop, or is given up: for producers.
    #[inline]
    pub fn ended(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.aborted()
    }

    /// Whether the run was asked to stop from outside.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether the run is given up.
    #[inline]
    pub fn aborted(&self) -> bool {
        self.abort.load(Ordering::Relaxed)
    }

    /// Gives the run up.
    pub fn abort(&self) {
        self.abort.store(true, Ordering::Relaxed);
    }

    /// Events that the consumer has to see: all that were asked for, or, once
    /// the last producer has ended, all that were written.
    #[inline]
    pub fn target(&self) -> u64 {
        self.target.load(Ordering::Acquire)
    }

    /// Whether some producer still writes.
    pub fn producing(&self) -> bool {
        self.producers_running.load(Ordering::Acquire) > 0
    }

    /// When the last producer ended; `None` while some still write.
    pub fn produced_at(&self) -> Option<Instant> {
        self.produced_at.get().copied()
    }

    /// Whether some thread has not ended.
    pub fn running(&self) -> bool {
        self.threads_running.load(Ordering::Acquire) > 0
    }

    /// A producer has written its last event.
    pub fn producer_ended(&self) {
        if self.producers_running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.produced_at.get_or_init(Instant::now);
            self.target.store(self.sources.written(), Ordering::Release);
        }
    }

    /// A thread does nothing more.
    pub fn thread_ended(&self) {
        if self.threads_running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.main.unpark();
        }
    }
}

/// Lets all threads go at once, or none.
#[derive(Default)]
pub struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    waiting: u32,
    open: Option<bool>,
}

impl Gate {
    /// Waits for the gate; `false` if the run is called off.
    pub fn pass(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting += 1;
        self.changed.notify_all();
        loop {
            if let Some(open) = state.open {
                return open;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until `threads` stand before the gate.
    pub fn wait_for(&self, threads: u32) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.waiting < threads {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Opens it (`true`), or sends everybody home.
    pub fn open(&self, go: bool) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).open = Some(go);
        self.changed.notify_all();
    }
}
