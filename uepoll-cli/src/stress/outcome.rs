//! What a run found: the consumer's counts, the check that nothing was lost,
//! and both as text. The same as JSON is in `record.rs`.

use std::fmt::{self, Write};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::config::{Config, Mode};
use super::source::Source;
use super::truth::Truth;

/// What the consumer counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Events delivered, each with a drain of its source.
    pub deliveries: u64,
    /// Those that found their source drained already.
    pub empty_deliveries: u64,
    /// Positions of the ring that head was moved over (events returned by an
    /// ordinary epoll_wait).
    pub consumed: u64,
    /// Those of them without an event: the item was removed.
    pub skipped: u64,
    /// Waits in the kernel.
    pub waits: Waits,
    /// Looks at the ring that found it empty.
    pub empty_polls: u64,
    /// Episodes of such looks: from the first to an event or to a wait.
    pub spin_episodes: u64,
    /// Looks at a slot below tail that was not yet written.
    pub slot_spins: u64,
    /// Times a slot stayed unwritten for the whole budget.
    pub slot_stalls: u64,
    /// Depth of the ring at the end; `None` without a ring.
    pub left_in_ring: Option<u32>,
    /// Voluntary context switches of the consumer; `None` if unknown.
    pub voluntary_switches: Option<u64>,
    /// When the last event had been read; `None` if the run was given up.
    pub ended_at: Option<Instant>,
    /// The truth of each position, if it was asked for.
    pub truth: Option<Truth>,
}

/// Waits of the consumer in the kernel, by how they ended.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Waits {
    /// ESTALE: events are in the ring. Ring only.
    pub estale: u64,
    /// Returned events. Ordinary epoll only.
    pub with_events: u64,
    /// The time was over.
    pub timed_out: u64,
    /// A signal came.
    pub interrupted: u64,
}

impl Waits {
    /// All of them.
    pub fn total(self) -> u64 {
        self.estale + self.with_events + self.timed_out + self.interrupted
    }
}

/// A source from which not exactly what was written has been read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// The source, from 0.
    pub number: usize,
    /// Events written to it.
    pub written: u64,
    /// Events read from it.
    pub read: u64,
}

/// The result of one run.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub(super) config: Config,
    pub(super) run_time: Duration,
    pub(super) interrupted: bool,
    pub(super) tally: Tally,
    /// Written and read of each source.
    pub(super) sources: Vec<(u64, u64)>,
}

impl Outcome {
    /// Puts it together, once no thread runs any more.
    pub fn new(
        config: &Config,
        started_at: Instant,
        interrupted: bool,
        tally: Tally,
        sources: &[Source],
    ) -> Self {
        let ended_at = tally.ended_at.unwrap_or_else(Instant::now);
        Self {
            config: config.clone(),
            run_time: ended_at.saturating_duration_since(started_at),
            interrupted,
            tally,
            sources: sources.iter().map(|source| (source.written(), source.read())).collect(),
        }
    }

    /// How the consumer learnt of events.
    pub fn mode(&self) -> Mode {
        self.config.mode
    }

    /// The truth of each position, if it was asked for.
    pub fn truth(&self) -> Option<&Truth> {
        self.tally.truth.as_ref()
    }

    /// Threads that wrote.
    pub fn producers(&self) -> u32 {
        self.config.producers
    }

    /// From the start of the producers to the last event read.
    pub fn run_time_ms(&self) -> f64 {
        self.run_time.as_secs_f64() * 1e3
    }

    /// Events written per millisecond of the run time.
    pub fn events_per_ms(&self) -> f64 {
        // A run that was over at once has no rate, not an infinite one.
        let run_time_ms = self.run_time_ms().max(1e-6);
        self.written() as f64 / run_time_ms
    }

    /// Events written to all sources.
    pub fn written(&self) -> u64 {
        self.sources.iter().map(|(written, _)| written).sum()
    }

    /// Events read from all sources.
    pub fn read(&self) -> u64 {
        self.sources.iter().map(|(_, read)| read).sum()
    }

    /// The sources where written and read differ. None: nothing was lost, and
    /// nothing came twice.
    pub fn mismatches(&self) -> impl Iterator<Item = Mismatch> {
        self.sources
            .iter()
            .enumerate()
            .filter(|(_, (written, read))| written != read)
            .map(|(number, &(written, read))| Mismatch { number, written, read })
    }

    /// The sentence of a mismatch.
    pub fn sentence(&self, mismatch: Mismatch) -> String {
        let Mismatch { number, written, read } = mismatch;
        let kind = self.config.source.name();
        let (difference, what) =
            (written.abs_diff(read), if read < written { "lost" } else { "too many" });
        format!(
            "source {number} ({kind}): {} events expected, {} seen: {} {what}",
            grouped(written),
            grouped(read),
            grouped(difference)
        )
    }

