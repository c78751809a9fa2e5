//! One ring of the text report: its title, three lines of rates, the table.

use super::{Lines, WIDTH, consumer};
use crate::capture::{Consumer, Owner};
use crate::correlate::Before;
use crate::figures::FigureId;
use crate::quantile::{Bounds, Percentile};
use crate::render::escape::{Charset, escaped};
use crate::render::units::{Rounding, grouped, marked_number, marked_percent, time, time_bounds};
use crate::report::{Accuracy, Distribution, IntervalDistribution, RingReport, Value};

/// What stands where there is no figure.
pub(super) const ABSENT: &str = "-";

pub(super) fn render(ring: &RingReport, out: &mut Lines) {
    title(ring, out);
    marks(ring, out);
    rates(ring, out);
    table(ring, out);
    consumer::render(ring, out);
    doubts(ring, out);
}

/// `PID:FD`, the name of a ring for people.
pub(super) fn name(ring: &RingReport) -> String {
    match &ring.owner {
        Some(owner) if owner.fd >= 0 => format!("{}:{}", owner.pid, owner.fd),
        Some(owner) => format!("{}:?", owner.pid),
        None => format!("ring {}", ring.number),
    }
}

/// `4242:7  nginx  worker-0 (4251)          96 of 1024 items used`.
fn title(ring: &RingReport, out: &mut Lines) {
    let used = match ring.items_used {
        Some(used) => format!("{used} of {} items used", ring.max_items),
        None => format!("{} items", ring.max_items),
    };
    let name = name(ring);
    let room = WIDTH - name.len() - used.len() - 4;
    let owner = match &ring.owner {
        Some(owner) => owner_text(owner, &ring.consumers, out.charset, room),
        None => "owner not seen".into(),
    };
    let gap = WIDTH.saturating_sub(name.len() + 2 + columns(&owner) + used.len()).max(2);
    out.line(&format!("{name}  {owner}{}{used}", " ".repeat(gap)));
}

/// Comm and consuming threads in at most `room` columns.
fn owner_text(owner: &Owner, consumers: &[Consumer], charset: Charset, room: usize) -> String {
    let comm = escaped(&owner.comm, charset, 24.min(room));
    let thread = |of: &Consumer| match escaped(&of.comm, charset, 20) {
        name if name.is_empty() => format!("thread {}", of.tid),
        name => format!("{name} ({})", of.tid),
    };
    let more = |all: &[Consumer]| match all {
        [] => "consumer unknown".into(),
        [one] => thread(one),
        [first, rest @ ..] => format!("{} and {} more", thread(first), rest.len()),
    };
    // Two are named where there is room for both.
    let named = match consumers {
        [first, second] => format!("{comm}  {}, {}", thread(first), thread(second)),
        all => format!("{comm}  {}", more(all)),
    };
    let short = format!("{comm}  {}", more(consumers));
    [named, short].into_iter().find(|text| columns(text) <= room).unwrap_or(comm)
}

/// Columns that a string takes at most: as [`escaped`] counts them.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(|c| if (c as u32) < 0x1100 || c == '\u{fffd}' { 1 } else { 2 }).sum()
}

fn marks(ring: &RingReport, out: &mut Lines) {
    if let Some(why) = &ring.corrupt {
        out.wrapped(
            "  ",
            &format!("CORRUPT: {why}; the process can write there, so depth and consumed are not to be believed"),
        );
    }
    if ring.head_back > 0 {
        out.line(&format!("  head went back {} times", grouped(ring.head_back)));
    }
    if ring.closed {
        out.line("  closed during the run: figures up to then");
    }
}

pub(super) fn head(id: FigureId) -> &'static str {
    id.row().head
}

/// A count, rate or ratio as text, with the mark of its accuracy; `None` where
/// it is absent.
pub(super) fn plain(value: &Value, marked: fn(f64, Accuracy) -> String) -> Option<String> {
    match value {
        Value::Count { value, accuracy } => Some(format!("{}{}", accuracy.mark(), grouped(*value))),
        Value::Number { value, accuracy } => Some(marked(*value, *accuracy)),
        _ => None,
    }
}

