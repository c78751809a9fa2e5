//! A run as an HdrHistogram interval log, for that library's own tools: a line
//! for each frame, ring and distribution, compressed, tagged with its ring and
//! figure. Of residency the lower and the upper ends apart.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};
use uepoll_common::counter::RingHistogram;
use uepoll_common::record::{Record, RingNumber};

use super::buckets::edges;
use super::escape::{Charset, escaped};
use super::text::ring_name;
use crate::figures::FigureId;
use crate::report::RingReport;
use crate::run::{RunInfo, Told, Viewer};

/// Significant decimal digits: finer than the buckets of the kernel side.
const DIGITS: u8 = 3;

/// Largest value of a log; no clock reaches it.
const LARGEST: u64 = 1 << 62;

/// Once lines take this much, the rest of the run becomes one line for each
/// tag: nothing is lost but its course.
const LINES_BYTES: usize = 32 << 20;

/// Tags of the rest of a run: each takes some 200 KiB until it is written.
const REST_TAGS: usize = 500;

/// Distributions of the kernel side, and the figure that each is.
const FIGURES: [(RingHistogram, FigureId); 8] = [
    (RingHistogram::PublishDirect, FigureId::PublishDirect),
    (RingHistogram::PublishOffloaded, FigureId::PublishOffloaded),
    (RingHistogram::OffloadDelay, FigureId::OffloadDelay),
    (RingHistogram::OffloadRun, FigureId::OffloadRun),
    (RingHistogram::Blocked, FigureId::Blocked),
    (RingHistogram::Depth, FigureId::Depth),
    (RingHistogram::SlotExposure, FigureId::SlotExposure),
    (RingHistogram::WakeUp, FigureId::WakeUp),
];

/// A run that becomes a log.
pub struct Log {
    info: RunInfo,
    lines: String,
    rings: BTreeMap<RingNumber, String>,
    /// Frames since the last interval.
    frames: u64,
    rest: Option<Rest>,
    /// Values that no histogram takes, or histograms that found no room.
    left_out: u64,
    /// Weight of positions without an upper end.
    unconsumed: u64,
    lines_bytes: usize,
}

/// What came after the room for lines was used up.
struct Rest {
    start_ns: u64,
    end_ns: u64,
    histograms: BTreeMap<String, Histogram<u64>>,
}

impl Log {
    /// An empty log.
    pub fn new(info: &RunInfo) -> Self {
        Self::with_room(info, LINES_BYTES)
    }

    fn with_room(info: &RunInfo, lines_bytes: usize) -> Self {
        Self {
            info: info.clone(),
            lines: String::new(),
            rings: BTreeMap::new(),
            frames: 0,
            rest: None,
            left_out: 0,
            unconsumed: 0,
            lines_bytes,
        }
    }

    /// The log.
    pub fn finish(mut self) -> String {
        let rest = self.rest.take();
        let mut notes = Vec::new();
        if let Some(rest) = rest {
            notes.push("the last line of each tag is the rest of the run".to_owned());
            for (tag, histogram) in &rest.histograms {
                self.line(tag, rest.start_ns, rest.end_ns, histogram);
            }
        }
        if self.left_out > 0 {
            notes.push(format!("{} values or histograms are left out", self.left_out));
        }
        notes.extend(self.rings.values().cloned());
        notes.push(
            "values are nanoseconds, of depth items; Interval_Max is a millionth of them".into(),
        );
        notes.push(
            "residency_ns: each sample counts for the positions that it stands for; its lower and \
             upper ends are tags of their own, the truth lies between"
                .into(),
        );
        if self.unconsumed > 0 {
            notes.push(format!(
                "{} positions were never seen consumed: they have no upper end, and are in lower \
                 alone",
                self.unconsumed
            ));
        }
        let seconds = self.info.started_unix_ns as f64 / 1e9;
        let mut out = String::from("#[Histogram log format version 1.3]\n");
        out.push_str(&format!("#[StartTime: {seconds:.3} (seconds since epoch)]\n"));
        notes.iter().for_each(|note| out.push_str(&format!("# {note}\n")));
        out.push_str(
            "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\
             \"Interval_Compressed_Histogram\"\n",
        );
        out + &self.lines
    }

