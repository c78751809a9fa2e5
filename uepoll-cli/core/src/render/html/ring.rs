//! One ring of the page: who it is, the few figures that matter in the order
//! of every output, the table of times, and what is not known with the reason.

use std::collections::BTreeMap;

use super::table::{Column, table};
use super::words::{ABSENT, bounds, foreign, html, length, marks, number, time_up};
use crate::capture::Consumer;
use crate::figures::{FIGURES, Figure, FigureId, Unit};
use crate::quantile::{Bounds, LEVEL, Percentile};
use crate::render::text::ring_name;
use crate::render::units::{Rounding, grouped, time};
use crate::report::{Distribution, IntervalDistribution, RingReport, Value};

/// Times of a ring, in the order of the text report.
const TIMES: [FigureId; 8] = [
    FigureId::Residency,
    FigureId::WakeUp,
    FigureId::PublishDirect,
    FigureId::PublishOffloaded,
    FigureId::OffloadDelay,
    FigureId::OffloadRun,
    FigureId::Blocked,
    FigureId::SlotExposure,
];

/// Names of a ring beside its own that are shown.
const NAMES: usize = 8;

/// The heading of a ring: its name, its process, who consumes.
pub(super) fn heading(ring: &RingReport, id: &str) -> String {
    let comm = ring.owner.as_ref().map_or("owner not seen".into(), |owner| foreign(&owner.comm));
    let used = match ring.items_used {
        Some(used) => format!("{} of {} items used", count(used), count(ring.max_items)),
        None => format!("{} items", count(ring.max_items)),
    };
    let mut facts = vec![consumers(&ring.consumers), used];
    if ring.created {
        facts.push("created during the run".into());
    }
    if ring.closed {
        facts.push("closed during the run: figures up to then".into());
    }
    let name = ring_name(ring);
    let holders = ring.holders.iter().map(|it| format!("{}:{}", it.pid, it.fd));
    let others: Vec<String> = holders.filter(|it| *it != name).take(NAMES + 1).collect();
    if !others.is_empty() {
        let more = if others.len() > NAMES { " and more" } else { "" };
        let others = &others[..others.len().min(NAMES)];
        facts.push(format!("also known as {}{more}", others.join(", ")));
    }
    format!(
        "<h2 id=\"{id}-head\"><span class=\"ring-name\">{}</span> {comm}</h2>\
         <p class=\"facts\">{}</p>",
        html(&name),
        facts.join(" · ")
    )
}

fn count(value: u32) -> String {
    marks(&grouped(u64::from(value)))
}

fn consumers(all: &[Consumer]) -> String {
    let name = |one: &Consumer| match foreign(&one.comm) {
        comm if comm.is_empty() => format!("thread {}", one.tid),
        comm => format!("{comm} ({})", one.tid),
    };
    match all {
        [] => "consumer unknown".into(),
        [one] => format!("consumer {}", name(one)),
        [first, second] => format!("consumers {} and {}", name(first), name(second)),
        [first, rest @ ..] => format!("consumers {} and {} more", name(first), rest.len()),
    }
}

/// What must be read before the figures.
pub(super) fn warnings(ring: &RingReport) -> String {
    let mut out = String::new();
    let mut warn = |word: &str, text: &str| {
        out.push_str(&format!("<p class=\"warning\"><strong>{word}</strong> {text}</p>"));
    };
    if let Some(why) = &ring.corrupt {
        let why = foreign(why);
        warn(
            "Corrupt:",
            &format!(
                "{why}. The process can write there: depth and consumed are not to be believed."
            ),
        );
    }
    if ring.head_back > 0 {
        warn("Head went back", &format!("{} times.", marks(&grouped(ring.head_back))));
    }
    for (equation, terms) in unbalanced(ring) {
        warn("Books off:", &format!("{}: {}.", html(equation), html(&terms)));
    }
    out
}

fn unbalanced(ring: &RingReport) -> impl Iterator<Item = (&str, String)> {
    let off = |it: &&crate::books::Equation| it.balance == crate::books::Balance::Unbalanced;
    ring.equations.iter().filter(off).map(|it| (it.name, it.to_string()))
}

