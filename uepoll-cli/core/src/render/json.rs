//! The report for programs: schema `uepoll.report/1`. Keys are the figure
//! table's; what is absent is null, with its reason under `absent`; bounds are
//! `{lo, hi}`; times are relative to the start of the interval.

use serde_json::{Map, Value as Json, json};

use crate::books::{Balance, Equation, Term};
use crate::capture::{Attached, Protocol};
use crate::figures::FIGURES;
use crate::quantile::{Bounds, LEVEL, Percentile};
use crate::report::{Accuracy, Distribution, IntervalDistribution, Report, RingReport, Value};

/// Name and major version of the schema: additive changes keep it.
pub const SCHEMA: &str = "uepoll.report/1";

/// The whole report as one JSON document in ASCII, ends with a line break.
pub fn render(report: &Report) -> String {
    ascii(&format!("{:#}\n", document(report)))
}

/// The same on one line, for a stream of reports.
pub fn render_line(report: &Report) -> String {
    ascii(&format!("{}\n", document(report)))
}

/// A JSON document with every character beyond printable ASCII as `\uXXXX`:
/// such characters occur within its strings alone, and some of them command
/// terminals (C1 controls, direction marks).
pub(crate) fn ascii(document: &str) -> String {
    let mut out = String::with_capacity(document.len());
    for c in document.chars() {
        if c == '\n' || (' '..='~').contains(&c) {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

/// The whole report.
pub fn document(report: &Report) -> Json {
    let books = report.books();
    let (ticks_expected, ticks_seen) = report.ticks;
    json!({
        "schema": SCHEMA,
        "interval": report.interval,
        "duration_ns": report.duration_ns,
        "host": {
            "release": report.host.release,
            "cpus": report.host.cpus,
            "protocol": match report.host.protocol { Protocol::V2 => "v2", Protocol::V4 => "v4" },
            "emulated": report.host.emulated,
        },
        "probe_kind": report.attached.map_or(json!("mixed"), attached),
        "sampler": {
            "asked_hz": report.sampler_hz,
            "ticks_expected": ticks_expected,
            "ticks_seen": ticks_seen,
        },
        "notes": report.notes,
        "rings": report.rings.iter().map(ring).collect::<Vec<_>>(),
        "head_watch": report.head_watch.as_ref().map(|watch| json!({
            "ring": watch.ring,
            "reads": watch.reads,
            "watched_ns": watch.watched_ns,
            "longest_gap_ns": watch.longest_gap_ns,
            "ended": watch.ended,
        })),
        "plan": report.plan.iter().map(|row| json!({
            "point": row.point,
            "symbol": row.symbol,
            "attached": attached(row.attached),
            "why_not_better": row.why_not_better,
            "lost": row.lost,
        })).collect::<Vec<_>>(),
        "books": {
            // Null where nothing could be checked.
            "balance": (books.balanced + books.unbalanced > 0).then_some(books.unbalanced == 0),
            "balanced": books.balanced,
            "unbalanced": books.unbalanced,
            "not_checked": books.not_checked,
        },
        "loss": {
            "total": report.loss_total(),
            "records_of_other_intervals": report.of_other_intervals,
            "kinds": report.loss.iter()
                .map(|row| (row.key.to_owned(), json!(row.count)))
                .collect::<Map<_, _>>(),
        },
        "cost": {
            "own_cpu_share": report.cost.own_share,
            "program_bodies_cpu_share": report.cost.programs_share,
            "statistics_on_ns": report.cost.statistics_on_ns,
            "records_per_s": report.cost.records_per_s,
            "programs": report.cost.programs.iter().map(|program| json!({
                "name": program.name,
                "hits": program.hits,
                "ns_per_hit": program.ns_per_hit,
            })).collect::<Vec<_>>(),
        },
        "trustworthy": report.trustworthy(),
    })
}

/// How something was attached, null if it was not.
pub(crate) fn attached(attached: Attached) -> Json {
    match attached {
        Attached::Kprobe => json!("kprobe"),
        Attached::Fentry => json!("fentry"),
        Attached::Tracepoint => json!("tracepoint"),
        Attached::PerfClock => json!("perf_clock"),
        Attached::Iterator => json!("iterator"),
        Attached::Missing => Json::Null,
    }
}

fn ring(ring: &RingReport) -> Json {
    let mut figures = Map::new();
    let mut absent = Map::new();
    let mut at_least = Vec::new();
    let mut at_most = Vec::new();
    let mut inferred = Vec::new();
    for figure in FIGURES {
        let key = figure.key();
        let value = ring.value(figure.id);
        if let Value::Count { accuracy, .. }
        | Value::Number { accuracy, .. }
        | Value::Distribution(Distribution { accuracy, .. }) = value
        {
            match accuracy {
                Accuracy::Exact => {}
                Accuracy::AtLeast => at_least.push(key.clone()),
                Accuracy::AtMost => at_most.push(key.clone()),
                Accuracy::Inferred => inferred.push(key.clone()),
            }
        }
        let value = match value {
            Value::Count { value, .. } => json!(value),
            Value::Number { value, .. } => json!(value),
            Value::Distribution(distribution) => self::distribution(distribution),
            Value::Interval(distribution) => interval(distribution),
            Value::Absent(reason) => {
                absent.insert(key.clone(), json!(reason));
                Json::Null
            }
        };
        figures.insert(key, value);
    }
    let owner = ring.owner.as_ref().map(|owner| {
        json!({
            "pid": owner.pid,
            "comm": owner.comm,
            "fd": (owner.fd >= 0).then_some(owner.fd),
        })
    });
    json!({
        "ring": ring.number,
        "owner": owner,
        "holders": ring.holders.iter().map(|holder| json!({
            "pid": holder.pid,
            "fd": holder.fd,
            "comm": holder.comm,
        })).collect::<Vec<_>>(),
        "consumers": ring.consumers.iter().map(|consumer| json!({
            "tid": consumer.tid,
            "comm": consumer.comm,
            "named": consumer.named,
        })).collect::<Vec<_>>(),
        "max_items": ring.max_items,
        "items_used": ring.items_used,
        "left_in_ring": ring.left,
        "closed": ring.closed,
        "created": ring.created,
        "corrupt": ring.corrupt,
        "head_back": ring.head_back,
        "contradictory_records": ring.anomalies.total(),
        "late_snapshots": ring.late,
        "sample_shift": ring.sample_shift,
        "in_ring_before": ring.before.map(|before| json!({
            "positions": before.positions,
            "left": before.left,
            "age_at_least_ns": before.age_at_least_ns,
        })),
        "narrower": ring.narrower,
        "figures": figures,
        "absent": absent,
        "at_least": at_least,
        "at_most": at_most,
        "inferred": inferred,
        "books": ring.equations.iter().map(equation).collect::<Vec<_>>(),
        "depth_over_time": {
            "step_ns": ring.depth_step_ns,
            "points": ring.depth_over_time.iter()
                .map(|point| json!({
                    "time_ns": point.time_ns,
                    "least": point.least,
                    "greatest": point.greatest,
                }))
                .collect::<Vec<_>>(),
        },
    })
}

fn bounds(bounds: Bounds) -> Json {
    json!({ "lo": bounds.lo, "hi": bounds.hi })
}

/// Percentiles by name, null where there is none.
fn percentiles(of: &[Option<Bounds>; 3]) -> Map<String, Json> {
    Percentile::ALL
        .into_iter()
        .zip(of)
        .map(|(percentile, of)| (percentile.key().to_owned(), of.map_or(Json::Null, bounds)))
        .collect()
}

/// Why some percentiles are null, null if none is.
fn withheld(of: &[Option<Bounds>; 3], reason: &str) -> Json {
    if of.iter().any(Option::is_none) { json!(reason) } else { Json::Null }
}

fn distribution(distribution: &Distribution) -> Json {
    json!({
        "count": distribution.count,
        "sum": distribution.sum,
        "max": distribution.max,
        "mean": distribution.mean(),
        "percentiles": percentiles(&distribution.percentiles),
        "percentiles_withheld":
            withheld(&distribution.percentiles, "no value lies beyond the percentile"),
    })
}

fn interval(distribution: &IntervalDistribution) -> Json {
    json!({
        "samples": distribution.samples,
        "effective_samples": distribution.effective_samples,
        "unconsumed": distribution.unconsumed,
        "level": LEVEL,
        "max": bounds(distribution.max),
        "mean": bounds(distribution.mean),
        "percentiles": percentiles(&distribution.percentiles),
        "percentiles_withheld": withheld(
            &distribution.percentiles,
            "fewer than 30 samples lie beyond the percentile",
        ),
        "histogram": distribution.bars.iter().map(|bar| json!({
            "from_ns": bar.from_ns,
            "to_ns": bar.to_ns,
            "lower_ends_share": bar.lower_share,
            "upper_ends_share": bar.upper_share,
        })).collect::<Vec<_>>(),
    })
}

fn equation(equation: &Equation) -> Json {
    let side = |terms: &[Term]| -> Vec<Json> {
        terms.iter().map(|t| json!({ "name": t.name, "value": t.value })).collect()
    };
    let (balance, reason) = match &equation.balance {
        Balance::Balanced => (json!(true), None),
        Balance::Unbalanced => (json!(false), None),
        Balance::NotChecked(reason) => (Json::Null, Some(reason)),
    };
    json!({
        "name": equation.name,
        "left": side(&equation.left),
        "right": side(&equation.right),
        "balance": balance,
        "not_checked": reason,
    })
}