    fn told(&mut self, told: &Told) {
        let start_ns = told.capture.start_ns;
        let end_ns = start_ns.saturating_add(told.capture.duration_ns);
        for ring in &told.report.rings {
            // Tags have no spaces and no commas.
            let name = ring_name(ring).replace(' ', "-");
            self.rings.insert(ring.number, owner(ring, &name));
            let found = told.capture.rings.iter().find(|it| it.ring == ring.number);
            for (which, figure) in FIGURES {
                let Some(raw) = found.and_then(|found| found.histogram(which)) else { continue };
                if raw.count > 0 {
                    let tag = format!("{name}/{}", figure.row().key());
                    self.histogram(&tag, start_ns, end_ns, &mut edges(raw));
                }
            }
            let Some(correlated) = told.correlated.rings.get(&ring.number) else { continue };
            let residency = &correlated.residency;
            if residency.samples() > 0 {
                let tag = format!("{name}/{}", FigureId::Residency.row().key());
                let lower = &mut residency.lower_ends().map(|end| (end.least_ns, end.weight));
                self.histogram(&format!("{tag}/lower"), start_ns, end_ns, lower);
                let ended =
                    residency.upper_ends().fold(0, |sum: u64, end| sum.saturating_add(end.weight));
                let without = residency.total_weight().saturating_sub(ended);
                self.unconsumed = self.unconsumed.saturating_add(without);
                if ended > 0 {
                    let upper = &mut residency.upper_ends().map(|end| (end.most_ns, end.weight));
                    self.histogram(&format!("{tag}/upper"), start_ns, end_ns, upper);
                }
            }
        }
    }

    fn histogram(
        &mut self,
        tag: &str,
        start_ns: u64,
        end_ns: u64,
        values: &mut dyn Iterator<Item = (u64, u64)>,
    ) {
        let mut histogram = empty();
        for (value, count) in values {
            if histogram.record_n(value.min(LARGEST), count).is_err() {
                self.left_out += 1;
            }
        }
        if self.lines.len() < self.lines_bytes && self.rest.is_none() {
            return self.line(tag, start_ns, end_ns, &histogram);
        }
        let rest = self.rest.get_or_insert(Rest { start_ns, end_ns, histograms: BTreeMap::new() });
        rest.end_ns = rest.end_ns.max(end_ns);
        if rest.histograms.len() >= REST_TAGS && !rest.histograms.contains_key(tag) {
            self.left_out += 1;
            return;
        }
        let sum = rest.histograms.entry(tag.to_owned()).or_insert_with(empty);
        if sum.add(&histogram).is_err() {
            self.left_out += 1;
        }
    }

    fn line(&mut self, tag: &str, start_ns: u64, end_ns: u64, histogram: &Histogram<u64>) {
        let mut bytes = Vec::new();
        if V2DeflateSerializer::new().serialize(histogram, &mut bytes).is_err() {
            self.left_out += 1;
            return;
        }
        let start_ns = start_ns.saturating_sub(self.info.started_mono_ns);
        let end_ns = end_ns.saturating_sub(self.info.started_mono_ns);
        self.lines.push_str(&format!(
            "Tag={tag},{:.3},{:.3},{:.3},{}\n",
            start_ns as f64 / 1e9,
            end_ns.saturating_sub(start_ns) as f64 / 1e9,
            histogram.max() as f64 / 1e6,
            STANDARD.encode(&bytes)
        ));
    }
}

/// Grows with the values it meets.
fn empty() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("3 digits are within the 0 to 5 that the library takes")
}

/// Whose ring a tag is of.
fn owner(ring: &RingReport, name: &str) -> String {
    match &ring.owner {
        Some(owner) => format!("{name} is of {}", escaped(&owner.comm, Charset::Ascii, 64)),
        None => format!("{name}: owner not seen"),
    }
}

impl Viewer for Log {
    fn record(&mut self, _: &Record) {
        // Frames hold what records told.
    }

    fn frame(&mut self, frame: &Told) {
        self.frames += 1;
        self.told(frame);
    }

    fn interval(&mut self, interval: &Told) {
        // One without frames is a frame itself.
        if std::mem::take(&mut self.frames) == 0 {
            self.told(interval);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_its_room_a_log_tells_the_rest_in_one_line_a_tag() {
        let mut log = Log::with_room(&RunInfo::default(), 1000);
        for frame in 0..50u64 {
            let (start_ns, end_ns) = (frame * 1_000_000_000, (frame + 1) * 1_000_000_000);
            log.histogram("1:2/a", start_ns, end_ns, &mut [(frame + 1, 2)].into_iter());
        }
        let text = log.finish();
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("Tag=")).collect();
        assert!((2..20).contains(&lines.len()), "{text}");
        let last: Vec<&str> = lines[lines.len() - 1].split(',').collect();
        let covered: f64 = last[1].parse::<f64>().unwrap() + last[2].parse::<f64>().unwrap();
        assert_eq!(covered, 50.0);
        assert!(text.contains("# the last line of each tag is the rest"), "{text}");
    }
}
