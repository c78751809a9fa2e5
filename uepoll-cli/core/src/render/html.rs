//! A run as one HTML document that needs nothing else: no network, no file
//! beside it. Charts are SVG drawn here; a small script of ours adds reading
//! values and choosing a ring, and the page is whole without it.

mod cdf;
mod figure;
mod heat;
mod host;
mod lane;
mod ring;
mod series;
mod svg;
mod table;
mod time;
mod words;

use std::collections::BTreeMap;

use uepoll_common::record::{Record, RingNumber};

use crate::render::units::grouped;
use crate::report::RingReport;
use crate::run::{RunInfo, Told, Viewer};
use crate::whole::Whole;
use series::{Series, Wait};
use table::{Column, table};
use time::Span;

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// SHA-256 of [`STYLE`] and [`SCRIPT`], by which the policy lets them, and
/// nothing else, run. A test tells what they have to be.
const STYLE_HASH: &str = "n9vTUCGmSvd4G6YHr1NV1+2kZmmQxfys/TmsfECrfrw=";
const SCRIPT_HASH: &str = "UCmarLKZPT4jcqgb01FTOwjK0lRiuRb4IbpVPR2v8Jw=";

/// Rings that are followed over time, those that were met first.
const FOLLOWED: usize = 256;

/// Rings with charts of their own, the busiest.
const DRAWN: usize = 16;

/// Rows of the table of rings.
const LISTED: usize = 200;

/// Charts of rings together take no more than this.
const CHARTS_BYTES: usize = 1_600_000;

/// A run that becomes a page. Memory does not grow with its length.
pub struct Page {
    info: RunInfo,
    series: BTreeMap<RingNumber, Series>,
    intervals: Whole,
    /// Frames of the interval that has not been told yet.
    unfinished: Whole,
    span: Option<(u64, u64)>,
}

impl Page {
    /// An empty page.
    pub fn new(info: &RunInfo) -> Self {
        Self {
            info: info.clone(),
            series: BTreeMap::new(),
            intervals: Whole::default(),
            unfinished: Whole::default(),
            span: None,
        }
    }

    fn series(&mut self, number: RingNumber) -> Option<&mut Series> {
        if self.series.len() >= FOLLOWED && !self.series.contains_key(&number) {
            return None;
        }
        Some(self.series.entry(number).or_default())
    }

    fn follow(&mut self, told: &Told) {
        let (start_ns, duration_ns) = (told.capture.start_ns, told.capture.duration_ns);
        let end_ns = start_ns.saturating_add(duration_ns);
        let (first_ns, last_ns) = self.span.unwrap_or((start_ns, end_ns));
        self.span = Some((first_ns.min(start_ns), last_ns.max(end_ns)));
        for ring in &told.report.rings {
            if let Some(series) = self.series(ring.number) {
                series.frames.push(ring, start_ns, duration_ns);
            }
        }
    }

    /// The document.
    pub fn finish(mut self) -> String {
        // A recording that was cut short ends with frames of no interval.
        let cut_short = self.unfinished.parts() > 0;
        if let Some(rest) = std::mem::take(&mut self.unfinished).finish() {
            self.intervals.add(&rest);
        }
        let intervals = self.intervals.parts();
        let told = std::mem::take(&mut self.intervals).finish();
        let report = told.as_ref().map(|told| &told.report);
        let mut body = host::header(&self.info, report, intervals);
        body.push_str("<main>\n");
        if cut_short {
            body.push_str(
                "<p class=\"note\">The recording ends in the middle of an interval: its figures \
                 are those up to the last moment that was written.</p>",
            );
        }
        match &told {
            Some(told) => {
                body.push_str(&self.rings(told));
                body.push_str(&host::sections(&self.info, &told.report));
            }
            None => body.push_str("<p class=\"note\">Nothing was told of any interval.</p>"),
        }
        body.push_str("</main>\n");
        body.push_str(&host::trust(report));
        document(&body)
    }

    fn rings(&self, told: &Told) -> String {
        let rings = &told.report.rings;
        if rings.is_empty() {
            return "<section><h2>No ring was seen</h2><p>Nobody who was watched created a \
                    user-polled ring, added to one, waited on one or published to one.</p></section>"
                .into();
        }
        let mut sections = Vec::new();
        let mut bytes = 0;
        for ring in rings.iter().take(DRAWN) {
            let section = self.section(told, ring);
            // The busiest is always there.
            if bytes > 0 && bytes + section.len() > CHARTS_BYTES {
                break;
            }
            bytes += section.len();
            sections.push(section);
        }
        let mut out = String::new();
        if rings.len() > 1 {
            out.push_str(&overview(rings, sections.len()));
        }
        sections.iter().for_each(|section| out.push_str(section));
        out
    }

