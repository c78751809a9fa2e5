//! Watching: drains the source until it is over, ends its intervals, hands each
//! to be printed. Who is watched is `select`'s, what is attached `source`'s.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use uepoll_common::record::Record;
use uepoll_core::capture::Capture;
use uepoll_core::correlate::{Correlated, Correlator};
use uepoll_core::report::Report;

use super::child::Held;
use super::samples::Samples;
use super::target::Target;
use crate::output::Reader;
use crate::source::live::Live;

/// How often the ring buffer is drained, and the process looked after.
const TICK: Duration = Duration::from_millis(50);

/// What is printed of one interval.
pub struct Interval {
    /// Its figures.
    pub report: Report,
    /// Its number, from 0.
    pub number: u32,
    /// Its start, after that of the first.
    pub start: Duration,
    /// Why it is the last, if it is.
    pub ended: Option<Ended>,
}

/// Who prints an interval.
pub type Sink<'a> = &'a mut dyn FnMut(Interval) -> anyhow::Result<Reader>;

/// Why watching ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Time over, or somebody asked.
    Asked,
    /// The process is gone.
    TargetGone,
    /// The command is through.
    CommandDone,
    /// Nobody reads what is printed.
    ReaderGone,
}

/// When watching ends and what is looked after meanwhile.
#[derive(Clone, Copy, Default)]
pub struct Until<'a> {
    /// After so long.
    pub duration: Option<Duration>,
    /// With this process.
    pub target: Option<&'a Target>,
    /// An interval each so often; one in all, without.
    pub interval: Option<Duration>,
}

/// Watches until it is over, and prints each interval. Signals are taken from
/// here on: until now Ctrl-C simply ends everything.
///
/// # Errors
/// If what was counted cannot be read, or printed, or samples not written.
pub fn watch(live: Live, until: Until<'_>, print: Sink<'_>) -> anyhow::Result<()> {
    let mut watched = Watched::new(live, print)?;
    let ended = runtime()?.block_on(async {
        let signals = Signals::take()?;
        watched.until_over(signals, until, None).await
    })?;
    watched.finish(ended.1)
}

/// Releases a command, watches until it ends, and prints each interval. The
/// status that it left.
///
/// # Errors
/// As [`watch`], or if the command cannot be started or waited for.
pub fn watch_command(
    live: Live,
    held: Held,
    interval: Option<Duration>,
    print: Sink<'_>,
) -> anyhow::Result<ExitStatus> {
    let mut watched = Watched::new(live, print)?;
    let (status, ended) = runtime()?.block_on(async {
        let signals = Signals::take()?;
        // What passed since attaching is no part of the command's figures.
        watched.live.begin();
        let mut child = held.release()?;
        let pid = child.id();
        let wait = tokio::task::spawn_blocking(move || child.wait());
        let until = Until { interval, ..Until::default() };
        watched.until_over(signals, until, Some(Command { pid, wait })).await
    })?;
    watched.finish(ended)?;
    status.context("watching ended before the command did")
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")
}

/// A command that runs.
struct Command {
    pid: u32,
    wait: JoinHandle<io::Result<ExitStatus>>,
}

/// Everything seen so far, and where it goes.
struct Watched<'a> {
    live: Live,
    correlator: Correlator,
    samples: Option<Samples>,
    print: Sink<'a>,
    reader: Reader,
    /// Start of the first interval.
    first_ns: Option<u64>,
}

impl<'a> Watched<'a> {
    fn new(live: Live, print: Sink<'a>) -> anyhow::Result<Self> {
        Ok(Self {
            live,
            correlator: Correlator::default(),
            samples: Samples::from_environment()?,
            print,
            reader: Reader::There,
            first_ns: None,
        })
    }

    /// Drains until it is over. With a command the status it left.
    async fn until_over(
        &mut self,
        mut signals: Signals,
        until: Until<'_>,
        mut command: Option<Command>,
    ) -> anyhow::Result<(Option<ExitStatus>, Ended)> {
        let started = Instant::now();
        let mut tick = tokio::time::interval(TICK);
        // A late tick drains what two would have: none is owed.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Timers that do not apply are far away and not asked.
        let mut interval = interval_timer(started, until.interval.unwrap_or(Duration::MAX));
        // From the same moment as the intervals, so that the last of them ends
        // with it.
        let over = tokio::time::sleep_until(far(started, until.duration));
        tokio::pin!(over);
        let mut interrupted = false;
        loop {
            tokio::select! {
                // In this order: a time that is over together with an interval
                // ends that interval, and begins no empty one.
                biased;
                status = wait_for(&mut command) => {
                    return Ok((Some(status?), Ended::CommandDone));
                }
                asked = signals.next() => match &command {
                    None => return Ok((None, Ended::Asked)),
                    // The terminal gave the first Ctrl-C to the command too; it
                    // may want to finish. A second one is for us alone to press.
                    Some(_) if asked == Asked::Interrupt && !interrupted => interrupted = true,
                    Some(command) => terminate(command.pid),
                },
                () = &mut over, if until.duration.is_some() => return Ok((None, Ended::Asked)),
                _ = interval.tick(), if until.interval.is_some() => {
                    self.roll()?;
                    // A command goes on without a reader: it was not asked to end.
                    if self.reader == Reader::Gone && command.is_none() {
                        return Ok((None, Ended::ReaderGone));
                    }
                }
                _ = tick.tick() => {
                    let (live, mut keep) = self.parts();
                    live.poll(&mut keep);
                    if until.target.is_some_and(Target::has_ended) {
                        return Ok((None, Ended::TargetGone));
                    }
                }
            }
        }
    }

