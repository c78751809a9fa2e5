//! `uepoll profile`: attaches, watches for a time, a process or a command, and
//! prints the report. What is watched how is `source`'s, what it means is
//! uepoll-core's.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use uepoll_core::correlate::Correlator;
use uepoll_core::render::{Charset, json, text};
use uepoll_core::report::Report;

use super::child::Held;
use super::target::{Target, TargetError, host_pid_of};
use crate::exit::{self, CannotRun, Usage};
use crate::options::WatchOptions;
use crate::output;
use crate::source::live::{Live, LiveOptions};

/// How often the ring buffer is drained, and the process looked after.
const TICK: Duration = Duration::from_millis(50);

/// Options of `uepoll profile`
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    #[command(flatten)]
    watch: WatchOptions,

    /// Run this, attached before its first instruction, and report when it ends
    #[arg(last = true, value_name = "CMD", conflicts_with_all = ["pid", "duration"])]
    command: Vec<OsString>,
}

/// Runs it. Returns the exit code.
///
/// # Errors
/// [`CannotRun`] if the host is not fit, [`Usage`] if the process is not there,
/// any other if the report could not be made or written.
pub fn run(args: Args) -> anyhow::Result<u8> {
    if args.command.is_empty() {
        return watch(&args.watch);
    }
    Ok(exit::beside_command(watch_command(&args.watch, &args.command)))
}

/// Watches a process, or all, until the time is over, the process ends or
/// somebody asks for the report.
fn watch(options: &WatchOptions) -> anyhow::Result<u8> {
    let target = options.pid.map(Target::open).transpose().map_err(target_error)?;
    let live = attach(options, target.as_ref().map(|target| target.host_pid))?;
    tell_progress(&match (&target, options.duration) {
        (_, Some(duration)) => format!("watching for {} s; Ctrl-C ends", duration.as_secs_f64()),
        (Some(target), None) => format!("watching process {}; Ctrl-C ends", target.pid),
        (None, None) => "watching every user-polled ring; Ctrl-C ends".into(),
    });
    let started = Instant::now();
    let mut watched = Watched::new(live);
    let (_, ended) = runtime()?.block_on(async {
        let signals = Signals::take()?;
        watched.until_over(signals, options.duration, target.as_ref(), None).await
    })?;
    // Before the report: taking the probes off takes time of its own.
    let watched_s = started.elapsed().as_secs_f64();
    let mut report = watched.report()?;
    if let Some(target) = &target {
        report.notes.extend(target_note(target));
        if ended == Ended::TargetGone {
            let note = format!("process {} ended after {watched_s:.1} s", target.pid);
            report.notes.push(note);
        }
    }
    print(&report, options)?;
    Ok(if options.strict && !report.trustworthy() { exit::UNTRUSTWORTHY } else { exit::FINE })
}

/// Attaches to a command that has not begun, runs it, and reports when it ends.
fn watch_command(options: &WatchOptions, words: &[OsString]) -> anyhow::Result<u8> {
    let held = Held::fork(words)?;
    // Should attaching fail, `held` is dropped and never executes anything.
    let live = attach(options, Some(host_pid_of(held.pid()).map_err(target_error)?))?;
    let mut watched = Watched::new(live);
    let (status, _) = runtime()?.block_on(async {
        // Signals are taken from here on: until now Ctrl-C simply ended both.
        let signals = Signals::take()?;
        let mut child = held.release()?;
        let pid = child.id();
        let wait = tokio::task::spawn_blocking(move || child.wait());
        watched.until_over(signals, None, None, Some(Command { pid, wait })).await
    })?;
    let report = watched.report()?;
    print(&report, options)?;
    if options.strict && !report.trustworthy() {
        tell_untrustworthy(&report);
        return Ok(exit::OURS_BESIDE_COMMAND);
    }
    Ok(status.map_or(exit::OURS_BESIDE_COMMAND, exit::code_of_command))
}

/// Why it is 125 although the command may have done well.
fn tell_untrustworthy(report: &Report) {
    eprintln!(
        "uepoll: the figures are not trustworthy (--strict): {} lost, {} equations of the books \
         off, {} rings corrupt; the report says which",
        report.loss_total(),
        report.books().unbalanced,
        report.corrupt_rings()
    );
}

fn attach(options: &WatchOptions, host_pid: Option<u32>) -> anyhow::Result<Live> {
    let live = Live::attach(LiveOptions {
        filter: host_pid.map(|pid| vec![pid]),
        sampler_hz: options.sampler_hz,
        // All positions, until the kernel side finds that they are too many.
        sample_shift: 0,
    });
    live.map_err(|error| CannotRun(error.to_string()).into())
}

fn target_error(error: TargetError) -> anyhow::Error {
    match error {
        TargetError::NoSuchProcess(_) | TargetError::IsThread(_) => Usage(error.to_string()).into(),
        TargetError::ForeignNamespace(_) => CannotRun(error.to_string()).into(),
        TargetError::System { .. } => error.into(),
    }
}

