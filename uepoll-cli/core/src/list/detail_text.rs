//! One ring for people: header, live slots, items, each with what its file is.

use super::detail::{Detail, Item, Known, Memory, SlotContent, Target, What};
use super::events::{interest, ready};
use super::{Capacity, Ring, container, protocol_name, table};
use crate::render::text::WIDTH;
use crate::render::{Charset, escaped, paragraph};
use uepoll_common::abi;

/// Slots that are told one by one.
const MOST_SLOTS: usize = 16;

/// Columns that what a file is begins at, at most.
const LEAST_WHAT: usize = 20;

/// Columns of the names of flags: more of them are no ordinary item's, and are
/// told as a number.
const MOST_ASKS: usize = 20;
const MOST_READY: usize = 18;

/// Heads of the items' columns.
const HEADS: [&str; 6] = ["ITEM", "FD", "ASKS", "READY", "DATA", "FILE"];

/// The whole of it for people.
pub fn text(detail: &Detail, charset: Charset) -> String {
    let ring = &detail.ring;
    let mut out = heading(detail, charset);
    out.push_str(&numbers(ring));
    out.push_str(&consumers(ring, charset));
    if !ring.others.is_empty() {
        out.push_str(&paragraph("  also      ", &table::others(ring, charset)));
    }
    match &detail.memory {
        Ok(memory) => {
            out.push_str(&header(memory, ring.state.capacity));
            out.push_str(&slots(memory));
            out.push_str(&items(memory, &detail.targets, charset));
        }
        Err(why) => {
            let why = escaped(why, charset, usize::MAX);
            out.push_str(&paragraph("  memory    ", &why));
            out.push_str(&files(&detail.targets, charset));
        }
    }
    for note in &detail.notes {
        out.push_str(&paragraph("", &escaped(note, charset, usize::MAX)));
    }
    out
}

fn heading(detail: &Detail, charset: Charset) -> String {
    let ring = &detail.ring;
    let protocol = protocol_name(detail.protocol).unwrap_or("protocol not known");
    let release = escaped(&detail.release, charset, 40);
    let comm = escaped(&ring.holder.comm, charset, 16);
    let inner = ring.inner_pid.map(|pid| format!(" (process {pid} of its own namespace)"));
    let place = ring.cgroup.as_deref().and_then(container);
    let place = place.map(|place| format!(" in {}", escaped(&place, charset, 60)));
    let name = format!("{}:{}  ", ring.holder.pid, ring.holder.fd);
    let words = format!("{comm}{}{}", inner.unwrap_or_default(), place.unwrap_or_default());
    format!("{release}  {protocol}\n\n{}", paragraph(&name, &words))
}

fn numbers(ring: &Ring) -> String {
    let state = &ring.state;
    let used = state.used.map_or("?".to_owned(), |used| used.to_string());
    let mark = if state.moving { "  (moving)" } else { "" };
    let mut out = format!("  items     {used} of {} used\n", state.capacity);
    out += &format!("  head      {}   tail {}", state.head, state.tail);
    if state.is_impossible() {
        out += &format!("\n  CORRUPT: they are {} apart: no such depth can be\n", state.depth());
    } else {
        let depth = state.sound_depth().map_or("?".to_owned(), |depth| depth.to_string());
        out += &format!("   depth {depth}{mark}\n");
    }
    out
}

fn consumers(ring: &Ring, charset: Charset) -> String {
    let words = match ring.asleep.as_deref() {
        None => "? (its threads' system calls are not shown to us)".to_owned(),
        Some([]) => "nobody is asleep in a wait on it now".to_owned(),
        Some(asleep) => {
            let names = asleep.iter().map(|sleeper| {
                format!("{} ({})", escaped(&sleeper.comm, charset, 16), sleeper.tid)
            });
            format!("{} asleep in a wait", names.collect::<Vec<_>>().join(", "))
        }
    };
    paragraph("  consumer  ", &words)
}

fn header(memory: &Memory, capacity: Capacity) -> String {
    let header = &memory.header;
    let mut out = format!(
        "  header    magic {:#010x}   {} + {} bytes   {} items\n",
        header.magic, header.header_length, header.index_length, header.max_items
    );
    let mut wrong = Vec::new();
    if header.magic != abi::HEADER_MAGIC {
        wrong.push(format!("magic is not {:#010x}", abi::HEADER_MAGIC));
    }
    for (name, said, is) in [
        ("header_length", header.header_length, memory.header_bytes),
        ("index_length", header.index_length, memory.index_bytes),
    ] {
        if said as usize != is {
            wrong.push(format!("{name} is {is} by the kernel"));
        }
    }
    if Capacity::Exact(header.max_items) != capacity {
        wrong.push(format!("max_items_nr is {capacity} by the kernel"));
    }
    if !wrong.is_empty() {
        let words = format!("{} (the program can write to it)", wrong.join("; "));
        out += &paragraph("  CORRUPT: ", &words);
    }
    if memory.moving {
        out += "  moving    head moved whenever slots were read: they are of several moments\n";
    }
    out
}

