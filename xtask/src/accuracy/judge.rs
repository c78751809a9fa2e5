//! One run judged: what the tool said of it against what its consumer knows.
//! Pure; measurement.md's claims, one function for each.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::data::{Sample, Truth};
use super::plan::{Frequency, Spec};
use super::statistics::weighted_percentile;

/// The percentiles of a report.
const PERCENTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99_9", 0.999)];

/// A useful width, in times of the truth: of the median, of the 99th percentile.
const USEFUL_WIDTHS: [(usize, f64); 2] = [(0, 3.0), (1, 8.0)];

/// Standard errors of the sampler that its bound is allowed to be short by.
pub const STANDARD_ERRORS: f64 = 2.0;

/// Contradictions of one run that are told; the others are counted.
const MOST_TOLD: usize = 5;

/// Everything that one run left.
pub struct Evidence {
    /// `uepoll profile --json`.
    pub report: Value,
    /// `uepoll stress --json`.
    pub stress: Value,
    /// `--ground-truth`.
    pub truth: Truth,
    /// Every sampled position.
    pub samples: Vec<Sample>,
}

/// A percentile of the truth beside what was printed for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    /// From the lower and from the upper ends of the truth.
    pub truth_ns: (i64, i64),
    /// Printed.
    pub lo_ns: i64,
    /// Printed; `None` where nothing bounds it.
    pub hi_ns: Option<i64>,
}

/// How wide the bounds came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Width {
    /// As narrow as is useful.
    Useful,
    /// Wider, where snapshots are rarer than the true median: what the report
    /// names to narrow them.
    Named(String),
    /// Wider in high-resolution mode: the gap between two reads of head that the
    /// report states explains it.
    Reached(String),
    /// Wider, and that should not be.
    Wide,
    /// Too few samples for any percentile.
    Unknown,
}

/// One run, judged.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Sampled positions whose truth was compared.
    pub compared: usize,
    /// Positions that one of them stood for, on average.
    pub mean_weight: f64,
    /// Sampled positions whose truth is outside their bounds.
    pub outside: usize,
    /// Median, 99th and 99.9th percentile; `None` where the report has none.
    pub told: [Option<Told>; 3],
    /// Ends of the truth that were compared with printed percentiles.
    pub claims: u64,
    /// Those outside.
    pub violations: u64,
    /// Mean time between snapshots.
    pub spacing_ns: f64,
    /// How wide the bounds came out.
    pub width: Width,
    /// Writes that were published, of all.
    pub published_share: f64,
    /// Share of the interval that the consumer polled the empty ring, at least;
    /// `None` where the load was longer than the interval.
    pub spin_share: Option<f64>,
    /// The tool's upper bound of it, or why it has none.
    pub spin_bound: Result<f64, String>,
    /// Polls of the empty ring by the probe and by the consumer; `None` where
    /// the two cannot be compared.
    pub iterations: Option<(u64, u64)>,
    /// The tool lost something, and said so.
    pub lost: u64,
    /// What is wrong, in sentences. The percentiles' violations are not among
    /// them: a few are allowed over all runs.
    pub failures: Vec<String>,
}

/// Judges a run.
///
/// # Errors
/// If the report lacks what every report has.
pub fn judge(spec: &Spec, evidence: &Evidence) -> anyhow::Result<Verdict> {
    let Evidence { report, stress, truth, samples } = evidence;
    let rings = report["rings"].as_array().context("no rings in the report")?;
    ensure!(rings.len() == 1, "{} rings in the report, not 1", rings.len());
    let ring = &rings[0];
    let figures = &ring["figures"];
    let mut failures = Vec::new();

    let number = ring["ring"].as_u64().context("the report's ring has no number")?;
    let samples: Vec<Sample> =
        samples.iter().filter(|sample| sample.ring == number).copied().collect();
    let (pairs, outside) = positions(&samples, truth, &mut failures);
    let mut claims = 0;
    let mut violations = 0;
    let told = percentiles(figures, &pairs, &mut claims, &mut violations);
    let spacing_ns = figures["snapshot_spacing_ns"].as_f64().context("no snapshot_spacing_ns")?;
    let width = widths(spec, &told, spacing_ns, report, ring);
    if width == Width::Wide {
        failures.push(wide(&told, spacing_ns));
    }
    let lost = books(report, ring, stress, truth, &mut failures)?;
    let published_share = published(spec, figures, stress, lost, &mut failures)?;
    let (spin_share, spin_bound) = spin(spec, ring, report, truth, &mut failures)?;
    let iterations = iterations(spec, ring, stress, lost, &mut failures)?;
    let weight: u64 = samples.iter().map(|sample| sample.weight).sum();
    Ok(Verdict {
        compared: pairs.len(),
        mean_weight: weight as f64 / samples.len().max(1) as f64,
        outside,
        told,
        claims,
        violations,
        spacing_ns,
        width,
        published_share,
        spin_share,
        spin_bound,
        iterations,
        lost,
        failures,
    })
}

