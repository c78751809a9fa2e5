//! Draws a model: what every page has in common. Nothing here changes state.

mod help;
mod picture;
mod ring;
mod rings;

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Wrap};
use uepoll_core::render::{Charset, escaped, text};

use super::model::{Model, Origin, Page};

/// Least size at which something can be told.
const LEAST: (u16, u16) = (40, 8);

/// Lines of notes that are shown at most.
const NOTES: usize = 2;

/// What matters of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// What the locale can show.
    pub charset: Charset,
    /// Whether it may be coloured.
    pub color: bool,
}

impl Look {
    /// What is wrong.
    fn wrong(self) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        if self.color { style.fg(Color::Red) } else { style }
    }

    /// What explains and is not to be looked at first.
    fn quiet(self) -> Style {
        if self.color { Style::new().add_modifier(Modifier::DIM) } else { Style::new() }
    }
}

/// Draws it. Returns how many lines of the page are beyond what can be seen.
pub fn draw(model: &Model, look: Look, frame: &mut Frame<'_>) -> usize {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        too_small(area, frame);
        return 0;
    }
    let trust = trust(model, look, area.width);
    let notes = notes(model, look, area.width);
    let [head, said, body, hint, last] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(notes.len() as u16),
        Constraint::Min(1),
        Constraint::Length(1),
        Constraint::Length(trust.len() as u16),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(vec![title(model, look, head), state(model, head)]), head);
    frame.render_widget(Paragraph::new(notes), said);
    let beyond = match model.page() {
        Page::Rings => {
            rings::draw(model, look, body, frame);
            0
        }
        Page::Ring(number) => ring::draw(model, number, look, body, frame),
        Page::Help => help::draw(model, body, frame),
    };
    frame.render_widget(Paragraph::new(hints(model, hint)).style(look.quiet()), hint);
    frame.render_widget(Paragraph::new(trust), last);
    beyond
}

/// The one thing that can be said at any size.
fn too_small(area: Rect, frame: &mut Frame<'_>) {
    let text = format!(
        "top needs {} columns and {} rows, here are {} and {}; q quits",
        LEAST.0, LEAST.1, area.width, area.height
    );
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
}

/// `uepoll top  #7  1.0 s  6.12.117-uepoll v2  kprobe  2 CPUs`.
fn title(model: &Model, look: Look, area: Rect) -> Line<'static> {
    let Some(shown) = model.frame() else { return Line::from("uepoll top").style(bold()) };
    let host = text::header(&shown.report, look.charset);
    let fits = |title: &String| title.chars().count() <= usize::from(area.width);
    let named = ["uepoll top  ", "top  "].map(|name| format!("{name}{host}"));
    let title = named.into_iter().find(fits).unwrap_or(host);
    Line::from(cut(&title, area.width)).style(bold())
}

/// How many rings, in which order, which of them; and where in time.
fn state(model: &Model, area: Rect) -> Line<'static> {
    let (filter, typing) = model.filter();
    let all = model.frame().map_or(0, |shown| shown.report.rings.len());
    let rings = match (all, filter) {
        (1, "") => "1 ring".into(),
        (all, "") => format!("{all} rings"),
        (all, _) => format!("{} of {all} rings", model.rows().len()),
    };
    let (sort, reversed) = model.sort();
    let order = format!(", by {}{}", sort.head(), if reversed { ", reversed" } else { "" });
    // Our own keyboard's, but a terminal must not be confused by it either.
    let escaped = escaped(filter, Charset::Utf8, 24);
    let filter = match (typing, filter) {
        (true, _) => format!("  /{escaped}_"),
        (false, "") => String::new(),
        (false, _) => format!("  /{escaped}"),
    };
    let room = usize::from(area.width);
    let time = time(model, room);
    // What is being typed is needed most, then time, then the order.
    let fits = |left: &String| left.chars().count() + 2 + time.chars().count() <= room;
    let lefts = [format!("{rings}{order}{filter}"), format!("{rings}{filter}"), filter];
    let left = lefts.into_iter().find(fits).unwrap_or_default();
    let gap = room.saturating_sub(left.chars().count() + time.chars().count());
    Line::from(format!("{left}{}{time}", " ".repeat(gap)))
}

