//! `uepoll profile`: chooses, attaches, watches for a time, a process or a
//! command, and prints a report of each interval. What is watched how is
//! `source`'s, what it means is uepoll-core's.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use uepoll_core::capture::Capture;
use uepoll_core::report::Report;
use uepoll_core::run::Told;

use super::child::{self, Held};
use super::record::RecordWitness;
use super::report::{Form, text_of};
use super::select::Selection;
use super::target::host_pid_of;
use super::watch::{self, Ended, Until, Witness, Witnesses};
use crate::exit::{self, CannotRun, Interrupted, Usage};
use crate::options::{RecordOptions, WatchOptions};
use crate::output::{self, Reader};
use crate::source::live::{Filter, Live, LiveOptions};

/// Options of `uepoll profile`
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "What makes bounds narrower: `uepoll help bounds`.")]
pub struct Args {
    #[command(flatten)]
    watch: WatchOptions,

    #[command(flatten)]
    record: RecordOptions,

    /// Run this, attached before its first instruction, and report when it ends
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl Args {
    /// Checks what concerns several options at once.
    fn check(&self) -> Result<(), Usage> {
        let watch = &self.watch;
        if !self.command.is_empty() {
            let given = [
                (watch.pid.is_some(), "-p PID"),
                (watch.ring.is_some(), "-r PID:FD"),
                (watch.comm.is_some(), "--comm NAME"),
                (watch.cgroup.is_some(), "--cgroup PATH"),
                (!watch.consumers.is_empty(), "--consumer TID"),
            ];
            if let Some((_, other)) = given.into_iter().find(|(given, _)| *given) {
                return Err(Usage(format!(
                    "`-- CMD` watches the command that it starts, {other} something that runs: \
                     give one of the two"
                )));
            }
            if watch.duration.is_some() {
                return Err(Usage(
                    "`-- CMD` watches until the command ends, -d TIME until a time is over: give \
                     one of the two (`timeout TIME CMD` ends a command)"
                        .into(),
                ));
            }
        }
        watch.check()
    }
}

/// Runs it. Returns the exit code.
///
/// # Errors
/// [`CannotRun`] if the host is not fit, [`Usage`] if what was chosen is
/// not there, any other if a report could not be made or written.
pub fn run(args: Args) -> anyhow::Result<u8> {
    args.check()?;
    if args.command.is_empty() {
        return watch(&args.watch, &args.record);
    }
    Ok(exit::beside_command(watch_command(&args.watch, &args.record, &args.command)))
}

/// Watches until the time is over, the process ends or somebody asks for the
/// report.
fn watch(options: &WatchOptions, record: &RecordOptions) -> anyhow::Result<u8> {
    let recorder = RecordWitness::prepare(record)?;
    let selection = Selection::of(options).map_err(|error| error.with_code())?;
    let Selection { filter, consumers, target, words, notes } = selection;
    let mut live = attach(options, filter, consumers, recorder.is_some())?;
    let mut recorder = RecordWitness::begin(recorder, record, options, &mut live)?;
    tell_progress(&match options.duration {
        Some(duration) => format!("watching {words} for {} s; Ctrl-C ends", duration.as_secs_f64()),
        None => format!("watching {words}; Ctrl-C ends"),
    });
    let until =
        Until { duration: options.duration, target: target.as_ref(), interval: options.interval };
    let mut printer = Printer::new(options, notes);
    if let Some(target) = &target {
        printer.pid = Some(target.pid);
    }
    let mut witnesses: Witnesses<'_> = vec![&mut printer];
    witnesses.extend(recorder.as_mut().map(|recorder| recorder as &mut dyn Witness));
    watch::watch(live, until, witnesses)?;
    Ok(if printer.untrustworthy { exit::UNTRUSTWORTHY } else { exit::FINE })
}

/// Attaches to a command that has not begun, runs it, and reports when it ends.
fn watch_command(
    options: &WatchOptions,
    record: &RecordOptions,
    words: &[OsString],
) -> anyhow::Result<u8> {
    let recorder = RecordWitness::prepare(record)?;
    let held = Held::fork(words)?;
    // Should attaching fail, `held` is dropped and never executes anything.
    let host_pid = host_pid_of(held.pid())
        .map_err(|error| super::select::SelectError::from(error).with_code())?;
    let mut live = attach(options, Filter::Process(host_pid), Vec::new(), recorder.is_some())?;
    if let Some(executable) = child::executable_of(&words[0]) {
        // Before its first instruction, so that no spin is missed. A refusal
        // costs the exact iterations alone; they are then said to be unknown.
        let _ = live.listen_to_spins_of(&executable);
    }
    // The run begins where its first interval does, as near as can be.
    live.begin();
    let mut recorder = RecordWitness::begin(recorder, record, options, &mut live)?;
    let mut printer = Printer::new(options, Vec::new());
    printer.beside_command = true;
    let mut witnesses: Witnesses<'_> = vec![&mut printer];
    witnesses.extend(recorder.as_mut().map(|recorder| recorder as &mut dyn Witness));
    let status = watch::watch_command(live, held, options.interval, witnesses)?;
    if printer.untrustworthy {
        return Ok(exit::OURS_BESIDE_COMMAND);
    }
    Ok(exit::code_of_command(status))
}

/// Attaches, with an eye on signals meanwhile.
///
/// # Errors
/// [`CannotRun`] if the host is not fit; [`Interrupted`].
pub fn attach(
    options: &WatchOptions,
    filter: Filter,
    consumers: Vec<u32>,
    singles: bool,
) -> anyhow::Result<Live> {
    // Attaching takes its time. A signal meanwhile would end us without a word,
    // or, where a shell has us ignore it, be lost.
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&asked)).context("cannot take SIGINT and SIGTERM")?;
    }
    let live = Live::attach(LiveOptions {
        filter,
        consumers,
        kind: options.probe_kind,
        pace: options.pace(),
        // All positions, until the kernel side finds that they are too many.
        sample_shift: 0,
        singles,
        watch_head: options.watches_head(),
    });
    let live = live.map_err(|error| CannotRun(error.to_string()))?;
    if asked.load(Ordering::Relaxed) { Err(Interrupted.into()) } else { Ok(live) }
}

