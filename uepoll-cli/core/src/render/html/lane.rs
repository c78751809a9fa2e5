//! The lanes of a figure each: steps over time, with the greatest value beside
//! them. A figure that is absent, or 0 throughout, is a word instead.

use super::series::{Frame, LANES, Mean, Series};
use super::svg::{LEFT, RIGHT, Scale, band, line, path, rectangle, text};
use super::time::Span;
use super::words::{ABSENT, html, marks};
use crate::figures::{FigureId, Unit};
use crate::render::units::{grouped, marked_number, marked_percent};
use crate::report::{Accuracy, RingReport, Value};

/// Of a lane of steps.
const HEIGHT: f64 = 46.0;

/// Of a lane of one word.
const LOW: f64 = 18.0;

/// Of the depth.
const DEPTH: f64 = 92.0;

/// A lane, drawn from 0 to its height.
pub(super) struct Lane {
    /// As HTML.
    pub(super) name: String,
    /// As HTML; empty if there is nothing to say.
    pub(super) unit: String,
    pub(super) height: f64,
    pub(super) drawing: String,
}

impl Lane {
    /// A lane that says why it shows nothing.
    pub(super) fn word(name: &str, word: &str) -> Self {
        let drawing = text("word", LEFT + 6.0, 12.0, &html(&cut(word)));
        Self { name: html(name), unit: String::new(), height: LOW, drawing }
    }
}

/// As much of a reason as a lane has room for; the whole of it is below.
fn cut(reason: &str) -> String {
    const ROOM: usize = 110;
    if reason.chars().count() <= ROOM {
        return reason.into();
    }
    reason.chars().take(ROOM - 1).chain(['…']).collect()
}

/// A value in the unit of its figure.
fn words(id: FigureId, mean: Mean) -> String {
    let text = match id.row().unit {
        Unit::Share => marked_percent(mean.value, mean.accuracy),
        Unit::PerSecond => format!("{}/s", marked_number(mean.value, mean.accuracy)),
        _ => marked_number(mean.value, mean.accuracy),
    };
    marks(&text)
}

/// A lane of one of [`LANES`].
pub(super) fn figure(ring: &RingReport, series: &Series, span: Span, id: FigureId) -> Lane {
    let name = id.row().head;
    let known: Vec<(&Frame, Mean)> = means(series, id).collect();
    let Some(greatest) = known.iter().map(|(_, mean)| mean.value).reduce(f64::max) else {
        return Lane::word(name, absence(ring, id));
    };
    if greatest <= 0.0 {
        let exact = known.iter().all(|(_, mean)| mean.accuracy == Accuracy::Exact);
        return Lane::word(name, if exact { "0 throughout" } else { "none seen" });
    }
    // A share is drawn as one, of so many consumers as it takes.
    let top = if id.row().unit == Unit::Share && id != FigureId::SlotSpin {
        greatest.ceil().max(1.0)
    } else {
        greatest
    };
    let accuracy = known.iter().map(|(_, mean)| mean.accuracy);
    let accuracy = accuracy.reduce(|one, two| if one == Accuracy::Exact { two } else { one });
    let mark =
        accuracy.map_or("", Accuracy::mark).replace(">=", "at least").replace("<=", "at most");
    let y = Scale { from: (0.0, top), to: (HEIGHT, 2.0) };
    let steps = known.iter().map(|(frame, mean)| (*frame, mean.value));
    let class = format!("steps l{}", LANES.iter().position(|lane| *lane == id).unwrap_or(0));
    let top = marks(&words(id, Mean { value: top, accuracy: Accuracy::Inferred }).replace('~', ""));
    Lane {
        name: html(name),
        unit: mark.replace('~', "an estimate"),
        height: HEIGHT,
        drawing: path(&class, &stairs(steps, y, span)) + &text("tick end", LEFT - 8.0, 12.0, &top),
    }
}

