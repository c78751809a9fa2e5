//! The page of all rings: a table with as many columns as there is room for,
//! and below it what the table has no room for of the chosen ring.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Margin, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table, Wrap};
use uepoll_core::books::Balance;
use uepoll_core::figures::FigureId;
use uepoll_core::render::units::{Rounding, grouped, marked_number, marked_percent, time};
use uepoll_core::render::{Charset, escaped, text};
use uepoll_core::report::RingReport;

use super::super::column::{ABSENT, Column, number, wake_up};
use super::super::frame::greatest_depth;
use super::super::model::{Model, Origin};
use super::{Look, bold, cut, picture};

/// The mark before the row that is chosen, or is wrong.
const MARKS: usize = 2;

/// Between two columns.
const GAP: usize = 1;

/// Lines for the chosen ring, the blank one before them included.
const CHOSEN: u16 = 6;

/// Rows of the page from which on there are lines for the chosen ring.
const ROWS_WITH_CHOSEN: u16 = 14;

/// Draws the page.
pub fn draw(model: &Model, look: Look, area: Rect, frame: &mut Frame<'_>) {
    let rows = model.rows();
    if rows.is_empty() {
        let why = Paragraph::new(why_empty(model)).wrap(Wrap { trim: true });
        return frame.render_widget(why, area.inner(Margin::new(0, 1)));
    }
    let chosen_row = model.chosen_row(&rows);
    let chosen_lines = if area.height >= ROWS_WITH_CHOSEN { CHOSEN } else { 0 };
    let [table, below] =
        Layout::vertical([Constraint::Min(2), Constraint::Length(chosen_lines)]).areas(area);
    draw_table(model, &rows, chosen_row, look, table, frame);
    if chosen_lines > 0 {
        frame.render_widget(Paragraph::new(chosen(model, rows[chosen_row], look, below)), below);
    }
}

/// Why there is no row.
fn why_empty(model: &Model) -> String {
    let (filter, _) = model.filter();
    match (model.frame(), model.origin()) {
        (None, Origin::Live(words)) => format!("watching {words}; the first figures come soon"),
        (None, Origin::Recording(_)) => "this run has no figures: it was cut short before its \
                                         first second was over"
            .into(),
        (Some(_), _) if !filter.is_empty() => format!(
            "no ring whose name, PID:FD, or whose process's name contains `{}`; Esc clears it",
            escaped(filter, Charset::Utf8, 40)
        ),
        (Some(_), _) => "no user-polled ring was seen in this interval: a ring is shown as soon \
                         as a program that is watched creates one (EPOLL_USERPOLL), adds to it, \
                         waits on it or publishes to it"
            .into(),
    }
}

fn draw_table(
    model: &Model,
    rows: &[&RingReport],
    chosen: usize,
    look: Look,
    area: Rect,
    frame: &mut Frame<'_>,
) {
    let (sort, _) = model.sort();
    let columns = columns(usize::from(area.width), sort);
    // One line is the head's; the chosen row is always among those shown.
    let room = usize::from(area.height.saturating_sub(1)).max(1);
    let first = (chosen + 1).saturating_sub(room);
    let shown = rows.iter().enumerate().skip(first).take(room).map(|(at, ring)| {
        let marks = format!(
            "{}{}",
            if at == chosen { ">" } else { " " },
            if is_wrong(ring) { "!" } else { " " }
        );
        let cells = columns.iter().map(|(column, width)| {
            let text = match column {
                Column::DepthBefore => {
                    picture::sparkline(&model.depths(ring.number, *width), look.charset)
                }
                column => column.cell(ring, look.charset, *width),
            };
            cell(text, *column, Style::new())
        });
        let style = match (at == chosen, is_wrong(ring)) {
            (true, _) => Style::new().add_modifier(Modifier::REVERSED),
            (false, true) => look.wrong(),
            (false, false) => Style::new(),
        };
        Row::new(std::iter::once(Cell::from(marks)).chain(cells)).style(style)
    });
    let head = columns.iter().map(|(column, _)| {
        let sorted = *column == sort;
        let style = if sorted { Modifier::REVERSED } else { Modifier::UNDERLINED };
        cell(column.head().into(), *column, bold().add_modifier(style))
    });
    let widths = columns.iter().map(|(_, width)| Constraint::Length(*width as u16));
    let table = Table::new(shown, std::iter::once(Constraint::Length(MARKS as u16)).chain(widths))
        .header(Row::new(std::iter::once(Cell::from("")).chain(head)))
        .column_spacing(GAP as u16);
    frame.render_widget(table, area);
}

