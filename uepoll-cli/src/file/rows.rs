//! What a report says, as rows for whoever asks by SQL. Nothing is read back
//! from here: a report is made of captures and records.

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, params};
use uepoll_common::counter::RingHistogram;
use uepoll_core::capture::{Attached, Capture, Protocol};
use uepoll_core::figures::{FIGURES, Figure};
use uepoll_core::file::{histogram_buckets, histogram_name};
use uepoll_core::quantile::{Bounds, Percentile};
use uepoll_core::report::{Accuracy, Report, RingReport, Value};

/// Numbers of SQLite are signed; nothing real is beyond them.
pub fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// In a word.
pub fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::V2 => "v2",
        Protocol::V4 => "v4",
    }
}

/// Writes the figures, histograms, losses, the plan and the notes of an interval.
pub fn write(
    to: &Connection,
    run: u32,
    interval: u32,
    capture: &Capture,
    report: &Report,
) -> rusqlite::Result<()> {
    let at = At { to, run, interval };
    for ring in &report.rings {
        at.ring(ring)?;
        for figure in FIGURES {
            at.figure(ring.number, figure, ring.value(figure.id))?;
        }
    }
    at.histograms(capture)?;
    for row in &report.loss {
        let count = row.count.map(int);
        to.prepare_cached("INSERT INTO loss VALUES (?, ?, ?, ?)")?
            .execute(params![run, interval, row.key, count])?;
    }
    for row in &capture.plan {
        to.prepare_cached("INSERT INTO plan VALUES (?, ?, ?, ?, ?, ?, ?)")?.execute(params![
            run,
            interval,
            row.point,
            row.symbol,
            way(row.attached),
            row.why_not_better,
            row.lost,
        ])?;
    }
    for note in &report.notes {
        to.execute("INSERT INTO note VALUES (?, ?, ?)", params![run, interval, note])?;
    }
    Ok(())
}

fn way(attached: Attached) -> &'static str {
    match attached {
        Attached::Kprobe => "kprobe",
        Attached::Fentry => "fentry",
        Attached::Tracepoint => "tracepoint",
        Attached::PerfClock => "perf_clock",
        Attached::Iterator => "iterator",
        Attached::Missing => "missing",
    }
}

/// Which part of a figure a row holds.
#[derive(Default)]
struct Part {
    /// Empty for a figure that is one number.
    name: &'static str,
    value: Option<Cell>,
    bounds: Option<Bounds>,
    accuracy: Option<Accuracy>,
    absent: Option<String>,
}

/// The interval whose rows are written.
struct At<'a> {
    to: &'a Connection,
    run: u32,
    interval: u32,
}

impl At<'_> {
    fn ring(&self, ring: &RingReport) -> rusqlite::Result<usize> {
        let owner = ring.owner.as_ref();
        self.to
            .prepare_cached("INSERT INTO ring VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
            .execute(params![
                self.run,
                self.interval,
                ring.number,
                owner.map(|owner| owner.pid),
                owner.map(|owner| owner.comm.as_str()),
                owner.map(|owner| owner.fd),
                ring.max_items,
                ring.items_used,
                ring.left,
                ring.closed,
                ring.corrupt,
            ])
    }

    fn figure(&self, ring: u32, figure: &Figure, value: &Value) -> rusqlite::Result<()> {
        let key = figure.key();
        for part in parts(value) {
            let bounds = part.bounds;
            self.to
                .prepare_cached("INSERT INTO figure VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
                .execute(params![
                    self.run,
                    self.interval,
                    ring,
                    key,
                    part.name,
                    part.value,
                    bounds.map(|bounds| int(bounds.lo)),
                    bounds.and_then(|bounds| bounds.hi).map(int),
                    part.accuracy.map(accuracy),
                    part.absent,
                ])?;
        }
        Ok(())
    }

    fn histograms(&self, capture: &Capture) -> rusqlite::Result<()> {
        for ring in &capture.rings {
            for which in RingHistogram::ALL {
                let Some(raw) = ring.histogram(*which).filter(|raw| raw.count > 0) else {
                    continue;
                };
                let buckets: Vec<String> = histogram_buckets(raw)
                    .into_iter()
                    .map(|(floor, values)| format!("[{floor},{values}]"))
                    .collect();
                self.to
                    .prepare_cached("INSERT INTO histogram VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?
                    .execute(params![
                        self.run,
                        self.interval,
                        ring.ring,
                        histogram_name(*which),
                        int(raw.count),
                        int(raw.sum),
                        int(raw.max),
                        format!("[{}]", buckets.join(",")),
                    ])?;
            }
        }
        Ok(())
    }
}

fn accuracy(accuracy: Accuracy) -> &'static str {
    match accuracy {
        Accuracy::Exact => "exact",
        Accuracy::AtLeast => "at_least",
        Accuracy::Inferred => "inferred",
        Accuracy::AtMost => "at_most",
    }
}

/// The rows of a figure: one for a number, several for a distribution.
fn parts(value: &Value) -> Vec<Part> {
    let number = |name, value: u64, accuracy| Part {
        name,
        value: Some(Cell::Integer(int(value))),
        accuracy: Some(accuracy),
        ..Part::default()
    };
    let bounded = |name, bounds: Option<Bounds>| Part {
        name,
        bounds,
        absent: bounds.is_none().then(|| "too few values beyond it".into()),
        ..Part::default()
    };
    let percentiles = |all: &[Option<Bounds>; 3]| {
        let pairs = Percentile::ALL.into_iter().zip(*all);
        pairs.map(|(which, bounds)| bounded(which.head(), bounds)).collect::<Vec<_>>()
    };
    match value {
        Value::Count { value, accuracy } => vec![number("", *value, *accuracy)],
        Value::Number { value, accuracy } => vec![Part {
            value: Some(Cell::Real(*value)),
            accuracy: Some(*accuracy),
            ..Part::default()
        }],
        Value::Distribution(told) => {
            let mut parts = vec![
                number("count", told.count, told.accuracy),
                number("sum", told.sum, told.accuracy),
                number("max", told.max, told.accuracy),
            ];
            parts.extend(percentiles(&told.percentiles));
            parts
        }
        Value::Interval(told) => {
            let mut parts = vec![
                number("samples", told.samples, Accuracy::Exact),
                number("unconsumed", told.unconsumed, Accuracy::Exact),
                bounded("mean", Some(told.mean)),
                bounded("max", Some(told.max)),
            ];
            parts.extend(percentiles(&told.percentiles));
            parts
        }
        Value::Absent(why) => vec![Part { absent: Some(why.clone()), ..Part::default() }],
    }
}