/// Waiting, with the waits that were seen as ticks of their length.
pub(super) fn waiting(ring: &RingReport, series: &Series, span: Span) -> Lane {
    let mut lane = figure(ring, series, span, FigureId::ConsumerWaiting);
    let (mut slept, mut awake) = (String::new(), String::new());
    for wait in series.waits.kept() {
        if !span.meets(wait.entry_ns, (wait.exit_ns - wait.entry_ns).saturating_add(1)) {
            continue;
        }
        let (from, to) = (span.place(wait.entry_ns), span.place(wait.exit_ns));
        let (path, high) = if wait.slept { (&mut slept, 4.0) } else { (&mut awake, 10.0) };
        path.push_str(&rectangle(from, lane.height + high, (to - from).max(0.6), 4.0));
    }
    if !(slept.is_empty() && awake.is_empty()) {
        lane.drawing.push_str(&path("wait", &slept));
        lane.drawing.push_str(&path("wait awake", &awake));
        lane.drawing.push_str(&text("tick end", LEFT - 8.0, lane.height + 12.0, "waits seen"));
        lane.height += 16.0;
    }
    lane
}

/// Runs of the offload worker a second.
pub(super) fn offload(series: &Series, span: Span) -> Lane {
    let rate = |frame: &Frame| frame.offload_runs as f64 * 1e9 / frame.duration_ns.max(1) as f64;
    let rates = || series.frames.all().iter().map(|frame| (frame, rate(frame)));
    let name = "offload";
    let Some(top) = rates().map(|(_, rate)| rate).reduce(f64::max).filter(|top| *top > 0.0) else {
        return Lane::word(name, "no run of the worker seen");
    };
    let y = Scale { from: (0.0, top), to: (HEIGHT, 2.0) };
    let greatest = marks(&format!("{}/s", marked_number(top, Accuracy::Exact)));
    Lane {
        name: name.into(),
        unit: "runs".into(),
        height: HEIGHT,
        drawing: path("steps l7", &stairs(rates(), y, span))
            + &text("tick end", LEFT - 8.0, 12.0, &greatest),
    }
}

/// Depth: a band of what looks saw, a line of the greatest at a publish.
pub(super) fn depth(ring: &RingReport, series: &Series, span: Span) -> Lane {
    let name = FigureId::Depth.row().head;
    let frames: Vec<(&Frame, f64)> = series
        .frames
        .all()
        .iter()
        .filter_map(|frame| Some((frame, frame.deepest? as f64)))
        .collect();
    let seen = ring.depth_over_time.iter().map(|point| f64::from(point.greatest));
    let Some(greatest) = seen.chain(frames.iter().map(|(_, deepest)| *deepest)).reduce(f64::max)
    else {
        return Lane::word(name, absence(ring, FigureId::Depth));
    };
    let capacity = f64::from(ring.max_items);
    // The capacity is shown where it is near enough to matter.
    let full = greatest * 3.0 >= capacity;
    let top = if full { greatest.max(capacity) } else { greatest.max(1.0) };
    let y = Scale { from: (0.0, top), to: (DEPTH, 4.0) };
    let (mut low, mut high) = (Vec::new(), Vec::new());
    let mut bands = String::new();
    let mut before_ns = None;
    for point in &ring.depth_over_time {
        // Relative to the interval's start, which is the span's.
        let from = span.start_ns.saturating_add_signed(point.time_ns);
        let to = from.saturating_add(ring.depth_step_ns);
        // Nothing is known of the time without a look.
        if before_ns.is_some_and(|before_ns| from > before_ns) {
            bands.push_str(&band(&std::mem::take(&mut low), &std::mem::take(&mut high)));
        }
        before_ns = Some(to);
        for across in [span.place(from), span.place(to)] {
            low.push((across, y.place(f64::from(point.least))));
            // A band without height is a line.
            high.push((across, y.place(f64::from(point.greatest)) - 0.8));
        }
    }
    bands.push_str(&band(&low, &high));
    let mut drawing = path("depth", &bands);
    drawing.push_str(&path("deepest", &outline(frames.into_iter(), y, span)));
    drawing.push_str(&text("tick end", LEFT - 8.0, 12.0, &grouped(top as u64)));
    if full {
        let up = y.place(capacity);
        drawing.push_str(&path("capacity", &line(&[(LEFT, up), (RIGHT, up)])));
        drawing.push_str(&text("word end", RIGHT - 4.0, up + 13.0, "capacity"));
    }
    let unit = format!("of {}", grouped(u64::from(ring.max_items)));
    Lane { name: name.into(), unit, height: DEPTH, drawing }
}