fn rates(ring: &RingReport, out: &mut Lines) {
    let text = |id, marked: fn(f64, Accuracy) -> String| {
        plain(ring.value(id), marked).unwrap_or_else(|| ABSENT.into())
    };
    let merged = text(FigureId::MergedShare, marked_percent);
    let per_wait = match plain(ring.value(FigureId::EventsPerWait), marked_number) {
        Some(ratio) => format!("   {ratio} {}", head(FigureId::EventsPerWait)),
        None => String::new(),
    };
    let published = text(FigureId::PublishedRate, marked_number);
    out.line(&format!(
        "  {:<9} {published:>9}/s   {} {merged}{per_wait}",
        head(FigureId::PublishedRate),
        head(FigureId::MergedShare),
    ));
    let enospc = format!(
        "  {:<9} {:>9}/s{}",
        head(FigureId::EnospcRate),
        text(FigureId::EnospcRate, marked_number),
        enospc_causes(ring),
    );
    let Some(share) = plain(ring.value(FigureId::EstaleShare), marked_percent) else {
        return out.line(&enospc);
    };
    const EXPLAINED: &str = " (race to sleep)";
    let (name, rate) = (head(FigureId::EstaleRate), text(FigureId::EstaleRate, marked_number));
    let both = format!("{enospc}   {name} {rate}/s = {share} of waits");
    if both.len() > WIDTH {
        out.line(&enospc);
        return out.line(&format!("  {name:<9} {rate:>9}/s = {share} of waits{EXPLAINED}"));
    }
    let fits = both.len() + EXPLAINED.len() <= WIDTH;
    out.line(&format!("{both}{}", if fits { EXPLAINED } else { "" }));
}

/// The causes of ENOSPC, only where there was one.
fn enospc_causes(ring: &RingReport) -> String {
    let full = ring.count(FigureId::EnospcFull);
    let watches = ring.count(FigureId::EnospcWatches);
    let causes = match (full, watches) {
        (0, 0) => return String::new(),
        (_, 0) => "ring full",
        (0, _) => "user watches",
        (_, _) => "full, watches",
    };
    let inferred = [FigureId::EnospcFull, FigureId::EnospcWatches]
        .into_iter()
        .any(|id| matches!(ring.value(id), Value::Count { accuracy: Accuracy::Inferred, .. }));
    format!(" ({}{causes})", if inferred { "likely " } else { "" })
}

fn table(ring: &RingReport, out: &mut Lines) {
    let mut row = |head: &str, cells: [String; 4], of: &str| {
        let [p50, p99, p999, max] = cells;
        out.line(&format!("  {head:<9}{p50:>12} {p99:>12} {p999:>12} {max:>9}   {of}"));
    };
    let [p50, p99, p999] = Percentile::ALL.map(|percentile| percentile.head().to_owned());
    row("", [p50, p99, p999, "max".into()], "of");
    let none = || std::array::from_fn(|_| ABSENT.to_owned());
    match ring.value(FigureId::Residency) {
        Value::Interval(distribution) => row(
            head(FigureId::Residency),
            interval_cells(distribution),
            &with_word(grouped(distribution.samples), " sampled"),
        ),
        _ => row(head(FigureId::Residency), none(), "none sampled"),
    }
    for (id, without) in [
        (FigureId::WakeUp, "none slept"),
        (FigureId::OffloadDelay, "none needed"),
        (publish_figure(ring), "none"),
        (FigureId::Blocked, "no wait"),
    ] {
        let name = match id {
            FigureId::PublishOffloaded => head(FigureId::PublishDirect),
            id => head(id),
        };
        match ring.value(id) {
            Value::Distribution(distribution) => {
                let of = match id {
                    FigureId::PublishDirect => every(ring, distribution),
                    id => all_of(id, distribution),
                };
                row(name, time_cells(distribution), &of);
            }
            Value::Absent(_) if nothing_happened(ring, id) => row(name, none(), without),
            _ => row(name, none(), "not seen"),
        }
    }
    match ring.value(FigureId::Depth) {
        Value::Distribution(distribution) => {
            row(head(FigureId::Depth), depth_cells(distribution), &format!("of {}", ring.max_items))
        }
        _ => row(head(FigureId::Depth), none(), "none"),
    }
}

/// What limits what the table says.
fn doubts(ring: &RingReport, out: &mut Lines) {
    if let Value::Interval(distribution) = ring.value(FigureId::Residency)
        && distribution.unconsumed > 0
    {
        out.line(&format!(
            "  {} of the sampled were still in the ring at the end",
            grouped(distribution.unconsumed)
        ));
    }
    if let Some(before) = ring.before.filter(|before| before.left > 0) {
        out.wrapped("  ", &before_text(&before));
    }
    if let Some(narrower) = &ring.narrower {
        out.wrapped("  ", narrower);
    }
}

