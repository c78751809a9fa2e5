//! Events on tracks. A track shows one thing at a time: what overlaps goes to
//! another lane of it, and is left out, and counted, where there is none left.

use std::collections::BTreeMap;

use uepoll_common::record::{Refused, Resolved, RingNumber, Snapshot, Waited, Worked};

use super::proto::{Message, annotation, clock, event, packet, trace, track};
use super::{Names, Trace};
use crate::render::escape::{Charset, escaped};
use crate::residency::interval_of;

/// All packets are of one sequence.
const SEQUENCE: u64 = 1;

/// The track of the run itself.
const RUN: u64 = 1;

/// Lanes of the moments of consumption of a ring.
const LANES: usize = 8;

/// Most tracks; more threads than that have none.
const TRACKS: usize = 10_000;

/// What a track is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    Ring,
    /// A thread, and whether it is a worker.
    Producer(u32, bool),
    Depth,
    Worker(u32),
    Consumer(u32),
    /// One of its lanes.
    Consumed(usize),
    Refused,
}

struct Track {
    uuid: u64,
    /// The last slice ends here.
    busy_until_ns: u64,
}

/// An encoded packet and where it belongs.
struct Event {
    time_ns: u64,
    order: u64,
    bytes: Vec<u8>,
}

/// Writes a trace.
pub(super) struct Writer<'a> {
    trace: &'a Trace,
    tracks: BTreeMap<(RingNumber, Of), Track>,
    descriptors: Vec<Vec<u8>>,
    events: Vec<Event>,
    flows: u64,
    /// Examples that found no free lane or no track.
    crowded: u64,
    /// Examples that contradict themselves, or of a header that was not right.
    contradictory: u64,
}

