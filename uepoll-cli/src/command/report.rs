//! `uepoll report`: a run of a file, told again. The words are uepoll-core's, and
//! the same as those of the live run.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use uepoll_common::record::Record;
use uepoll_core::render::hlog::Log;
use uepoll_core::render::html::Page;
use uepoll_core::render::perfetto::Trace;
use uepoll_core::render::{json, text};
use uepoll_core::run::{Told, Viewer};

use crate::exit::{self, Usage};
use crate::file::{Recording, RunName, Which};
use crate::options::Color;
use crate::output;

/// Options of `uepoll report`
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Without root, without the kernel: \
                        `uepoll report examples/healthy.uepoll`.")]
pub struct Args {
    /// A file of `uepoll profile -o`: its last run; FILE#2 for run 2,
    /// FILE#commit=abc for the last one with that label
    #[arg(value_name = "FILE[#RUN]")]
    file: OsString,

    /// In what form it is told
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    format: Format,

    /// Into this file, made anew; without it on stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Every count, the books, the probe plan and the price of each probe too
    #[arg(short, long)]
    verbose: bool,

    /// Exit with 4 if anything was lost or the books do not balance
    #[arg(long)]
    strict: bool,

    /// Mark what is wrong; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    color: Color,
}

/// Forms that a run can be told in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people, as `uepoll profile` prints it
    #[default]
    Text,
    /// For programs (schema uepoll.report/1), as `uepoll profile --json`
    Json,
    /// One page for a browser, which needs no network
    Html,
    /// Tracks over time, for ui.perfetto.dev or trace_processor
    Perfetto,
    /// Histograms over time, for HdrHistogram's own tools
    Hlog,
}

/// How an interval is told as text or JSON.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// As JSON.
    pub json: bool,
    /// With everything that is known.
    pub verbose: bool,
    /// It is one of several.
    pub by_intervals: bool,
}

/// An interval as it is printed, live or later.
pub fn text_of(told: &Told, form: Form) -> String {
    match (form.json, form.by_intervals) {
        (true, true) => json::render_line(&told.report),
        (true, false) => json::render(&told.report),
        (false, _) => {
            // One report after the other is told from its neighbours.
            let mut text = String::from(if told.capture.interval == 0 { "" } else { "\n" });
            let options = text::TextOptions { charset: output::charset(), verbose: form.verbose };
            text.push_str(&text::render(&told.report, options));
            text
        }
    }
}

/// Runs it. Returns the exit code.
///
/// # Errors
/// If the file cannot be read, or what it says not be written.
pub fn run(args: Args) -> anyhow::Result<u8> {
    let name = RunName::parse(&args.file).map_err(Usage)?;
    let (recording, run) = Recording::open_run(&name)?;
    if let (Which::Last, [others @ .., last]) = (&name.which, recording.runs())
        && !others.is_empty()
    {
        let (path, all) = (name.path.display(), others.len() + 1);
        eprintln!(
            "uepoll: the last of {all} runs, {path}#{}; #NUMBER or #LABEL=VALUE names another",
            last.number
        );
    }
    let told = tell(&recording, run, &args)?;
    // Never over what is read: a slip of the fingers would cost the recording.
    match &args.output {
        Some(path) if is_same_file(path, &name.path) => {
            return Err(Usage(format!(
                "-o {} is the recording itself: name another file",
                path.display()
            ))
            .into());
        }
        Some(path) => write_to(path, &told.text)?,
        None if args.format == Format::Text => {
            output::print_report(&String::from_utf8_lossy(&told.text), args.color)?;
        }
        None if args.format == Format::Perfetto && io::stdout().is_terminal() => {
            return Err(Usage(
                "-f perfetto is not for terminals: name a file, as -o run.perfetto-trace".into(),
            )
            .into());
        }
        None => print_bytes(&told.text)?,
    }
    let untrustworthy = args.strict && !told.trustworthy;
    Ok(if untrustworthy { exit::UNTRUSTWORTHY } else { exit::FINE })
}

/// A run as it is told.
struct Answer {
    text: Vec<u8>,
    trustworthy: bool,
}

fn tell(recording: &Recording, run: u32, args: &Args) -> anyhow::Result<Answer> {
    let info = &recording.find(&Which::Number(run))?.info;
    let trust = |viewer| Trust { viewer, trustworthy: true };
    let (text, trustworthy) = match args.format {
        Format::Text | Format::Json => {
            let json = args.format == Format::Json;
            let form = Form { json, verbose: args.verbose, by_intervals: info.by_intervals };
            let mut intervals = Intervals { form, text: String::new() };
            let mut trust = trust(&mut intervals as &mut dyn Viewer);
            recording.view_intervals(run, &mut trust)?;
            let trustworthy = trust.trustworthy;
            (intervals.text.into_bytes(), trustworthy)
        }
        Format::Html => {
            let mut page = Page::new(info);
            let mut trust = trust(&mut page);
            recording.view(run, &mut trust)?;
            let trustworthy = trust.trustworthy;
            (page.finish().into_bytes(), trustworthy)
        }
        Format::Perfetto => {
            let mut trace = Trace::new(info);
            let mut trust = trust(&mut trace);
            recording.view(run, &mut trust)?;
            let trustworthy = trust.trustworthy;
            (trace.finish(), trustworthy)
        }
        Format::Hlog => {
            let mut log = Log::new(info);
            let mut trust = trust(&mut log);
            recording.view(run, &mut trust)?;
            let trustworthy = trust.trustworthy;
            (log.finish().into_bytes(), trustworthy)
        }
    };
    Ok(Answer { text, trustworthy })
}

/// Looks at the books on the way to another viewer.
struct Trust<'a> {
    viewer: &'a mut dyn Viewer,
    trustworthy: bool,
}

impl Viewer for Trust<'_> {
    fn record(&mut self, record: &Record) {
        self.viewer.record(record);
    }

    fn frame(&mut self, frame: &Told) {
        self.viewer.frame(frame);
    }

    fn interval(&mut self, interval: &Told) {
        self.trustworthy &= interval.report.trustworthy();
        self.viewer.interval(interval);
    }
}

/// Collects what is printed of each interval.
struct Intervals {
    form: Form,
    text: String,
}

impl Viewer for Intervals {
    fn record(&mut self, _record: &Record) {}

    fn frame(&mut self, _frame: &Told) {}

    fn interval(&mut self, interval: &Told) {
        self.text.push_str(&text_of(interval, self.form));
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| path.metadata().ok().map(|file| (file.dev(), file.ino()));
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// On stdout; a reader that has gone away is no fault.
fn print_bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write the report on stdout")
        }
        _ => Ok(()),
    }
}

fn write_to(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    // A name that takes no file is a matter of the command line; a full disk is not.
    let mut file = File::create(path).map_err(|error| {
        Usage(format!("cannot write the report to {}: {error}", path.display()))
    })?;
    file.write_all(bytes).with_context(|| format!("cannot write the report to {}", path.display()))
}
