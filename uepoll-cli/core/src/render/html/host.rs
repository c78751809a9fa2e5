//! What the page says of the run as a whole: where and how it was made, the
//! probe plan, what was missed, what looking cost; the trust line last.

use super::table::{Column, table};
use super::words::{ABSENT, foreign, html, length, marks, utc};
use crate::capture::Protocol;
use crate::render::text::{attached_word, trust_line};
use crate::render::units::{grouped, number, percent, seconds};
use crate::report::{PROBES_ABSENT, Report, sampler_shortfall};
use crate::run::RunInfo;

/// What the kernel says of a weakness that this CPU does not have.
const NOT_AFFECTED: &str = "Not affected";

/// Heading and facts.
pub(super) fn header(info: &RunInfo, report: Option<&Report>, intervals: u64) -> String {
    let words: Vec<String> = info.words.iter().map(|word| foreign(word)).collect();
    let words = if words.is_empty() {
        String::new()
    } else {
        format!("<p class=\"command\"><code>{}</code></p>", words.join(" "))
    };
    let mut facts = Vec::new();
    if let Some(report) = report {
        let host = &report.host;
        facts.push(length(report.duration_ns));
        if info.by_intervals && intervals > 1 {
            facts.push(format!("{} intervals taken together", marks(&grouped(intervals))));
        }
        let protocol = match host.protocol {
            Protocol::V2 => "v2",
            Protocol::V4 => "v4",
        };
        facts.push(format!("{} {protocol}", foreign(&host.release)));
        facts.push(report.attached.map_or("mixed probes", attached_word).into());
        facts.push(format!("{} CPU{}", host.cpus, if host.cpus == 1 { "" } else { "s" }));
    }
    if !info.hostname.is_empty() {
        facts.push(foreign(&info.hostname));
    }
    if info.started_unix_ns > 0 {
        facts.push(utc(info.started_unix_ns));
    }
    let emulated = match report {
        Some(report) if report.host.emulated => {
            "<p class=\"warning\"><strong>Emulated:</strong> the CPU is software. Ratios hold, \
             times do not.</p>"
        }
        _ => "",
    };
    let labels: String = info
        .labels
        .iter()
        .take(32)
        .map(|(key, value)| format!("<li>{}={}</li>", foreign(key), foreign(value)))
        .collect();
    let labels =
        if labels.is_empty() { labels } else { format!("<ul class=\"labels\">{labels}</ul>") };
    let notes: String = report
        .map(|report| report.notes.as_slice())
        .unwrap_or_default()
        .iter()
        .map(|note| format!("<p class=\"note\">{}</p>", foreign(note)))
        .collect();
    format!(
        "<header><h1>uepoll <span>rings of user-polled epoll</span></h1>{words}\
         <p class=\"facts\">{}</p>{labels}{emulated}{notes}</header>\n",
        facts.join(" · ")
    )
}

/// Plan, loss, cost.
pub(super) fn sections(info: &RunInfo, report: &Report) -> String {
    format!(
        "<section aria-labelledby=\"how\"><h2 id=\"how\">How it was seen</h2>{}{}{}{}</section>\n",
        plan(report),
        loss(report),
        cost(report),
        machine(info)
    )
}

fn plan(report: &Report) -> String {
    let rows: String = report
        .plan
        .iter()
        .map(|row| {
            let because = [&row.why_not_better, &row.lost];
            let because: Vec<String> =
                because.into_iter().flatten().map(|it| foreign(it)).collect();
            format!(
                "<tr><th scope=\"row\">{}</th><td class=\"words\"><code>{}</code></td>\
                 <td class=\"words\">{}</td><td class=\"words\">{}</td></tr>",
                html(row.point),
                foreign(&row.symbol),
                attached_word(row.attached),
                because.join("; ")
            )
        })
        .collect();
    let columns = [
        Column::Words("observes"),
        Column::Words("on"),
        Column::Words("by"),
        Column::Words("lost, and why"),
    ];
    format!("<h3>Probes</h3>{}", table("plan", &columns, &rows))
}

fn loss(report: &Report) -> String {
    let mut rows = String::new();
    for row in report.loss.iter().filter(|row| row.count != Some(0)) {
        let count = row.count.map_or("not known".into(), |count| marks(&grouped(count)));
        let what =
            if row.key == PROBES_ABSENT { "probe points without a probe, above" } else { row.what };
        rows.push_str(&format!("<li>{count}: {}</li>", html(what)));
    }
    let shortfall = sampler_shortfall(report.ticks);
    let (expected, seen) = report.ticks;
    let widened = if shortfall > 0.0 { "; bounds are wider for it, not false" } else { "" };
    rows.push_str(&format!(
        "<li>Sampler at {} Hz: {} of {} ticks ran, {} did not{widened}.</li>",
        report.sampler_hz,
        marks(&grouped(seen)),
        marks(&grouped(expected)),
        percent(shortfall)
    ));
    let nothing = report.loss.iter().all(|row| row.count == Some(0));
    let nothing = if nothing { "<li>Nothing was lost.</li>" } else { "" };
    format!("<h3>What was missed</h3><ul>{nothing}{rows}</ul>")
}

fn cost(report: &Report) -> String {
    let cost = &report.cost;
    let share = |share: Option<f64>| share.map_or("not measured".into(), percent);
    let mut rows = String::new();
    for program in cost.programs.iter().filter(|program| program.hits > 0) {
        let each = program.ns_per_hit.map_or(ABSENT.into(), |ns| format!("{}\u{a0}ns", number(ns)));
        rows.push_str(&format!(
            "<tr><th scope=\"row\"><code>{}</code></th><td>{}</td><td>{each}</td></tr>",
            foreign(&program.name),
            marks(&grouped(program.hits))
        ));
    }
    let programs = if rows.is_empty() {
        rows
    } else {
        let columns = [Column::Words("program"), Column::Numbers("hits"), Column::Numbers("mean")];
        format!(
            "<details><summary>Each program, measured for {}</summary>{}</details>",
            seconds(cost.statistics_on_ns),
            table("price", &columns, &rows)
        )
    };
    format!(
        "<h3>What looking cost</h3><ul><li>Program bodies: {} of a CPU.</li>\
         <li>uepoll itself: {} of a CPU.</li><li>Records: {}/s.</li></ul>{programs}",
        share(cost.programs_share),
        share(cost.own_share),
        cost.records_per_s.map_or("not measured ".into(), number)
    )
}

fn machine(info: &RunInfo) -> String {
    if info.cpu_model.is_empty() && info.mitigations.is_empty() {
        return String::new();
    }
    let guarded = info.mitigations.iter().filter(|(_, guard)| *guard != NOT_AFFECTED);
    let rows: String = guarded
        .take(64)
        .map(|(weakness, guard)| format!("<li>{}: {}</li>", foreign(weakness), foreign(guard)))
        .collect();
    format!(
        "<h3>Machine</h3><ul><li>{}</li>{rows}</ul><p class=\"what\">{}</p>",
        foreign(&info.cpu_model),
        foreign(&info.tool)
    )
}

/// Cost, books, loss: the last line.
pub(super) fn trust(report: Option<&Report>) -> String {
    let words = match report {
        Some(report) => {
            let line = trust_line(report, usize::MAX);
            let parts: Vec<String> = line.split("   ").map(html).collect();
            let state = if report.trustworthy() { "" } else { " class=\"doubt\"" };
            return format!("<footer{state}><p>{}</p></footer>\n", parts.join(" · "));
        }
        None => "no interval was told: nothing is known of cost, books or loss",
    };
    format!("<footer class=\"doubt\"><p>{words}</p></footer>\n")
}
