//! The report for people, as surface.md sketches it: at most 80 columns, order
//! of figures fixed, everything secondary behind `-v`, trust line last.

mod consumer;
mod ring;
mod verbose;

use super::escape::{Charset, escaped};
use super::units::{Rounding, grouped, percent, seconds, time};
use crate::capture::{Attached, HeadWatch, Protocol};
use crate::report::{PROBES_ABSENT, Report, RingReport, sampler_shortfall};

/// Columns of every line.
pub const WIDTH: usize = 80;

/// Missed sampler ticks are told without being asked for from this share on:
/// below, they are the jitter of starting and stopping.
const SHORTFALL_TOLD: f64 = 0.05;

/// Why a kind of loss can be unknown.
const UNKNOWN: &str = "Linux before 6.7 does not tell, later ones only CAP_SYS_ADMIN";

/// What matters of the reader's terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// What its locale can show.
    pub charset: Charset,
    /// Secondary figures too.
    pub verbose: bool,
}

/// The whole report; ends with a line break.
pub fn render(report: &Report, options: TextOptions) -> String {
    let mut out = Lines { text: String::new(), charset: options.charset };
    out.line(&header(report, options.charset));
    for note in &report.notes {
        out.wrapped("", &escaped(note, options.charset, usize::MAX));
    }
    let (busy, idle): (Vec<&RingReport>, Vec<&RingReport>) =
        report.rings.iter().partition(|ring| options.verbose || shown_unasked(ring));
    if report.rings.is_empty() {
        out.blank();
        out.wrapped("", &nothing_seen(report));
    }
    for ring in busy {
        out.blank();
        ring::render(ring, &mut out);
        if options.verbose {
            verbose::ring(ring, &mut out);
        }
    }
    if let Some(watch) = &report.head_watch {
        out.blank();
        out.wrapped("", &escaped(&watched(report, watch), options.charset, usize::MAX));
    }
    if !idle.is_empty() {
        out.blank();
        let (rings, them) =
            if idle.len() == 1 { ("ring was", "it") } else { ("rings were", "them") };
        out.line(&format!("{} more {rings} idle (-v shows {them})", idle.len()));
    }
    if options.verbose {
        verbose::host(report, &mut out);
    }
    out.blank();
    doubts(report, &mut out);
    out.line(&trust_line(report, WIDTH));
    out.text
}

/// One ring as the report tells it, without a blank line before it.
pub fn ring(ring: &RingReport, options: TextOptions) -> String {
    let mut out = Lines { text: String::new(), charset: options.charset };
    ring::render(ring, &mut out);
    if options.verbose {
        verbose::ring(ring, &mut out);
    }
    out.text
}

/// `PID:FD`, the name of a ring for people; its number where the owner is not
/// known.
pub fn ring_name(ring: &RingReport) -> String {
    ring::name(ring)
}

/// A paragraph broken between words, its first line after `first`, the others
/// as far in.
pub(crate) fn wrapped(first: &str, text: &str) -> String {
    let mut lines = Lines { text: String::new(), charset: Charset::Ascii };
    lines.wrapped_after(first, &" ".repeat(first.chars().count()), text);
    lines.text
}

/// Lines of at most [`WIDTH`] columns.
struct Lines {
    text: String,
    charset: Charset,
}

impl Lines {
    fn blank(&mut self) {
        self.text.push('\n');
    }

    /// One line; cut with `~` should it be longer than all columns.
    fn line(&mut self, line: &str) {
        let line = line.trim_end();
        if line.chars().count() <= WIDTH {
            self.text.push_str(line);
        } else {
            self.text.extend(line.chars().take(WIDTH - 1));
            self.text.push('~');
        }
        self.text.push('\n');
    }

    /// A paragraph broken between words, its first line after `indent`, the
    /// others two columns further in.
    fn wrapped(&mut self, indent: &str, paragraph: &str) {
        self.wrapped_after(indent, &format!("{}  ", " ".repeat(indent.len())), paragraph);
    }

    /// A paragraph broken between words, its first line after `first`, the
    /// others after `rest`. A number keeps its groups of digits together.
    fn wrapped_after(&mut self, first: &str, rest: &str, paragraph: &str) {
        let mut line = first.to_owned();
        let mut empty = true;
        let mut words = paragraph.split(' ').filter(|word| !word.is_empty()).peekable();
        while let Some(word) = words.next() {
            let mut word = word.to_owned();
            while let Some(next) = words.next_if(|next| is_group_after(next, &word)) {
                word.push(' ');
                word.push_str(next);
            }
            if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(&line);
                line = rest.to_owned();
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(&word);
            empty = false;
        }
        self.line(&line);
    }
}

/// Columns of the largest number of 64 bits with its mark, in groups.
const NUMBER_COLUMNS: usize = 28;

/// Whether `word` goes on with the number that `before` ends with: a group of
/// three digits, and what punctuation follows the number.
fn is_group_after(word: &str, before: &str) -> bool {
    let digits = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    digits.len() == 3
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && before.ends_with(|c: char| c.is_ascii_digit())
        && before.chars().count() + 1 + word.chars().count() <= NUMBER_COLUMNS
}

/// `10.0 s  6.12.117-uepoll v2  kprobe  2 CPUs  EMULATED: ratios only`, the
/// number of the interval before it where there are several.
pub fn header(report: &Report, charset: Charset) -> String {
    let host = &report.host;
    let protocol = match host.protocol {
        Protocol::V2 => "v2",
        Protocol::V4 => "v4",
    };
    let cpus = if host.cpus == 1 { "CPU" } else { "CPUs" };
    let emulated = if host.emulated { "  EMULATED: ratios only" } else { "" };
    let interval = report.interval.map_or(String::new(), |number| format!("#{number}  "));
    format!(
        "{interval}{}  {} {protocol}  {}  {} {cpus}{emulated}",
        seconds(report.duration_ns),
        escaped(&host.release, charset, 28),
        report.attached.map_or("mixed", attached_word),
        host.cpus,
    )
}

