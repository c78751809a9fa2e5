//! What `-v` adds to the text report: every count, the books with their terms,
//! the picture of residency, the plan, the price of each program.

use super::ring::before_text;
use super::{Lines, attached_word};
use crate::books::Balance;
use crate::capture::Holder;
use crate::figures::FigureId;
use crate::quantile::{LEVEL, Percentile};
use crate::render::escape::escaped;
use crate::render::units::{Rounding, grouped, number, percent, seconds, time, time_bounds};
use crate::report::{Bar, IntervalDistribution, Report, RingReport, Value};

/// Columns of the longest bar.
const BAR: f64 = 20.0;

pub(super) fn ring(ring: &RingReport, out: &mut Lines) {
    use FigureId as F;
    out.blank();
    counts(ring, "callback", &[F::Arrivals, F::ArrivalsOffloaded, F::Filtered, F::Disarmed], out);
    counts(ring, "published", &[F::Published, F::PublishedInsert, F::PublishedModify], out);
    counts(ring, "merged", &[F::Merged, F::MergedInsert, F::MergedModify], out);
    counts(ring, "slots", &[F::Consumed, F::Removed], out);
    counts(
        ring,
        "offload",
        &[F::OffloadWakeups, F::OffloadRuns, F::OffloadEmpty, F::OffloadCollapsed],
        out,
    );
    counts(ring, "waits", &[F::Waits, F::WaitsSlept, F::WaitsStaleAtOnce, F::WaitsStaleSlept], out);
    counts(ring, "", &[F::WaitsTimedOut, F::WaitsInterrupted, F::WaitsOther], out);
    counts(ring, "control", &[F::Adds, F::EnospcFull, F::EnospcWatches], out);
    counts(ring, "looks", &[F::Snapshots, F::SnapshotsEmpty, F::SamplerLooks], out);
    counts(ring, "spin", &[F::SlotSpinSightings, F::SpinEpisodes, F::SpinIterations], out);
    for id in [F::PublishOffloaded, F::OffloadRun, F::SlotExposure] {
        distribution(ring, id, out);
    }
    if let Value::Interval(distribution) = ring.value(F::Residency) {
        residency(ring, distribution, out);
    }
    for equation in &ring.equations {
        let mark = match equation.balance {
            Balance::Balanced => "right",
            Balance::Unbalanced => "WRONG",
            Balance::NotChecked(_) => "-",
        };
        let head = format!("  books     {:<9} {mark}: ", equation.name);
        out.wrapped_after(&head, &" ".repeat(head.len()), &equation.to_string());
    }
    let anomalies = ring.anomalies.total();
    if anomalies > 0 {
        out.line(&format!("  contradictory records: {}", grouped(anomalies)));
    }
    if ring.late > 0 {
        out.line(&format!("  snapshots too late for their order: {}", grouped(ring.late)));
    }
    if let Some(before) = ring.before.filter(|before| before.left == 0) {
        out.wrapped("  ", &before_text(&before));
    }
    for consumer in &ring.consumers {
        let how = if consumer.named { "named by you" } else { "waited" };
        let name = escaped(&consumer.comm, out.charset, 40);
        out.line(&format!("  consumer  {name} ({}), {how}", consumer.tid));
    }
    let is_owner = |holder: &&Holder| {
        ring.owner.as_ref().is_some_and(|owner| (owner.pid, owner.fd) == (holder.pid, holder.fd))
    };
    for holder in ring.holders.iter().filter(|holder| !is_owner(holder)) {
        let name = escaped(&holder.comm, out.charset, 40);
        out.line(&format!("  also as   {}:{} {name}", holder.pid, holder.fd));
    }
}

/// One line of counts: the first under the group's name, the rest after it.
fn counts(ring: &RingReport, group: &str, ids: &[FigureId], out: &mut Lines) {
    let words: Vec<String> = ids
        .iter()
        .map(|id| {
            let value = match ring.value(*id) {
                Value::Count { value, accuracy } => {
                    format!("{}{}", accuracy.mark(), grouped(*value))
                }
                _ => "-".into(),
            };
            let head = id.row().head;
            // The group's name says it already.
            if head == group { value } else { format!("{head} {value}") }
        })
        .collect();
    out.wrapped_after(&format!("  {group:<10}"), &" ".repeat(12), &words.join(", "));
}

