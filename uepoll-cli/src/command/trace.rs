//! `uepoll trace`: one line for each sampled event, wait, refused add and run of
//! the worker, as they become known.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use uepoll_common::record::Record;
use uepoll_core::capture::Capture;
use uepoll_core::render::trace::{Kind, Lines};
use uepoll_core::render::{paragraph, text};
use uepoll_core::run::Told;

use super::profile::{attach, tell_progress};
use super::select::Selection;
use super::watch::{self, Ended, Until, Witness};
use crate::exit::{self, Usage};
use crate::options::WatchOptions;
use crate::output::{self, Reader};

/// Columns of the last line, as those of a report.
const COLUMNS: usize = 80;

/// What the command line says.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    watch: WatchOptions,

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
    let mut tracer = Tracer {
        options,
        events: &args.events,
        lines,
        notes,
        text: String::new(),
        untrustworthy: false,
    };
    if options.json {
        tracer.text.push_str(&tracer.lines.json_head(Some(live.start_unix_ns())));
    }
    let until = Until { duration: options.duration, target: target.as_ref(), interval: None };
    watch::watch(live, until, vec![&mut tracer])?;
    Ok(if tracer.untrustworthy { exit::UNTRUSTWORTHY } else { exit::FINE })
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

impl Tracer<'_> {
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