fn slots(memory: &Memory) -> String {
    if memory.slots.is_empty() {
        return String::new();
    }
    let words: Vec<String> = memory
        .slots
        .iter()
        .take(MOST_SLOTS)
        .map(|slot| match slot.content {
            SlotContent::Item(item) => format!("{}:{item}", slot.position),
            SlotContent::Empty => format!("{}:empty", slot.position),
            SlotContent::OutOfRange(word) => format!("{}:{word}?", slot.position),
        })
        .collect();
    let left = memory.slots.len().saturating_sub(MOST_SLOTS);
    let more = if left > 0 { format!(" and {left} more") } else { String::new() };
    paragraph("  in ring   ", &format!("{}{more} (position:item, oldest first)", words.join(" ")))
}

fn items(memory: &Memory, targets: &[Target], charset: Charset) -> String {
    let shown = memory.items.iter().filter(|i| i.known != Known::Free || i.position.is_some());
    let rows: Vec<[String; 6]> = shown.map(|item| item_row(item, targets, charset)).collect();
    let mut out = grid(&rows);
    if rows.iter().any(|row| row[0].starts_with('*')) {
        out += "* in the ring now\n";
    }
    if rows.iter().any(|row| row[1] == "?") {
        out += &paragraph(
            "",
            "? which file an item is for is known by its data: several have the same, or none",
        );
        let matched = |at| memory.items.iter().any(|item| item.known == Known::Target(at));
        let left: Vec<Target> = targets
            .iter()
            .enumerate()
            .filter(|(at, _)| !matched(*at))
            .map(|(_, target)| target.clone())
            .collect();
        out += &files(&left, charset);
    }
    out
}

fn item_row(item: &Item, targets: &[Target], charset: Charset) -> [String; 6] {
    let mark = if item.position.is_some() { "*" } else { "" };
    let target = match item.known {
        Known::Target(at) => targets.get(at),
        Known::Unknown | Known::Free => None,
    };
    let fd = match (target, item.known) {
        (Some(target), _) => target.fd.to_string(),
        (None, Known::Free) => "-".to_owned(),
        (None, _) => "?".to_owned(),
    };
    let what = match (target, item.known) {
        (Some(target), _) => what(&target.what, charset),
        (None, Known::Free) => "removed".to_owned(),
        (None, _) => "?".to_owned(),
    };
    let data = format!("{:#x}", item.data);
    let asks = short(interest(item.events), item.events, MOST_ASKS);
    let ready = short(ready(item.ready_events), item.ready_events, MOST_READY);
    [format!("{mark}{}", item.number), fd, asks, ready, data, what]
}

/// What is watched, without items: their numbers are not known.
fn files(targets: &[Target], charset: Charset) -> String {
    let rows: Vec<[String; 6]> = targets
        .iter()
        .map(|target| {
            [
                "?".to_owned(),
                target.fd.to_string(),
                short(interest(target.events), target.events, MOST_ASKS),
                "?".to_owned(),
                format!("{:#x}", target.data),
                what(&target.what, charset),
            ]
        })
        .collect();
    grid(&rows)
}

/// The names of flags, or their number where they are too many.
fn short(names: String, flags: u32, most: usize) -> String {
    if names.len() > most { format!("{flags:#x}") } else { names }
}

fn what(what: &What, charset: Charset) -> String {
    match what {
        What::File { kind, description } if description.is_empty() => {
            escaped(kind, charset, usize::MAX)
        }
        What::File { kind, description } => {
            escaped(&format!("{kind}, {description}"), charset, usize::MAX)
        }
        What::Replaced => "? (the descriptor is closed, or another file's now)".to_owned(),
        What::Unknown => "?".to_owned(),
    }
}

/// A table; its last column is broken between words, or begins below where the
/// others leave it no room.
fn grid(rows: &[[String; 6]]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let heads = HEADS.map(str::to_owned);
    let mut widths = [0; 5];
    for row in rows.iter().chain([&heads]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let indent = widths.iter().sum::<usize>() + 2 * widths.len() + 2;
    let below = indent + LEAST_WHAT > WIDTH;
    let mut out = "\n".to_owned();
    for row in [&heads].into_iter().chain(rows) {
        let mut first = "  ".to_owned();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            if column < 2 {
                first += &format!("{cell:>width$}  ");
            } else {
                first += &format!("{cell:<width$}  ");
            }
        }
        if below {
            out += &format!("{}\n", first.trim_end());
            out += &paragraph("        ", &row[5]);
        } else {
            out += &paragraph(&first, &row[5]);
        }
    }
    out
}
