//! Single events as lines: what happened on a ring, when, and by which thread;
//! for people, or as JSON (schema `uepoll.trace/1`). In the order in which they
//! became known: a sampled event is told once its consumption is bracketed.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use uepoll_common::record::{
    Record, Refused, Resolved, RingClosed, RingNumber, RingSeen, Waited, Worked,
};

use super::escape::{Charset, escaped};
use super::json::ascii;
use super::time_for_people;
use super::units::time_bounds;
use crate::capture::{Owner, RingCapture};
use crate::quantile::Bounds;
use crate::report::Report;
use crate::residency::interval_of;

/// Name and major version of the schema of the JSON lines.
pub const SCHEMA: &str = "uepoll.trace/1";

/// Columns of the name of a ring's process.
const COMM_COLUMNS: usize = 10;

const ESTALE: i32 = -116;
const EINTR: i32 = -4;

/// What a line is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An event of a sampled position: published, and consumed since.
    Event,
    /// A wait that returned.
    Wait,
    /// A wait that returned ESTALE without having slept: the race to sleep, lost.
    Estale,
    /// An add that failed with ENOSPC.
    Enospc,
    /// A run of the offload worker.
    Offload,
    /// A ring was met, or closed.
    Life,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Event, Self::Wait, Self::Estale, Self::Enospc, Self::Offload, Self::Life];

    /// What a record is of; `None` for one that tells of no single event.
    pub fn of(record: &Record) -> Option<Self> {
        match record {
            Record::Resolved(_) => Some(Self::Event),
            Record::Waited(Waited { result: ESTALE, flags, .. }) if flags & Waited::SLEPT == 0 => {
                Some(Self::Estale)
            }
            Record::Waited(_) => Some(Self::Wait),
            Record::Refused(_) => Some(Self::Enospc),
            Record::Worked(_) => Some(Self::Offload),
            Record::RingSeen(_) | Record::RingClosed(_) => Some(Self::Life),
            Record::Snapshot(_) => None,
        }
    }

    /// Its word, in lines and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Wait => "wait",
            Self::Estale => "estale",
            Self::Enospc => "enospc",
            Self::Offload => "offload",
            Self::Life => "ring",
        }
    }
}

/// Makes lines of records.
#[derive(Debug)]
pub struct Lines {
    /// Times are told since then.
    start_ns: u64,
    charset: Charset,
    owners: BTreeMap<RingNumber, Owner>,
    /// Whose each ring was when a line told that it is there.
    met: BTreeMap<RingNumber, Option<Owner>>,
}

impl Lines {
    /// Of a run that began at `start_ns`, on the clock of the records.
    pub fn new(start_ns: u64, charset: Charset) -> Self {
        Self { start_ns, charset, owners: BTreeMap::new(), met: BTreeMap::new() }
    }

    /// Whose rings are whose, as far as it is known by now.
    pub fn know(&mut self, rings: &[RingCapture]) {
        for ring in rings {
            if let Some(owner) = &ring.owner {
                self.owners.insert(ring.ring, owner.clone());
            }
        }
    }

    /// The line of a record, in at most 80 columns but for large numbers, with
    /// its line break; `None` if it tells of no single event, or nothing new.
    pub fn text(&mut self, record: &Record) -> Option<String> {
        if !self.learn(record) {
            return None;
        }
        let kind = Kind::of(record)?;
        let (time_ns, what) = match record {
            Record::Resolved(record) => (record.add_exit_ns, event_text(record)),
            Record::Waited(record) => (record.exit_ns, wait_text(record)),
            Record::Refused(record) => (record.time_ns, refused_text(record)),
            Record::Worked(record) => (record.end_ns, worked_text(record)),
            Record::RingSeen(record) => (record.time_ns, seen_text(record)),
            Record::RingClosed(record) => (record.time_ns, closed_text(record)),
            Record::Snapshot(_) => return None,
        };
        let since_ns = time_ns.saturating_sub(self.start_ns);
        let (name, comm) = match self.owners.get(&record.ring()) {
            Some(Owner { pid, fd, comm }) if *fd >= 0 => (format!("{pid}:{fd}"), comm.as_str()),
            Some(Owner { pid, comm, .. }) => (format!("{pid}:?"), comm.as_str()),
            None => (format!("ring {}", record.ring()), "?"),
        };
        let comm = escaped(comm, self.charset, COMM_COLUMNS);
        let pad = COMM_COLUMNS.saturating_sub(comm.chars().count());
        Some(format!(
            "{:>4}.{:06} {name:<10} {comm}{:pad$} {:<7} {what}{}\n",
            since_ns / 1_000_000_000,
            since_ns % 1_000_000_000 / 1000,
            "",
            kind.word(),
            weight_text(record),
        ))
    }