/// The truth of a sampled position, and its weight.
type Pair = ((i64, i64), u64);

/// Every sampled position: its truth must overlap its bounds. Gives those that
/// have a truth, and how many are outside.
fn positions(samples: &[Sample], truth: &Truth, failures: &mut Vec<String>) -> (Vec<Pair>, usize) {
    let mut pairs = Vec::with_capacity(samples.len());
    let mut told = BTreeSet::new();
    let mut complaints = Vec::new();
    let mut outside = 0;
    for sample in samples {
        let position = sample.position;
        if !told.insert(position) {
            complaints.push(format!("position {position} was told twice"));
        }
        let (lo, hi) = sample.bounds_ns();
        let Some(clocks) = truth.of(position) else {
            // Never consumed is what the tool must say of it, too.
            if hi.is_some() {
                complaints.push(format!("position {position} was told consumed, but was not"));
            }
            continue;
        };
        let (least, most) = sample.truth_ns(clocks);
        if most < lo || hi.is_some_and(|hi| least > hi) {
            outside += 1;
            let hi = hi.map_or("none".to_owned(), |hi| hi.to_string());
            complaints.push(format!(
                "position {position}: the truth, {least}..{most} ns, is outside {lo}..{hi} ns"
            ));
        }
        pairs.push(((least, most), sample.weight));
    }
    if samples.is_empty() {
        complaints.push("no position was sampled".into());
    }
    let more = complaints.len().saturating_sub(MOST_TOLD);
    complaints.truncate(MOST_TOLD);
    failures.extend(complaints);
    if more > 0 {
        failures.push(format!("and {more} more positions"));
    }
    (pairs, outside)
}

/// The percentiles of the truth against the printed ones.
fn percentiles(
    figures: &Value,
    pairs: &[Pair],
    claims: &mut u64,
    violations: &mut u64,
) -> [Option<Told>; 3] {
    let of = |fraction, end: fn(&Pair) -> i64| {
        let mut ends: Vec<_> = pairs.iter().map(|pair| (end(pair).max(0), pair.1)).collect();
        weighted_percentile(&mut ends, fraction)
    };
    PERCENTILES.map(|(key, fraction)| {
        let printed = &figures["residency_ns"]["percentiles"][key];
        let lo_ns = printed["lo"].as_i64()?;
        let hi_ns = printed["hi"].as_i64();
        let truth_ns = (of(fraction, |pair| pair.0.0)?, of(fraction, |pair| pair.0.1)?);
        for end_ns in [truth_ns.0, truth_ns.1] {
            *claims += 1;
            *violations += u64::from(end_ns < lo_ns || hi_ns.is_some_and(|hi| end_ns > hi));
        }
        Some(Told { truth_ns, lo_ns, hi_ns })
    })
}

impl Told {
    /// The truth as one number: the middle of its own interval.
    pub fn middle_ns(&self) -> f64 {
        (self.truth_ns.0 + self.truth_ns.1) as f64 / 2.0
    }

    /// Width of the printed bounds; `None` without an upper one.
    pub fn width_ns(&self) -> Option<i64> {
        self.hi_ns.map(|hi| hi - self.lo_ns)
    }
}

/// Whether the bounds are useful where they have to be.
fn widths(
    spec: &Spec,
    told: &[Option<Told>; 3],
    spacing_ns: f64,
    report: &Value,
    ring: &Value,
) -> Width {
    let Some(median) = &told[0] else { return Width::Unknown };
    let too_wide = USEFUL_WIDTHS.iter().filter_map(|(index, times)| {
        let told = told[*index].as_ref()?;
        let width_ns = told.width_ns().unwrap_or(i64::MAX);
        (width_ns as f64 > times * told.middle_ns()).then_some(width_ns)
    });
    let Some(widest_ns) = too_wide.max() else { return Width::Useful };
    if spec.frequency == Frequency::Max {
        // Nothing looks more often. A watch that is kept off its CPU says so,
        // and nothing between two of its reads can be told more exactly.
        let watch = &report["head_watch"];
        return match (watch["longest_gap_ns"].as_i64(), watch["reads"].as_u64()) {
            (Some(gap_ns), Some(reads)) if gap_ns >= widest_ns => {
                Width::Reached(format!("head was read {reads} times, up to {gap_ns} ns apart"))
            }
            _ => Width::Wide,
        };
    }
    match ring["narrower"].as_str() {
        Some(narrower) if spacing_ns > median.middle_ns() => Width::Named(narrower.to_owned()),
        _ => Width::Wide,
    }
}

