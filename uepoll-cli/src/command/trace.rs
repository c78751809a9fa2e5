//! `uepoll trace`: one line for each sampled event, wait, refused add and run of
//! the worker, as they become known.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use uepoll_common::record::Record;
use uepoll_core::capture::Capture;
use uepoll_core::render::trace::{Kind, Lines};
use uepoll_core::render::{paragraph, text};
use uepoll_core::run::{Told, Viewer};

use super::profile::{attach, tell_progress};
use super::select::Selection;
use super::watch::{self, Ended, Until, Witness};
use crate::exit::{self, Usage};
use crate::file::{Recording, RunName, Which};
use crate::options::WatchOptions;
use crate::output::{self, Reader};

/// Columns of the last line, as those of a report.
const COLUMNS: usize = 80;

/// What the command line says.
#[derive(clap::Args)]
// Of the options of all verbs that watch: what `check` refuses, or what changes no
// line, is not offered, and what means another thing here is told so.
#[command(
    mut_arg("interval", |option| option.hide(true)),
    mut_arg("verbose", |option| option.hide(true)),
    mut_arg("color", |option| option.hide(true)),
    mut_arg("json", |option| {
        option.help("Lines of JSON (schema uepoll.trace/1), each with every field")
    }),
)]
pub struct Args {
    #[command(flatten)]
    watch: WatchOptions,

    /// Lines of a recording; FILE#2 of its second run, FILE#KEY=VALUE of the last
    /// one so labelled
    #[arg(long, value_name = "FILE",
          conflicts_with_all = ["target", "consumers", "probe_kind", "duration", "frequency"])]
    from: Option<OsString>,

    /// Lines of these kinds alone: event,wait,estale,enospc,offload,ring
    #[arg(short, long = "events", value_name = "KIND,...", value_delimiter = ',',
          hide_possible_values = true,
          value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::word)))]
    events: Vec<String>,
}

impl Args {
    fn check(&self) -> Result<(), Usage> {
        let refused = [
            (
                self.watch.interval.is_some(),
                "-i: a trace has no intervals; `uepoll profile -i` has",
            ),
            (self.watch.verbose, "-v: a line has nothing more to tell; --json has every field"),
        ];
        match refused.into_iter().find(|(given, _)| *given) {
            Some((_, why)) => Err(Usage(format!("trace does not take {why}"))),
            None => self.watch.check(),
        }
    }
}

/// Runs it. Returns the exit code.
///
/// # Errors
/// As `profile`.
pub fn run(args: Args) -> anyhow::Result<u8> {
    args.check()?;
    let options = &args.watch;
    if let Some(from) = &args.from {
        return retell(from, &args);
    }
    let selection = Selection::of(options).map_err(|error| error.with_code())?;
    let Selection { filter, consumers, target, words, notes } = selection;
    let mut live = attach(options, filter, consumers, true)?;
    tell_progress(&match options.duration {
        Some(duration) => format!("tracing {words} for {} s; Ctrl-C ends", duration.as_secs_f64()),
        None => format!("tracing {words}; Ctrl-C ends"),
    });
    let mut lines = Lines::new(live.start_ns(), output::charset());
    // What was there before is named by what is known of it now.
    lines.know(&live.peek()?.rings);
    let mut tracer = Tracer::new(&args, lines, notes, live.start_unix_ns());
    let until = Until { duration: options.duration, target: target.as_ref(), interval: None };
    watch::watch(live, until, vec![&mut tracer])?;
    Ok(if tracer.untrustworthy { exit::UNTRUSTWORTHY } else { exit::FINE })
}

/// Prints lines of a run that was kept.
fn retell(from: &OsStr, args: &Args) -> anyhow::Result<u8> {
    let name = RunName::parse(from).map_err(Usage)?;
    let (recording, run) = Recording::open_run(&name)?;
    let info = &recording.find(&Which::Number(run))?.info;
    let lines = Lines::new(info.started_mono_ns, output::charset());
    let tracer = Tracer::new(args, lines, Vec::new(), info.started_unix_ns);
    let mut retold = Retold { tracer, result: Ok(Reader::There) };
    recording.view_intervals(run, &mut retold)?;
    retold.result?;
    Ok(if retold.tracer.untrustworthy { exit::UNTRUSTWORTHY } else { exit::FINE })
}

/// Prints what a recording tells, until nobody reads it any more.
struct Retold<'a> {
    tracer: Tracer<'a>,
    result: anyhow::Result<Reader>,
}

/// Bytes of lines that are printed at once.
const AT_ONCE: usize = 64 << 10;

impl Viewer for Retold<'_> {
    fn record(&mut self, record: &Record) {
        if !matches!(self.result, Ok(Reader::There)) {
            return;
        }
        Witness::record(&mut self.tracer, record);
        if self.tracer.text.len() >= AT_ONCE {
            self.result = self.tracer.drained();
        }
    }

    fn frame(&mut self, _: &Told) {}

    fn interval(&mut self, interval: &Told) {
        if matches!(self.result, Ok(Reader::There)) {
            self.result = Witness::interval(&mut self.tracer, interval);
        }
    }
}

/// Prints lines as records come.
struct Tracer<'a> {
    options: &'a WatchOptions,
    /// Kinds that are wanted; all, if empty.
    events: &'a [String],
    lines: Lines,
    notes: Vec<String>,
    /// Lines that are not printed yet.
    text: String,
    untrustworthy: bool,
}

impl<'a> Tracer<'a> {
    fn new(args: &'a Args, lines: Lines, notes: Vec<String>, started_unix_ns: u64) -> Self {
        let options = &args.watch;
        let text = if options.json { lines.json_head(started_unix_ns) } else { String::new() };
        Self { options, events: &args.events, lines, notes, text, untrustworthy: false }
    }

    fn wants(&self, record: &Record) -> bool {
        self.events.is_empty()
            || Kind::of(record).is_some_and(|kind| self.events.iter().any(|e| e == kind.word()))
    }
}

impl Witness for Tracer<'_> {
    fn record(&mut self, record: &Record) {
        // Also of what is not shown: whose a ring is, is told but once.
        let line =
            if self.options.json { self.lines.json(record) } else { self.lines.text(record) };
        if let Some(line) = line
            && self.wants(record)
        {
            self.text.push_str(&line);
        }
    }

    fn drained(&mut self) -> anyhow::Result<Reader> {
        if self.text.is_empty() {
            return Ok(Reader::There);
        }
        output::print("trace", &std::mem::take(&mut self.text))
    }

    fn notes(&mut self, _: &Capture, _: Duration, _: Option<Ended>) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn interval(&mut self, told: &Told) -> anyhow::Result<Reader> {
        let report = &told.report;
        if self.options.json {
            self.text.push_str(&self.lines.json_end(report));
        } else {
            for note in &report.notes {
                self.text.push_str(&paragraph("note: ", note));
            }
            self.text.push_str(&text::trust_line(report, COLUMNS));
            self.text.push('\n');
        }
        self.untrustworthy |= self.options.strict && !report.trustworthy();
        self.drained()
    }
}
