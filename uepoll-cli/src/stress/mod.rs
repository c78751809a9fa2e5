//! `uepoll stress`: the specification's test program, grown up. Many threads
//! write, one consumes, and nothing may be lost.
//!
//! One run of one configuration is put together here; the command line is in
//! `command/stress.rs`.

mod clock;
pub mod config;
pub mod consumer;
pub mod error;
pub mod outcome;
mod producer;
pub mod record;
mod shared;
pub mod source;
pub mod sweep;
pub mod truth;
mod watchdog;

use std::sync::atomic::AtomicBool;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Instant;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use config::Config;
use consumer::Poller;
use error::StressError;
use outcome::Outcome;
use shared::Shared;
use source::Sources;
use truth::Log;

/// Descriptors of the process beside the sources: its own streams, epoll, ring.
const OWN_DESCRIPTORS: u64 = 64;

/// Runs `config`: until everything written has been read, or, when `stop` is
/// set from outside, until what was written by then has been.
///
/// # Errors
/// [`StressError`]; a loss is no error but in the outcome.
pub fn run(config: &Config, stop: &AtomicBool) -> Result<Outcome, StressError> {
    allow_descriptors(config)?;
    let sources = Sources::create(config.source, config.items)?;
    let poller = Poller::create(config.mode, &sources)?;
    let shared = Shared::new(config, &sources, stop);
    // Each event takes a slot at most once.
    let log = config.truth.then(|| Log::new(config.events)).transpose()?;

    let (started_at, stall, result) = thread::scope(|scope| {
        let (producers, consumer) = match start(scope, &shared, &poller, log) {
            Ok(threads) => threads,
            Err(error) => {
                // Those that were started wait at the gate.
                shared.gate.open(false);
                return Err(error);
            }
        };
        shared.gate.wait_for(config.producers + 1);
        let started_at = Instant::now();
        shared.gate.open(true);
        let stall = watchdog::watch(&shared, &poller);
        let mut result = joined(consumer);
        for producer in producers {
            let produced = joined(producer);
            // A source that could not be written is why the consumer ended.
            if let Err(error) = produced {
                result = Err(error);
            }
        }
        Ok((started_at, stall, result))
    })?;
    let tally = result?;
    if let Some(mut stall) = stall {
        stall.look_into(&sources);
        return Err(StressError::Stalled(Box::new(stall)));
    }
    Ok(Outcome::new(config, started_at, shared.stopped(), tally, &sources))
}

type Producers<'scope> = Vec<ScopedJoinHandle<'scope, Result<(), StressError>>>;
type TheConsumer<'scope> = ScopedJoinHandle<'scope, Result<outcome::Tally, StressError>>;

/// Starts all threads; they wait at the gate.
fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    shared: &'scope Shared<'scope>,
    poller: &'scope Poller,
    log: Option<Log>,
) -> Result<(Producers<'scope>, TheConsumer<'scope>), StressError> {
    let cpus = if shared.config.pin { Some(allowed_cpus()?) } else { None };
    // The consumer first, the producers round the CPUs after it.
    let cpu_of = |thread: usize| cpus.as_ref().map(|cpus| cpus[thread % cpus.len()]);
    let consumer = spawn(scope, shared, "consumer".to_owned(), cpu_of(0), move || {
        consumer::consume(shared, poller, log)
    })?;
    let mut producers = Vec::with_capacity(shared.config.producers as usize);
    for number in 0..shared.config.producers {
        let (name, cpu) = (format!("producer-{number}"), cpu_of(number as usize + 1));
        producers.push(spawn(scope, shared, name, cpu, move || {
            let produced = producer::produce(shared, number);
            shared.producer_ended();
            produced
        })?);
    }
    Ok((producers, consumer))
}

/// Starts one thread that binds itself to `cpu`, passes the gate, and does
/// `body`. A fault in it gives the whole run up.
fn spawn<'scope, T: Send + Default + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    shared: &'scope Shared<'scope>,
    name: String,
    cpu: Option<usize>,
    body: impl FnOnce() -> Result<T, StressError> + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, Result<T, StressError>>, StressError> {
    let thread = thread::Builder::new().name(name.clone());
    thread
        .spawn_scoped(scope, move || {
            let ending = Ending(shared);
            let bound = cpu.map_or(Ok(()), bind);
            if !shared.gate.pass() {
                return Ok(T::default());
            }
            let result = bound.and_then(|()| body());
            if result.is_err() {
                shared.abort();
            }
            drop(ending);
            result
        })
        .map_err(|source| StressError::Thread { name, source })
}

/// Tells that a thread has ended, also by a panic, which ends the run.
struct Ending<'a>(&'a Shared<'a>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.abort();
        }
        self.0.thread_ended();
    }
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T, StressError>>) -> Result<T, StressError> {
    thread.join().unwrap_or(Err(StressError::Panicked))
}

/// Binds the calling thread to one CPU.
fn bind(cpu: usize) -> Result<(), StressError> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set)
        .map_err(|source| StressError::ThreadSetup { call: "sched_setaffinity", source })
}

/// The CPUs that this process may use; at least one.
fn allowed_cpus() -> Result<Vec<usize>, StressError> {
    let set = sched_getaffinity(None)
        .map_err(|source| StressError::ThreadSetup { call: "sched_getaffinity", source })?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Raises the limit of open files to what the sources need.
fn allow_descriptors(config: &Config) -> Result<(), StressError> {
    let needed = u64::from(config.items) * config.source.descriptors() + OWN_DESCRIPTORS;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    // Only CAP_SYS_RESOURCE may go beyond the hard limit: the kernel decides.
    let maximum_raised = maximum.map(|maximum| maximum.max(needed));
    let raised = Rlimit { current: Some(needed), maximum: maximum_raised };
    if setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(());
    }
    let limit = maximum.unwrap_or(u64::MAX);
    Err(StressError::Descriptors { sources: config.items, needed, limit })
}

#[cfg(test)]
mod tests;