/// What is shown of a moment or a length of time.
struct Slice<'a> {
    begin_ns: u64,
    end_ns: u64,
    name: &'a str,
    notes: Vec<Message>,
    /// Field and number of a flow.
    flow: Option<(u32, u64)>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(trace: &'a Trace) -> Self {
        Self {
            trace,
            tracks: BTreeMap::new(),
            descriptors: Vec::new(),
            events: Vec::new(),
            flows: 0,
            crowded: 0,
            contradictory: 0,
        }
    }

    pub(super) fn write(mut self) -> Vec<u8> {
        let words = self.trace.info.words.join(" ");
        let name = format!("uepoll {}", escaped(&words, Charset::Utf8, 200));
        self.descriptors.push(descriptor(RUN, None, &name, None));
        for position in in_order(self.trace.positions.kept(), |it| it.add_entry_ns) {
            self.position(position);
        }
        for snapshot in in_order(self.trace.snapshots.kept(), |it| it.before_ns) {
            self.snapshot(snapshot);
        }
        for wait in in_order(self.trace.waits.kept(), |it| it.entry_ns) {
            self.wait(wait);
        }
        for work in in_order(self.trace.works.kept(), |it| it.begin_ns) {
            self.work(work);
        }
        for refusal in in_order(self.trace.refusals.kept(), |it| it.time_ns) {
            self.refusal(refusal);
        }
        self.left_out();
        let mut out = Message::default();
        out = out.bytes(trace::PACKET, &self.clocks());
        for bytes in &self.descriptors {
            out = out.bytes(trace::PACKET, bytes);
        }
        // Stable in the order of making: an end comes before the next begin.
        self.events.sort_by_key(|event| (event.time_ns, event.order));
        for event in &self.events {
            out = out.bytes(trace::PACKET, &event.bytes);
        }
        out.finish()
    }

    /// Published by a thread; consumed at a moment that is known as bounds.
    fn position(&mut self, record: &Resolved) {
        if interval_of(record).is_err() {
            self.contradictory += 1;
            return;
        }
        let begin_ns = match record.arrival_ns {
            0 => record.add_entry_ns,
            arrival_ns => arrival_ns,
        };
        let flow = self.flows + 1;
        let consumed = record.consumed_hi_ns != 0;
        let by_worker = record.flags & Resolved::BY_WORKER != 0;
        let name = if by_worker { "publish (offloaded)" } else { "publish" };
        let notes = || {
            vec![
                number("position", u64::from(record.position)),
                number("item", u64::from(record.item)),
                number("stands for positions", 1u64.checked_shl(record.sample_shift).unwrap_or(0)),
            ]
        };
        let publish = Slice {
            begin_ns,
            end_ns: record.add_exit_ns,
            name,
            notes: notes(),
            flow: consumed.then_some((event::FLOWS, flow)),
        };
        let published = self.slice(record.ring, Of::Producer(record.waker_tid, by_worker), publish);
        if !consumed || !published {
            return;
        }
        self.flows = flow;
        let begin_ns = record.consumed_lo_ns.max(record.add_entry_ns);
        let lane = (0..LANES).find(|lane| self.is_free(record.ring, Of::Consumed(*lane), begin_ns));
        let Some(lane) = lane else {
            self.crowded += 1;
            return;
        };
        let consumed = Slice {
            begin_ns,
            end_ns: record.consumed_hi_ns.max(begin_ns),
            name: "consumed at some moment of this",
            notes: notes(),
            flow: Some((event::FLOWS_END, flow)),
        };
        self.slice(record.ring, Of::Consumed(lane), consumed);
    }

    fn snapshot(&mut self, record: &Snapshot) {
        let depth = record.tail.wrapping_sub(record.head);
        let right = record.flags & Snapshot::HEADER_RIGHT != 0;
        if !right || crate::books::left_in_ring(record.head, record.tail).is_none() {
            self.contradictory += 1;
            return;
        }
        let Some(uuid) = self.track(record.ring, Of::Depth) else { return };
        let event = Message::default()
            .number(event::TYPE, event::COUNTER)
            .number(event::TRACK, uuid)
            .number(event::COUNTER_VALUE, u64::from(depth));
        self.push(record.before_ns, event);
    }

    fn wait(&mut self, record: &Waited) {
        if record.exit_ns < record.entry_ns {
            self.contradictory += 1;
            return;
        }
        let slept = record.flags & Waited::SLEPT != 0;
        let mut notes = vec![
            text("slept", if slept { "yes" } else { "no" }),
            number("stands for waits", 1u64.checked_shl(record.sample_shift).unwrap_or(0)),
        ];
        if record.woken_ns >= record.entry_ns && record.woken_ns <= record.exit_ns {
            notes.push(number("wake-up to return, ns", record.exit_ns - record.woken_ns));
        }
        let name = match record.result {
            0 => "wait: timed out".to_owned(),
            -116 => "wait: ESTALE".to_owned(),
            -4 => "wait: EINTR".to_owned(),
            result => format!("wait: {result}"),
        };
        let slice = Slice {
            begin_ns: record.entry_ns,
            end_ns: record.exit_ns,
            name: &name,
            notes,
            flow: None,
        };
        self.slice(record.ring, Of::Consumer(record.tid), slice);
    }

    fn work(&mut self, record: &Worked) {
        if record.end_ns < record.begin_ns {
            self.contradictory += 1;
            return;
        }
        let empty = record.flags & Worked::EMPTY != 0;
        let mut notes = vec![
            number("item", u64::from(record.item)),
            number("stands for runs", 1u64.checked_shl(record.sample_shift).unwrap_or(0)),
        ];
        if record.queued_ns != 0 && record.queued_ns <= record.begin_ns {
            notes.push(number("queued for, ns", record.begin_ns - record.queued_ns));
        }
        let slice = Slice {
            begin_ns: record.begin_ns,
            end_ns: record.end_ns,
            name: if empty { "offload: no event" } else { "offload" },
            notes,
            flow: None,
        };
        self.slice(record.ring, Of::Worker(record.tid), slice);
    }

    fn refusal(&mut self, record: &Refused) {
        let cause = match record.cause {
            Refused::RING_FULL => "ENOSPC: ring full",
            _ => "ENOSPC: user watches",
        };
        let name = if record.likely != 0 { format!("{cause} (likely)") } else { cause.into() };
        let Some(uuid) = self.track(record.ring, Of::Refused) else { return };
        let event = Message::default()
            .number(event::TYPE, event::INSTANT)
            .number(event::TRACK, uuid)
            .bytes(event::NAME, name.as_bytes())
            .message(event::ANNOTATION, number("thread", u64::from(record.tid)));
        self.push(record.time_ns, event);
    }

    /// Says what is not in the trace, at its beginning.
    fn left_out(&mut self) {
        let mut words: Vec<String> = self.trace.left_out().into_iter().collect();
        if self.crowded > 0 {
            words.push(format!("{} that overlapped others are left out", self.crowded));
        }
        if self.contradictory > 0 {
            words.push(format!("{} that contradict themselves are left out", self.contradictory));
        }
        if words.is_empty() {
            return;
        }
        let name = format!("examples only: {}", words.join("; "));
        let event = Message::default()
            .number(event::TYPE, event::INSTANT)
            .number(event::TRACK, RUN)
            .bytes(event::NAME, name.as_bytes());
        self.push(self.trace.info.started_mono_ns, event);
    }

    /// Begin and end on a track; `false` if it is taken at that time.
    fn slice(&mut self, ring: RingNumber, of: Of, slice: Slice) -> bool {
        let end_ns = slice.end_ns.max(slice.begin_ns);
        if !self.is_free(ring, of, slice.begin_ns) {
            self.crowded += 1;
            return false;
        }
        let Some(uuid) = self.track(ring, of) else { return false };
        if let Some(track) = self.tracks.get_mut(&(ring, of)) {
            track.busy_until_ns = end_ns;
        }
        let mut begin = Message::default()
            .number(event::TYPE, event::BEGIN)
            .number(event::TRACK, uuid)
            .bytes(event::NAME, slice.name.as_bytes());
        for note in slice.notes {
            begin = begin.message(event::ANNOTATION, note);
        }
        if let Some((field, flow)) = slice.flow {
            begin = begin.fixed(field, flow);
        }
        self.push(slice.begin_ns, begin);
        let end = Message::default().number(event::TYPE, event::END).number(event::TRACK, uuid);
        self.push(end_ns, end);
        true
    }

    fn is_free(&self, ring: RingNumber, of: Of, time_ns: u64) -> bool {
        self.tracks.get(&(ring, of)).is_none_or(|track| track.busy_until_ns <= time_ns)
    }

    /// The track of something, made where it is not there yet.
    fn track(&mut self, ring: RingNumber, of: Of) -> Option<u64> {
        if let Some(track) = self.tracks.get(&(ring, of)) {
            return Some(track.uuid);
        }
        if self.tracks.len() >= TRACKS {
            self.crowded += 1;
            return None;
        }
        let parent = if of == Of::Ring { RUN } else { self.track(ring, Of::Ring)? };
        let uuid = RUN + 1 + self.tracks.len() as u64;
        let nobody = Names::default();
        let names = self.trace.rings.get(&ring).unwrap_or(&nobody);
        let name = name(ring, of, names);
        let counter =
            (of == Of::Depth).then(|| Message::default().bytes(track::COUNTER_UNIT_NAME, b"items"));
        self.descriptors.push(descriptor(uuid, Some(parent), &name, counter));
        self.tracks.insert((ring, of), Track { uuid, busy_until_ns: 0 });
        Some(uuid)
    }

    fn push(&mut self, time_ns: u64, track_event: Message) {
        let bytes = Message::default()
            .number(packet::TIMESTAMP, time_ns)
            .number(packet::CLOCK, clock::MONOTONIC)
            .number(packet::SEQUENCE, SEQUENCE)
            .message(packet::TRACK_EVENT, track_event)
            .finish();
        self.events.push(Event { time_ns, order: self.events.len() as u64, bytes });
    }

    /// Pairs the records' clock with that of the calendar.
    fn clocks(&self) -> Vec<u8> {
        let info = &self.trace.info;
        let pair = |id, time_ns| {
            Message::default().number(clock::ID, id).number(clock::TIMESTAMP, time_ns)
        };
        let snapshot = Message::default()
            .message(clock::CLOCKS, pair(clock::REALTIME, info.started_unix_ns))
            .message(clock::CLOCKS, pair(clock::MONOTONIC, info.started_mono_ns))
            .number(clock::PRIMARY, clock::MONOTONIC);
        Message::default()
            .number(packet::SEQUENCE, SEQUENCE)
            .number(packet::SEQUENCE_FLAGS, packet::BEGINS)
            .message(packet::CLOCK_SNAPSHOT, snapshot)
            .finish()
    }
}