/// A sentence or three of what the figures say.
pub(super) fn summary(ring: &RingReport, duration_ns: u64) -> String {
    use FigureId as F;
    if ring.activity() == 0 {
        return "<p class=\"summary\">Nothing happened on this ring.</p>".into();
    }
    let mut out = format!("In {}, ", length(duration_ns));
    match number(ring, F::Published) {
        Some(published) => out.push_str(&format!("{published} events took a slot of this ring")),
        None => out.push_str("nobody could see what was published to this ring"),
    }
    if let Some(merged) = number(ring, F::Merged).filter(|_| ring.count(F::Merged) > 0) {
        out.push_str(&format!(
            "; {merged} more were merged: their item was ready already, so they needed none"
        ));
    }
    out.push_str(". ");
    if let Value::Interval(residency) = ring.value(F::Residency) {
        let at_most = |which: Percentile| residency.percentiles[which as usize]?.hi;
        if let Some(half_ns) = at_most(Percentile::P50) {
            out.push_str(&format!(
                "Of those sampled, half were consumed within {}",
                time_up(half_ns)
            ));
            if let Some(most_ns) = at_most(Percentile::P99) {
                out.push_str(&format!(", 99\u{a0}% within {}", time_up(most_ns)));
            }
            out.push_str(". ");
        }
        if residency.unconsumed > 0 {
            out.push_str(&format!(
                "{} of the sampled were still in the ring at the end. ",
                marks(&grouped(residency.unconsumed))
            ));
        }
    }
    if let Some(before) = ring.before.filter(|before| before.left > 0) {
        out.push_str(&format!(
            "{} were in the ring before anybody looked; {} are still there, after at least {}. ",
            count(before.positions),
            count(before.left),
            html(&time(before.age_at_least_ns, Rounding::Down))
        ));
    }
    if ring.count(F::EnospcFull) > 0 {
        out.push_str("The ring was full at times: ADDs were refused. ");
    }
    if let Some(narrower) = &ring.narrower {
        out.push_str(&foreign(narrower));
    }
    format!("<p class=\"summary\">{}</p>", out.trim_end())
}

/// The figures that matter, in the order of every output.
pub(super) fn tiles(ring: &RingReport) -> String {
    use FigureId as F;
    let mut out = String::from("<dl class=\"tiles\">");
    let value = |id| number(ring, id).map_or(ABSENT.to_owned(), |text| html(&text));
    let with = |id: FigureId| {
        number(ring, id).map(|text| format!("{}\u{a0}{}", id.row().head, html(&text)))
    };
    tile(
        &mut out,
        "published",
        &value(F::PublishedRate),
        &[
            with(F::MergedShare),
            number(ring, F::EventsPerWait).map(|it| format!("{} events per wait", html(&it))),
        ],
    );
    let causes = [F::EnospcFull, F::EnospcWatches];
    let causes = causes.into_iter().filter(|id| ring.count(*id) > 0).filter_map(with);
    let stale = number(ring, F::EstaleRate).map(|rate| {
        let share = number(ring, F::EstaleShare).map_or(String::new(), |it| format!(" = {it}"));
        format!("ESTALE {}{} of waits, the race to sleep", html(&rate), html(&share))
    });
    let stale =
        stale.map(|text| if text.contains('=') { text } else { text.replace(" of waits", "") });
    let causes: Vec<Option<String>> = causes.map(Some).chain([stale]).collect();
    tile(&mut out, "ENOSPC", &value(F::EnospcRate), &causes);
    match ring.value(F::Residency) {
        Value::Interval(residency) => {
            let cells = interval_cells(residency);
            tile(&mut out, "in ring, median", &cells[0], &tails(&cells));
        }
        _ => tile(&mut out, "in ring, median", ABSENT, &[reason(ring, F::Residency)]),
    }
    match ring.value(F::WakeUp) {
        Value::Distribution(wake_up) => {
            let cells = cells(wake_up, time_up);
            tile(&mut out, "wake-up, median", &cells[0], &tails(&cells));
        }
        _ => tile(&mut out, "wake-up, median", ABSENT, &[reason(ring, F::WakeUp)]),
    }
    let busy = [with(F::ConsumerWaiting), with(F::ConsumerEmpty), with(F::SlotSpin)];
    let unknown = number(ring, F::ConsumerBusy).is_none().then(|| reason(ring, F::ConsumerBusy));
    let consumer: Vec<Option<String>> = unknown.into_iter().chain(busy).collect();
    tile(&mut out, "consumer busy", &value(F::ConsumerBusy), &consumer);
    match ring.value(F::Depth) {
        Value::Distribution(depth) => {
            let cells = cells(depth, |items| marks(&grouped(items)));
            let of = Some(format!("of {}", count(ring.max_items)));
            let tails: Vec<_> = tails(&cells).into_iter().chain([of]).collect();
            tile(&mut out, "depth, median", &cells[0], &tails);
        }
        _ => tile(&mut out, "depth, median", ABSENT, &[reason(ring, F::Depth)]),
    }
    out + "</dl>"
}

