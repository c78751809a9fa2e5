//! `uepoll stress`: arguments in, report out. The run itself is in `stress/`.

use std::fs::File;
use std::io::{self, BufWriter};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use uepoll_common::abi::MAX_ITEMS;
use uepoll_common::consumer::UserPollError;

use crate::exit::{self, CannotRun};
use crate::number;
use crate::output;
use crate::stress::config::{Config, Mode, SourceKind};
use crate::stress::error::StressError;
use crate::stress::outcome::Outcome;
use crate::stress::record::SCHEMA;
use crate::stress::truth::{MOST_POSITIONS, Truth};
use crate::stress::{self, sweep};

/// What is printed, as an error names it.
const RESULT: &str = "result";

/// Sources that are named when they do not match; the others are counted.
const MOST_NAMED: usize = 8;

/// More events, or polls, than any run gets through: what is larger is a slip of
/// the keyboard.
const MOST_EVENTS: u64 = 1_000_000_000_000;

/// A higher rate than any: no write takes less than a nanosecond.
const MOST_RATE: NonZeroU64 = NonZeroU64::MIN.saturating_add(999_999_999);

/// Options of `uepoll stress`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Threads that write events
    #[arg(long, value_name = "N", default_value_t = 8,
          value_parser = number::within("a number of threads", 1..=MAX_ITEMS))]
    producers: u32,

    /// Sources, and items that the ring is made for [default: as producers]
    #[arg(long, value_name = "N",
          value_parser = number::within("a number of items", 1..=MAX_ITEMS))]
    items: Option<u32>,

    /// Events in total; with --sweep, of each producer
    #[arg(long, value_name = "N", default_value_t = 1_000_000,
          value_parser = number::within("a number of events", 1..=MOST_EVENTS))]
    events: u64,

    /// How the consumer learns of events [default: ring; with --sweep: each]
    #[arg(long)]
    mode: Option<Mode>,

    /// What the events come from
    #[arg(long, default_value = "eventfd")]
    source: SourceKind,

    /// Bind the consumer and each producer to a CPU, in turn
    #[arg(long)]
    pin: bool,

    /// Empty polls of the ring before the consumer waits [default: 100]
    #[arg(long, value_name = "POLLS",
          value_parser = number::within("a number of polls", 0..=MOST_EVENTS))]
    spin: Option<u64>,

    /// Work of the consumer for each event, on the CPU: 10us, 1ms
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse, default_value = "0")]
    think: Duration,

    /// Events per second in total [default: as fast as it goes]
    #[arg(long, value_name = "N",
          value_parser = number::within("a number of events a second", NonZeroU64::MIN..=MOST_RATE))]
    rate: Option<NonZeroU64>,

    /// The series' table: 8 to 256 producers, a source each
    #[arg(long, conflicts_with_all = ["producers", "items"])]
    sweep: bool,

    /// Log when each position was consumed, and what spinning took (uepoll.truth/1)
    #[arg(long, value_name = "FILE", conflicts_with = "sweep")]
    ground_truth: Option<PathBuf>,

    /// Give up when nothing moved for so long
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse, default_value = "30s")]
    stall_after: Duration,

    /// The result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs it. 0: nothing was lost. 1: something was, or the run stalled.
pub fn run(args: Args) -> anyhow::Result<u8> {
    let config = match args.config() {
        Ok(config) => config,
        Err(usage) => {
            eprintln!("uepoll: {usage}");
            return Ok(exit::USAGE);
        }
    };
    let stop = stop_on_signal().context("catching Ctrl-C")?;
    let result =
        if args.sweep { run_sweep(&args, &config, &stop) } else { run_once(&args, &config, &stop) };
    result.map_err(explain)
}

impl Args {
    /// The run that is asked for, or the sentence that says why it cannot be.
    fn config(&self) -> Result<Config, String> {
        let mode = self.mode.unwrap_or(Mode::Ring);
        let items = self.items.unwrap_or(self.producers);
        if items < self.producers {
            return Err(format!(
                "--items {items} is less than --producers {}: each producer needs a source of \
                 its own",
                self.producers
            ));
        }
        if self.spin.is_some() && mode != Mode::Ring {
            return Err(format!(
                "--spin counts empty polls of the ring, and --mode {} has none",
                mode.name()
            ));
        }
        if self.ground_truth.is_some() && mode != Mode::Ring {
            return Err(format!(
                "--ground-truth logs positions of the ring, and --mode {} has none",
                mode.name()
            ));
        }
        if self.ground_truth.is_some() && self.events > MOST_POSITIONS {
            return Err(format!(
                "--ground-truth keeps {MOST_POSITIONS} positions at most: use no more --events"
            ));
        }
        if self.stall_after.is_zero() {
            return Err("--stall-after 0 would end every run: give a time, as 30s".to_owned());
        }
        Ok(Config {
            mode,
            source: self.source,
            producers: self.producers,
            items,
            events: self.events,
            pin: self.pin,
            spin: self.spin.unwrap_or(100),
            think: self.think,
            rate_per_s: self.rate,
            truth: self.ground_truth.is_some(),
            stall_after: self.stall_after,
        })
    }
}