    /// The result for people, at 80 columns, its verdict last.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // A String takes everything.
        let _infallible = self.write_text(&mut text);
        text
    }

    fn write_text(&self, out: &mut String) -> fmt::Result {
        let Self { config, tally, .. } = self;
        let ring = config.mode == Mode::Ring;
        let mut row = |name: &str, value: String, note: String| {
            writeln!(out, "{}", format!("  {name:<12}{value:>14}   {note}").trim_end())
        };
        row(
            "events/ms",
            format!("{:.1}", self.events_per_ms()),
            format!("{} events in {:.1} ms", grouped(self.written()), self.run_time_ms()),
        )?;
        if let Some(rate) = config.rate_per_s {
            let reached = (self.events_per_ms() * 1e3).round() as u64;
            row(
                "pace",
                format!("{}/s", grouped(reached)),
                format!("of {}/s asked for", grouped(rate.get())),
            )?;
        }
        row(
            "deliveries",
            grouped(tally.deliveries),
            format!(
                "{} of writes; {} found nothing",
                percent(tally.deliveries, self.written()),
                grouped(tally.empty_deliveries)
            ),
        )?;
        let waits = tally.waits;
        let (name, count) =
            if ring { ("ESTALE", waits.estale) } else { ("events", waits.with_events) };
        row(
            "waits",
            grouped(waits.total()),
            format!(
                "{name} {}, timeouts {}, EINTR {}",
                grouped(count),
                grouped(waits.timed_out),
                grouped(waits.interrupted)
            ),
        )?;
        row(
            "slept",
            tally.voluntary_switches.map_or("-".to_owned(), grouped),
            "times, by the consumer's voluntary switches".to_owned(),
        )?;
        if ring {
            row(
                "spins",
                grouped(tally.empty_polls),
                format!("empty polls, at most {} before a wait", grouped(config.spin)),
            )?;
            row(
                "slot spins",
                grouped(tally.slot_spins),
                format!("looks at unwritten slots; {} give-ups", grouped(tally.slot_stalls)),
            )?;
            row(
                "in ring",
                tally.left_in_ring.map_or("-".to_owned(), |left| grouped(left.into())),
                format!("left at the end; {} skipped as removed", grouped(tally.skipped)),
            )?;
        }
        let verdict = match self.mismatches().count() {
            0 => "lost none".to_owned(),
            1 => "LOST: 1 source does not match".to_owned(),
            sources => format!("LOST: {sources} sources do not match"),
        };
        out.push_str(&verdict);
        if self.interrupted {
            write!(
                out,
                " (stopped after {} of {} events)",
                grouped(self.written()),
                grouped(config.events)
            )?;
        }
        out.push('\n');
        out.insert_str(0, &self.title());
        Ok(())
    }

    fn title(&self) -> String {
        let Config { mode, source, producers, items, pin, think, .. } = &self.config;
        let mut title = format!(
            "stress  {}  {}  {producers} producers  {items} items  {}",
            mode.name(),
            source.name(),
            if *pin { "pinned" } else { "not pinned" },
        );
        if !think.is_zero() {
            title.push_str(&format!("  think {} us", think.as_nanos() as f64 / 1e3));
        }
        title.push('\n');
        title
    }
}

/// A count with its digits in groups of three.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "-".to_owned(),
        whole => format!("{:.1} %", part as f64 * 100.0 / whole as f64),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::stress::config::SourceKind;

    fn outcome(mode: Mode, sources: Vec<(u64, u64)>) -> Outcome {
        let mut config = Config::for_test(mode, SourceKind::Eventfd);
        config.events = 3_000_000_000;
        config.rate_per_s = NonZeroU64::new(4_000_000_000);
        let tally = Tally {
            deliveries: 2_999_999_999,
            empty_deliveries: 1_999_999_999,
            slot_spins: 1_000_000_000,
            slot_stalls: 1_000_000_000,
            waits: Waits { estale: 2_999_999_999, with_events: 2_999_999_999, ..Waits::default() },
            ..Tally::default()
        };
        let run_time = Duration::from_secs(3_000);
        Outcome { config, run_time, interrupted: true, tally, sources }
    }

    #[test]
    fn large_counts_still_fit_80_columns() {
        for mode in Mode::ALL {
            let text = outcome(mode, vec![(2_999_999_999, 2_999_999_999)]).text();
            assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        }
    }

    #[test]
    fn the_verdict_is_last() {
        let none = outcome(Mode::Ring, vec![(5, 5), (6, 6)]).text();
        assert!(none.ends_with("lost none (stopped after 11 of 3 000 000 000 events)\n"));
        let lost = outcome(Mode::Ring, vec![(5, 5), (6, 4)]);
        assert!(lost.text().contains("\nLOST: 1 source does not match"));
        let sentences: Vec<_> = lost.mismatches().map(|m| lost.sentence(m)).collect();
        assert_eq!(sentences, ["source 1 (eventfd): 6 events expected, 4 seen: 2 lost"]);
    }

    #[test]
    fn digits_are_grouped_from_the_right() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1 000");
        assert_eq!(grouped(12_345_678), "12 345 678");
    }
}
