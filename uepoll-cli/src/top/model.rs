//! What is shown, as plain state: which frame, which rings in which order, which
//! page. No clock and no terminal: ticks and actions come in.

use std::time::Duration;

use uepoll_common::record::RingNumber;
use uepoll_core::render::text;
use uepoll_core::report::RingReport;

use super::action::{Action, Effect};
use super::column::Column;
use super::frame::{Frame, greatest_depth};
use super::reel::Reel;

/// How fast a recording can be played, in its own seconds each second.
pub const SPEEDS: [f64; 9] = [0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

/// Its own speed among them.
const OWN_SPEED: usize = 3;

/// Characters of a filter: more than any name or number that it could match.
const FILTER_LENGTH: usize = 32;

/// What frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The running host; in words, what of it is watched.
    Live(String),
    /// A recording, by its name.
    Recording(String),
}

/// What is on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// All rings.
    Rings,
    /// One ring.
    Ring(RingNumber),
    /// Which keys do what.
    Help,
}

/// Everything that decides what is shown.
#[derive(Clone, Debug)]
pub struct Model {
    origin: Origin,
    reel: Reel,
    /// Number of the frame that is shown.
    at: usize,
    /// Whether new frames are followed, or a recording is played.
    moving: bool,
    speed: usize,
    /// For how long the frame has been shown, in the recording's time.
    shown_for: Duration,
    sort: Column,
    reversed: bool,
    filter: String,
    typing: bool,
    /// The chosen ring; the first row, whichever it is, until one was chosen.
    chosen: Option<RingNumber>,
    page: Page,
    /// Where Back goes from the help.
    under_help: Page,
    /// Lines that are above the first of the page.
    scroll: usize,
    notes: Vec<String>,
    /// What was found in a ring when it was last looked into, in lines.
    found: Option<(RingNumber, String)>,
}

impl Model {
    /// Of a run that is live, before its first frame.
    pub fn live(watched: String, notes: Vec<String>) -> Self {
        Self::new(Origin::Live(watched), Reel::default(), notes)
    }

    /// Of a recorded one, at its beginning.
    pub fn recording(name: String, reel: Reel) -> Self {
        Self::new(Origin::Recording(name), reel, Vec::new())
    }

    fn new(origin: Origin, reel: Reel, notes: Vec<String>) -> Self {
        Self {
            origin,
            reel,
            at: 0,
            moving: true,
            speed: OWN_SPEED,
            shown_for: Duration::ZERO,
            sort: Column::Published,
            reversed: false,
            filter: String::new(),
            typing: false,
            chosen: None,
            page: Page::Rings,
            under_help: Page::Rings,
            scroll: 0,
            notes,
            found: None,
        }
    }

    /// What frames come from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What is to be said of the run.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Says one thing more of the run.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// The ring to be looked into: that of the page, while what is shown is now.
    pub fn looked_into(&self) -> Option<&RingReport> {
        match self.page {
            Page::Ring(number) if self.moving && matches!(self.origin, Origin::Live(_)) => {
                self.frame()?.ring(number)
            }
            _ => None,
        }
    }

    /// What was found in that ring, in lines; `None` if it was not looked into.
    pub fn found(&self) -> Option<&str> {
        let number = self.looked_into()?.number;
        self.found.as_ref().filter(|(of, _)| *of == number).map(|(_, lines)| lines.as_str())
    }

    /// A ring was looked into.
    pub fn put_found(&mut self, ring: RingNumber, lines: String) {
        self.found = Some((ring, lines));
    }

    /// The frame that is shown; `None` before the first, or while it is not at
    /// hand.
    pub fn frame(&self) -> Option<&Frame> {
        self.reel.get(self.at)
    }

    /// Number of the frame that is shown, from 0, and of how many.
    pub fn position(&self) -> (usize, usize) {
        (self.at, self.reel.total())
    }

    /// Where in the run the shown frame begins, and how long the run is.
    pub fn time(&self) -> (Duration, Duration) {
        let (start_ns, end_ns) = self.reel.span();
        let now_ns = self.frame().map_or(start_ns, |shown| shown.start_ns);
        (
            Duration::from_nanos(now_ns.saturating_sub(start_ns)) + self.shown_for,
            Duration::from_nanos(end_ns.saturating_sub(start_ns)),
        )
    }