    /// The source, and where its records go.
    fn parts(&mut self) -> (&mut Live, impl FnMut(Record)) {
        let Self { live, correlator, samples, .. } = self;
        (live, keep(correlator, samples.as_mut()))
    }

    /// Ends the interval and begins the next.
    fn roll(&mut self) -> anyhow::Result<()> {
        let (live, mut keep) = self.parts();
        let capture = live.roll(&mut keep);
        drop(keep);
        let capture = capture.context("cannot read what was counted in this interval")?;
        let told = self.correlator.roll(capture.interval);
        self.tell(&capture, &told, None)
    }

    /// Ends the last interval.
    fn finish(mut self, ended: Ended) -> anyhow::Result<()> {
        let mut correlator = std::mem::take(&mut self.correlator);
        let Self { live, mut samples, print, reader, first_ns, .. } = self;
        let capture = live
            .finish(&mut keep(&mut correlator, samples.as_mut()))
            .context("cannot read what was counted")?;
        if reader == Reader::There {
            let told = correlator.roll(capture.interval);
            print(interval_of(&capture, &told, first_ns, Some(ended)))?;
        }
        // Last, so that a full disk costs no figures.
        samples.map_or(Ok(()), Samples::finish)
    }

    fn tell(
        &mut self,
        capture: &Capture,
        told: &Correlated,
        ended: Option<Ended>,
    ) -> anyhow::Result<()> {
        let interval = interval_of(capture, told, self.first_ns, ended);
        self.first_ns.get_or_insert(capture.start_ns);
        if self.reader == Reader::There {
            self.reader = (self.print)(interval)?;
        }
        Ok(())
    }
}

/// Puts a record where it belongs.
fn keep<'a>(
    correlator: &'a mut Correlator,
    mut samples: Option<&'a mut Samples>,
) -> impl FnMut(Record) + 'a {
    move |record| {
        correlator.push(&record);
        if let Some(samples) = samples.as_deref_mut() {
            samples.push(&record);
        }
    }
}

fn interval_of(
    capture: &Capture,
    told: &Correlated,
    first_ns: Option<u64>,
    ended: Option<Ended>,
) -> Interval {
    let since_first = capture.start_ns.saturating_sub(first_ns.unwrap_or(capture.start_ns));
    Interval {
        report: Report::build(capture, told),
        number: capture.interval,
        start: Duration::from_nanos(since_first),
        ended,
    }
}

fn interval_timer(started: Instant, period: Duration) -> tokio::time::Interval {
    let mut timer = tokio::time::interval_at(far(started, Some(period)), period);
    // An interval that was missed is a part of the next one: none is empty.
    timer.set_missed_tick_behavior(MissedTickBehavior::Skip);
    timer
}

/// So long after `started`; without a length, or beyond any clock, never.
fn far(started: Instant, after: Option<Duration>) -> Instant {
    let never = started + Duration::from_secs(u32::MAX.into());
    after.and_then(|after| started.checked_add(after)).unwrap_or(never)
}

/// The command's end; never, without one.
async fn wait_for(command: &mut Option<Command>) -> anyhow::Result<ExitStatus> {
    match command {
        Some(command) => (&mut command.wait)
            .await
            .context("the thread that waits for the command panicked")?
            .context("cannot wait for the command"),
        None => std::future::pending().await,
    }
}

/// What somebody asked us by signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Interrupt,
    Terminate,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn take() -> anyhow::Result<Self> {
        let take = |kind| signal(kind).context("cannot take SIGINT and SIGTERM");
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Interrupt,
            _ = self.terminate.recv() => Asked::Terminate,
        }
    }
}

/// Passes SIGTERM on to the command.
fn terminate(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // Fails only if it has just ended, and then its end comes next.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}
