//! Watching: drains the source until it is over, ends its intervals, hands each
//! to whoever prints or keeps it. Who is watched is `select`'s, what is attached `source`'s.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use uepoll_common::record::Record;
use uepoll_core::capture::Capture;
use uepoll_core::correlate::Correlator;
use uepoll_core::run::Told;

use super::child::Held;
use super::target::Target;
use crate::output::Reader;
use crate::source::live::Live;

/// How often those who want it are told how far an interval has come.
const CHECKPOINT: Duration = Duration::from_secs(1);

/// How often the ring buffer is drained, and the process looked after.
const TICK: Duration = Duration::from_millis(50);

/// Who is told what is watched, as it comes.
pub trait Witness {
    /// A record.
    fn record(&mut self, _record: &Record) {}

    /// The records that had come were told. Whether anybody still listens.
    ///
    /// # Errors
    /// If they cannot be told, and that is no reason to go on.
    fn drained(&mut self) -> anyhow::Result<Reader> {
        Ok(Reader::There)
    }

    /// Whether it wants [`Self::checkpoint`].
    fn wants_checkpoints(&self) -> bool {
        false
    }

    /// What was counted in the interval so far, about once a second.
    fn checkpoint(&mut self, _so_far: &Capture) {}

    /// What its report is to say of an interval that began `since_first` after
    /// the first, and why it is the last, if it is.
    fn notes(
        &mut self,
        _capture: &Capture,
        _since_first: Duration,
        _ended: Option<Ended>,
    ) -> Vec<String> {
        Vec::new()
    }

    /// An interval that has ended. Whether anybody still listens.
    ///
    /// # Errors
    /// If it cannot be told, and that is no reason to go on.
    fn interval(&mut self, told: &Told) -> anyhow::Result<Reader>;

    /// Nothing more comes.
    ///
    /// # Errors
    /// What has failed until now and was kept for the end, so that no figure was
    /// lost for it.
    fn finish(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Everybody who is told.
pub type Witnesses<'a> = Vec<&'a mut dyn Witness>;

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

/// Watches until it is over, and tells each interval. Signals are taken from
/// here on: until now Ctrl-C simply ends everything.
///
/// # Errors
/// If what was counted cannot be read, or printed, or samples not written.
pub fn watch(live: Live, until: Until<'_>, witnesses: Witnesses<'_>) -> anyhow::Result<()> {
    let mut watched = Watched::new(live, witnesses, until.interval)?;
    let ended = runtime()?.block_on(async {
        let signals = Signals::take()?;
        watched.until_over(signals, until, None).await
    })?;
    watched.finish(ended.1)
}

/// Releases a command, watches until it ends, and tells each interval. The
/// status that it left.
///
/// # Errors
/// As [`watch`], or if the command cannot be started or waited for.
pub fn watch_command(
    live: Live,
    held: Held,
    interval: Option<Duration>,
    witnesses: Witnesses<'_>,
) -> anyhow::Result<ExitStatus> {
    let mut watched = Watched::new(live, witnesses, interval)?;
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
    witnesses: Witnesses<'a>,
    by_intervals: bool,
    reader: Reader,
    /// Start of the first interval.
    first_ns: Option<u64>,
}

impl<'a> Watched<'a> {
    fn new(
        live: Live,
        witnesses: Witnesses<'a>,
        interval: Option<Duration>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            live,
            correlator: Correlator::default(),
            witnesses,
            by_intervals: interval.is_some(),
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
        let wants_checkpoints = self.witnesses.iter().any(|witness| witness.wants_checkpoints());
        let mut checkpoint = interval_timer(started, CHECKPOINT);
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
                _ = checkpoint.tick(), if wants_checkpoints => self.checkpoint()?,
                _ = tick.tick() => {
                    let (live, mut keep) = self.parts();
                    live.poll(&mut keep);
                    drop(keep);
                    self.reader = each(&mut self.witnesses, |witness| witness.drained())?;
                    if self.reader == Reader::Gone && command.is_none() {
                        return Ok((None, Ended::ReaderGone));
                    }
                    if until.target.is_some_and(Target::has_ended) {
                        return Ok((None, Ended::TargetGone));
                    }
                }
            }
        }
    }