    fn section(&self, told: &Told, ring: &RingReport) -> String {
        let id = section_id(ring);
        let mut out = format!(
            "<section id=\"{id}\" data-ring aria-labelledby=\"{id}-head\">{}{}{}{}{}",
            ring::heading(ring, &id),
            ring::warnings(ring),
            ring::summary(ring, told.capture.duration_ns),
            ring::tiles(ring),
            ring::times(ring)
        );
        let capture = told.capture.rings.iter().find(|it| it.ring == ring.number);
        let nothing = Default::default();
        let correlated = told.correlated.rings.get(&ring.number).unwrap_or(&nothing);
        let distributions =
            capture.and_then(|capture| cdf::chart(format!("{id}-times"), capture, correlated));
        if let Some(chart) = distributions {
            out.push_str(&chart.html());
        }
        let (start_ns, end_ns) = self.span.unwrap_or((0, 0));
        let span = Span { start_ns, duration_ns: end_ns.saturating_sub(start_ns) };
        match self.series.get(&ring.number) {
            Some(series) => {
                if let Some(chart) = time::chart(format!("{id}-time"), ring, series, span) {
                    out.push_str(&chart.html());
                }
            }
            None => out.push_str(&format!(
                "<p class=\"left-out\">Not drawn over time: only the {FOLLOWED} rings that were \
                 met first are.</p>"
            )),
        }
        out.push_str(&ring::details(ring));
        out + "</section>\n"
    }
}

impl Viewer for Page {
    fn record(&mut self, record: &Record) {
        match record {
            Record::Resolved(resolved) => {
                if let Some(series) = self.series(resolved.ring) {
                    series.heat.push(resolved);
                }
            }
            Record::Waited(waited) => {
                if let Some(wait) = Wait::of(waited)
                    && let Some(series) = self.series(waited.ring)
                {
                    series.waits.push(wait);
                }
            }
            // Counted by the kernel side, and told by the frames.
            Record::RingSeen(_)
            | Record::RingClosed(_)
            | Record::Snapshot(_)
            | Record::Refused(_)
            | Record::Worked(_) => {}
        }
    }

    fn frame(&mut self, frame: &Told) {
        self.follow(frame);
        self.unfinished.add(frame);
    }

    fn interval(&mut self, interval: &Told) {
        // One without frames is a frame itself.
        if std::mem::take(&mut self.unfinished).parts() == 0 {
            self.follow(interval);
        }
        self.intervals.add(interval);
    }
}

fn section_id(ring: &RingReport) -> String {
    format!("ring-{}", ring.number)
}

/// All rings, those with a section linked to it.
fn overview(rings: &[RingReport], sections: usize) -> String {
    let rows: String = rings
        .iter()
        .take(LISTED)
        .enumerate()
        .map(|(index, it)| ring::row(it, (index < sections).then(|| section_id(it)).as_deref()))
        .collect();
    let mut left_out = String::new();
    if rings.len() > sections {
        left_out.push_str(&format!(
            "<p class=\"left-out\">Charts are of the busiest {sections} of {} rings.",
            grouped(rings.len() as u64)
        ));
        if rings.len() > LISTED {
            left_out.push_str(&format!(" The table has the busiest {LISTED}."));
        }
        left_out.push_str(" `uepoll report FILE -f json` has all of them.</p>");
    }
    let columns = [
        Column::Words("ring"),
        Column::Words("process"),
        Column::Numbers("published"),
        Column::Numbers("ENOSPC"),
        Column::Numbers("ESTALE"),
        Column::Numbers("in ring, median"),
        Column::Numbers("consumer busy"),
        Column::Bare,
    ];
    format!(
        "<section aria-labelledby=\"rings\"><h2 id=\"rings\">Rings</h2>{}{left_out}\
         <p><button type=\"button\" id=\"all-rings\" hidden>Show all rings</button></p></section>\n",
        table("rings", &columns, &rows)
    )
}

fn document(body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'sha256-{STYLE_HASH}'; script-src 'sha256-{SCRIPT_HASH}'; img-src data:; \
         base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>uepoll report</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <style>{STYLE}</style>\n</head>\n<body>\n{body}<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_policy_names_the_script_and_the_style_that_are_there() {
        for (what, text, hash) in
            [("STYLE_HASH", STYLE, STYLE_HASH), ("SCRIPT_HASH", SCRIPT, SCRIPT_HASH)]
        {
            let is = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text));
            assert_eq!(hash, is, "{what} is to be {is}");
            assert!(!text.contains("</"), "{what}: ends its own element");
        }
    }
}