/// The sentence for bounds that are wide and should not be.
fn wide(told: &[Option<Told>; 3], spacing_ns: f64) -> String {
    let mut sentence =
        "bounds are wider than useful, and nothing explains or narrows them:".to_owned();
    for (told, (name, _)) in told.iter().zip(PERCENTILES) {
        if let Some(Told { truth_ns: (least, most), lo_ns, hi_ns }) = told {
            let hi = hi_ns.map_or("none".to_owned(), |hi| hi.to_string());
            sentence.push_str(&format!(" {name} {lo_ns}..{hi} ns (true {least}..{most}),"));
        }
    }
    sentence.push_str(&format!(" a snapshot each {spacing_ns:.0} ns"));
    sentence
}

/// Books and losses; gives what was lost.
fn books(
    report: &Value,
    ring: &Value,
    stress: &Value,
    truth: &Truth,
    failures: &mut Vec<String>,
) -> anyhow::Result<u64> {
    let lost = report["loss"]["total"].as_u64().context("no loss.total in the report")?;
    let equations = ring["books"].as_array().context("a ring without books")?;
    for equation in equations.iter().filter(|equation| equation["balance"] == false) {
        // What is lost is not in the books. More than that is not explained by it.
        let off = side(&equation["left"]).abs_diff(side(&equation["right"]));
        if off > lost {
            failures.push(format!("books off by {off}, {lost} lost: {equation}"));
        }
    }
    if stress["lost_none"] != true {
        failures.push("stress lost an event".into());
    }
    if truth.not_logged > 0 {
        failures.push(format!("{} positions are not in the truth", truth.not_logged));
    }
    Ok(lost)
}

/// Sum of one side of an equation.
fn side(terms: &Value) -> u64 {
    let terms = terms.as_array().map(Vec::as_slice).unwrap_or_default();
    terms.iter().filter_map(|term| term["value"].as_u64()).sum()
}

/// Adds against writes, where every write is an add and all were watched.
fn published(
    spec: &Spec,
    figures: &Value,
    stress: &Value,
    lost: u64,
    failures: &mut Vec<String>,
) -> anyhow::Result<f64> {
    let count = |key: &'static str| figures[key].as_u64().context(key);
    let (published, merged) = (count("published")?, count("merged")?);
    let adds = published + merged;
    let written = stress["events_written"].as_u64().context("no events_written")?;
    let comparable = !spec.high_resolution() && spec.source != "timerfd";
    if comparable && (adds > written || (adds < written && lost == 0)) {
        failures.push(format!("{published} published + {merged} merged of {written} writes"));
    }
    Ok(published as f64 / adds.max(1) as f64)
}

/// The bound of spinning against the time that the consumer spun.
fn spin(
    spec: &Spec,
    ring: &Value,
    report: &Value,
    truth: &Truth,
    failures: &mut Vec<String>,
) -> anyhow::Result<(Option<f64>, Result<f64, String>)> {
    let duration_ns = report["duration_ns"].as_u64().context("no duration_ns")?;
    let share = truth.spin_polled_ns as f64 / duration_ns.max(1) as f64;
    let bound = match ring["figures"]["consumer_empty_share"].as_f64() {
        Some(bound) => Ok(bound),
        None => {
            let reason = ring["absent"]["consumer_empty_share"].as_str();
            Err(reason.context("consumer_empty_share is absent without a reason")?.to_owned())
        }
    };
    if let (Ok(bound), Frequency::Hz(hz)) = (&bound, spec.frequency) {
        let ticks = hz as f64 * duration_ns as f64 / 1e9;
        let error = (share * (1.0 - share).max(0.0) / ticks.max(1.0)).sqrt();
        if *bound < share - STANDARD_ERRORS * error {
            failures.push(format!(
                "the ring was polled empty {:.1} % of the time, and the bound of it is {:.1} % \
                 (standard error {:.1} %)",
                share * 100.0,
                bound * 100.0,
                error * 100.0
            ));
        }
    }
    // Watched in its midst, the load has polled before and after.
    Ok(((!spec.high_resolution()).then_some(share), bound))
}

/// Polls of the empty ring: the probe's count and the consumer's own.
fn iterations(
    spec: &Spec,
    ring: &Value,
    stress: &Value,
    lost: u64,
    failures: &mut Vec<String>,
) -> anyhow::Result<Option<(u64, u64)>> {
    // Watched in its midst, the consumer has polled before and after; without a
    // budget there is nothing to count.
    if spec.high_resolution() || spec.spin == 0 {
        return Ok(None);
    }
    let mut pair = None;
    for (figure, own) in [("spin_episodes", "spin_episodes"), ("spin_iterations", "empty_polls")] {
        let own = stress[own].as_u64().context(own)?;
        let Some(told) = ring["figures"][figure].as_u64() else {
            failures.push(format!("{figure} is absent: {}", ring["absent"][figure]));
            continue;
        };
        if told > own || (told < own && lost == 0) {
            failures.push(format!("{figure}: the probe told {told}, the consumer counted {own}"));
        }
        pair = Some((told, own));
    }
    Ok(pair)
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
