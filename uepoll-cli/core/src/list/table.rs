//! The list for people: one line for each ring, in 80 columns.

use super::{Listing, Ring, container, count, protocol_name};
use crate::render::text::WIDTH;
use crate::render::{Charset, escaped, paragraph};

/// Columns that a name keeps when there is little room.
const LEAST_NAME: usize = 4;

/// Columns that a container keeps; with less room it goes.
const LEAST_CONTAINER: usize = 9;

/// Descriptors of the same ring that are told beside the first.
const MOST_OTHERS: usize = 16;

/// Heads of the columns; the names' are to the left, numbers to the right.
const HEADS: [&str; 8] =
    ["PID:FD", "COMM", "USED", "HEAD", "TAIL", "DEPTH", "CONSUMER", "CONTAINER"];
const COMM: usize = 1;
const CONTAINER: usize = 7;

/// The whole list for people.
pub fn text(listing: &Listing, charset: Charset) -> String {
    let mut out = heading(listing, charset);
    if listing.rings.is_empty() {
        out.push_str(match listing.hidden.processes + listing.hidden.files {
            0 => "no user-polled ring\n",
            _ => "no user-polled ring where we may look\n",
        });
    } else {
        out.push_str(&table(&listing.rings, charset));
    }
    if listing.rings.iter().any(|ring| ring.state.moving) {
        out.push_str("* head moved whenever tail was read: the two are of different moments\n");
    }
    for note in &listing.notes {
        out.push_str(&paragraph("", &escaped(note, charset, usize::MAX)));
    }
    out.push_str(&hidden(listing));
    out
}

fn heading(listing: &Listing, charset: Charset) -> String {
    let protocol = protocol_name(listing.protocol).unwrap_or("protocol not known");
    let rings = count(listing.rings.len(), "ring", "rings");
    format!("{}  {protocol}  {rings}\n", escaped(&listing.release, charset, 40))
}

/// What could not be looked into, and what would show it.
fn hidden(listing: &Listing) -> String {
    let hidden = &listing.hidden;
    if hidden.is_nothing() {
        return String::new();
    }
    let mut parts = Vec::new();
    if hidden.processes > 0 {
        parts.push(format!(
            "{} could not be looked into",
            count(hidden.processes, "process", "processes")
        ));
    }
    if hidden.files > 0 {
        let files = count(hidden.files, "epoll file", "epoll files");
        parts.push(format!("{files} may be rings or not"));
    }
    if hidden.waits > 0 {
        let processes = count(hidden.waits, "process", "processes");
        parts.push(format!("who waits in {processes} is not known (?)"));
    }
    paragraph("", &format!("{}: {}", parts.join("; "), hidden.remedy))
}

/// The rows, each column as wide as it needs to be, names and containers cut to
/// what is left.
fn table(rings: &[Ring], charset: Charset) -> String {
    let rows: Vec<[String; 8]> = rings.iter().map(|ring| cells(ring, charset)).collect();
    let mut widths = HEADS.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut shown = HEADS.len();
    if rows.iter().all(|row| row[CONTAINER] == "-") {
        shown = CONTAINER;
    }
    fit(&mut widths, &mut shown);
    let mut out = line(&HEADS.map(str::to_owned), &widths[..shown]);
    for (ring, row) in rings.iter().zip(&rows) {
        out.push_str(&line(row, &widths[..shown]));
        out.push_str(&continuation(ring, charset));
        if shown <= CONTAINER && row[CONTAINER] != "-" {
            out.push_str(&paragraph("    in ", &row[CONTAINER]));
        }
    }
    out
}

/// Makes the columns fit: first the container gives room, then the name, then
/// the container goes to a line of its own.
fn fit(widths: &mut [usize; 8], shown: &mut usize) {
    let whole =
        |widths: &[usize; 8], shown: usize| widths[..shown].iter().sum::<usize>() + 2 * (shown - 1);
    for (column, least) in [(CONTAINER, LEAST_CONTAINER), (COMM, LEAST_NAME)] {
        if column < *shown {
            let over = whole(widths, *shown).saturating_sub(WIDTH);
            widths[column] = widths[column].saturating_sub(over).max(least.min(widths[column]));
        }
    }
    if whole(widths, *shown) > WIDTH {
        *shown = CONTAINER;
    }
}

fn line(cells: &[String; 8], widths: &[usize]) -> String {
    let mut out = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let cell = cut(cell, *width);
        let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
        let left = matches!(column, 0 | COMM | 6 | CONTAINER);
        if left {
            out.push_str(&cell);
            out.push_str(&pad);
        } else {
            out.push_str(&pad);
            out.push_str(&cell);
        }
        out.push_str("  ");
    }
    format!("{}\n", out.trim_end())
}

/// An escaped cell in at most `width` columns, cut with `~`.
fn cut(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_owned();
    }
    let kept: String = cell.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}~")
}

fn cells(ring: &Ring, charset: Charset) -> [String; 8] {
    let state = &ring.state;
    let used = state.used.map_or("?".to_owned(), |used| used.to_string());
    let mark = if state.moving { "*" } else { "" };
    let depth = state.sound_depth().map_or("?".to_owned(), |depth| depth.to_string());
    let consumer = match ring.asleep.as_deref() {
        None => "?".to_owned(),
        Some([]) => "-".to_owned(),
        Some([one]) => one.tid.to_string(),
        Some([first, others @ ..]) => format!("{} +{}", first.tid, others.len()),
    };
    let place = ring.cgroup.as_deref().and_then(container);
    [
        format!("{}:{}", ring.holder.pid, ring.holder.fd),
        escaped(&ring.holder.comm, charset, 16),
        format!("{used}/{}", state.capacity),
        state.head.to_string(),
        state.tail.to_string(),
        format!("{depth}{mark}"),
        consumer,
        place.map_or("-".to_owned(), |place| escaped(&place, charset, 60)),
    ]
}

/// What is told below a ring's line.
fn continuation(ring: &Ring, charset: Charset) -> String {
    let mut out = String::new();
    if !ring.others.is_empty() {
        out.push_str(&paragraph("    also ", &others(ring, charset)));
    }
    if ring.state.is_impossible() {
        out.push_str(&paragraph(
            "    CORRUPT: ",
            &format!(
                "head and tail cannot both be right: they are {} apart, of {} items",
                ring.state.depth(),
                ring.state.capacity
            ),
        ));
    }
    out
}

/// The other descriptors of a ring, with the names of other processes.
pub(super) fn others(ring: &Ring, charset: Charset) -> String {
    let mut named = ring.holder.pid;
    let words: Vec<String> = ring
        .others
        .iter()
        .take(MOST_OTHERS)
        .map(|other| {
            let name = if other.pid == named {
                String::new()
            } else {
                named = other.pid;
                format!(" ({})", escaped(&other.comm, charset, 16))
            };
            format!("{}:{}{name}", other.pid, other.fd)
        })
        .collect();
    let left = ring.others.len().saturating_sub(MOST_OTHERS);
    let more = if left > 0 { format!(" and {left} more") } else { String::new() };
    format!("{}{more}", words.join(", "))
}