    /// Whether new frames are followed, or a recording is played.
    pub fn moving(&self) -> bool {
        self.moving
    }

    /// The recording's own seconds each second.
    pub fn speed(&self) -> f64 {
        SPEEDS[self.speed]
    }

    /// The column that orders the rings, and whether the other way round.
    pub fn sort(&self) -> (Column, bool) {
        (self.sort, self.reversed)
    }

    /// What names and numbers must contain, and whether it is being typed.
    pub fn filter(&self) -> (&str, bool) {
        (&self.filter, self.typing)
    }

    /// What is on the screen.
    pub fn page(&self) -> Page {
        self.page
    }

    /// Lines that are above the first of the page.
    pub fn scroll(&self) -> usize {
        self.scroll
    }

    /// The view has found that no more than `most` lines are beyond the page.
    pub fn limit_scroll(&mut self, most: usize) {
        self.scroll = self.scroll.min(most);
    }

    /// For how long before the newest frame the shown one began.
    pub fn behind(&self) -> Duration {
        match (self.frame(), self.reel.newest()) {
            (Some(shown), Some(newest)) => {
                Duration::from_nanos(newest.start_ns.saturating_sub(shown.start_ns))
            }
            _ => Duration::ZERO,
        }
    }

    /// A new frame has come; it is shown unless something else is looked at.
    pub fn push(&mut self, frame: Frame) {
        self.reel.push(frame);
        self.at = if self.moving { self.last() } else { self.at.max(self.reel.first()) };
    }

    /// Frames around the shown one were read again.
    pub fn put(&mut self, reel: Reel) {
        self.reel = reel;
        self.at = self.at.min(self.last());
    }

    /// The frame that is to be shown and is not at hand.
    pub fn wanted(&self) -> Option<usize> {
        (self.at < self.reel.total() && self.frame().is_none()).then_some(self.at)
    }

    /// Time has passed: a recording that is played goes on. Whether another
    /// frame is shown.
    pub fn tick(&mut self, passed: Duration) -> bool {
        if !self.moving || matches!(self.origin, Origin::Live(_)) {
            return false;
        }
        let before = self.at;
        self.shown_for += passed.mul_f64(self.speed());
        while let Some(frame) = self.frame() {
            let length = Duration::from_nanos(frame.report.duration_ns.max(1));
            if self.shown_for < length {
                break;
            }
            if self.at >= self.last() {
                self.moving = false;
                self.shown_for = length;
                return true;
            }
            self.shown_for -= length;
            self.at += 1;
        }
        self.at != before
    }

    /// Rings that the filter lets through, in the chosen order.
    pub fn rows(&self) -> Vec<&RingReport> {
        let Some(frame) = self.frame() else { return Vec::new() };
        let wanted = self.filter.to_lowercase();
        let mut rows: Vec<&RingReport> =
            frame.report.rings.iter().filter(|ring| matches(ring, &wanted)).collect();
        // Stable: rings alike stay in the report's order, the busiest first.
        rows.sort_by(|one, other| self.sort.order(self.reversed, one, other));
        rows
    }

    /// Which of these rows is the chosen one.
    pub fn chosen_row(&self, rows: &[&RingReport]) -> usize {
        let found = rows.iter().position(|ring| Some(ring.number) == self.chosen);
        found.unwrap_or(0)
    }

    /// Greatest depth of a ring in the shown frame and those before, the oldest
    /// first; `None` where it was not there. No more than `most`.
    pub fn depths(&self, ring: RingNumber, most: usize) -> Vec<Option<u64>> {
        let first = (self.at + 1).saturating_sub(most);
        (first..=self.at)
            .filter_map(|number| self.reel.get(number))
            .map(|frame| greatest_depth(frame.ring(ring)?))
            .collect()
    }