fn run_once(args: &Args, config: &Config, stop: &AtomicBool) -> anyhow::Result<u8> {
    // Before the run: what cannot be written is not worth waiting for.
    let truth_file = args.ground_truth.as_deref().map(create).transpose()?;
    let outcome = stress::run(config, stop)?;
    if let (Some(file), Some(truth)) = (truth_file, outcome.truth()) {
        write_truth(file, truth)?;
    }
    if args.json {
        output::print(RESULT, &json(&outcome.record())?)?;
    } else {
        output::print(RESULT, &outcome.text())?;
    }
    Ok(judged(&outcome))
}

/// A file to be written at the end, and its name for a message.
type Named<'a> = (&'a Path, File);

fn create(path: &Path) -> anyhow::Result<Named<'_>> {
    let file = File::create(path)
        .with_context(|| format!("cannot create {} for --ground-truth", path.display()))?;
    Ok((path, file))
}

fn write_truth((path, file): Named<'_>, truth: &Truth) -> anyhow::Result<()> {
    truth
        .write(&mut BufWriter::new(file))
        .with_context(|| format!("cannot write the truth to {}", path.display()))
}

fn run_sweep(args: &Args, config: &Config, stop: &AtomicBool) -> anyhow::Result<u8> {
    let modes = args.mode.map_or(Mode::ALL.to_vec(), |mode| vec![mode]);
    let mut runs = Vec::new();
    // With the first row, so that a host without a ring shows no empty table.
    let mut header = Some(sweep::header(&modes));
    let mut code = 0;
    sweep::run::<anyhow::Error>(config, &modes, stop, |row| {
        for outcome in &row {
            code = code.max(judged(outcome));
        }
        if args.json {
            runs.extend(row.iter().map(Outcome::record));
        } else {
            output::print(RESULT, &(header.take().unwrap_or_default() + &sweep::line(&row)))?;
        }
        Ok(code == 0 && !stop.load(Ordering::Relaxed))
    })?;
    let complete = code == 0 && !stop.load(Ordering::Relaxed);
    let end = if args.json {
        json(&serde_json::json!({ "schema": SCHEMA, "complete": complete, "runs": runs }))?
    } else {
        match (code, complete) {
            (0, true) => "lost none\n",
            (0, false) => "lost none (stopped; the last row is not complete)\n",
            _ => "LOST: see the sentences on stderr\n",
        }
        .into()
    };
    output::print(RESULT, &end)?;
    Ok(code)
}

/// The exit code for an outcome; what does not match is named on stderr.
fn judged(outcome: &Outcome) -> u8 {
    let mut code = 0;
    for (count, mismatch) in outcome.mismatches().enumerate() {
        code = exit::FINDING;
        if count < MOST_NAMED {
            let mode = outcome.mode().name();
            eprintln!("uepoll: stress, mode {mode}: {}", outcome.sentence(mismatch));
        }
    }
    code
}

/// An error of the host gets exit code 3 and its remedy.
fn explain(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<StressError>() {
        Some(StressError::Ring(UserPollError::Unsupported)) => CannotRun(
            "this kernel has no epoll_create2: run it on a kernel with the series \
             (cargo xtask vm -- uepoll stress), or here with --mode epoll"
                .to_owned(),
        )
        .into(),
        Some(about_host) if about_host.is_about_the_host() => {
            CannotRun(about_host.to_string()).into()
        }
        _ => error,
    }
}

/// A flag that the first Ctrl-C (or SIGTERM) sets; the second one ends the
/// process as usual.
fn stop_on_signal() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_default(signal, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

fn json(value: &impl serde::Serialize) -> serde_json::Result<String> {
    serde_json::to_string_pretty(value).map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn config(line: &str) -> Result<Config, String> {
        let words = std::iter::once("stress").chain(line.split_whitespace());
        Line::try_parse_from(words).map_err(|error| error.to_string())?.args.config()
    }

    #[test]
    fn the_defaults_are_those_of_the_series() {
        let config = config("").unwrap();
        assert_eq!((config.mode, config.source), (Mode::Ring, SourceKind::Eventfd));
        assert_eq!((config.producers, config.items, config.events), (8, 8, 1_000_000));
        assert_eq!((config.spin, config.pin, config.rate_per_s), (100, false, None));
        assert_eq!(config.stall_after, Duration::from_secs(30));
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_sentence() {
        for (line, part) in [
            ("--producers 0", "a whole number from 1 to 65536"),
            ("--items 65537", "not a number of items"),
            ("--events 0", "not a number of events"),
            ("--rate 0", "not a number of events a second"),
            ("--producers 8 --items 4", "each producer needs a source"),
            ("--mode epoll --spin 5", "--spin counts empty polls of the ring"),
            ("--think 5x", "no length of time"),
            ("--stall-after 0", "would end every run"),
            ("--sweep --items 4", "cannot be used with"),
            ("--sweep --ground-truth f", "cannot be used with"),
            ("--mode epoll --ground-truth f", "--ground-truth logs positions of the ring"),
            ("--events 16777217 --ground-truth f", "keeps 16777216 positions at most"),
        ] {
            let error = config(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