/// What was in the ring before anybody looked.
pub(super) fn before_text(before: &Before) -> String {
    let left = match before.left {
        0 => "all have left".into(),
        left => format!("{} are still there", grouped(u64::from(left))),
    };
    format!(
        "{} were in the ring before: {left}, age >={}",
        grouped(u64::from(before.positions)),
        time(before.age_at_least_ns, Rounding::Down)
    )
}

/// Publish latency in the waker, or where all was offloaded, in the worker.
fn publish_figure(ring: &RingReport) -> FigureId {
    let is_there = |id| matches!(ring.value(id), Value::Distribution(_));
    if !is_there(FigureId::PublishDirect) && is_there(FigureId::PublishOffloaded) {
        FigureId::PublishOffloaded
    } else {
        FigureId::PublishDirect
    }
}

/// What was counted behind a distribution of times.
fn all_of(id: FigureId, distribution: &Distribution) -> String {
    let plural = if distribution.count == 1 { "" } else { "s" };
    let count = format!("{}{}", distribution.accuracy.mark(), grouped(distribution.count));
    match id {
        FigureId::WakeUp => count,
        FigureId::Blocked => with_word(count, &format!(" wait{plural}")),
        FigureId::OffloadDelay => with_word(count, &format!(" run{plural}")),
        FigureId::PublishOffloaded => with_word(count, " offloaded"),
        _ if distribution.accuracy == Accuracy::Exact => with_word(count, ", all"),
        _ => count,
    }
}

/// A count with its word, where there is room for both in the last column.
fn with_word(count: String, word: &str) -> String {
    const ROOM: usize = 18;
    if count.len() + word.len() <= ROOM { count + word } else { count }
}

/// `all; floor <=0.2us`: every publish is in it, and so is what the probes
/// cost; the number where the floor is not known, or some were missed.
fn every(ring: &RingReport, distribution: &Distribution) -> String {
    match ring.value(FigureId::PublishFloor) {
        Value::Count { value, accuracy } if distribution.accuracy == Accuracy::Exact => format!(
            "all; {} {}{}",
            head(FigureId::PublishFloor),
            accuracy.mark(),
            time(*value, Rounding::Up)
        ),
        _ => all_of(FigureId::PublishDirect, distribution),
    }
}

/// Whether an absent distribution is absent because nothing happened, rather
/// than because nobody could see it.
fn nothing_happened(ring: &RingReport, id: FigureId) -> bool {
    let counter = match id {
        FigureId::OffloadDelay => FigureId::OffloadRuns,
        FigureId::WakeUp => FigureId::WaitsSlept,
        FigureId::Blocked => FigureId::Waits,
        _ => FigureId::Published,
    };
    matches!(ring.value(counter), Value::Count { value: 0, .. })
}

fn interval_cells(distribution: &IntervalDistribution) -> [String; 4] {
    let [p50, p99, p999] = distribution.percentiles.map(cell);
    let max = match distribution.max.hi {
        Some(hi_ns) => format!("<{}", time(hi_ns, Rounding::Up)),
        None => time_bounds(distribution.max),
    };
    [p50, p99, p999, max]
}

fn cell(bounds: Option<Bounds>) -> String {
    bounds.map_or_else(|| ABSENT.into(), time_bounds)
}

/// Percentiles as the upper edge of their bucket, 6.25 % wide.
fn time_cells(distribution: &Distribution) -> [String; 4] {
    let [p50, p99, p999] = distribution.percentiles.map(|bounds| {
        upper(bounds).map_or_else(|| ABSENT.into(), |hi_ns| time(hi_ns, Rounding::Up))
    });
    [p50, p99, p999, time(distribution.max, Rounding::Up)]
}

fn depth_cells(distribution: &Distribution) -> [String; 4] {
    let [p50, p99, p999] =
        distribution.percentiles.map(|bounds| upper(bounds).map_or_else(|| ABSENT.into(), grouped));
    [p50, p99, p999, grouped(distribution.max)]
}

fn upper(bounds: Option<Bounds>) -> Option<u64> {
    bounds.and_then(|bounds| bounds.hi)
}
