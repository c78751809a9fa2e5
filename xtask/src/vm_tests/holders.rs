//! One ring stays one ring, by however many descriptors processes hold it.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::report::{end_profile_after, only_ring, profile_by_intervals, script, start};
use super::ways::WAYS;
use super::{Bench, table};

table![
    a_ring_shared_before_attach_is_one_ring_with_all_its_descriptors,
    a_ring_shared_after_attach_is_one_ring_with_all_its_descriptors,
];

fn a_ring_shared_before_attach_is_one_ring_with_all_its_descriptors(
    bench: &Bench,
) -> anyhow::Result<()> {
    let share = start(bench, "load", "shared_ring", "", "shared");
    let profiles: String = WAYS
        .iter()
        .map(|way| {
            let uepoll = bench.uepoll().display();
            format!("{uepoll} profile --json -d 300ms --probe-kind {way}\n")
        })
        .collect();
    let printed = script(bench, 2, &format!("{share}{profiles}cat /run/load >&2"))?;
    let expected = descriptors(&printed.stderr)?;
    ensure!(printed.reports.len() == WAYS.len(), "{} reports", printed.reports.len());
    for (way, report) in WAYS.iter().zip(&printed.reports) {
        let found = holders(report)?;
        ensure!(found == expected, "{way}: found {found:?} of {expected:?}");
    }
    Ok(())
}

fn a_ring_shared_after_attach_is_one_ring_with_all_its_descriptors(
    bench: &Bench,
) -> anyhow::Result<()> {
    let steps = [
        profile_by_intervals(bench, ""),
        start(bench, "load", "shared_ring", "", "shared"),
        end_profile_after(2),
        "cat /run/load >&2\n".to_owned(),
    ];
    let printed = script(bench, 2, &steps.concat())?;
    let expected = descriptors(&printed.stderr)?;
    let last = printed.reports.last().context("no report")?;
    let found = holders(last)?;
    ensure!(found == expected, "found {found:?} of {expected:?}");
    Ok(())
}

/// What the program says of its descriptors, a `PID FD` on each line.
fn descriptors(told: &str) -> anyhow::Result<BTreeSet<(u64, u64)>> {
    let pair = |line: &str| {
        let (pid, fd) = line.split_once(' ')?;
        Some((pid.parse().ok()?, fd.parse().ok()?))
    };
    let descriptors: BTreeSet<_> = told.lines().filter_map(pair).collect();
    ensure!(descriptors.len() == 5, "shared_ring told {told:?}");
    Ok(descriptors)
}

fn holders(report: &Value) -> anyhow::Result<BTreeSet<(u64, u64)>> {
    let holders = only_ring(report)?["holders"].as_array().context("no holders")?;
    let pair = |holder: &Value| Some((holder["pid"].as_u64()?, holder["fd"].as_u64()?));
    holders.iter().map(|holder| pair(holder).with_context(|| format!("{holder}"))).collect()
}