fn distribution(ring: &RingReport, id: FigureId, out: &mut Lines) {
    let Value::Distribution(distribution) = ring.value(id) else { return };
    let cells: Vec<String> = Percentile::ALL
        .into_iter()
        .zip(distribution.percentiles)
        .filter_map(|(percentile, bounds)| {
            let hi_ns = bounds?.hi?;
            Some(format!("{} {}", percentile.head(), time(hi_ns, Rounding::Up)))
        })
        .collect();
    out.wrapped_after(
        &format!("  {:<13}", id.row().head),
        &" ".repeat(15),
        &format!(
            "{}, max {}, of {}{}",
            if cells.is_empty() { "too few for percentiles".into() } else { cells.join(", ") },
            time(distribution.max, Rounding::Up),
            distribution.accuracy.mark(),
            grouped(distribution.count)
        ),
    );
}

fn residency(ring: &RingReport, distribution: &IntervalDistribution, out: &mut Lines) {
    out.wrapped(
        "  ",
        &format!(
            "in ring: mean {}; one position in {} sampled at the end, worth {} equal samples; \
             each percentile within its bounds at {:.0} % (binomial, normal approximation)",
            time_bounds(distribution.mean),
            grouped(1u64.checked_shl(ring.sample_shift).unwrap_or(u64::MAX)),
            grouped(distribution.effective_samples),
            LEVEL * 100.0
        ),
    );
    out.line(&format!("  {:<16}{:<25}by upper bound", "in ring", "by lower bound"));
    for bar in &distribution.bars {
        out.line(&format!(
            "  {:>14}  {:<25}{}",
            format!("from {}", time(bar.from_ns, Rounding::Down)),
            picture(bar.lower_share),
            picture(bar.upper_share)
        ));
    }
    if distribution.bars.iter().map(|Bar { upper_share, .. }| upper_share).sum::<f64>() < 0.999 {
        out.line("  (what was still in the ring has no upper bound)");
    }
}

fn picture(share: f64) -> String {
    let length = (share * BAR).round() as usize;
    // A share that is not nothing is shown.
    let length = if share > 0.0 { length.max(1) } else { 0 };
    format!("|{}", "#".repeat(length))
}

pub(super) fn host(report: &Report, out: &mut Lines) {
    out.blank();
    out.line("probes");
    for row in &report.plan {
        let lost = row.lost.as_ref().map_or(String::new(), |lost| format!("; lost: {lost}"));
        let why = row.why_not_better.as_ref();
        let why = why.map_or(String::new(), |why| format!("; not better: {why}"));
        let text = format!("{} on {}{why}{lost}", attached_word(row.attached), row.symbol);
        let text = escaped(&text, out.charset, usize::MAX);
        out.wrapped_after(&format!("  {:<9} ", row.point), &" ".repeat(12), &text);
    }
    let (expected, seen) = report.ticks;
    out.line(&format!(
        "  sampler at {} Hz: {} of {} ticks",
        report.sampler_hz,
        grouped(seen),
        grouped(expected)
    ));
    out.line(&format!("price while measured ({})", seconds(report.cost.statistics_on_ns)));
    for program in &report.cost.programs {
        let each = program.ns_per_hit.map_or("-".into(), |ns| format!("{} ns", number(ns)));
        out.line(&format!(
            "  {:<32} {:>12} hits {each:>10} each",
            escaped(&program.name, out.charset, 32),
            grouped(program.hits)
        ));
    }
    if let Some(own) = report.cost.own_share {
        out.line(&format!("  uepoll itself: {} of a CPU", percent(own)));
    }
    if let Some(records) = report.cost.records_per_s {
        out.line(&format!("  records: {}/s", number(records)));
    }
    out.wrapped(
        "",
        "Percentiles of what the kernel side counts are the upper edge of a bucket 6.25 % wide.",
    );
}