    /// The source, and where its records go.
    fn parts<'b>(&'b mut self) -> (&'b mut Live, impl FnMut(Record) + use<'a, 'b>) {
        let Self { live, correlator, witnesses, .. } = self;
        (live, keep(correlator, witnesses))
    }

    /// Tells how far the interval has come.
    fn checkpoint(&mut self) -> anyhow::Result<()> {
        let (live, mut keep) = self.parts();
        live.poll(&mut keep);
        drop(keep);
        let so_far = self.live.peek().context("cannot read what was counted so far")?;
        self.witnesses.iter_mut().for_each(|witness| witness.checkpoint(&so_far));
        Ok(())
    }

    /// Ends the interval and begins the next.
    fn roll(&mut self) -> anyhow::Result<()> {
        let (live, mut keep) = self.parts();
        let capture = live.roll(&mut keep);
        drop(keep);
        let capture = capture.context("cannot read what was counted in this interval")?;
        self.first_ns.get_or_insert(capture.start_ns);
        if self.reader == Reader::Gone {
            // Of a command that goes on without a reader.
            self.correlator.roll(capture.interval);
            return Ok(());
        }
        let Self { witnesses, correlator, by_intervals, first_ns, .. } = self;
        self.reader = tell(witnesses, capture, correlator, (*by_intervals, *first_ns), None)?;
        Ok(())
    }

    /// Ends the last interval.
    fn finish(self, ended: Ended) -> anyhow::Result<()> {
        let Self { live, mut correlator, mut witnesses, .. } = self;
        let capture = live
            .finish(&mut keep(&mut correlator, &mut witnesses))
            .context("cannot read what was counted")?;
        if self.reader == Reader::There {
            let of_run = (self.by_intervals, self.first_ns);
            tell(&mut witnesses, capture, &mut correlator, of_run, Some(ended))?;
        }
        // Last, so that a full disk costs no figures.
        for witness in witnesses {
            witness.finish()?;
        }
        Ok(())
    }
}

/// Tells everybody of an interval that has ended. Gone, if nobody is left.
fn tell(
    witnesses: &mut Witnesses<'_>,
    mut capture: Capture,
    correlator: &mut Correlator,
    (by_intervals, first_ns): (bool, Option<u64>),
    ended: Option<Ended>,
) -> anyhow::Result<Reader> {
    let since_first = capture.start_ns.saturating_sub(first_ns.unwrap_or(capture.start_ns));
    for witness in witnesses.iter_mut() {
        let notes = witness.notes(&capture, Duration::from_nanos(since_first), ended);
        capture.notes.extend(notes);
    }
    let told = Told::of_interval(capture, correlator, by_intervals);
    each(witnesses, |witness| witness.interval(&told))
}

/// Tells everybody something; those to whom nobody listens any more are told
/// nothing again. Gone, if nobody is left.
fn each(
    witnesses: &mut Witnesses<'_>,
    mut told: impl FnMut(&mut dyn Witness) -> anyhow::Result<Reader>,
) -> anyhow::Result<Reader> {
    let mut failed = None;
    witnesses.retain_mut(|witness| match told(*witness) {
        Ok(reader) => reader == Reader::There,
        Err(error) => {
            failed.get_or_insert(error);
            true
        }
    });
    let reader = if witnesses.is_empty() { Reader::Gone } else { Reader::There };
    failed.map_or(Ok(reader), Err)
}

/// Puts a record where it belongs.
fn keep<'a, 'w>(
    correlator: &'a mut Correlator,
    witnesses: &'a mut Witnesses<'w>,
) -> impl FnMut(Record) + use<'a, 'w> {
    move |record| {
        correlator.push(&record);
        witnesses.iter_mut().for_each(|witness| witness.record(&record));
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