/// Why a figure has no lane.
fn absence(ring: &RingReport, id: FigureId) -> &str {
    match ring.value(id) {
        Value::Absent(reason) => reason,
        _ => "not known of parts of the run",
    }
}

fn means(series: &Series, id: FigureId) -> impl Iterator<Item = (&Frame, Mean)> {
    let lane = LANES.iter().position(|lane| *lane == id);
    series.frames.all().iter().filter_map(move |frame| Some((frame, frame.lanes[lane?]?)))
}

/// The area under steps; frames that are not known leave a gap.
fn stairs<'a>(steps: impl Iterator<Item = (&'a Frame, f64)>, y: Scale, span: Span) -> String {
    let floor = y.to.0;
    let mut out = String::new();
    let mut area: Vec<(f64, f64)> = Vec::new();
    for (from, to, up) in places(steps, y, span) {
        // Neighbours are one area: else their common edge would show.
        if area.last().is_none_or(|last| from - last.0 > 0.5) {
            out.push_str(&closed(std::mem::take(&mut area), floor));
            area.push((from, floor));
        }
        area.extend([(from, up), (to, up)]);
    }
    out + &closed(area, floor)
}

/// An area down to its floor.
fn closed(mut area: Vec<(f64, f64)>, floor: f64) -> String {
    let Some((to, _)) = area.last().copied() else { return String::new() };
    area.push((to, floor));
    line(&area) + "Z"
}

/// The upper edge of steps.
fn outline<'a>(steps: impl Iterator<Item = (&'a Frame, f64)>, y: Scale, span: Span) -> String {
    let mut points = Vec::new();
    for (from, to, up) in places(steps, y, span) {
        points.extend([(from, up), (to, up)]);
    }
    line(&points)
}

fn places<'a>(
    steps: impl Iterator<Item = (&'a Frame, f64)>,
    y: Scale,
    span: Span,
) -> impl Iterator<Item = (f64, f64, f64)> {
    steps.map(move |(frame, value)| {
        let end_ns = frame.start_ns.saturating_add(frame.duration_ns);
        (span.place(frame.start_ns), span.place(end_ns), y.place(value))
    })
}

/// The frame of a moment.
fn frame_at(series: &Series, time_ns: u64) -> Option<&Frame> {
    let frames = series.frames.all();
    let after = frames.partition_point(|frame| frame.start_ns <= time_ns);
    let frame = frames.get(after.checked_sub(1)?)?;
    (time_ns - frame.start_ns < frame.duration_ns).then_some(frame)
}

/// What is read out of the lanes at a moment, the offload's last.
pub(super) fn values_at(series: &Series, time_ns: u64) -> Vec<String> {
    let frame = frame_at(series, time_ns);
    let mut values: Vec<String> = LANES
        .iter()
        .enumerate()
        .map(|(lane, id)| {
            frame.and_then(|frame| frame.lanes[lane]).map_or(ABSENT.into(), |mean| words(*id, mean))
        })
        .collect();
    values.push(frame.map_or(ABSENT.into(), |frame| marks(&grouped(frame.offload_runs))));
    values
}

/// The greatest depth at a moment: of a look, or of the frame's publishes.
pub(super) fn depth_at(ring: &RingReport, series: &Series, time_ns: u64, span: Span) -> String {
    let offset_ns = i64::try_from(time_ns.saturating_sub(span.start_ns)).unwrap_or(i64::MAX);
    let after = ring.depth_over_time.partition_point(|point| point.time_ns <= offset_ns);
    let point = after.checked_sub(1).map(|at| ring.depth_over_time[at]);
    let step_ns = i64::try_from(ring.depth_step_ns).unwrap_or(i64::MAX);
    let looked = point.filter(|point| offset_ns.saturating_sub(point.time_ns) < step_ns);
    let looked = looked.map(|point| u64::from(point.greatest));
    let deepest = frame_at(series, time_ns).and_then(|frame| frame.deepest);
    looked.max(deepest).map_or(ABSENT.into(), |depth| marks(&grouped(depth)))
}
