//! A run as JSON: stable names in snake case, units in them. A field that is
//! `null` has its reason in `absent`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::config::Mode;
use super::outcome::{Outcome, Waits};

/// Version of the JSON: fields are only added within a major.
pub const SCHEMA: &str = "uepoll.stress/1";

/// A run as JSON. A field that is `null` has its reason in `absent`.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// `ring`, `epoll` or `epoll-et`.
    pub mode: &'static str,
    /// Kind of the sources.
    pub source: &'static str,
    /// Threads that wrote.
    pub producers: u32,
    /// Sources, and items of the ring.
    pub items: u32,
    /// Whether each thread was bound to a CPU.
    pub pinned: bool,
    /// Empty polls allowed before a wait.
    pub spin_budget_polls: Option<u64>,
    /// Work of the consumer for each delivery.
    pub think_ns: u128,
    /// Pace asked for.
    pub rate_events_per_s: Option<u64>,
    /// Events asked for.
    pub events_asked: u64,
    /// Events written to all sources.
    pub events_written: u64,
    /// Events read from all sources.
    pub events_read: u64,
    /// From the start of the producers to the last event read.
    pub run_time_ns: u128,
    /// `events_written` over the run time.
    pub events_per_ms: f64,
    /// Events delivered by ring or epoll_wait.
    pub deliveries: u64,
    /// Those whose source had been drained already.
    pub empty_deliveries: u64,
    /// Deliveries and skipped positions.
    pub consumed_positions: u64,
    /// Positions whose item had been removed.
    pub skipped_positions: Option<u64>,
    /// Depth of the ring at the end.
    pub left_in_ring_events: Option<u32>,
    /// Waits in the kernel, by how they ended.
    pub waits: Waits,
    /// Waits in the kernel.
    pub waits_total: u64,
    /// Voluntary context switches of the consumer.
    pub voluntary_switches: Option<u64>,
    /// Looks at the ring that found it empty.
    pub empty_polls: Option<u64>,
    /// Episodes of such looks: from the first to an event or to a wait.
    pub spin_episodes: Option<u64>,
    /// Looks at a slot below tail that was not yet written.
    pub slot_spins: Option<u64>,
    /// Times a slot stayed unwritten for the whole budget.
    pub slot_stalls: Option<u64>,
    /// Whether the run was stopped from outside.
    pub interrupted: bool,
    /// Whether every source gave what was written to it.
    pub lost_none: bool,
    /// Each source's books.
    pub sources: Vec<SourceRecord>,
    /// For each field that is null, why.
    pub absent: BTreeMap<&'static str, &'static str>,
}

/// What was written to a source, and read from it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SourceRecord {
    /// Its number, from 0: the data of its item.
    pub number: usize,
    /// Events written to it.
    pub written_events: u64,
    /// Events read from it.
    pub read_events: u64,
}

impl Outcome {
    /// The result for machines.
    pub fn record(&self) -> Record {
        let Self { config, tally, .. } = self;
        let ring = config.mode == Mode::Ring;
        let in_ring = |value: u64| ring.then_some(value);
        let mut absent = BTreeMap::new();
        if !ring {
            for field in [
                "spin_budget_polls",
                "empty_polls",
                "spin_episodes",
                "slot_spins",
                "slot_stalls",
                "skipped_positions",
                "left_in_ring_events",
            ] {
                absent.insert(field, "an ordinary epoll has no ring");
            }
        }
        if config.rate_per_s.is_none() {
            absent.insert("rate_events_per_s", "not paced");
        }
        if tally.voluntary_switches.is_none() {
            absent.insert("voluntary_switches", "/proc/thread-self/status does not say");
        }
        let sources = self.sources.iter().enumerate();
        Record {
            schema: SCHEMA,
            mode: config.mode.name(),
            source: config.source.name(),
            producers: config.producers,
            items: config.items,
            pinned: config.pin,
            spin_budget_polls: in_ring(config.spin),
            think_ns: config.think.as_nanos(),
            rate_events_per_s: config.rate_per_s.map(|rate| rate.get()),
            events_asked: config.events,
            events_written: self.written(),
            events_read: self.read(),
            run_time_ns: self.run_time.as_nanos(),
            events_per_ms: self.events_per_ms(),
            deliveries: tally.deliveries,
            empty_deliveries: tally.empty_deliveries,
            consumed_positions: tally.consumed,
            skipped_positions: in_ring(tally.skipped),
            left_in_ring_events: tally.left_in_ring,
            waits: tally.waits,
            waits_total: tally.waits.total(),
            voluntary_switches: tally.voluntary_switches,
            empty_polls: in_ring(tally.empty_polls),
            spin_episodes: in_ring(tally.spin_episodes),
            slot_spins: in_ring(tally.slot_spins),
            slot_stalls: in_ring(tally.slot_stalls),
            interrupted: self.interrupted,
            lost_none: self.mismatches().next().is_none(),
            sources: sources
                .map(|(number, &(written_events, read_events))| SourceRecord {
                    number,
                    written_events,
                    read_events,
                })
                .collect(),
            absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::stress::config::{Config, SourceKind};
    use crate::stress::outcome::Tally;

    fn outcome(mode: Mode, sources: Vec<(u64, u64)>) -> Outcome {
        let left_in_ring = (mode == Mode::Ring).then_some(0);
        Outcome {
            config: Config::for_test(mode, SourceKind::Eventfd),
            run_time: Duration::from_millis(2),
            interrupted: false,
            tally: Tally { left_in_ring, ..Tally::default() },
            sources,
        }
    }

    #[test]
    fn what_is_absent_is_null_with_a_reason() {
        for mode in Mode::ALL {
            let record = outcome(mode, vec![(1, 1)]).record();
            let absent = record.absent.clone();
            let json = serde_json::to_value(record).unwrap();
            for (field, value) in json.as_object().unwrap() {
                assert_eq!(value.is_null(), absent.contains_key(field.as_str()), "{field}");
            }
        }
    }

    #[test]
    fn a_loss_is_a_field_and_in_the_books_of_its_source() {
        let record = outcome(Mode::Ring, vec![(5, 5), (6, 4)]).record();
        assert!(!record.lost_none);
        assert_eq!((record.events_written, record.events_read), (11, 9));
        assert_eq!((record.sources[1].written_events, record.sources[1].read_events), (6, 4));
        assert_eq!(record.schema, "uepoll.stress/1");
    }
}
