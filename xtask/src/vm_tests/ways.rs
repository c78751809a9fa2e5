//! The two ways to attach see the same, and so do the two times: before a ring
//! exists and after.

use anyhow::{Context, ensure};
use serde_json::Value;

use super::report::{
    check_books, check_trust, count, end_profile_after, known, only_ring, profile_by_intervals,
    profiled, rings, script, start,
};
use super::{Bench, table};

table![
    kprobe_and_fentry_count_the_same_on_the_same_work,
    attached_before_or_after_a_ring_exists_the_figures_are_the_same,
];

/// The ways, as `--probe-kind` and the report call them.
pub const WAYS: [&str; 2] = ["kprobe", "fentry"];

fn kprobe_and_fentry_count_the_same_on_the_same_work(bench: &Bench) -> anyhow::Result<()> {
    let load = ["--events", "20000", "--rate", "10000"];
    let mut figures = Vec::new();
    for way in WAYS {
        let (report, stress) = profiled(bench, &["--probe-kind", way], &load)?;
        ensure!(report["probe_kind"] == way, "{way}: attached by {}", report["probe_kind"]);
        check_books(&report, &stress).context(way)?;
        let ring = only_ring(&report)?;
        let waits = count(ring, "waits")?;
        ensure!(stress["waits_total"] == waits, "{way}: {waits} waits, stress: {stress}");
        let stale = count(ring, "waits_estale_at_once")? + count(ring, "waits_estale_slept")?;
        ensure!(stress["waits"]["estale"] == stale, "{way}: {stale} ESTALE, stress: {stress}");
        ensure!(count(ring, "adds")? == 8, "{way}: {ring}");
        figures.push(known(ring)?.into_iter().map(str::to_owned).collect::<Vec<_>>());
    }
    ensure!(figures[0] == figures[1], "by kprobe {:?}, by fentry {:?}", figures[0], figures[1]);
    Ok(())
}

fn attached_before_or_after_a_ring_exists_the_figures_are_the_same(
    bench: &Bench,
) -> anyhow::Result<()> {
    let load = start(bench, "load", "ring_load", "0 1000", " ");
    let end = end_profile_after(3);
    for way in WAYS {
        let profile = profile_by_intervals(bench, &format!("--probe-kind {way}"));
        let before = script(bench, 1, &[profile.as_str(), &load, &end].concat())?;
        let after = script(bench, 1, &[load.as_str(), &profile, &end].concat())?;
        let (before, after) = (steady(&before.reports)?, steady(&after.reports)?);
        let (before, after) = (only_ring(before)?, only_ring(after)?);
        for ring in [before, after] {
            ensure!(ring["owner"]["comm"] == "ring_load", "{way}: owner {}", ring["owner"]);
            ensure!(ring["consumers"][0]["comm"] == "consumer", "{way}: {}", ring["consumers"]);
            ensure!(count(ring, "published")? + count(ring, "merged")? > 0, "{way}: {ring}");
        }
        for fact in ["max_items", "items_used", "closed", "corrupt"] {
            let (before, after) = (&before[fact], &after[fact]);
            ensure!(before == after, "{way}: {fact} {before} before, {after} after");
        }
        let (fd_before, fd_after) = (&before["owner"]["fd"], &after["owner"]["fd"]);
        ensure!(fd_before == fd_after && fd_after.is_u64(), "{way}: fd {fd_before}, {fd_after}");
        let (before, after) = (known(before)?, known(after)?);
        ensure!(before == after, "{way}: figures before {before:?}, after {after:?}");
    }
    Ok(())
}

/// The last whole interval of a run that Ctrl-C ended: the one before the last.
fn steady(reports: &[Value]) -> anyhow::Result<&Value> {
    let whole = reports.len().checked_sub(2).and_then(|at| reports.get(at));
    let whole = whole.with_context(|| format!("only {} intervals", reports.len()))?;
    ensure!(!rings(whole)?.is_empty(), "no ring in {whole}");
    check_trust(whole)?;
    Ok(whole)
}
