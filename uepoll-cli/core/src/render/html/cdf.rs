//! How long things take: cumulative shares over a logarithmic axis of time.
//! Residency is a band, from the ends that bound it from below to those from
//! above; what the kernel side counts is a line.

use uepoll_common::counter::RingHistogram;

use super::figure::{Chart, Key, Readout};
use super::svg::{LEFT, RIGHT, Scale, band, line, path, text};
use super::words::time_up;
use crate::capture::RingCapture;
use crate::correlate::RingCorrelated;
use crate::figures::FigureId;
use crate::render::buckets::edges;
use crate::render::units::percent;

const HEIGHT: f64 = 330.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = HEIGHT - 34.0;

/// Places that can be read out.
const PLACES: usize = 120;

/// A curve's points: no more than this share takes longer than the value.
type Points = Vec<(u64, f64)>;

struct Curve {
    class: usize,
    figure: FigureId,
    /// Of residency: by lower ends.
    lower: Option<Points>,
    /// By upper ends, or by the upper edges of buckets.
    upper: Points,
    count: u64,
}

/// The chart of a ring; `None` if nothing of it was timed.
pub(super) fn chart(id: String, ring: &RingCapture, told: &RingCorrelated) -> Option<Chart> {
    let curves = curves(ring, told);
    let uppers = || curves.iter().flat_map(|curve| &curve.upper);
    let lowers = || curves.iter().filter_map(|curve| curve.lower.as_ref());
    let values_ns = || uppers().chain(lowers().flatten()).map(|(value_ns, _)| *value_ns);
    let most_ns = values_ns().max()?;
    // Lower ends of 0 are many and say little: they begin at the axis.
    let least_ns = uppers().map(|(value_ns, _)| *value_ns).min().unwrap_or(most_ns).max(1);
    let most_ns = most_ns.max(least_ns.saturating_add(1));
    let count = curves.iter().map(|curve| curve.count).max()?;
    let mut from = log(least_ns).floor();
    let axis_ns = 10f64.powf(from) as u64;
    if from > 0.0 && lowers().any(|lower| share_at(lower, axis_ns) > 0.02) {
        from -= 1.0;
    }
    let x = Scale { from: (from, log(most_ns) + 0.05), to: (LEFT, RIGHT) };
    // As many nines as there are values to tell them.
    let nines = (count.max(1) as f64).log10().ceil().clamp(2.0, 5.0);
    let y = Scale { from: (0.0, nines), to: (BOTTOM, TOP) };
    let mut drawing = axes(x, y, nines);
    for curve in &curves {
        drawing.push_str(&draw(curve, x, y, nines));
    }
    let has_band = curves.iter().any(|curve| curve.lower.is_some());
    let description = format!(
        "Share of cases that took no longer than a time. Both axes stretch the tail: each step up \
         is ten times rarer.{}",
        if has_band {
            " The band is time in the ring: the truth lies within it, since head moves without a \
             system call and is only seen now and then."
        } else {
            ""
        }
    );
    Some(Chart {
        id,
        title: "How long it takes",
        description,
        height: HEIGHT,
        cursor: (TOP, BOTTOM),
        drawing,
        keys: curves
            .iter()
            .map(|curve| Key { class: curve.class, name: curve.figure.row().head })
            .collect(),
        below: String::new(),
        readout: readout(&curves, x),
    })
}

fn curves(ring: &RingCapture, told: &RingCorrelated) -> Vec<Curve> {
    let mut curves = Vec::new();
    let residency = &told.residency;
    if residency.samples() > 0 {
        let total = residency.total_weight();
        let ends = |ends: &mut dyn Iterator<Item = (u64, u64)>| cumulative(ends, total);
        curves.push(Curve {
            class: 0,
            figure: FigureId::Residency,
            lower: Some(ends(&mut residency.lower_ends().map(|end| (end.least_ns, end.weight)))),
            upper: ends(&mut residency.upper_ends().map(|end| (end.most_ns, end.weight))),
            count: residency.samples(),
        });
    }
    for (class, figure, which) in [
        (1, FigureId::WakeUp, RingHistogram::WakeUp),
        (2, FigureId::PublishDirect, RingHistogram::PublishDirect),
        (3, FigureId::PublishOffloaded, RingHistogram::PublishOffloaded),
        (4, FigureId::OffloadDelay, RingHistogram::OffloadDelay),
        (5, FigureId::Blocked, RingHistogram::Blocked),
    ] {
        if let Some(raw) = ring.histogram(which).filter(|raw| raw.count > 0) {
            let total = raw.buckets.iter().fold(0, |all: u64, n| all.saturating_add(*n));
            let upper = cumulative(&mut edges(raw), total);
            curves.push(Curve { class, figure, lower: None, upper, count: raw.count });
        }
    }
    curves
}

fn cumulative(ends: &mut dyn Iterator<Item = (u64, u64)>, total: u64) -> Points {
    let mut seen = 0u64;
    let share = |seen: u64| seen as f64 / total.max(1) as f64;
    ends.map(|(value_ns, weight)| {
        seen = seen.saturating_add(weight);
        (value_ns, share(seen))
    })
    .collect()
}

fn log(value_ns: u64) -> f64 {
    (value_ns.max(1) as f64).log10()
}

/// Height of a share: how many times ten rarer is what is longer.
fn height(share: f64, nines: f64) -> f64 {
    let beyond = 1.0 - share;
    if beyond <= 0.0 { nines } else { (-beyond.log10()).clamp(0.0, nines) }
}