fn reason(ring: &RingReport, id: FigureId) -> Option<String> {
    match ring.value(id) {
        Value::Absent(reason) => Some(foreign(reason)),
        _ => None,
    }
}

fn tile(out: &mut String, name: &str, value: &str, more: &[Option<String>]) {
    let more: Vec<&str> = more.iter().flatten().map(String::as_str).collect();
    out.push_str(&format!(
        "<div><dt>{name}</dt><dd class=\"big\">{value}</dd><dd>{}</dd></div>",
        more.join("<br>")
    ));
}

/// All but the median.
fn tails(cells: &[String; 4]) -> Vec<Option<String>> {
    let known = |name: &str, cell: &String| (cell != ABSENT).then(|| format!("{name}\u{a0}{cell}"));
    let line = |names: [(&str, &String); 2]| {
        let parts: Vec<String> = names.iter().filter_map(|(name, it)| known(name, it)).collect();
        (!parts.is_empty()).then(|| parts.join(" · "))
    };
    vec![line([("p99", &cells[1]), ("p99.9", &cells[2])]), known("max", &cells[3])]
}

fn interval_cells(distribution: &IntervalDistribution) -> [String; 4] {
    let [p50, p99, p999] =
        distribution.percentiles.map(|it: Option<Bounds>| it.map_or(ABSENT.into(), bounds));
    let max = match distribution.max.hi {
        Some(hi_ns) => format!("≤ {}", time_up(hi_ns)),
        None => bounds(distribution.max),
    };
    [p50, p99, p999, max]
}

/// Percentiles as the upper edge of their bucket.
fn cells(distribution: &Distribution, words: impl Fn(u64) -> String) -> [String; 4] {
    let [p50, p99, p999] =
        distribution.percentiles.map(|it| it.and_then(|it| it.hi).map_or(ABSENT.into(), &words));
    [p50, p99, p999, words(distribution.max)]
}

/// Times as a table.
pub(super) fn times(ring: &RingReport) -> String {
    let mut rows = String::new();
    for id in TIMES {
        let (cells, of) = match ring.value(id) {
            Value::Interval(it) => {
                (interval_cells(it), format!("{} sampled", marks(&grouped(it.samples))))
            }
            Value::Distribution(it) => {
                let mark = it.accuracy.mark();
                (cells(it, time_up), marks(&format!("{mark}{}", grouped(it.count))))
            }
            _ => continue,
        };
        let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        let (head, definition) = (id.row().head, html(id.row().definition));
        rows.push_str(&format!(
            "<tr><th scope=\"row\" title=\"{definition}\">{head}</th>{cells}<td>{of}</td></tr>"
        ));
    }
    if rows.is_empty() {
        return String::new();
    }
    let mut columns = vec![Column::Bare];
    columns.extend(Percentile::ALL.map(|percentile| Column::Numbers(percentile.head())));
    columns.extend([Column::Numbers("max"), Column::Numbers("of")]);
    let bars = match ring.value(FigureId::Residency) {
        Value::Interval(_) => format!(
            " In ring: each percentile lies within its bounds at {:.0} %, for the sampling.",
            LEVEL * 100.0
        ),
        _ => String::new(),
    };
    let floor = number(ring, FigureId::PublishFloor).map_or(String::new(), |floor| {
        format!(" Publish: the probes' own floor is {}.", html(&floor))
    });
    format!(
        "<h3>Times</h3>{}<p class=\"what\">Rounded up; buckets are 6.25 % wide.{bars}{floor}</p>",
        table("times", &columns, &rows)
    )
}