/// Where in time the shown frame is.
fn time(model: &Model, room: usize) -> String {
    let (at, total) = model.position();
    match model.origin() {
        Origin::Live(_) if model.moving() => "LIVE".into(),
        Origin::Live(_) => format!("PAUSED, {:.1} s back", model.behind().as_secs_f64()),
        Origin::Recording(name) => {
            let state = match model.moving() {
                true => "PLAYING",
                false if at + 1 >= total => "END",
                false => "PAUSED",
            };
            let (now, all) = model.time();
            let place = format!("{} of {}", minutes(now), minutes(all));
            let speed = format!("x{}", model.speed());
            let done = if total > 1 { at as f64 / (total - 1) as f64 } else { 1.0 };
            let bar = picture::progress(done, 12);
            let name = escaped(name, Charset::Utf8, 24);
            let long = format!("{name}  {state} {speed}  [{bar}] {place}");
            if room >= 72 { long } else { format!("{state} {speed} {place}") }
        }
    }
}

/// `1:07.5`: minutes, seconds, tenths of them.
fn minutes(time: Duration) -> String {
    let tenths = time.as_millis() / 100;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

/// What is to be said of the run and of the shown interval.
fn notes(model: &Model, look: Look, width: u16) -> Vec<Line<'static>> {
    let of_frame = model.frame().map_or(&[][..], |shown| &shown.report.notes[..]);
    let all: Vec<&String> = model.notes().iter().chain(of_frame).collect();
    // The newest matter most.
    let first = all.len().saturating_sub(NOTES);
    let line = |note: &&String| Line::from(escaped(note, look.charset, usize::from(width)));
    all[first..].iter().map(line).collect()
}

/// Which keys are of use here.
fn hints(model: &Model, area: Rect) -> Line<'static> {
    let recording = matches!(model.origin(), Origin::Recording(_));
    let words: &[&str] = match (model.page(), model.filter().1) {
        (_, true) => &["Enter keeps the filter", "Esc clears it"],
        (Page::Rings, _) if recording => {
            &["q quit", "? help", "Enter ring", "space play", "left/right seek", "+/- speed"]
        }
        (Page::Rings, _) => {
            &["q quit", "? help", "Enter ring", "s order", "/ filter", "space pause"]
        }
        (Page::Ring(_), _) => &["Esc back", "? help", "up/down scroll", "left/right seek"],
        (Page::Help, _) => &["Esc back", "up/down scroll"],
    };
    let mut line = String::new();
    for word in words {
        if line.len() + 2 + word.len() > usize::from(area.width) {
            break;
        }
        if !line.is_empty() {
            line.push_str("   ");
        }
        line.push_str(word);
    }
    Line::from(line)
}

/// Cost, books and loss, in as many lines as it takes.
fn trust(model: &Model, look: Look, width: u16) -> Vec<Line<'static>> {
    let Some(shown) = model.frame() else {
        return vec![Line::from("cost, books and loss are told with the first figures")];
    };
    let style = if shown.report.trustworthy() { Style::new() } else { look.wrong() };
    let whole = text::trust_line(&shown.report, usize::from(width));
    let mut lines = vec![String::new()];
    for part in whole.split("   ") {
        let line = lines
            .last_mut()
            .filter(|line| line.is_empty() || line.len() + 3 + part.len() <= usize::from(width));
        match line {
            Some(line) if line.is_empty() => line.push_str(part),
            Some(line) => line.extend(["   ", part]),
            None => lines.push(part.to_owned()),
        }
    }
    lines.into_iter().map(|line| Line::from(line).style(style)).collect()
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// At most `width` columns of a line, marked with `~` where it is cut.
fn cut(line: &str, width: u16) -> String {
    let width = usize::from(width);
    if line.chars().count() <= width {
        return line.to_owned();
    }
    line.chars().take(width.saturating_sub(1)).chain(['~']).collect()
}

/// Lines of a page from `scroll` on; how many are beyond the area in all.
fn scrolled(lines: Vec<Line<'static>>, scroll: usize, area: Rect, frame: &mut Frame<'_>) -> usize {
    let beyond = lines.len().saturating_sub(usize::from(area.height));
    let shown: Vec<Line<'static>> = lines.into_iter().skip(scroll.min(beyond)).collect();
    frame.render_widget(Paragraph::new(shown), area);
    beyond
}

#[cfg(test)]
mod tests;
