//! Single events as lines: every kind of them, of the rings that were chosen.

use anyhow::{Context, ensure};
use serde_json::Value;

use super::report::{script, several, start};
use super::{Bench, table};

table![trace_shows_every_kind_of_event_and_whose_it_is, trace_for_people_ends_with_what_was_lost,];

/// Bash: starts `uepoll trace` with these options, its output in `/run/lines`,
/// and waits until it has attached; `$tracer` is its process.
fn trace(bench: &Bench, own: &str) -> String {
    format!(
        "{uepoll} trace {own} >/run/lines & tracer=$!; \
         until [ -s /run/lines ]; do kill -0 $tracer; sleep 0.05; done\n",
        uepoll = bench.uepoll().display()
    )
}

fn trace_shows_every_kind_of_event_and_whose_it_is(bench: &Bench) -> anyhow::Result<()> {
    let uepoll = bench.uepoll().display();
    // A ring for two items, and three that want in.
    let full = format!(
        "perl -e 'my $ep = syscall({}, 1, 2); my $event = pack(\"Lx0Q\", 0x80000001, 7); my @fds; \
         for (1 .. 3) {{ pipe(my $r, my $w); push @fds, $r, $w; \
         syscall(233, $ep, 1, fileno($r), $event); }}'\n",
        uepoll_common::abi::NR_EPOLL_CREATE2
    );
    let steps = [
        trace(bench, "--json"),
        full,
        format!("{uepoll} stress --events 300 --rate 300 --source inotify --json >/run/stress\n"),
        "kill -INT $tracer; wait $tracer; cat /run/lines\n".to_owned(),
    ];
    let lines = script(bench, 1, &steps.concat())?.reports;
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    let (first, last) = (lines.first(), lines.last());
    ensure!(first.is_some_and(|line| line["schema"] == "uepoll.trace/1"), "begins with {first:?}");
    let last = last.context("no line")?;
    ensure!(last["kind"] == "end" && last["loss"]["total"] == 0, "ends with {last}");
    for kind in ["event", "wait", "offload", "enospc", "ring"] {
        ensure!(!of(kind).is_empty(), "no line of {kind} among {}", lines.len());
    }
    let refused = of("enospc");
    ensure!(refused.len() == 1, "{} lines of a call", refused.len());
    ensure!(refused[0]["cause"] == "ring_full", "{}", refused[0]);
    ensure!(refused[0]["owner"]["comm"] == "perl", "{}", refused[0]);
    // Perl consumes none of its own.
    let ours = |event: &&&Value| event["owner"]["comm"] == "uepoll";
    ensure!(of("event").iter().filter(ours).count() > 0, "no event of stress");
    for event in of("event").iter().filter(ours) {
        let bounds = [&event["add_entry_ns"], &event["consumed_hi_ns"]].map(Value::as_i64);
        ensure!(matches!(bounds, [Some(lo), Some(hi)] if lo <= hi), "{event}");
    }
    Ok(())
}

fn trace_for_people_ends_with_what_was_lost(bench: &Bench) -> anyhow::Result<()> {
    let steps = [
        start(bench, "load", "ring_load", "1 100", " "),
        "read -r pid fd </run/load\n".to_owned(),
        format!("{} trace -d 1 -r $pid:$fd -e event >&2\n", bench.uepoll().display()),
        // A reader that goes away ends it.
        format!("{} trace --json -d 60 | head -1\n", bench.uepoll().display()),
    ];
    let printed = script(bench, 1, &steps.concat())?;
    ensure!(several(&printed.reports[0].to_string())?.len() == 1, "{:?}", printed.reports);
    let lines: Vec<&str> = printed.stderr.lines().collect();
    let (last, events) = lines.split_last().context("nothing was printed")?;
    ensure!(last.starts_with("cost ") && last.ends_with("loss none"), "ends with {last}");
    ensure!(!events.is_empty(), "no event in {}", printed.stderr);
    for line in events {
        ensure!(line.contains("ring_load") && line.contains(" in ring "), "{line}");
        ensure!(line.len() <= 80, "{} columns: {line}", line.len());
    }
    Ok(())
}