    /// The same as a JSON document on a line; all fields of the record, clocks
    /// since the start.
    pub fn json(&mut self, record: &Record) -> Option<String> {
        if !self.learn(record) {
            return None;
        }
        let kind = Kind::of(record)?;
        let since = |clock_ns: u64| (clock_ns != 0).then(|| self.since(clock_ns));
        let mut line = match record {
            Record::Resolved(r) => json!({
                "time_ns": self.since(r.add_exit_ns),
                "position": r.position,
                "item": (r.item != u32::MAX).then_some(r.item),
                "arrival_ns": since(r.arrival_ns),
                "add_entry_ns": self.since(r.add_entry_ns),
                "add_exit_ns": self.since(r.add_exit_ns),
                "consumed_lo_ns": since(r.consumed_lo_ns),
                "consumed_hi_ns": since(r.consumed_hi_ns),
                "interval": r.interval,
                "tid": r.waker_tid,
                "by_worker": r.flags & Resolved::BY_WORKER != 0,
                "stands_for": stands_for(r.sample_shift),
            }),
            Record::Waited(r) => json!({
                "time_ns": self.since(r.exit_ns),
                "tid": r.tid,
                "result": r.result,
                "entry_ns": (r.flags & Waited::MET_ASLEEP == 0).then(|| self.since(r.entry_ns)),
                "slept": r.flags & Waited::SLEPT != 0,
                "woken_ns": since(r.woken_ns),
                "stands_for": stands_for(r.sample_shift),
            }),
            Record::Refused(r) => json!({
                "time_ns": self.since(r.time_ns),
                "tid": r.tid,
                "cause": if r.cause == Refused::USER_WATCHES { "user_watches" } else { "ring_full" },
                "likely": r.likely != 0,
                "stands_for": stands_for(r.sample_shift),
            }),
            Record::Worked(r) => json!({
                "time_ns": self.since(r.end_ns),
                "tid": r.tid,
                "item": (r.item != u32::MAX).then_some(r.item),
                "queued_ns": since(r.queued_ns),
                "begin_ns": self.since(r.begin_ns),
                "empty": r.flags & Worked::EMPTY != 0,
                "stands_for": stands_for(r.sample_shift),
            }),
            Record::RingSeen(r) => json!({
                "time_ns": self.since(r.time_ns),
                "created": r.how == RingSeen::CREATED,
                "max_items": r.max_items,
                "head": r.head,
                "tail": r.tail,
            }),
            Record::RingClosed(r) => json!({
                "time_ns": self.since(r.time_ns),
                "closed": true,
                "head": r.head,
                "tail": r.tail,
            }),
            Record::Snapshot(_) => return None,
        };
        if let Json::Object(fields) = &mut line {
            let owner = self.owners.get(&record.ring()).map(|owner| {
                json!({
                    "pid": owner.pid,
                    "comm": owner.comm,
                    "fd": (owner.fd >= 0).then_some(owner.fd),
                })
            });
            fields.insert("kind".into(), json!(kind.word()));
            fields.insert("ring".into(), json!(record.ring()));
            fields.insert("owner".into(), owner.unwrap_or_default());
        }
        Some(ascii(&format!("{line}\n")))
    }

    /// First line of a JSON trace: what the clocks of the others are since.
    pub fn json_head(&self, started_unix_ns: u64) -> String {
        let head = json!({
            "schema": SCHEMA,
            "kind": "start",
            "monotonic_ns": self.start_ns,
            "unix_ns": started_unix_ns,
        });
        format!("{head}\n")
    }

    /// Last line of a JSON trace, or of an interval of it: whether anything was
    /// missed.
    pub fn json_end(&self, report: &Report) -> String {
        let end = json!({
            "kind": "end",
            "interval": report.interval,
            "duration_ns": report.duration_ns,
            "notes": report.notes,
            "loss": {
                "total": report.loss_total(),
                "kinds": report.loss.iter()
                    .map(|row| (row.key.to_owned(), json!(row.count)))
                    .collect::<serde_json::Map<_, _>>(),
            },
            "trustworthy": report.trustworthy(),
        });
        ascii(&format!("{end}\n"))
    }

    fn since(&self, clock_ns: u64) -> i64 {
        // What began before the run did has a time below 0.
        clock_ns.wrapping_sub(self.start_ns).cast_signed()
    }