pub(crate) fn attached_word(attached: Attached) -> &'static str {
    match attached {
        Attached::Kprobe => "kprobe",
        Attached::Fentry => "fentry",
        Attached::Tracepoint => "tracepoint",
        Attached::PerfClock => "perf clock",
        Attached::Iterator => "iterator",
        Attached::Missing => "absent",
    }
}

/// The sentence for a run that met no ring.
fn nothing_seen(report: &Report) -> String {
    format!(
        "No user-polled ring was seen in {}: nobody who was watched created one, added to one, \
         waited on one or published to one (an epoll file made without EPOLL_USERPOLL is none). \
         Watch the program while it works: `uepoll profile -- CMD` starts it, `uepoll profile \
         -p PID -d 30` takes one that runs.",
        seconds(report.duration_ns)
    )
}

/// What became of the watch of a head.
fn watched(report: &Report, watch: &HeadWatch) -> String {
    let ring = report.rings.iter().find(|ring| watch.ring == Some(ring.number));
    let Some(ring) = ring else {
        return "head watch: its ring was never met, so nothing was watched".into();
    };
    let gap = match watch.watched_ns.checked_div(watch.reads) {
        Some(gap_ns) => format!(
            "{} reads, {} apart, at most {}",
            grouped(watch.reads),
            time(gap_ns, Rounding::Up),
            time(watch.longest_gap_ns, Rounding::Up)
        ),
        None => "never read".into(),
    };
    let ended = match &watch.ended {
        Some(why) => format!("ended: {why}"),
        None => "held the file open".into(),
    };
    format!("head watch of {}: {gap}; {ended}", ring::name(ring))
}

/// Rings about which there is something to say.
fn shown_unasked(ring: &RingReport) -> bool {
    ring.activity() > 0 || ring.corrupt.is_some() || ring.closed
}

/// What makes figures doubtful, spelt out: only where there is something.
fn doubts(report: &Report, out: &mut Lines) {
    for (ring, equation) in report.unbalanced() {
        let name = ring::name(ring);
        out.wrapped("", &format!("books of {name}, {}: {equation}", equation.name));
    }
    // Absent probes are named one by one below.
    for row in report.loss.iter().filter(|row| row.key != PROBES_ABSENT) {
        match row.count {
            Some(0) => {}
            Some(count) => out.wrapped("", &format!("lost: {} {}", grouped(count), row.what)),
            None => out.wrapped("", &format!("not known: {} ({UNKNOWN})", row.what)),
        }
    }
    for row in report.plan.iter().filter(|row| row.attached == Attached::Missing) {
        if let Some(lost) = &row.lost {
            let text = format!("no probe on {} ({}): {lost}", row.symbol, row.point);
            out.wrapped("", &escaped(&text, out.charset, usize::MAX));
        }
    }
    let shortfall = sampler_shortfall(report.ticks);
    if shortfall >= SHORTFALL_TOLD {
        out.wrapped(
            "",
            &format!(
                "sampler: {} of its ticks did not run; bounds are wider for it, not false",
                percent(shortfall)
            ),
        );
    }
}

/// Self cost, books, loss: always the last line, and never cut. The words on cost
/// are the longest with which it fits into `columns`; if none does, the shortest.
pub fn trust_line(report: &Report, columns: usize) -> String {
    let books = report.books();
    let books = if books.unbalanced > 0 {
        let all = books.balanced + books.unbalanced + books.not_checked;
        format!("books OFF in {} of {all}", books.unbalanced)
    } else if books.balanced == 0 {
        "books empty".into()
    } else if books.not_checked > 0 {
        format!("books balance, {} unchecked", books.not_checked)
    } else {
        "books balance".into()
    };
    let loss = match report.loss_total() {
        0 if report.loss_unknown() => "loss none seen".into(),
        0 => "loss none".into(),
        total => format!("loss {}", grouped(total)),
    };
    let corrupt = match report.corrupt_rings() {
        0 => String::new(),
        n => format!("   {n} CORRUPT"),
    };
    let rest = format!("   {books}   {loss}{corrupt}");
    let [long, middle, short] = cost_words(report);
    let fits = |cost: &String| cost.chars().count() + rest.chars().count() <= columns;
    let cost = [long, middle].into_iter().find(fits).unwrap_or(short);
    format!("{cost}{rest}")
}

/// What observing cost, at three lengths.
fn cost_words(report: &Report) -> [String; 3] {
    let [programs, own] =
        [report.cost.programs_share, report.cost.own_share].map(|share| share.map(percent));
    // Measured in a part of the run, it is that part's price.
    let measured_ns = report.cost.statistics_on_ns;
    let bodies = if measured_ns >= report.duration_ns / 10 * 9 {
        "program bodies".to_owned()
    } else {
        format!("bodies, {}", seconds(measured_ns))
    };
    match (programs, own) {
        (Some(programs), Some(own)) => [
            format!("cost {programs} of a CPU ({bodies}) + {own} own"),
            format!("cost {programs} + {own} own"),
            format!("cost {programs}"),
        ],
        (Some(programs), None) => [
            format!("cost {programs} of a CPU ({bodies})"),
            format!("cost {programs} of a CPU"),
            format!("cost {programs}"),
        ],
        (None, Some(own)) => [
            format!("cost {own} of a CPU own, bodies not measured"),
            format!("cost {own} own, bodies not measured"),
            format!("cost {own} own"),
        ],
        (None, None) => std::array::from_fn(|_| "cost not measured".into()),
    }
}
