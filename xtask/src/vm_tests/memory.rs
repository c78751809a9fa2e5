//! What watching takes: looks of the sampler, memory of maps, programs and
//! process, beside any number of rings in which nothing happens. Measured
//! here; `cargo xtask memory` makes a page of it.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use uepoll_common::counter::{RING_COUNTERS, RING_HISTOGRAMS};
use uepoll_common::hist::RawHistogram;
use uepoll_common::state::{BANKS, HISTOGRAM_RINGS, RINGS, RingState};

use super::report::{count, profile_by_intervals, rings, script, start};
use super::{Bench, table};

table![idle_rings_cost_the_sampler_no_look, memory_is_the_stated_function_of_rings_and_cpus,];

/// Idle rings beside the busy one.
pub const IDLE: [u32; 3] = [1, 100, 2000];

/// Rings that one tick looks at: that of the consumer that runs, four of its
/// process, and four that have published of late.
const MOST_LOOKS: f64 = 9.0;

/// Stated and measured memory may differ by this part: hash tables round up to
/// pages and powers of two.
pub const TOLERANCE: f64 = 0.05;

/// What one run was seen to take.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Rings of the host.
    pub rings: u32,
    /// Processors.
    pub cpus: u32,
    /// Memory of all maps.
    pub maps_bytes: u64,
    /// Memory of all programs.
    pub programs_bytes: u64,
    /// Resident memory of the process; maps of the kernel are not in it, but for
    /// the ring buffer.
    pub resident_bytes: u64,
    /// Runs of the sampler in the interval.
    pub ticks: u64,
    /// Rings looked at in each.
    pub looks_per_tick: f64,
    /// Length of a run, while it was measured.
    pub sampler_ns: f64,
    /// Ticks a second and CPU that were asked for, on average.
    pub asked_hz: u32,
}

/// Runs the profiler on a host with one busy ring and `idle` others.
///
/// # Errors
/// If the run fails or its report lacks what is asked for.
pub fn measure(bench: &Bench, cpus: u32, idle: u32, writes_per_s: u32) -> anyhow::Result<Taken> {
    let steps = [
        "ulimit -n 8192\n".to_owned(),
        start(bench, "load", "ring_load", &format!("{idle} {writes_per_s}"), " "),
        profile_by_intervals(bench, ""),
        // From a whole interval, and of a process that has made a report. A
        // descriptor may be gone before it is read: the iterator's, for one.
        "until [ $(wc -l </run/reports) -ge 3 ]; do kill -0 $profiler; sleep 0.05; done; \
         cat /proc/$profiler/fdinfo/* /proc/$profiler/status >/run/taken 2>/run/gone || true; \
         grep -E '^(pos|memlock|map_id|prog_id|VmRSS):' /run/taken >&2; \
         kill -INT $profiler; wait $profiler; sed -n 3p /run/reports\n"
            .to_owned(),
    ];
    let printed = script(bench, cpus, &steps.concat())?;
    let report = &printed.reports[0];
    let rings = rings(report)?;
    ensure!(rings.len() == idle as usize + 1, "{} rings of {}", rings.len(), idle + 1);
    let looks: u64 =
        rings.iter().map(|ring| count(ring, "sampler_looks")).sum::<anyhow::Result<u64>>()?;
    let ticks = report["sampler"]["ticks_seen"].as_u64().context("no ticks")?;
    ensure!(ticks > 0, "the sampler never ran: {}", report["sampler"]);
    let programs = report["cost"]["programs"].as_array().context("no costs")?;
    let sampler = programs.iter().find(|program| program["name"] == "sampler");
    let asked_hz = report["sampler"]["asked_hz"].as_u64().context("no rate of the sampler")?;
    let sampler_ns = sampler.and_then(|sampler| sampler["ns_per_hit"].as_f64());
    let (maps_bytes, programs_bytes) = locked(&printed.stderr);
    ensure!(maps_bytes > 0 && programs_bytes > 0, "no map or program in {}", printed.stderr);
    Ok(Taken {
        rings: idle + 1,
        cpus,
        maps_bytes,
        programs_bytes,
        resident_bytes: resident(&printed.stderr).context("no VmRSS")?,
        ticks,
        looks_per_tick: looks as f64 / ticks as f64,
        asked_hz: u32::try_from(asked_hz)?,
        sampler_ns: sampler_ns.with_context(|| format!("no price of the sampler: {programs:?}"))?,
    })
}

impl Taken {
    /// Part of one CPU that the sampler's program took on all CPUs together.
    pub fn sampler_share(&self) -> f64 {
        self.sampler_ns * f64::from(self.asked_hz) * f64::from(self.cpus) / 1e9
    }
}