fn cell(text: String, column: Column, style: Style) -> Cell<'static> {
    let side = if column.is_text() { Alignment::Left } else { Alignment::Right };
    Cell::from(Text::from(text).alignment(side)).style(style)
}

/// Whether something about the ring is to be looked at.
fn is_wrong(ring: &RingReport) -> bool {
    ring.corrupt.is_some()
        || ring.count(FigureId::EnospcFull) > 0
        || ring.equations.iter().any(|equation| equation.balance == Balance::Unbalanced)
}

/// The columns that find room, as they stand, each with its width; the one that
/// orders the rings is always among them.
fn columns(width: usize, sort: Column) -> Vec<(Column, usize)> {
    let mut left = width.saturating_sub(MARKS);
    let mut chosen: Vec<Column> = Vec::new();
    let by_rank = Column::BY_RANK.into_iter().filter(|column| *column != sort);
    // The ring's name, then what orders them, then the others.
    let mut order: Vec<Column> = by_rank.collect();
    order.insert(usize::from(sort != Column::Ring), sort);
    for column in order {
        let needed = column.width() + GAP;
        if needed > left {
            // What follows matters less, even where it would fit.
            break;
        }
        left -= needed;
        chosen.push(column);
    }
    let mut columns: Vec<(Column, usize)> = Column::ALL
        .into_iter()
        .filter(|column| chosen.contains(column))
        .map(|column| (column, column.width()))
        .collect();
    for (column, width) in &mut columns {
        let more = left.min(column.most() - *width);
        *width += more;
        left -= more;
    }
    columns
}

/// What the table has no room for.
fn chosen(model: &Model, ring: &RingReport, look: Look, area: Rect) -> Vec<Line<'static>> {
    use FigureId as F;
    let head = |id: F| id.row().head;
    let rate = |id: F| format!("{} {}/s", head(id), number(ring.value(id), marked_number));
    let share = |id: F| format!("{} {}", head(id), number(ring.value(id), marked_percent));
    let report = text::ring(ring, text::TextOptions { charset: look.charset, verbose: false });
    // Its title, as every report has it: owner, consumers, items.
    let title = report.lines().next().unwrap_or_default();
    let woken = wake_up(ring).map_or(ABSENT.into(), |hi_ns| time(hi_ns, Rounding::Up));
    let estale = match number(ring.value(F::EstaleShare), marked_percent) {
        absent if absent == ABSENT => rate(F::EstaleRate),
        share => format!("{} = {share} of waits", rate(F::EstaleRate)),
    };
    let consumer = match ring.consumers.is_empty() {
        true => "consumer unknown: it never waited; name it with --consumer TID".to_owned(),
        false => {
            let shares = [F::ConsumerBusy, F::ConsumerEmpty, F::ConsumerWaiting].map(share);
            format!("consumer {}", shares.join("   "))
        }
    };
    let depth = |depth: Option<u64>| depth.map_or(ABSENT.into(), grouped);
    let about = format!(
        "{} {}, at most {}, of {}  ",
        head(F::Depth),
        depth(ring.left.map(u64::from)),
        depth(greatest_depth(ring)),
        ring.max_items
    );
    let room = usize::from(area.width).saturating_sub(about.chars().count() + 2);
    let before = picture::sparkline(&model.depths(ring.number, room.min(60)), look.charset);
    let mut lines = vec![String::new(), title.to_owned()];
    if let Some(why) = &ring.corrupt {
        lines.push(format!("  CORRUPT: {why}"));
    } else {
        lines.push(format!(
            "  {} p99 {woken}   {}   {estale}",
            head(F::WakeUp),
            rate(F::EnospcRate)
        ));
    }
    lines.push(format!("  {consumer}"));
    lines.push(format!("  {about}{before}"));
    lines.iter().map(|line| Line::from(cut(line, area.width))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_that_orders_is_shown_at_any_width() {
        for width in [40, 80, 200] {
            for sort in Column::ALL {
                let columns = columns(width, sort);
                assert!(columns.iter().any(|(column, _)| *column == sort), "{sort:?} at {width}");
                let used: usize = columns.iter().map(|(_, width)| width + GAP).sum();
                assert!(MARKS + used <= width, "{used} of {width}");
            }
        }
    }

    #[test]
    fn a_wide_terminal_shows_every_column() {
        assert_eq!(columns(200, Column::Published).len(), Column::ALL.len());
        assert!(columns(80, Column::Published).len() >= 7);
    }
}
