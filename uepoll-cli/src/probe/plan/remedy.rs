//! What a person can do about a point that loses something.

use uepoll_core::capture::{Attached, PlanRow};

use super::{POINTS, Point, Site};
use crate::kernel::symbols::{Found, Symbols};
use crate::source::live::ProbeKind;

/// In the port every probed function keeps its name and arguments.
const PORT: &str = "boot a kernel that keeps the function apart (`static noinline __noclone`), as the port in \
     kernel/ does";

/// What to do about a row; `None` where nothing is lost.
pub fn remedy(row: &PlanRow, kind: ProbeKind, symbols: &Symbols) -> Option<String> {
    row.lost.as_ref()?;
    let line = match (row.attached, row.symbol.split_once(':')) {
        (Attached::Missing, Some(_)) => {
            "mount tracefs on /sys/kernel/tracing; without root give the binary \
             cap_dac_read_search; the kernel needs CONFIG_FTRACE_SYSCALLS"
        }
        (Attached::Missing, None) => match symbols.find(&row.symbol) {
            _ if !POINTS.iter().any(|point| is_at(point, row)) => {
                "boot a newer kernel, or one with more of CONFIG_PERF_EVENTS, \
                 CONFIG_TRACEPOINTS, CONFIG_PROC_FS"
            }
            Found::Exact | Found::Clone(_) if kind == ProbeKind::Fentry => {
                "try --probe-kind auto, which allows kprobes"
            }
            _ => PORT,
        },
        // It stands in for another function, which keeps its own row.
        _ if !POINTS.iter().any(|point| point.name == row.point && is_at(point, row)) => PORT,
        _ if kind == ProbeKind::Kprobe => "try --probe-kind auto, which prefers fentry",
        _ => {
            "boot a kernel in which fentry works (CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS, \
             CONFIG_BPF_JIT, no lockdown)"
        }
    };
    Some(line.to_owned())
}

/// Whether a row is about a point's function, or about a clone of it.
fn is_at(point: &Point, row: &PlanRow) -> bool {
    let base = row.symbol.split_once('.').map_or(&*row.symbol, |(base, _)| base);
    matches!(point.site, Site::Function(name, _) if name == base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(point: &'static str, symbol: &str, attached: Attached) -> PlanRow {
        PlanRow {
            point,
            symbol: symbol.to_owned(),
            attached,
            why_not_better: None,
            lost: Some("something".to_owned()),
        }
    }

    fn told(row: &PlanRow, kind: ProbeKind) -> String {
        let text = "ffffffff81000000 t do_epoll_ctl\nffffffff81000000 t do_epoll_wait\n";
        let symbols = Symbols::parse(text, &super::super::functions());
        remedy(row, kind, &symbols).unwrap_or_default()
    }

    #[test]
    fn the_remedy_is_for_the_cause() {
        let missing = Attached::Missing;
        for (row, kind, words) in [
            (row("publish", "ep_add_event_to_uring", missing), ProbeKind::Auto, "noinline"),
            (row("publish", "ep_add_event_to_uring", missing), ProbeKind::Fentry, "noinline"),
            (row("control", "do_epoll_ctl", missing), ProbeKind::Fentry, "--probe-kind auto"),
            (row("wait", "syscalls:sys_exit_epoll_wait", missing), ProbeKind::Auto, "tracefs"),
            (row("sampler", "cpu-clock", missing), ProbeKind::Auto, "CONFIG_PERF_EVENTS"),
            (row("control", "do_epoll_ctl", Attached::Kprobe), ProbeKind::Kprobe, "auto"),
            (row("wait", "do_epoll_wait", Attached::Kprobe), ProbeKind::Auto, "fentry works"),
            (row("arrival", "ep_poll_wakeup", Attached::Kprobe), ProbeKind::Auto, "noinline"),
        ] {
            let told = told(&row, kind);
            assert!(told.contains(words), "{} by {kind:?}: {told}", row.symbol);
        }
    }

    #[test]
    fn nothing_is_to_be_done_where_nothing_is_lost() {
        let fine = PlanRow { lost: None, ..row("wait", "do_epoll_wait", Attached::Fentry) };
        assert_eq!(told(&fine, ProbeKind::Auto), "");
    }
}