/// Bytes of maps and of programs in many `/proc/PID/fdinfo/FD`; each counts
/// once, by however many descriptors it is held.
fn locked(fdinfo: &str) -> (u64, u64) {
    let (mut maps, mut programs) = (BTreeMap::new(), BTreeMap::new());
    // A link names its program too, and takes no memory itself.
    let mut bytes = None;
    for line in fdinfo.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let number = || value.trim().parse::<u64>().unwrap_or(0);
        match key {
            "pos" => bytes = None,
            // Before the number of the map or program, in each file.
            "memlock" => bytes = Some(number()),
            "map_id" => maps.extend(bytes.map(|bytes| (number(), bytes))),
            "prog_id" => programs.extend(bytes.map(|bytes| (number(), bytes))),
            _ => {}
        }
    }
    (maps.values().sum(), programs.values().sum())
}

/// Resident bytes in a `/proc/PID/status`.
fn resident(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(value.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
}

/// Places in the maps of rings, for so many rings when the run begins.
pub fn places(rings: u32) -> u64 {
    let mut places = RINGS as u64;
    while u64::from(rings) > places / 2 {
        places *= 4;
    }
    places
}

/// Bytes of the maps that do not depend on rings or processors: the ring buffer
/// and the tables of threads and offloaded items, whose entries all exist from
/// the beginning. Measured: most of it is the kernel's own part of an entry.
const FIXED: u64 = 13_690_000;
/// For each place of a ring: its state, and an entry with its bucket in each of
/// two hash tables.
const PER_PLACE: u64 = size_of::<RingState>() as u64 + 80 + 88;
/// For each place and processor: counters, in two banks.
const PER_PLACE_CPU: u64 = (BANKS * RING_COUNTERS * 8) as u64;
/// For each processor: the histograms of the first rings.
const PER_CPU: u64 = (BANKS * HISTOGRAM_RINGS * RING_HISTOGRAMS * size_of::<RawHistogram>()) as u64;

/// Bytes of all maps, as stated.
pub fn stated(rings: u32, cpus: u32) -> u64 {
    let cpus = u64::from(cpus);
    FIXED + cpus * PER_CPU + places(rings) * (PER_PLACE + cpus * PER_PLACE_CPU)
}

/// Most bytes of the process, as stated: what it is, and its report of each ring.
pub fn process_at_most(rings: u32) -> u64 {
    (28 << 20) + u64::from(rings) * (100 << 10)
}

/// The function, for people.
pub fn function() -> String {
    format!(
        "maps = {FIXED} + CPUs * {PER_CPU} + places * ({PER_PLACE} + CPUs * {PER_PLACE_CPU}) bytes\n\
         process <= {} + rings * {} bytes",
        process_at_most(0),
        process_at_most(1) - process_at_most(0)
    )
}

/// Whether what was measured is what is stated.
///
/// # Errors
/// With both, if not.
pub fn check(taken: &Taken) -> anyhow::Result<()> {
    let (stated, measured) = (stated(taken.rings, taken.cpus), taken.maps_bytes);
    let off = (measured as f64 / stated as f64 - 1.0).abs();
    ensure!(off <= TOLERANCE, "maps take {measured} bytes, stated are {stated}: {taken:?}");
    let most = process_at_most(taken.rings);
    ensure!(taken.resident_bytes <= most, "stated are at most {most} bytes: {taken:?}");
    Ok(())
}

fn idle_rings_cost_the_sampler_no_look(bench: &Bench) -> anyhow::Result<()> {
    for idle in IDLE {
        let taken = measure(bench, 1, idle, 1000)?;
        ensure!(taken.looks_per_tick <= MOST_LOOKS, "beside {idle} idle rings: {taken:?}");
        println!(
            "  {idle} idle rings: {} ticks, {:.2} looks and {:.0} ns each",
            taken.ticks, taken.looks_per_tick, taken.sampler_ns
        );
        check(&taken)?;
    }
    Ok(())
}

fn memory_is_the_stated_function_of_rings_and_cpus(bench: &Bench) -> anyhow::Result<()> {
    // Other numbers than the test above, and a load that leaves attaching to
    // several processors alone.
    check(&measure(bench, 2, 1, 1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_counts_once_however_many_descriptors_it_has() {
        let map = "pos:\t0\nmap_type:\t2\nmemlock:\t8192\nmap_id:\t7\n";
        let program = "pos:\t0\nprog_type:\t5\nmemlock:\t4096\nprog_id:\t7\n";
        let link = "pos:\t0\nlink_type:\ttracing\nprog_id:\t7\n";
        let file = "pos:\t3\nflags:\t0100000\n";
        assert_eq!(locked(&[map, file, map, program, link].concat()), (8192, 4096));
    }

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(resident("VmPeak:\t 9 kB\nVmRSS:\t    2104 kB\n"), Some(2104 << 10));
        assert_eq!(resident(""), None);
    }
}