    /// Whether there is anything new in it: the kernel side tells of a ring again
    /// when it learns whose it is, which may be known here already.
    fn learn(&mut self, record: &Record) -> bool {
        match record {
            Record::RingSeen(seen) => {
                if seen.tgid != 0 {
                    let end =
                        seen.comm.iter().position(|byte| *byte == 0).unwrap_or(seen.comm.len());
                    let comm = String::from_utf8_lossy(&seen.comm[..end]).into_owned();
                    self.owners.insert(seen.ring, Owner { pid: seen.tgid, comm, fd: seen.fd });
                }
                let owner = self.owners.get(&seen.ring).cloned();
                self.met.insert(seen.ring, owner.clone()) != Some(owner)
            }
            Record::RingClosed(closed) => {
                self.met.remove(&closed.ring);
                true
            }
            _ => true,
        }
    }
}

/// Events that one that was sampled stands for.
fn stands_for(sample_shift: u32) -> u64 {
    1u64.checked_shl(sample_shift).unwrap_or(1)
}

fn weight_text(record: &Record) -> String {
    let sample_shift = match record {
        Record::Resolved(record) => record.sample_shift,
        Record::Waited(record) => record.sample_shift,
        Record::Refused(record) => record.sample_shift,
        Record::Worked(record) => record.sample_shift,
        Record::RingSeen(_) | Record::RingClosed(_) | Record::Snapshot(_) => 0,
    };
    match stands_for(sample_shift) {
        1 => String::new(),
        many => format!(" (1 of {many})"),
    }
}

fn item_text(item: u32) -> String {
    if item == u32::MAX { "item ?".into() } else { format!("item {item}") }
}

fn event_text(record: &Resolved) -> String {
    let by = if record.flags & Resolved::BY_WORKER != 0 { "worker" } else { "in" };
    let item = item_text(record.item);
    let tid = record.waker_tid;
    match interval_of(record) {
        Ok(residency) => {
            let bounds = Bounds { lo: residency.lo_ns, hi: residency.hi_ns };
            let bounds = time_bounds(bounds);
            let still = if residency.hi_ns.is_none() { " so far" } else { "" };
            format!("{item} {by} {tid}, in ring {bounds}{still}")
        }
        Err(_) => format!("{item} {by} {tid}, contradicts itself"),
    }
}

fn wait_text(record: &Waited) -> String {
    let result = match record.result {
        0 => "timed out".to_owned(),
        ESTALE => "ESTALE".to_owned(),
        EINTR => "EINTR".to_owned(),
        error if error < 0 => format!("error {}", -i64::from(error)),
        events => format!("{events} events"),
    };
    let waited_ns = record.exit_ns.saturating_sub(record.entry_ns);
    let at_least = if record.flags & Waited::MET_ASLEEP != 0 { ">= " } else { "" };
    let how = if record.flags & Waited::SLEPT != 0 { "slept" } else { "at once," };
    let woken = if record.woken_ns == 0 {
        String::new()
    } else {
        let wake_up_ns = record.exit_ns.saturating_sub(record.woken_ns);
        format!(", woke in {}", time_for_people(wake_up_ns))
    };
    let waited = time_for_people(waited_ns);
    format!("{} {how} {at_least}{waited}{woken}: {result}", record.tid)
}

fn refused_text(record: &Refused) -> String {
    let cause = match record.cause {
        Refused::USER_WATCHES => "the user's watches",
        _ => "ring full",
    };
    let likely = if record.likely != 0 { " (likely)" } else { "" };
    format!("{} cannot add: {cause}{likely}", record.tid)
}

fn worked_text(record: &Worked) -> String {
    let queued = if record.queued_ns == 0 {
        "queued ?".to_owned()
    } else {
        let delay_ns = record.begin_ns.saturating_sub(record.queued_ns);
        format!("queued {}", time_for_people(delay_ns))
    };
    let ran_ns = record.end_ns.saturating_sub(record.begin_ns);
    let empty = if record.flags & Worked::EMPTY != 0 { ", empty" } else { "" };
    let ran = time_for_people(ran_ns);
    format!("{} by {}, {queued}, ran {ran}{empty}", item_text(record.item), record.tid)
}

fn seen_text(record: &RingSeen) -> String {
    let how = if record.how == RingSeen::CREATED { "created" } else { "met" };
    let depth = record.tail.wrapping_sub(record.head);
    format!("{how}, of {} items, {depth} in it", record.max_items)
}

fn closed_text(record: &RingClosed) -> String {
    format!("closed, {} in it", record.tail.wrapping_sub(record.head))
}

#[cfg(test)]
mod tests;
