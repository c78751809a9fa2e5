//! The page of keys and columns.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::super::model::Model;
use super::{cut, scrolled};

const KEYS: &str = "  up, down (k, j)   choose a ring; on other pages scroll
  Enter             show the chosen ring; Esc goes back
  s, S (>, <)       order by the next column, by the one before
  r                 reverse the order
  /                 filter by process name or PID:FD; Esc clears
  space (p)         pause and go on, play and stop
  left, right       one interval earlier, later
  PgUp, PgDn        ten of them; Home and End: first, last
  +, -              play a recording faster, slower
  Ctrl-L, Ctrl-Z    draw anew, suspend
  ?, h              this page; q quits
columns
  in ring     published to consumed, as bounds that hold the truth
  wake-up     waking a sleeping waiter to the return of its wait
  ESTALE      races to sleep, lost: not an error
  ENOSPC      ADDs refused
  depth/max   at the end, and the greatest; max depth: of the last intervals
  busy, empty, waiting   the consumer's time; empty: on the CPU, ring empty
  - not known here   >=, <= bounds   ~ estimated, or cut   ! look at it";

/// Draws it; how many lines are beyond the page.
pub fn draw(model: &Model, area: Rect, frame: &mut Frame<'_>) -> usize {
    let lines = KEYS.lines().map(|line| Line::from(cut(line, area.width))).collect();
    scrolled(lines, model.scroll(), area, frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_a_usual_terminal() {
        assert!(KEYS.lines().all(|line| line.chars().count() <= 80 && line.is_ascii()));
        // 24 rows less those of head, hints and trust.
        assert!(KEYS.lines().count() <= 20, "{}", KEYS.lines().count());
    }
}
