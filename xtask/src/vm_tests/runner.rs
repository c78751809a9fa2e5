//! The runner itself: what goes in and comes out of the machine.

use std::time::Duration;

use anyhow::ensure;

use super::{Bench, table};
use crate::vm::Ending;

table![
    exit_status_comes_back,
    arguments_arrive_unchanged,
    streams_stay_apart_and_complete,
    the_hosts_root_is_not_written_to,
    what_the_command_leaves_running_does_not_hold_it_up,
    a_time_limit_ends_the_machine,
    a_panic_is_told_from_an_exit,
];

fn exit_status_comes_back(bench: &Bench) -> anyhow::Result<()> {
    for (script, expected) in [("exit 7", 7), ("kill -TERM $$", 143)] {
        let status = bench.sh(script)?.status;
        ensure!(status == expected, "`{script}` gave {status}");
    }
    Ok(())
}

fn arguments_arrive_unchanged(bench: &Bench) -> anyhow::Result<()> {
    let words =
        ["a b", "", "it's", "\"$HOME\" `id` \\", "new\nline\r\ttab", "*", "-n", "\u{1}\u{7f}é"];
    let command = [&["printf", "%s\\0"], &words[..]].concat();
    let stdout = bench.run(&command)?.success()?;
    ensure!(stdout == words.join("\0") + "\0", "got {stdout:?}");
    Ok(())
}

fn streams_stay_apart_and_complete(bench: &Bench) -> anyhow::Result<()> {
    // 4 MB of any bytes on each stream, with copies by way of the shared folder.
    let ran = bench.sh(
        "cd $UEPOLL_SHARE; head -c 4000000 /dev/urandom >out; head -c 4000000 /dev/urandom >err; \
         cat err >&2 & cat out; wait",
    )?;
    for (name, got) in [("out", &ran.stdout), ("err", &ran.stderr)] {
        let sent = std::fs::read(bench.share().join(name))?;
        ensure!(sent.len() == 4_000_000, "{} bytes of {name} were shared", sent.len());
        ensure!(*got == sent, "std{name} differs: {} of {} bytes came", got.len(), sent.len());
    }
    Ok(())
}

fn the_hosts_root_is_not_written_to(bench: &Bench) -> anyhow::Result<()> {
    let name = format!("/tmp/uepoll-vm-test-{}", std::process::id());
    let stdout = bench.sh(&format!("echo x >{name} && cat {name}"))?.success()?;
    ensure!(stdout == "x\n", "/tmp cannot be written to in the guest: {stdout:?}");
    ensure!(!std::path::Path::new(&name).exists(), "{name} was written on the host");
    Ok(())
}

fn what_the_command_leaves_running_does_not_hold_it_up(bench: &Bench) -> anyhow::Result<()> {
    let stdout = bench.sh("sleep 1000 & echo done")?.success()?;
    ensure!(stdout == "done\n", "got {stdout:?}");
    Ok(())
}

fn a_time_limit_ends_the_machine(bench: &Bench) -> anyhow::Result<()> {
    let mut options = bench.options(&["sleep", "1000"]);
    options.time_limit = Duration::from_secs(1);
    let outcome = bench.boot(&options)?;
    ensure!(outcome.ending == Ending::TimedOut, "{:?}", outcome.ending);
    let complaint = outcome.complaint(&options).unwrap_or_default();
    ensure!(complaint.contains("sleep was still running 1.0 s after"), "{complaint}");
    Ok(())
}

fn a_panic_is_told_from_an_exit(bench: &Bench) -> anyhow::Result<()> {
    let options = bench.options(&["sh", "-c", "echo before; echo c >/proc/sysrq-trigger"]);
    let outcome = bench.boot(&options)?;
    ensure!(outcome.ending == Ending::Panicked, "{:?}", outcome.ending);
    ensure!(outcome.console.contains("sysrq triggered crash"), "{}", outcome.console);
    Ok(())
}
