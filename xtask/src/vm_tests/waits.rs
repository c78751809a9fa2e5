//! No return of a wait is lost, however many threads sleep on one ring, and
//! waits that began before anything was attached are found.

use anyhow::ensure;

use super::report::{
    check_trust, count, only_ring, profile_by_intervals, script, several, start, total,
};
use super::ways::WAYS;
use super::{Bench, table};

table![no_return_of_40_sleepers_is_lost, sleepers_from_before_attach_are_found];

/// Threads asleep in epoll_wait on one ring. kretprobes have room for fewer.
const SLEEPERS: u64 = 40;

fn no_return_of_40_sleepers_is_lost(bench: &Bench) -> anyhow::Result<()> {
    for way in WAYS {
        let uepoll = bench.uepoll().to_string_lossy().into_owned();
        let sleepers = bench.program("sleepers").to_string_lossy().into_owned();
        let own = [&uepoll, "profile", "--json", "--probe-kind", way, "--"];
        let ran = bench.run(&[&own[..], &[&sleepers, &SLEEPERS.to_string()]].concat())?;
        let told = ran.stderr_text();
        ensure!(told.contains(&format!("estale {SLEEPERS}\n")), "{way}: sleepers: {told}");
        let report = &several(&ran.success()?)?[0];
        check_trust(report)?;
        let ring = only_ring(report)?;
        for figure in ["waits", "waits_slept", "waits_estale_slept"] {
            let counted = count(ring, figure)?;
            ensure!(counted == SLEEPERS, "{way}: {figure} {counted} of {SLEEPERS}: {ring}");
        }
        let blocked = &ring["figures"]["blocked_ns"]["count"];
        ensure!(*blocked == SLEEPERS, "{way}: {blocked} times in a wait");
        let woken = &ring["figures"]["wake_up_ns"]["count"];
        ensure!(*woken == SLEEPERS, "{way}: {woken} wake-ups of {SLEEPERS} sleepers");
    }
    Ok(())
}

fn sleepers_from_before_attach_are_found(bench: &Bench) -> anyhow::Result<()> {
    for way in WAYS {
        let steps = [
            start(bench, "load", "sleepers", &SLEEPERS.to_string(), "asleep"),
            profile_by_intervals(bench, &format!("--probe-kind {way} -p $load")),
            // It ends with the process that it watches.
            "echo >&$load_in; wait $load; wait $profiler; cat /run/reports\n".to_owned(),
        ];
        let reports = script(bench, 1, &steps.concat())?.reports;
        for figure in ["waits", "waits_slept", "waits_estale_slept"] {
            let counted = total(&reports, figure)?;
            ensure!(counted == SLEEPERS, "{way}: {figure} {counted} of {SLEEPERS}: {reports:?}");
        }
        for report in &reports {
            check_trust(report)?;
        }
    }
    Ok(())
}