    /// Does what a key asks for.
    pub fn apply(&mut self, action: Action) -> Effect {
        match action {
            Action::Quit => return Effect::Quit,
            Action::Suspend => return Effect::Suspend,
            Action::Redraw => return Effect::Redraw,
            Action::Up => self.step(false),
            Action::Down => self.step(true),
            Action::Open => self.open(),
            Action::Back => self.back(),
            Action::Help if self.page == Page::Help => self.back(),
            Action::Help => {
                self.under_help = self.page;
                self.show(Page::Help);
            }
            Action::SortNext => self.sort_by(1),
            Action::SortBefore => self.sort_by(Column::ALL.len() - 1),
            Action::Reverse => self.reversed = !self.reversed,
            Action::Filter => {
                self.show(Page::Rings);
                self.typing = true;
            }
            Action::Type(letter) if self.filter.chars().count() < FILTER_LENGTH => {
                self.filter.push(letter);
            }
            Action::Type(_) => {}
            Action::Erase => {
                self.filter.pop();
            }
            Action::Accept => self.typing = false,
            Action::Cancel => {
                self.filter.clear();
                self.typing = false;
            }
            Action::Pause => self.pause(),
            Action::Earlier(frames) => self.seek(self.at.saturating_sub(frames)),
            Action::Later(frames) => self.seek(self.at.saturating_add(frames)),
            Action::First => self.seek(0),
            Action::Last => self.seek(usize::MAX),
            Action::Faster => self.speed = (self.speed + 1).min(SPEEDS.len() - 1),
            Action::Slower => self.speed = self.speed.saturating_sub(1),
        }
        Effect::Draw
    }

    fn step(&mut self, down: bool) {
        if self.page != Page::Rings {
            self.scroll =
                if down { self.scroll.saturating_add(1) } else { self.scroll.saturating_sub(1) };
            return;
        }
        let rows = self.rows();
        let row = self.chosen_row(&rows);
        let row = if down { row + 1 } else { row.saturating_sub(1) };
        let chosen = rows.get(row.min(rows.len().saturating_sub(1))).map(|ring| ring.number);
        self.chosen = chosen;
    }

    fn open(&mut self) {
        if self.page != Page::Rings {
            return;
        }
        let rows = self.rows();
        let Some(ring) = rows.get(self.chosen_row(&rows)).map(|ring| ring.number) else { return };
        self.chosen = Some(ring);
        self.show(Page::Ring(ring));
    }

    fn back(&mut self) {
        match self.page {
            // Nothing is left to go back from but the filter.
            Page::Rings => self.filter.clear(),
            Page::Ring(_) => self.show(Page::Rings),
            Page::Help => self.show(self.under_help),
        }
    }

    fn show(&mut self, page: Page) {
        self.page = page;
        self.scroll = 0;
    }

    fn sort_by(&mut self, columns_on: usize) {
        let now = Column::ALL.iter().position(|column| *column == self.sort).unwrap_or(0);
        let next = |at: usize| Column::ALL[(now + at * columns_on) % Column::ALL.len()];
        if let Some(column) = (1..=Column::ALL.len()).map(next).find(|column| column.orders()) {
            self.sort = column;
        }
    }

    fn pause(&mut self) {
        self.moving = !self.moving;
        self.shown_for = Duration::ZERO;
        if !self.moving {
            return;
        }
        match self.origin {
            Origin::Live(_) => self.at = self.last(),
            // From the end there is only one way to go on.
            Origin::Recording(_) if self.at == self.last() => self.at = 0,
            Origin::Recording(_) => {}
        }
    }

    fn seek(&mut self, to: usize) {
        let live = matches!(self.origin, Origin::Live(_));
        // What a live run has let go of is gone; a recording is read again.
        let first = if live { self.reel.first() } else { 0 };
        self.at = to.clamp(first, self.last().max(first));
        self.shown_for = Duration::ZERO;
        if live {
            // At its end a live run goes on.
            self.moving = self.at == self.last();
        }
    }

    fn last(&self) -> usize {
        self.reel.total().saturating_sub(1)
    }
}

/// Whether name or number of a ring, or its process's name, contains `wanted`,
/// which is in lower case.
fn matches(ring: &RingReport, wanted: &str) -> bool {
    let comm = ring.owner.as_ref().map_or(String::new(), |owner| owner.comm.to_lowercase());
    comm.contains(wanted) || text::ring_name(ring).contains(wanted)
}

#[cfg(test)]
mod tests;
