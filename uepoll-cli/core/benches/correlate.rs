//! How long the records of a 10-minute run take to be correlated. With
//! `--check` it fails above the two seconds that are allowed.

use std::process::ExitCode;
use std::time::Instant;

use uepoll_common::record::{Record, Resolved, Snapshot};
use uepoll_core::correlate::Correlator;
use uepoll_core::quantile::Percentile;

/// Length of the run.
const RUN_S: u64 = 600;

/// Rings, all of them busy enough to use up their budget of samples.
const RINGS: u64 = 4;

/// Sampled positions of a ring in 100 ms.
const BUDGET: u64 = 1000;

/// Snapshots a second and CPU.
const SAMPLER_HZ: u64 = 199;

/// CPUs, each of whose ticks looks at every ring.
const CPUS: u64 = 2;

/// What is allowed.
const LIMIT_S: f64 = 2.0;

/// A record of the run, made from its number: all of them at once would be a
/// benchmark of memory.
fn resolved(n: u64) -> Record {
    let ring = (n % RINGS) as u32;
    let add_ns = 1_000_000_000 + n / RINGS * (100_000_000 / BUDGET);
    // Spread over three orders of magnitude, as real residency is.
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let residency_ns = (2000 + (mixed >> 52)) << (mixed & 7).min(mixed >> 8 & 7);
    Record::Resolved(Resolved {
        kind: 1,
        ring,
        position: (n / RINGS) as u32,
        item: 0,
        arrival_ns: add_ns - 300,
        add_entry_ns: add_ns,
        add_exit_ns: add_ns + 200,
        consumed_lo_ns: add_ns + residency_ns,
        consumed_hi_ns: add_ns + residency_ns + residency_ns / 4,
        sample_shift: 4,
        interval: 0,
        waker_tid: 0,
        flags: 0,
    })
}

fn snapshot(n: u64) -> Record {
    let tick = n / RINGS;
    // The two CPUs overtake each other now and then.
    let before_ns = 1_000_000_000 + (tick ^ 1) * (1_000_000_000 / SAMPLER_HZ / CPUS);
    Record::Snapshot(Snapshot {
        kind: 4,
        ring: (n % RINGS) as u32,
        before_ns,
        after_ns: before_ns + 80,
        head: (tick * 100) as u32,
        tail: (tick * 100 + n % 90) as u32,
        flags: Snapshot::HEADER_RIGHT,
        reserved: 0,
    })
}

fn main() -> ExitCode {
    let positions = RINGS * BUDGET * 10 * RUN_S;
    let snapshots = RINGS * SAMPLER_HZ * CPUS * RUN_S;
    let every = positions / snapshots;
    let mut made = 0u64;
    let begun = Instant::now();
    for n in 0..positions {
        std::hint::black_box(resolved(n));
        if n % every == 0 {
            std::hint::black_box(snapshot(made));
            made += 1;
        }
    }
    let making_s = begun.elapsed().as_secs_f64();
    made = 0;
    let begun = Instant::now();
    let mut correlator = Correlator::default();
    for n in 0..positions {
        correlator.push(&resolved(n));
        if n % every == 0 {
            correlator.push(&snapshot(made));
            made += 1;
        }
    }
    let told = correlator.finish();
    let seconds = begun.elapsed().as_secs_f64();
    let medians =
        told.rings.values().filter_map(|ring| ring.residency.percentile(Percentile::P50)).count();
    println!(
        "{} records of {RUN_S} s: {seconds:.2} s, {making_s:.2} s of it to make them; {:.1} million \
         records/s; {medians} rings told",
        positions + made,
        (positions + made) as f64 / seconds / 1e6,
    );
    if std::env::args().any(|argument| argument == "--check") && seconds > LIMIT_S {
        eprintln!("correlating took {seconds:.2} s; {LIMIT_S} s are allowed");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
