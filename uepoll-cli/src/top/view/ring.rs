//! The page of one ring: its part of the report, the pictures of its
//! histograms, below them what `-v` adds to a report, and what `list` finds in it.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use uepoll_common::record::RingNumber;
use uepoll_core::figures::FigureId;
use uepoll_core::render::text::{TextOptions, WIDTH};
use uepoll_core::render::units::{Rounding, grouped, time};
use uepoll_core::render::{Charset, text};
use uepoll_core::report::{RingReport, Value};

use super::super::frame::Bars;
use super::super::model::Model;
use super::{Look, cut, picture, scrolled};

/// Columns of the words before a bar: `from 990us`.
const LABEL: usize = 10;

/// Columns of one picture.
const PICTURE: usize = 26;

/// Between two pictures.
const BETWEEN: usize = 1;

/// Draws it from the line on to which it was scrolled; how many lines are
/// beyond the page.
pub fn draw(
    model: &Model,
    number: RingNumber,
    look: Look,
    area: Rect,
    frame: &mut Frame<'_>,
) -> usize {
    let ring = model.frame().and_then(|shown| shown.ring(number));
    let lines = match ring {
        Some(ring) => lines(model, ring, look, area.width),
        None => vec![
            String::new(),
            "this ring is not in the interval that is shown: it was closed, or not yet met".into(),
        ],
    };
    let lines = lines.iter().map(|line| Line::from(cut(line, area.width))).collect();
    scrolled(lines, model.scroll(), area, frame)
}

fn lines(model: &Model, ring: &RingReport, look: Look, width: u16) -> Vec<String> {
    let of_report = |verbose| text::ring(ring, TextOptions { charset: look.charset, verbose });
    let (short, long) = (of_report(false), of_report(true));
    let mut lines: Vec<String> = short.lines().map(str::to_owned).collect();
    let room = usize::from(width).saturating_sub(LABEL + 4);
    let depths = picture::sparkline(&model.depths(ring.number, room), look.charset);
    lines.push(String::new());
    lines.push(format!("  max depth {depths}"));
    lines.push(String::new());
    lines.extend(beside(&pictures(model, ring, look.charset), usize::from(width)));
    // The long form begins with the short one.
    lines.extend(long.lines().skip(short.lines().count()).map(str::to_owned));
    if let Some(found) = model.found() {
        lines.push(String::new());
        lines.push("now".to_owned());
        lines.extend(found.lines().map(str::to_owned));
    }
    lines
}

/// The pictures of a ring's histograms, each with its head.
fn pictures(model: &Model, ring: &RingReport, charset: Charset) -> [Vec<String>; 3] {
    let none = Default::default();
    let bars = model.frame().and_then(|shown| shown.bars(ring.number)).unwrap_or(&none);
    [
        residency(ring, charset),
        histogram(FigureId::PublishDirect, &bars.publish, charset),
        histogram(FigureId::WakeUp, &bars.wake_up, charset),
    ]
}

/// Where the samples lie by their lower and by their upper bounds.
fn residency(ring: &RingReport, charset: Charset) -> Vec<String> {
    let head = FigureId::Residency.row().head;
    let Value::Interval(distribution) = ring.value(FigureId::Residency) else {
        return vec![format!("{head:>LABEL$} none sampled")];
    };
    let half = (PICTURE - LABEL - 2) / 2;
    let mut lines = vec![format!("{head:>LABEL$} lower   upper")];
    lines.extend(distribution.bars.iter().map(|bar| {
        format!(
            "{} {:<half$} {}",
            label(bar.from_ns),
            picture::bar(bar.lower_share, half, charset),
            picture::bar(bar.upper_share, half, charset)
        )
    }));
    lines
}

fn histogram(id: FigureId, of: &Bars, charset: Charset) -> Vec<String> {
    let head = id.row().head;
    if of.total == 0 {
        return vec![format!("{head:>LABEL$} none")];
    }
    let room = PICTURE - LABEL - 1;
    // The highest bar takes all the room: powers of two share what there is.
    let most = of.bars.iter().map(|(_, values)| *values).max().unwrap_or(1).max(1);
    let mut lines = vec![format!("{head:>LABEL$} of {}", grouped(of.total))];
    lines.extend(of.bars.iter().map(|(from_ns, values)| {
        format!("{} {}", label(*from_ns), picture::bar(*values as f64 / most as f64, room, charset))
    }));
    lines
}

fn label(from_ns: u64) -> String {
    format!("{:>LABEL$}", format!("from {}", time(from_ns, Rounding::Down)))
}

/// Pictures beside each other where there is room, else below each other.
fn beside(pictures: &[Vec<String>], width: usize) -> Vec<String> {
    if width < WIDTH {
        return pictures.concat();
    }
    let rows = pictures.iter().map(Vec::len).max().unwrap_or(0);
    (0..rows)
        .map(|row| {
            let cells = pictures.iter().map(|picture| {
                let cell = picture.get(row).map_or("", String::as_str);
                let gap = (PICTURE + BETWEEN).saturating_sub(cell.chars().count());
                format!("{cell}{}", " ".repeat(gap))
            });
            cells.collect::<String>().trim_end().to_owned()
        })
        .collect()
}
