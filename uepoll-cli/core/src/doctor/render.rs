//! What was found of a host, as text for people and as JSON
//! (schema `uepoll.doctor/1`).

use serde_json::{Value as Json, json as object};

use super::{Check, Examination, Fitness, PointCheck, Section, Series, Trial, Verdict};
use crate::capture::Protocol;
use crate::render::json::{ascii, attached};
use crate::render::text::WIDTH;
use crate::render::{Charset, escaped};

/// Name and major version of the schema: additive changes keep it.
pub const SCHEMA: &str = "uepoll.doctor/1";

/// Columns before a detail that goes with the line above it.
const INDENT: &str = "      ";

/// The whole examination for people; the roll-up is its last paragraph.
pub fn text(examination: &Examination, charset: Charset) -> String {
    let mut out = Lines { text: String::new(), charset };
    out.paragraph("", "", &format!("{}  {}", examination.release, series(&examination.series)));
    for section in [Section::Kernel, Section::Rights] {
        let of = |check: &&Check| check.section == section;
        let mut checks = examination.checks.iter().filter(of).peekable();
        if checks.peek().is_some() {
            out.heading(section.word());
        }
        while let Some(check) = checks.next() {
            out.check(check);
            // What helps against several in a row is told once.
            match &check.remedy {
                Some(remedy) if checks.peek().is_none_or(|next| next.remedy != check.remedy) => {
                    out.remedy(remedy);
                }
                _ => {}
            }
        }
    }
    if !examination.points.is_empty() {
        out.points(examination);
    }
    out.text.push('\n');
    match examination.fitness() {
        Fitness::Fine => out.paragraph("", "  ", "fine: every figure can be had here"),
        Fitness::Degraded { checks, points } => {
            let of = |count: usize, one: &str, several: &str| match count {
                1 => format!("1 {one}"),
                count => format!("{count} {several}"),
            };
            let lost = match (of(checks, "check", "checks"), of(points, "point", "points")) {
                (checks, _) if points == 0 => checks,
                (_, points) if checks == 0 => points,
                (checks, points) => format!("{checks} and {points}"),
            };
            let verb = if checks + points == 1 { "loses" } else { "lose" };
            out.paragraph("", "  ", &format!("degraded: {lost} {verb} something; the rest works"));
        }
        Fitness::CannotRun { why } => {
            for why in why {
                out.paragraph("", "  ", &format!("cannot run: {why}"));
            }
        }
    }
    out.text
}

fn series(series: &Series) -> &'static str {
    match series {
        Series::Present(Protocol::V2) => "EPOLL_USERPOLL v2",
        Series::Present(Protocol::V4) => "EPOLL_USERPOLL v4",
        Series::Absent => "without EPOLL_USERPOLL",
        Series::Unknown => "EPOLL_USERPOLL not known",
    }
}

struct Lines {
    text: String,
    charset: Charset,
}

impl Lines {
    fn heading(&mut self, heading: &str) {
        self.text.push('\n');
        self.paragraph("", "", heading);
    }

    /// Broken between words; a word longer than a line stays whole: it is a
    /// path to be copied.
    fn paragraph(&mut self, first: &str, rest: &str, words: &str) {
        let words = escaped(words, self.charset, usize::MAX);
        let mut line = first.to_owned();
        let mut empty = true;
        for word in words.split(' ') {
            if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.text.push_str(line.trim_end());
                self.text.push('\n');
                line = rest.to_owned();
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn check(&mut self, check: &Check) {
        let first = format!("  {:<34}", check.subject);
        let found = match check.verdict {
            Verdict::Ok => format!("ok   {}", check.found),
            verdict => format!("{}: {}", verdict.word(), check.found),
        };
        self.paragraph(&first, INDENT, found.trim_end());
    }

    fn points(&mut self, examination: &Examination) {
        let made = match examination.trial {
            Trial::Made => "each attached once, to try",
            Trial::NotMade { .. } => "not tried: by symbols and types alone",
        };
        self.heading(&format!("probe points ({}; {made})", examination.probe_kind));
        let common = common_why(&examination.points);
        if let Some(why) = common {
            self.paragraph("  why no better way: ", INDENT, why);
        }
        for point in &examination.points {
            self.point(point, examination.verdict(point), common);
        }
    }

    fn point(&mut self, point: &PointCheck, verdict: Verdict, common_why: Option<&str>) {
        let row = &point.row;
        let way = attached(row.attached);
        let way = way.as_str().unwrap_or("-");
        let word = match verdict {
            Verdict::Unknown => "not tried",
            verdict => verdict.word(),
        };
        self.paragraph("", "", &format!("  {:<8} {:<31} {way:<11}{word}", row.point, row.symbol));
        let details = [
            ("lost", row.lost.as_deref()),
            ("why", row.why_not_better.as_deref().filter(|why| common_why != Some(why))),
            ("do", point.remedy.as_deref()),
        ];
        for (name, detail) in details {
            if let Some(detail) = detail {
                self.detail(name, detail);
            }
        }
    }

    fn remedy(&mut self, remedy: &str) {
        self.detail("do", remedy);
    }

    fn detail(&mut self, name: &str, detail: &str) {
        let rest = format!("{INDENT}{}", " ".repeat(name.len() + 2));
        self.paragraph(&format!("{INDENT}{name}: "), &rest, detail);
    }
}

/// Why no point goes a better way, if it is the same for all that do not, and
/// they are several.
fn common_why(points: &[PointCheck]) -> Option<&str> {
    let mut all = points.iter().filter_map(|point| point.row.why_not_better.as_deref());
    let first = all.next()?;
    let others: Vec<&str> = all.collect();
    (!others.is_empty() && others.iter().all(|why| *why == first)).then_some(first)
}

/// The whole examination for programs: one JSON document in ASCII, ends with a
/// line break. What is absent is null.
pub fn json(examination: &Examination) -> String {
    ascii(&format!("{:#}\n", document(examination)))
}

fn document(examination: &Examination) -> Json {
    let fitness = examination.fitness();
    let (present, protocol) = match examination.series {
        Series::Present(Protocol::V2) => (Some(true), Some("v2")),
        Series::Present(Protocol::V4) => (Some(true), Some("v4")),
        Series::Absent => (Some(false), None),
        Series::Unknown => (None, None),
    };
    let obstacles = match &fitness {
        Fitness::CannotRun { why } => why.as_slice(),
        _ => &[],
    };
    let (made, why_not) = match &examination.trial {
        Trial::Made => (true, None),
        Trial::NotMade { why } => (false, Some(why)),
    };
    object!({
        "schema": SCHEMA,
        "verdict": fitness.word(),
        "obstacles": obstacles,
        "release": examination.release,
        "series": { "present": present, "protocol": protocol },
        "checks": examination.checks.iter().map(|check| object!({
            "section": check.section.word(),
            "subject": check.subject,
            "verdict": check.verdict.word(),
            "essential": check.essential,
            "found": (!check.found.is_empty()).then_some(&check.found),
            "do": check.remedy,
        })).collect::<Vec<_>>(),
        "probe_kind": examination.probe_kind,
        "tried": made,
        "why_not_tried": why_not,
        "points": examination.points.iter().map(|point| object!({
            "point": point.row.point,
            "symbol": point.row.symbol,
            "attached": attached(point.row.attached),
            "verdict": examination.verdict(point).word(),
            "lost": point.row.lost,
            "why_not_better": point.row.why_not_better,
            "do": point.remedy,
        })).collect::<Vec<_>>(),
    })
}