/// Every figure with its definition, and what is absent with the reason.
pub(super) fn details(ring: &RingReport) -> String {
    let mut rows = String::new();
    let mut absent: BTreeMap<&str, Vec<&Figure>> = BTreeMap::new();
    for figure in FIGURES {
        if let Value::Absent(reason) = ring.value(figure.id) {
            absent.entry(reason).or_default().push(figure);
            continue;
        }
        let value = match ring.value(figure.id) {
            Value::Interval(it) => format!("mean {}", bounds(it.mean)),
            Value::Distribution(it) => mean(it, figure.unit),
            _ => number(ring, figure.id).unwrap_or_default(),
        };
        rows.push_str(&format!(
            "<tr><th scope=\"row\"><code>{}</code></th><td>{}</td>\
             <td>{}<br><small>{}</small></td></tr>",
            figure.key(),
            html(&value),
            html(figure.definition),
            html(figure.exactness.words())
        ));
    }
    let mut out = String::new();
    if !absent.is_empty() {
        let items: String = absent
            .iter()
            .map(|(reason, figures)| {
                let heads: Vec<String> =
                    figures.iter().map(|figure| format!("<code>{}</code>", figure.key())).collect();
                format!("<li><strong>{}</strong>: {}</li>", foreign(reason), heads.join(", "))
            })
            .collect();
        out.push_str(&format!(
            "<details><summary>What is not known of this ring, and why</summary>\
             <ul>{items}</ul></details>"
        ));
    }
    let columns = ["figure", "value", "meaning"].map(Column::Words);
    format!(
        "{out}<details><summary>Every figure, what it means, how exact it is</summary>{}</details>",
        table("all", &columns, &rows)
    )
}

fn mean(distribution: &Distribution, unit: Unit) -> String {
    let Some(mean) = distribution.mean() else { return ABSENT.into() };
    match unit {
        Unit::Nanoseconds => format!("mean {}", time_up(mean.ceil() as u64)),
        _ => format!("mean {mean:.1}"),
    }
}

/// A row of the table of rings.
pub(super) fn row(ring: &RingReport, link: Option<&str>) -> String {
    use FigureId as F;
    let name = html(&ring_name(ring));
    let name = match link {
        Some(id) => format!("<a href=\"#{id}\" data-shows=\"{id}\">{name}</a>"),
        None => name,
    };
    let comm = ring.owner.as_ref().map_or(ABSENT.into(), |owner| foreign(&owner.comm));
    let residency = match ring.value(F::Residency) {
        Value::Interval(it) => interval_cells(it)[0].clone(),
        _ => ABSENT.into(),
    };
    let figure = |id| number(ring, id).map_or(ABSENT.into(), |text| html(&text));
    let state = match (&ring.corrupt, ring.closed) {
        (Some(_), _) => "corrupt",
        (None, true) => "closed",
        (None, false) => "",
    };
    format!(
        "<tr><th scope=\"row\">{name}</th><td class=\"words\">{comm}</td><td>{}</td><td>{}</td>\
         <td>{}</td><td>{residency}</td><td>{}</td><td class=\"words\">{state}</td></tr>",
        figure(F::PublishedRate),
        figure(F::EnospcRate),
        figure(F::EstaleRate),
        figure(F::ConsumerBusy),
    )
}