/// Tells what is going on, if somebody watches.
pub fn tell_progress(what: &str) {
    if io::stderr().is_terminal() {
        eprintln!("uepoll: {what}");
    }
}

/// Prints one interval after the other.
struct Printer<'a> {
    options: &'a WatchOptions,
    /// What the first report has to say of the choice.
    notes: Vec<String>,
    /// The process whose end ends watching.
    pid: Option<u32>,
    beside_command: bool,
    /// Under `--strict`, one of the reports was.
    untrustworthy: bool,
}

impl<'a> Printer<'a> {
    fn new(options: &'a WatchOptions, notes: Vec<String>) -> Self {
        Self { options, notes, pid: None, beside_command: false, untrustworthy: false }
    }
}

impl Witness for Printer<'_> {
    fn notes(
        &mut self,
        capture: &Capture,
        since_first: Duration,
        ended: Option<Ended>,
    ) -> Vec<String> {
        // What is said of the choice is said once.
        let mut notes = std::mem::take(&mut self.notes);
        if let (Some(pid), Some(Ended::TargetGone)) = (self.pid, ended) {
            let lived = since_first + Duration::from_nanos(capture.duration_ns);
            notes.push(format!("process {pid} ended after {:.1} s", lived.as_secs_f64()));
        }
        notes
    }

    fn interval(&mut self, told: &Told) -> anyhow::Result<Reader> {
        let report = &told.report;
        if self.options.strict && !report.trustworthy() {
            self.untrustworthy = true;
            if self.beside_command {
                tell_untrustworthy(report);
            }
        }
        let form = Form {
            json: self.options.json,
            verbose: self.options.verbose,
            by_intervals: self.options.interval.is_some(),
        };
        let text = text_of(told, form);
        if self.options.json {
            return output::print("report", &text);
        }
        output::print_report(&text, self.options.color)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::live::Pace;
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
        assert!(args.command.is_empty() && args.watch.interval.is_none());
        assert_eq!(args.watch.pace(), Pace::Affordable);
    }

    #[test]
    fn a_command_keeps_its_own_options() {
        let args = parse(&["--json", "--", "stress", "-d", "5", "--json"]).expect("fine");
        assert!(args.watch.json && args.watch.duration.is_none());
        assert_eq!(args.command, ["stress", "-d", "5", "--json"]);
    }

    #[test]
    fn a_command_takes_neither_another_target_nor_a_time() {
        for words in [
            ["-p", "1"],
            ["-r", "1:2"],
            ["--comm", "x"],
            ["--cgroup", "/x"],
            ["--consumer", "1"],
            ["-d", "1"],
        ] {
            let args = parse(&[&words[..], &["--", "true"]].concat()).expect("each word is fine");
            let message = args.check().expect_err(words[0]).0;
            assert!(message.contains(words[0]) && message.contains("one of the two"), "{message}");
        }
        let args = parse(&["-i", "1", "--", "true"]).expect("fine");
        assert!(args.check().is_ok());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for words in [["-p", "0"], ["-p", "x"], ["-F", "0"], ["-F", "10001"], ["-d", "0"]] {
            assert!(parse(&words).is_err(), "{words:?}");
        }
    }
}
