//! Bytes from the ring buffer, decoded, correlated, and made a report of: no
//! input may panic, no bound may be upside down, no line too wide or with a
//! control character.

#![no_main]

use libfuzzer_sys::fuzz_target;
use uepoll_common::counter::{HOST_COUNTERS, RING_COUNTERS, RING_HISTOGRAMS};
use uepoll_common::hist::RawHistogram;
use uepoll_common::record::Record;
use uepoll_core::capture::{
    Attached, Capture, Consumer, Cost, HeadWatch, Holder, Host, HostCounters, LastState, Loss,
    Owner, PlanRow, Protocol, RingCapture, RingCounters,
};
use uepoll_core::correlate::Correlator;
use uepoll_core::quantile::Percentile;
use uepoll_core::render::text::{self, TextOptions, WIDTH};
use uepoll_core::render::{Charset, json};
use uepoll_core::report::Report;
use uepoll_core::residency::narrow;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let interval = u32::from(input.byte() % 3);
    let capture = capture(&mut input, interval);
    let mut correlator = Correlator::default();
    while !input.0.is_empty() {
        // Records of 64 bytes, and now and then of another length.
        let length = match input.byte() {
            odd if odd & 0xe0 == 0 => usize::from(odd),
            _ => 64,
        };
        let bytes = input.take(length);
        let Some(mut record) = Record::decode(bytes) else { continue };
        if let Record::Resolved(resolved) = &mut record {
            resolved.ring %= 4;
            let (lo_ns, hi_ns) = (input.long(), input.long());
            let before = *resolved;
            if !narrow(resolved, lo_ns, hi_ns) {
                assert_eq!(*resolved, before, "a contradiction changes nothing");
            }
            assert!(resolved.consumed_lo_ns >= before.consumed_lo_ns);
        }
        correlator.push(&record);
    }
    let told = correlator.roll(interval);
    for ring in told.rings.values() {
        for percentile in Percentile::ALL {
            if let Some(bounds) = ring.residency.percentile(percentile) {
                assert!(bounds.hi.is_none_or(|hi| bounds.lo <= hi), "{bounds:?}");
            }
        }
    }
    let report = Report::build(&capture, &told);
    for (charset, verbose) in [(Charset::Ascii, true), (Charset::Utf8, false)] {
        for line in text::render(&report, TextOptions { charset, verbose }).lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
    }
    let json = json::render(&report);
    assert!(json.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)));
});

/// What is left of the input; zeros once it is used up.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn long(&mut self) -> u64 {
        let mut word = [0; 8];
        let bytes = self.take(8);
        word[..bytes.len()].copy_from_slice(bytes);
        // Small, middling and any numbers alike.
        u64::from_le_bytes(word) >> (word[0] % 64)
    }

    fn int(&mut self) -> u32 {
        self.long() as u32
    }

    fn name(&mut self) -> String {
        let length = usize::from(self.byte() % 24);
        String::from_utf8_lossy(self.take(length)).into_owned()
    }
}

/// A capture that says anything.
fn capture(input: &mut Input<'_>, interval: u32) -> Capture {
    let rings = (0..u32::from(input.byte() % 4)).map(|number| ring(input, number)).collect();
    Capture {
        host: Host {
            release: input.name(),
            cpus: input.int(),
            protocol: if input.byte() % 2 == 0 { Protocol::V2 } else { Protocol::V4 },
            emulated: input.byte() % 2 == 0,
        },
        interval,
        plan: vec![PlanRow {
            point: "publish",
            symbol: input.name(),
            attached: if input.byte() % 2 == 0 { Attached::Kprobe } else { Attached::Missing },
            why_not_better: Some(input.name()),
            lost: Some(input.name()),
        }],
        start_ns: input.long(),
        duration_ns: input.long(),
        sampler_hz: input.int(),
        unfinished: false,
        notes: Vec::new(),
        rings,
        head_watch: Some(HeadWatch {
            ring: Some(0),
            reads: input.long(),
            watched_ns: input.long(),
            longest_gap_ns: input.long(),
            ended: Some(input.name()),
        }),
        host_counters: HostCounters([input.long(); HOST_COUNTERS]),
        loss: Loss {
            recursion_misses: input.long(),
            probe_misses: None,
            ticks_expected: input.long(),
            bad_records: input.long(),
        },
        cost: Cost {
            own_cpu_ns: input.long(),
            programs: Vec::new(),
            statistics_on_ns: input.long(),
        },
    }
}

fn histograms(input: &mut Input<'_>) -> Option<Box<[RawHistogram; RING_HISTOGRAMS]>> {
    let mut all = vec![RawHistogram::EMPTY; RING_HISTOGRAMS];
    for _ in 0..input.byte() {
        all[usize::from(input.byte()) % RING_HISTOGRAMS].record(input.long());
    }
    all.try_into().ok()
}

fn ring(input: &mut Input<'_>, number: u32) -> RingCapture {
    let mut counters = RingCounters([0; RING_COUNTERS]);
    counters.0.iter_mut().for_each(|counter| *counter = input.long());
    RingCapture {
        ring: number,
        owner: Some(Owner { pid: input.int(), comm: input.name(), fd: input.int() as i32 }),
        holders: vec![Holder { pid: input.int(), fd: input.int() as i32, comm: input.name() }],
        consumers: (0..input.byte() % 3)
            .map(|_| Consumer { tid: input.int(), comm: input.name(), named: false })
            .collect(),
        observed_ns: input.long(),
        waiters_seen: input.int(),
        waiting_ns: input.long(),
        spins_heard: [None, Some(false), Some(true)][usize::from(input.byte() % 3)],
        max_items: input.int() % 65537,
        first_head: input.int(),
        first_tail: input.int(),
        last: Some(LastState {
            head: input.int(),
            tail: input.int(),
            items_used: Some(input.int()),
            header_right: input.byte() % 2 == 0,
        }),
        closed: input.byte() % 2 == 0,
        created: input.byte() % 2 == 0,
        counters,
        histograms: histograms(input).map(Into::into),
        sample_shift: input.int(),
    }
}
