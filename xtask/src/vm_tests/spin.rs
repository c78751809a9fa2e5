//! Spinning, in the kernel's gap between tail and slot and on an empty ring:
//! what the report says of it against what is known of the load.

use anyhow::{Context, ensure};
use serde_json::Value;

use super::report::{LOAD, check_books, count, only_ring, profiled};
use super::ways::WAYS;
use super::{Bench, table};
use crate::kernel::Flavour;

table![
    a_slot_that_comes_late_is_seen_as_slot_spin_and_as_nothing_else,
    spin_iterations_are_those_that_the_consumer_counted,
];

/// How late each slot is.
const DELAY_US: u64 = 20_000;

/// What a late slot cannot move.
const UNMOVED: [&str; 12] = [
    "published_insert",
    "published_modify",
    "disarmed",
    "removed",
    "adds",
    "enospc_ring_full",
    "enospc_user_watches",
    "offload_wakeups",
    "offload_runs",
    "waits_timed_out",
    "waits_interrupted",
    "waits_other",
];

fn a_slot_that_comes_late_is_seen_as_slot_spin_and_as_nothing_else(
    bench: &Bench,
) -> anyhow::Result<()> {
    let bench = bench.on(Flavour::Delay)?;
    for way in WAYS {
        let prompt = late_by(&bench, 0, way)?;
        let late = late_by(&bench, DELAY_US, way)?;
        let (prompt, late) = (only_ring(&prompt)?, only_ring(&late)?);

        let share = |ring: &Value| ring["figures"]["slot_spin_share"].as_f64();
        let (without, with) = (share(prompt), share(late));
        let (without, with) = without.zip(with).context("slot_spin_share is no number")?;
        ensure!(without < 0.01, "{way}: {without} of the looks are slot spin without a delay");
        // 60 slots of 20 ms each in about 2 s.
        ensure!(with > 0.2, "{way}: only {with} of the looks are slot spin");
        ensure!(count(late, "slot_spin_sightings")? > 0, "{way}: {late}");
        let exposure = |ring: &Value| ring["figures"]["slot_exposure_ns"]["mean"].as_f64();
        let (short, long) = exposure(prompt).zip(exposure(late)).context("no exposure")?;
        let delay_ns = DELAY_US as f64 * 1e3;
        ensure!(short < delay_ns / 10.0, "{way}: {short} ns exposed without a delay");
        ensure!(long >= delay_ns, "{way}: {long} ns exposed with a delay of {delay_ns}");

        for figure in UNMOVED {
            let (prompt, late) = (count(prompt, figure)?, count(late, figure)?);
            ensure!(prompt == late, "{way}: {figure} moved from {prompt} to {late}");
        }
    }
    Ok(())
}

/// A report on a consumer that never stops polling, slots late by so much.
fn late_by(bench: &Bench, delay_us: u64, way: &str) -> anyhow::Result<Value> {
    let uepoll = bench.uepoll().display();
    let load = "stress --json --producers 2 --items 2 --events 60 --rate 30 --spin 1000000000";
    let ran = bench.sh(&format!(
        "echo {delay_us} >/sys/module/eventpoll/parameters/slot_delay_us && \
         exec {uepoll} profile --json --probe-kind {way} -- {uepoll} {load}"
    ))?;
    let report = serde_json::from_str(&ran.success()?)?;
    let stress = serde_json::from_str(&ran.stderr_text())?;
    check_books(&report, &stress)?;
    Ok(report)
}

fn spin_iterations_are_those_that_the_consumer_counted(bench: &Bench) -> anyhow::Result<()> {
    let load = ["--events", "2000", "--rate", "4000", "--spin", "2000"];
    let (report, stress) = profiled(bench, &[], &load)?;
    check_books(&report, &stress)?;
    let ring = only_ring(&report)?;
    let iterations = count(ring, "spin_iterations")?;
    ensure!(iterations > 0, "the load ({LOAD:?} {load:?}) did not spin: {ring}");
    ensure!(stress["empty_polls"] == iterations, "{iterations} iterations, stress: {stress}");
    Ok(())
}
