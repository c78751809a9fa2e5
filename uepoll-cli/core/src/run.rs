//! A run as a whole: what is known of it before its first interval, and what
//! those are handed who look at all of it, be it live or from a file.

use std::collections::BTreeMap;

use uepoll_common::record::Record;

use crate::capture::Capture;
use crate::correlate::{Correlated, Correlator};
use crate::report::Report;
use crate::since::since;

/// What is known of a run before its first interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunInfo {
    /// The tool and its version.
    pub tool: String,
    /// CLOCK_REALTIME in nanoseconds since 1970, at the same moment as
    /// [`Self::started_mono_ns`]: what records say is of that other clock.
    pub started_unix_ns: u64,
    /// CLOCK_MONOTONIC, the clock of records and captures.
    pub started_mono_ns: u64,
    /// The command line, word by word: hostile.
    pub words: Vec<String>,
    /// What the user calls the run by (`--label KEY=VALUE`): hostile.
    pub labels: BTreeMap<String, String>,
    /// Name of the machine: hostile.
    pub hostname: String,
    /// Its CPU, as /proc/cpuinfo names it.
    pub cpu_model: String,
    /// What the kernel says of the CPU's weaknesses and how it guards against
    /// each, by weakness.
    pub mitigations: BTreeMap<String, String>,
    /// A report each so often was asked for (`-i`).
    pub by_intervals: bool,
}

/// One interval, or a part of one, with everything that it told.
pub struct Told {
    /// What was counted.
    pub capture: Capture,
    /// What the records told.
    pub correlated: Correlated,
    /// The figures.
    pub report: Report,
}

impl Told {
    /// Of an interval that has ended, whose records `correlator` has taken; with
    /// its number, if its run has several.
    pub fn of_interval(capture: Capture, correlator: &mut Correlator, by_intervals: bool) -> Self {
        let correlated = correlator.roll(capture.interval);
        let mut report = Report::build(&capture, &correlated);
        // People count from 1.
        report.interval = by_intervals.then(|| capture.interval.saturating_add(1));
        Self { capture, correlated, report }
    }

    /// Of what lies between two checkpoints of an interval, with the records
    /// that came between; from its beginning, without an earlier one.
    pub fn of_frame(earlier: Option<&Capture>, later: &Capture, records: &[Record]) -> Self {
        let capture = match earlier {
            Some(earlier) => since(earlier, later),
            None => later.clone(),
        };
        let mut correlator = Correlator::default();
        records.iter().for_each(|record| correlator.push(record));
        Self::of_interval(capture, &mut correlator, false)
    }
}

/// Who looks at a whole run, in the order of time: records as they came, then
/// the frame that they were of, and after the last frame of an interval the
/// interval.
pub trait Viewer {
    /// A record.
    fn record(&mut self, record: &Record);

    /// A part of an interval, about a second long; the last one of an interval
    /// ends with it.
    fn frame(&mut self, frame: &Told);

    /// An interval: what was printed, when it was live.
    fn interval(&mut self, interval: &Told);
}
