//! One ring over time: lanes above each other on one axis, so that what
//! happened together stands together. Residency as a heat map, depth, what the
//! consumer did, and what went wrong.

use super::figure::{Chart, Readout};
use super::heat;
use super::lane::{self, Lane};
use super::series::{LANES, Series};
use super::svg::{LEFT, RIGHT, Scale, line, path, round_step, text};
use super::words::{marks, since_start};
use crate::figures::FigureId;
use crate::render::units::grouped;
use crate::report::RingReport;

/// Above the first lane.
const TOP: f64 = 8.0;

/// Between lanes.
const GAP: f64 = 16.0;

/// The part of a run that is drawn.
#[derive(Clone, Copy)]
pub(super) struct Span {
    /// Clock of the records at its beginning.
    pub(super) start_ns: u64,
    /// Its length.
    pub(super) duration_ns: u64,
}

impl Span {
    /// Where a moment is drawn; what lies outside, at an end.
    pub(super) fn place(&self, time_ns: u64) -> f64 {
        self.scale().place(time_ns.saturating_sub(self.start_ns) as f64)
    }

    /// Whether a part of the run is within it.
    pub(super) fn meets(&self, start_ns: u64, duration_ns: u64) -> bool {
        start_ns < self.start_ns.saturating_add(self.duration_ns)
            && start_ns.saturating_add(duration_ns) > self.start_ns
    }

    fn scale(&self) -> Scale {
        Scale { from: (0.0, self.duration_ns as f64), to: (LEFT, RIGHT) }
    }
}

/// The chart of a ring; `None` where nothing has a time.
pub(super) fn chart(id: String, ring: &RingReport, series: &Series, span: Span) -> Option<Chart> {
    let nothing = series.frames.all().is_empty() && series.heat.columns().is_empty();
    if span.duration_ns == 0 || nothing {
        return None;
    }
    let mut drawing = String::new();
    let mut top = TOP;
    let lanes = [
        heat::lane(&series.heat, span),
        lane::depth(ring, series, span),
        lane::figure(ring, series, span, FigureId::PublishedRate),
        lane::figure(ring, series, span, FigureId::ConsumerBusy),
        lane::waiting(ring, series, span),
        lane::figure(ring, series, span, FigureId::ConsumerEmpty),
        lane::figure(ring, series, span, FigureId::EstaleRate),
        lane::figure(ring, series, span, FigureId::EnospcRate),
        lane::figure(ring, series, span, FigureId::SlotSpin),
        lane::offload(series, span),
    ];
    for lane in &lanes {
        drawing.push_str(&at_height(lane, top));
        top += lane.height + GAP;
    }
    let bottom = top - GAP + 4.0;
    drawing.push_str(&axis(span, bottom));
    let waits = &series.waits;
    let legend = heat::legend(&series.heat);
    Some(Chart {
        id,
        title: "Over time",
        description: format!(
            "Every lane has the same axis of time.{}{} Depth: from the least to the greatest that \
             a look saw, the line is the greatest at a publish.{}",
            if legend.is_empty() {
                ""
            } else {
                " In ring: each column is what was published then, more of it where the shade is \
                 stronger; drawn at the upper end of each sample, so that none took longer than it \
                 is drawn."
            },
            match series.heat.unconsumed() {
                0 => String::new(),
                weight => format!(
                    " Not drawn: {} that nobody was seen to consume, however long.",
                    marks(&grouped(weight))
                ),
            },
            match (waits.kept().len() as u64, waits.seen()) {
                (0, _) => String::new(),
                (kept, seen) => format!(
                    " Waits seen: above those that slept, below those that did not{}.",
                    if kept < seen {
                        format!("; {kept} are drawn of {}", marks(&grouped(seen)))
                    } else {
                        String::new()
                    }
                ),
            }
        ),
        height: bottom + 26.0,
        cursor: (TOP, bottom),
        drawing,
        keys: Vec::new(),
        below: legend,
        readout: readout(ring, series, span),
    })
}

/// A lane with its name and frame.
fn at_height(lane: &Lane, top: f64) -> String {
    let mut out = format!("<g transform=\"translate(0 {})\">", super::svg::at(top));
    out.push_str(&text("name", 0.0, 12.0, &lane.name));
    if !lane.unit.is_empty() {
        out.push_str(&text("unit", 0.0, 26.0, &lane.unit));
    }
    out.push_str(&lane.drawing);
    out.push_str(&path("base", &line(&[(LEFT, lane.height), (RIGHT, lane.height)])));
    out + "</g>"
}

fn axis(span: Span, bottom: f64) -> String {
    let seconds = span.duration_ns as f64 / 1e9;
    let step = round_step(seconds, 9.0);
    let mut out = String::new();
    let mut ticks = String::new();
    let mut number = 0.0;
    while number * step <= seconds * (1.0 + 1e-9) && number <= 20.0 {
        let second = number * step;
        let across = span.scale().place(second * 1e9);
        ticks.push_str(&line(&[(across, bottom - 4.0), (across, bottom)]));
        let digits = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
        let class = if across > RIGHT - 16.0 { "tick end" } else { "tick middle" };
        out.push_str(&text(class, across, bottom + 15.0, &format!("{second:.digits$}\u{a0}s")));
        number += 1.0;
    }
    path("base", &ticks) + &out
}

/// Start and length of what can be read: each column of the heat map, and the
/// middle of each frame that has none there, since a ring to which nothing is
/// published still has a depth and a consumer. Ascending.
fn moments(series: &Series) -> Vec<(u64, u64)> {
    let (step_ns, columns) = (series.heat.step_ns(), series.heat.columns());
    let frames = series.frames.all().iter();
    if columns.is_empty() {
        return frames.map(|frame| (frame.start_ns, frame.duration_ns)).collect();
    }
    let middles = frames.map(|frame| frame.start_ns.saturating_add(frame.duration_ns / 2));
    let silent =
        middles.filter(|middle_ns| !columns.contains_key(&(middle_ns - middle_ns % step_ns)));
    let silent = silent.map(|middle_ns| middle_ns.saturating_sub(step_ns / 2));
    let mut all: Vec<u64> = columns.keys().copied().chain(silent).collect();
    all.sort_unstable();
    all.into_iter().map(|start_ns| (start_ns, step_ns)).collect()
}

fn readout(ring: &RingReport, series: &Series, span: Span) -> Readout {
    let mut names =
        vec!["published then, in ring (median)".to_owned(), "depth, greatest".to_owned()];
    names.extend(LANES.map(|id| id.row().head.to_owned()));
    names.push("offload runs".to_owned());
    let moments = moments(series);
    let moments = moments.into_iter().filter(|(start, length)| span.meets(*start, *length));
    let places = moments.map(|(start_ns, length_ns)| {
        let middle_ns = start_ns.saturating_add(length_ns / 2);
        let mut values = vec![
            heat::median_at(&series.heat, middle_ns),
            lane::depth_at(ring, series, middle_ns, span),
        ];
        values.extend(lane::values_at(series, middle_ns));
        let offset_ns = start_ns.saturating_sub(span.start_ns);
        (span.place(middle_ns), since_start(offset_ns, length_ns), values)
    });
    Readout { axis: "at", names, places: places.collect() }
}