/// Examples in the order of time: tracks are filled from the left.
fn in_order<T>(examples: &[T], time_ns: impl Fn(&T) -> u64) -> Vec<&T> {
    let mut all: Vec<&T> = examples.iter().collect();
    all.sort_by_key(|one| time_ns(one));
    all
}

fn name(ring: RingNumber, of: Of, names: &Names) -> String {
    match of {
        Of::Ring if names.ring.is_empty() => format!("ring {ring}"),
        Of::Ring => names.ring.clone(),
        Of::Producer(0, _) => "producer not known".into(),
        Of::Producer(tid, false) => format!("producer {tid}"),
        Of::Producer(tid, true) => format!("producer {tid}, an offload worker"),
        Of::Depth => "depth".into(),
        Of::Worker(tid) => format!("offload worker {tid}"),
        Of::Consumer(tid) => {
            let named = names.consumers.iter().find(|consumer| consumer.tid == tid);
            let comm = named.map_or(String::new(), |it| escaped(&it.comm, Charset::Utf8, 64));
            format!("consumer {tid} {comm}").trim_end().to_owned()
        }
        Of::Consumed(lane) => format!("consumed, within bounds {}", lane + 1),
        Of::Refused => "ENOSPC".into(),
    }
}

fn descriptor(uuid: u64, parent: Option<u64>, name: &str, counter: Option<Message>) -> Vec<u8> {
    let mut track =
        Message::default().number(track::UUID, uuid).bytes(track::NAME, name.as_bytes());
    if let Some(parent) = parent {
        track = track.number(track::PARENT, parent);
    }
    if let Some(counter) = counter {
        track = track.message(track::COUNTER, counter);
    }
    Message::default()
        .number(packet::SEQUENCE, SEQUENCE)
        .message(packet::TRACK_DESCRIPTOR, track)
        .finish()
}

fn number(name: &str, value: u64) -> Message {
    Message::default().bytes(annotation::NAME, name.as_bytes()).number(annotation::UINT, value)
}

fn text(name: &str, value: &str) -> Message {
    Message::default()
        .bytes(annotation::NAME, name.as_bytes())
        .bytes(annotation::STRING, value.as_bytes())
}