/// A step for each point, without steps too small to be seen.
fn places(points: &Points, x: Scale, y: Scale, nines: f64) -> Vec<(f64, f64)> {
    let mut out: Vec<(f64, f64)> = Vec::new();
    let mut level = y.place(0.0);
    for (index, (value_ns, share)) in points.iter().enumerate() {
        let (across, up) = (x.place(log(*value_ns)), y.place(height(*share, nines)));
        let near = out.last().is_some_and(|last| across - last.0 < 1.0 && last.1 - up < 1.0);
        if near && index + 1 < points.len() {
            continue;
        }
        out.push((across, level));
        out.push((across, up));
        level = up;
    }
    out
}

fn draw(curve: &Curve, x: Scale, y: Scale, nines: f64) -> String {
    let class = curve.class;
    let mut upper = places(&curve.upper, x, y, nines);
    let mut out = format!("<g data-series=\"{class}\">");
    if let Some(lower) = &curve.lower {
        let mut lower = places(lower, x, y, nines);
        // What is still in the ring has no upper end: its curve stops below the
        // top, and the band goes on to the right.
        let level = upper.last().map_or(y.place(0.0), |last| last.1);
        upper.push((RIGHT, level));
        if let Some(last) = lower.last().copied() {
            lower.push((RIGHT, last.1));
        }
        out.push_str(&path(&format!("band f{class}"), &band(&lower, &upper)));
        out.push_str(&path(&format!("curve s{class}"), &line(&lower)));
    }
    out.push_str(&path(&format!("curve s{class}"), &line(&upper)));
    out + "</g>"
}

fn axes(x: Scale, y: Scale, nines: f64) -> String {
    let mut out = String::new();
    let mut grid = String::new();
    for (share, name) in [
        (0.5, "50 %"),
        (0.9, "90 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
        (0.9999, "99.99 %"),
        (0.99999, "99.999 %"),
    ] {
        let level = height(share, 9.0);
        if level <= nines + 1e-6 {
            let up = y.place(level);
            grid.push_str(&line(&[(LEFT, up), (RIGHT, up)]));
            out.push_str(&text("tick end", LEFT - 8.0, up + 4.0, name));
        }
    }
    for power in x.from.0 as i32..=x.from.1 as i32 {
        let across = x.place(f64::from(power));
        grid.push_str(&line(&[(across, TOP), (across, BOTTOM)]));
        let value_ns = 10u64.saturating_pow(power.unsigned_abs());
        if across < RIGHT - 20.0 {
            let name = time_up(value_ns).replace(".0\u{a0}", "\u{a0}");
            out.push_str(&text("tick middle", across, BOTTOM + 18.0, &name));
        }
    }
    let base = line(&[(LEFT, BOTTOM), (RIGHT, BOTTOM)]);
    format!("{}{}{out}", path("grid", &grid), path("base", &base))
}

/// The nearest whole number of two digits: what is printed is what was looked up.
fn two_digits(value: f64) -> u64 {
    let scale = 10f64.powf((value.max(1.0).log10().floor() - 1.0).max(0.0));
    ((value / scale).round() * scale).round() as u64
}

/// A share with as many digits as it has nines, and one more; never all where
/// some are beyond.
fn nines(share: f64) -> String {
    if !(0.999..1.0).contains(&share) {
        return percent(share);
    }
    let digits = (-(1.0 - share).log10()).floor().clamp(2.0, 9.0) as usize;
    let scale = 10f64.powi(digits as i32);
    format!("{:.*} %", digits - 1, (share * 100.0 * scale / 10.0).floor() * 10.0 / scale)
}

/// Share of a curve that is no longer than a value.
fn share_at(points: &Points, value_ns: u64) -> f64 {
    let after = points.partition_point(|(value, _)| *value <= value_ns);
    after.checked_sub(1).map_or(0.0, |at| points[at].1)
}

fn readout(curves: &[Curve], x: Scale) -> Readout {
    let mut places = Vec::with_capacity(PLACES + 1);
    for place in 0..=PLACES {
        let power = x.from.0 + (x.from.1 - x.from.0) * place as f64 / PLACES as f64;
        let value_ns = two_digits(10f64.powf(power));
        let values = curves.iter().map(|curve| {
            let share = share_at(&curve.upper, value_ns);
            match curve.lower.as_ref().map(|lower| share_at(lower, value_ns)) {
                // More have a lower end below this than have an upper one.
                Some(most) if nines(most) != nines(share) => {
                    format!("{}–{}", nines(share), nines(most))
                }
                _ => nines(share),
            }
        });
        let at = format!("≤ {}", time_up(value_ns));
        places.push((x.place(log(value_ns)), at, values.collect()));
    }
    places.dedup_by(|one, before| one.1 == before.1);
    Readout {
        axis: "took",
        names: curves.iter().map(|curve| curve.figure.row().head.to_owned()).collect(),
        places,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_out_between_points_too() {
        let points = cumulative(&mut [(10, 1), (100, 8), (1000, 1)].into_iter(), 10);
        for (value_ns, share) in [(9, 0.0), (10, 0.1), (999, 0.9), (5000, 1.0)] {
            assert!((share_at(&points, value_ns) - share).abs() < 1e-9, "{value_ns}");
        }
    }

    #[test]
    fn nearly_all_is_read_out_with_its_nines() {
        for (share, text) in [
            (0.98, "98 %"),
            (0.9991, "99.91 %"),
            (0.99997, "99.997 %"),
            (1.0, "100 %"),
            (0.0, "0 %"),
        ] {
            assert_eq!(nines(share), text);
        }
        assert_eq!([0.0, 7.0, 112.3, 98_765.0].map(two_digits), [0, 7, 110, 99_000]);
    }

    #[test]
    fn each_nine_is_a_step_up_and_the_whole_is_the_top() {
        assert!((height(0.99, 5.0) - 2.0).abs() < 1e-9);
        assert_eq!((height(0.0, 5.0), height(1.0, 5.0), height(1.5, 3.0)), (0.0, 5.0, 3.0));
    }
}
