//! `uepoll doctor`: its verdicts on kernels and under rights of which the truth
//! is known.

use anyhow::{Context, ensure};
use serde_json::Value;

use super::bench::Ran;
use super::{Bench, table};
use crate::kernel::Flavour;

table![
    doctor_finds_nothing_wrong_with_our_port_and_leaves_no_probe,
    doctor_tells_what_kprobes_do_not_see,
    doctor_names_what_is_inlined_and_what_to_do,
    doctor_prints_the_plan_that_profile_carries_out,
    doctor_without_rights_prints_all_it_can,
    doctor_under_lockdown_says_what_forbids_it,
];

/// Where the kernel lists functions that have a kprobe or a trampoline.
const TOUCHED: &str = "/sys/kernel/tracing/enabled_functions";

fn doctor(bench: &Bench, options: &[&str]) -> anyhow::Result<(u8, Value)> {
    let uepoll = bench.uepoll().to_string_lossy().into_owned();
    let ran = bench.run(&[&[&uepoll, "doctor", "--json"], options].concat())?;
    Ok((ran.status, findings(&ran)?))
}

fn findings(ran: &Ran) -> anyhow::Result<Value> {
    let text = String::from_utf8_lossy(&ran.stdout);
    let told: Value = serde_json::from_str(&text)
        .with_context(|| format!("not JSON: {text:?}; stderr: {}", ran.stderr_text()))?;
    ensure!(told["schema"] == "uepoll.doctor/1", "{}", told["schema"]);
    Ok(told)
}

fn points(told: &Value) -> anyhow::Result<&Vec<Value>> {
    told["points"].as_array().with_context(|| format!("no points: {told}"))
}

fn point<'a>(told: &'a Value, symbol: &str) -> anyhow::Result<&'a Value> {
    let mut found = points(told)?.iter().filter(|point| point["symbol"] == symbol);
    found.next().with_context(|| format!("no point {symbol}: {}", told["points"]))
}

fn doctor_finds_nothing_wrong_with_our_port_and_leaves_no_probe(
    bench: &Bench,
) -> anyhow::Result<()> {
    let uepoll = bench.uepoll().display();
    let ran = bench.sh(&format!("{uepoll} doctor --json && ! grep ep_ {TOUCHED} >&2"))?;
    ensure!(ran.status == 0, "exit status {}; {}", ran.status, ran.stderr_text());
    let told = findings(&ran)?;
    ensure!(told["verdict"] == "fine", "{told}");
    ensure!(told["tried"] == true && told["series"]["protocol"] == "v2", "{told}");
    for point in points(&told)? {
        ensure!(point["verdict"] == "ok" && point["why_not_better"].is_null(), "{point}");
    }
    ensure!(point(&told, "ep_poll_callback")?["attached"] == "fentry", "{told}");
    Ok(())
}

fn doctor_tells_what_kprobes_do_not_see(bench: &Bench) -> anyhow::Result<()> {
    let (status, told) = doctor(bench, &["--probe-kind", "kprobe"])?;
    ensure!(status == 1 && told["verdict"] == "degraded", "exit status {status}: {told}");
    let wait = point(&told, "do_epoll_wait")?;
    ensure!(wait["attached"] == "kprobe" && wait["verdict"] == "degraded", "{wait}");
    ensure!(wait["lost"].to_string().contains("32-bit"), "{wait}");
    ensure!(wait["do"].to_string().contains("--probe-kind auto"), "{wait}");
    point(&told, "syscalls:sys_exit_epoll_pwait2")?;
    Ok(())
}

fn doctor_names_what_is_inlined_and_what_to_do(bench: &Bench) -> anyhow::Result<()> {
    let (status, told) = doctor(&bench.on(Flavour::Inline)?, &[])?;
    ensure!(status == 1 && told["verdict"] == "degraded", "exit status {status}: {told}");
    for symbol in ["ep_add_event_to_uring", "ep_remove_user_item", "ep_get_bit"] {
        let point = point(&told, symbol)?;
        ensure!(point["verdict"] == "missing" && point["attached"].is_null(), "{point}");
        ensure!(point["lost"].is_string() && point["do"].is_string(), "{point}");
    }
    ensure!(point(&told, "ep_poll_callback")?["verdict"] == "ok", "{told}");
    Ok(())
}

fn doctor_prints_the_plan_that_profile_carries_out(bench: &Bench) -> anyhow::Result<()> {
    let uepoll = bench.uepoll().display();
    for kind in ["auto", "kprobe"] {
        // With a filter, as the doctor tries it.
        let ran = bench.sh(&format!(
            "{uepoll} doctor --json --probe-kind {kind} >$UEPOLL_SHARE/doctor.json; \
             exec {uepoll} profile --json --probe-kind {kind} -d 100ms -p $$"
        ))?;
        let report: Value = serde_json::from_str(&ran.success()?)?;
        let told: Value =
            serde_json::from_slice(&std::fs::read(bench.share().join("doctor.json"))?)?;
        let rows = |rows: &Value| -> Vec<String> {
            let row = |row: &Value| {
                format!("{} {} {} {}", row["point"], row["symbol"], row["attached"], row["lost"])
            };
            rows.as_array().map(|rows| rows.iter().map(row).collect()).unwrap_or_default()
        };
        let (doctor, profile) = (rows(&told["points"]), rows(&report["plan"]));
        ensure!(doctor.len() > 10, "{kind}: only {} points", doctor.len());
        ensure!(doctor == profile, "{kind}:\n{doctor:#?}\nin profile:\n{profile:#?}");
    }
    Ok(())
}

fn doctor_without_rights_prints_all_it_can(bench: &Bench) -> anyhow::Result<()> {
    let uepoll = bench.uepoll().display();
    let as_nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let ran = bench.sh(&format!("{as_nobody} {uepoll} doctor --json"))?;
    ensure!(ran.status == 3, "exit status {}: {}", ran.status, ran.stderr_text());
    let told = findings(&ran)?;
    ensure!(told["verdict"] == "cannot_run" && told["tried"] == false, "{told}");
    let obstacles = told["obstacles"].to_string();
    for words in ["CAP_BPF", "CAP_PERFMON", "sudo setcap cap_bpf"] {
        ensure!(obstacles.contains(words), "no {words}: {obstacles}");
    }
    // Nobody tried it, but symbols and types tell what will be lost.
    ensure!(told["series"]["present"] == true, "{}", told["series"]);
    let arrival = point(&told, "ep_poll_callback")?;
    ensure!(arrival["attached"] == "fentry" && arrival["verdict"] == "unknown", "{arrival}");
    Ok(())
}

fn doctor_under_lockdown_says_what_forbids_it(bench: &Bench) -> anyhow::Result<()> {
    let uepoll = bench.uepoll().display();
    let script = format!(
        "mountpoint -q /sys/kernel/security || mount -t securityfs none /sys/kernel/security; \
         exec {uepoll} doctor --json"
    );
    let mut options = bench.options(&["sh", "-c", &script]);
    for (level, status) in [("confidentiality", 3), ("integrity", 0)] {
        options.kernel_words = vec![format!("lockdown={level}")];
        let ran = bench.run_with(&options)?;
        let told = findings(&ran)?;
        ensure!(ran.status == status, "{level}: exit status {}: {told}", ran.status);
        let named = told["obstacles"].to_string().contains("lockdown");
        ensure!(named == (status == 3), "{level}: {}", told["obstacles"]);
    }
    Ok(())
}