/// The numbers of a process that has several.
fn target_note(target: &Target) -> Option<String> {
    let host = (target.host_pid != target.pid)
        .then(|| format!("{} in the initial pid namespace", target.host_pid));
    let inner = target
        .inner_pid
        .filter(|inner| *inner != target.pid)
        .map(|inner| format!("{inner} in its own"));
    let others: Vec<String> = host.into_iter().chain(inner).collect();
    (!others.is_empty()).then(|| format!("process {} is {}", target.pid, others.join(", ")))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")
}

/// Why watching ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Time over, or somebody asked.
    Asked,
    /// The process is gone.
    TargetGone,
    /// The command is through.
    CommandDone,
}

/// A command that runs.
struct Command {
    pid: u32,
    wait: JoinHandle<io::Result<std::process::ExitStatus>>,
}

/// Everything seen so far.
struct Watched {
    live: Live,
    correlator: Correlator,
}

impl Watched {
    fn new(live: Live) -> Self {
        Self { live, correlator: Correlator::default() }
    }

    fn drain(&mut self) {
        let correlator = &mut self.correlator;
        self.live.poll(&mut |record| correlator.push(&record));
    }

    /// Drains until it is over. With a command the status it left, unless
    /// waiting for it failed.
    async fn until_over(
        &mut self,
        mut signals: Signals,
        duration: Option<Duration>,
        target: Option<&Target>,
        mut command: Option<Command>,
    ) -> anyhow::Result<(Option<std::process::ExitStatus>, Ended)> {
        let mut tick = tokio::time::interval(TICK);
        // A late tick drains what two would have: none is owed.
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let over = tokio::time::sleep(duration.unwrap_or(Duration::MAX));
        tokio::pin!(over);
        let mut interrupted = false;
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    self.drain();
                    if target.is_some_and(Target::has_ended) {
                        return Ok((None, Ended::TargetGone));
                    }
                }
                () = &mut over, if duration.is_some() => return Ok((None, Ended::Asked)),
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
            }
        }
    }

    fn report(self) -> anyhow::Result<Report> {
        let mut correlator = self.correlator;
        let capture = self
            .live
            .finish(&mut |record| correlator.push(&record))
            .context("cannot read what was counted")?;
        Ok(Report::build(&capture, &correlator.finish()))
    }
}

/// The command's end; never, without one.
async fn wait_for(command: &mut Option<Command>) -> anyhow::Result<std::process::ExitStatus> {
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

fn tell_progress(what: &str) {
    if io::stderr().is_terminal() {
        eprintln!("uepoll: {what}");
    }
}

/// Writes the report on stdout.
fn print(report: &Report, options: &WatchOptions) -> anyhow::Result<()> {
    let text = if options.json {
        json::render(report)
    } else {
        text::render(report, text::TextOptions { charset: charset(), verbose: options.verbose })
    };
    output::print("report", &text)
}

/// What the locale can show: the first of its variables that is set decides.
fn charset() -> Charset {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(std::env::var_os)
        .find(|value| !value.is_empty());
    charset_of(&set.unwrap_or_default().to_string_lossy())
}

fn charset_of(locale: &str) -> Charset {
    let locale = locale.to_ascii_lowercase();
    if locale.contains("utf-8") || locale.contains("utf8") { Charset::Utf8 } else { Charset::Ascii }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(words: &[&str]) -> Result<Args, clap::Error> {
        Line::try_parse_from([&["profile"], words].concat()).map(|line| line.args)
    }

    #[test]
    fn without_arguments_everything_is_watched_until_somebody_asks() {
        let args = parse(&[]).expect("fine");
        assert!(args.watch.pid.is_none() && args.watch.duration.is_none());
        assert!(args.command.is_empty());
        assert_eq!(args.watch.sampler_hz, 199);
    }

    #[test]
    fn a_command_keeps_its_own_options() {
        let args = parse(&["--json", "--", "stress", "-d", "5", "--json"]).expect("fine");
        assert!(args.watch.json && args.watch.duration.is_none());
        assert_eq!(args.command, ["stress", "-d", "5", "--json"]);
    }

    #[test]
    fn a_command_takes_neither_a_process_nor_a_time() {
        assert!(parse(&["-p", "1", "--", "true"]).is_err());
        assert!(parse(&["-d", "1", "--", "true"]).is_err());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for words in [["-p", "0"], ["-p", "x"], ["-F", "0"], ["-F", "10001"], ["-d", "0"]] {
            assert!(parse(&words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn errors_of_a_target_have_the_code_of_their_remedy() {
        assert!(target_error(TargetError::NoSuchProcess(1)).is::<Usage>());
        assert!(target_error(TargetError::ForeignNamespace(1)).is::<CannotRun>());
    }

    #[test]
    fn only_a_locale_that_says_utf8_gets_more_than_ascii() {
        assert_eq!(charset_of("en_US.UTF-8"), Charset::Utf8);
        assert_eq!(charset_of("C.utf8"), Charset::Utf8);
        assert_eq!(charset_of("C"), Charset::Ascii);
        assert_eq!(charset_of(""), Charset::Ascii);
    }
}
