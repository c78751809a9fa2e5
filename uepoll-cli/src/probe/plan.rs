//! The probe plan: for each point, which programs go where in this kernel, and
//! what is lost where one cannot. Decided from symbols and types alone, before
//! anything is loaded.

use std::collections::HashMap;

use uepoll_core::capture::{Attached, PlanRow};

use crate::kernel::symbols::{Found, Symbols};

/// Where a point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// A function, with the number of parameters of its prototype.
    Function(&'static str, usize),
    /// A tracepoint: category and name.
    Tracepoint(&'static str, &'static str),
    /// A tracepoint that hands over its raw arguments.
    RawTracepoint(&'static str),
    /// The software clock of every CPU.
    Clock,
}

/// One point of observation.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// A word of the design's table of probe points.
    pub name: &'static str,
    /// Where.
    pub site: Site,
    /// Programs for a function under its own name.
    pub programs: &'static [&'static str],
    /// Of these, the ones that a clone of the function can serve: they look at
    /// its return value and at none of its arguments.
    pub on_clone: &'static [&'static str],
    /// What is lost without it.
    pub lost: &'static str,
    /// What is lost even where it is attached; empty for nothing.
    pub never_seen: &'static str,
    /// Needed only where rings are filtered by process.
    pub for_filter: bool,
}

const POINT: Point = Point {
    name: "",
    site: Site::Clock,
    programs: &[],
    on_clone: &[],
    lost: "",
    never_seen: "",
    for_filter: false,
};

/// The function whose absence makes adds be inferred.
pub const ADD: &str = "ep_add_event_to_uring";

/// The function that tells a full ring from other causes of ENOSPC.
pub const GET_BIT: &str = "ep_get_bit";

/// Every point of this version.
pub const POINTS: &[Point] = &[
    Point {
        name: "arrival",
        site: Site::Function("ep_poll_callback", 2),
        programs: &["callback_entry", "callback_return"],
        lost: "arrivals, filtered, disarmed and publish latency",
        ..POINT
    },
    Point {
        name: "publish",
        site: Site::Function(ADD, 2),
        programs: &["add_entry", "add_return"],
        lost: "published and merged are inferred from tail before and after the callback \
               (wrong where two callbacks overlap); adds by epoll_ctl are not seen",
        ..POINT
    },
    Point {
        name: "remove",
        site: Site::Function("ep_remove_user_item", 1),
        programs: &["remove_entry"],
        lost: "removed items",
        ..POINT
    },
    Point {
        name: "offload",
        site: Site::Function("ep_poll_wakeup", 4),
        programs: &["wakeup_entry"],
        lost: "keyless wake-ups, their delay, and how many collapsed",
        ..POINT
    },
    Point {
        name: "offload",
        site: Site::Function("ep_poll_callback_work", 1),
        programs: &["work_entry", "work_return"],
        lost: "runs of the offload worker, and which arrivals are its own",
        ..POINT
    },
    Point {
        name: "control",
        site: Site::Function("do_epoll_ctl", 5),
        programs: &["ctl_entry"],
        lost: "ADDs, ENOSPC, and adds by epoll_ctl",
        never_seen: "results of ADDs through io_uring",
        ..POINT
    },
    Point {
        name: "control",
        site: Site::Tracepoint("syscalls", "sys_exit_epoll_ctl"),
        programs: &["ctl_exit"],
        lost: "ADDs and ENOSPC",
        ..POINT
    },
    Point {
        name: "control",
        site: Site::Function(GET_BIT, 1),
        programs: &["get_bit_return"],
        on_clone: &["get_bit_return"],
        lost: "the cause of ENOSPC is taken from the count of used items",
        ..POINT
    },
    Point {
        name: "wait",
        site: Site::Function("do_epoll_wait", 4),
        programs: &["wait_entry"],
        lost: "waits, ESTALE, blocked time, and who waits",
        never_seen: "waits of 32-bit programs",
        ..POINT
    },
    Point {
        name: "wait",
        site: Site::Tracepoint("syscalls", "sys_exit_epoll_wait"),
        programs: &["wait_exit"],
        lost: "outcomes of epoll_wait",
        ..POINT
    },
    Point {
        name: "wait",
        site: Site::Tracepoint("syscalls", "sys_exit_epoll_pwait"),
        programs: &["wait_exit"],
        lost: "outcomes of epoll_pwait",
        ..POINT
    },
    Point {
        name: "wait",
        site: Site::Tracepoint("syscalls", "sys_exit_epoll_pwait2"),
        programs: &["wait_exit"],
        lost: "outcomes of epoll_pwait2",
        ..POINT
    },
    Point {
        name: "life",
        site: Site::Function("do_epoll_create", 2),
        programs: &["create_return"],
        on_clone: &["create_return"],
        lost: "creation of rings: they are met when first used",
        ..POINT
    },
    Point {
        name: "life",
        site: Site::Function("ep_eventpoll_mmap", 2),
        programs: &["mmap_entry"],
        lost: "rings of which nothing is seen but their mapping",
        ..POINT
    },
    Point {
        name: "life",
        site: Site::Function("ep_eventpoll_release", 2),
        programs: &["release_entry", "release_return"],
        lost: "closing of rings: a ring at the address of a closed one is taken for it",
        ..POINT
    },
    Point {
        name: "life",
        site: Site::RawTracepoint("sched_process_fork"),
        programs: &["fork"],
        lost: "rings of processes that a target forks",
        for_filter: true,
        ..POINT
    },
    Point {
        name: "sampler",
        site: Site::Clock,
        programs: &["sampler"],
        lost: "snapshots between events: residency of a ring that only spins",
        ..POINT
    },
];

/// What is done about one point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The row that people read.
    pub row: PlanRow,
    /// Where the programs go.
    pub site: Site,
    /// Programs to attach to `row.symbol`; none if it is missing.
    pub programs: &'static [&'static str],
}

/// What is known of the kernel's functions.
pub struct Functions<'a> {
    /// Their symbols.
    pub symbols: &'a Symbols,
    /// Number of parameters by the kernel's types; `None` if not told.
    pub parameters: &'a dyn Fn(&str) -> Option<usize>,
    /// Sites that refused their programs, and why.
    pub refused: &'a HashMap<String, String>,
}

/// Decides about every point.
pub fn decide(functions: &Functions<'_>, filtered: bool) -> Vec<Decision> {
    let wanted = POINTS.iter().filter(|point| filtered || !point.for_filter);
    wanted.map(|point| decide_one(point, functions)).collect()
}

fn decide_one(point: &Point, functions: &Functions<'_>) -> Decision {
    let (symbol, attached) = match point.site {
        Site::Function(name, _) => (name.to_owned(), Attached::Kprobe),
        Site::Tracepoint(category, name) => (format!("{category}:{name}"), Attached::Tracepoint),
        Site::RawTracepoint(name) => (name.to_owned(), Attached::Tracepoint),
        Site::Clock => ("cpu-clock".to_owned(), Attached::PerfClock),
    };
    let seen = Decision {
        row: PlanRow { point: point.name, symbol, attached, lost: None },
        site: point.site,
        programs: point.programs,
    };
    let missing = |why: String| {
        let mut decision = seen.clone();
        decision.programs = &[];
        decision.row.attached = Attached::Missing;
        decision.row.lost = Some(format!("{} ({why})", point.lost));
        decision
    };
    if let Some(why) = functions.refused.get(&seen.row.symbol) {
        return missing(why.clone());
    }
    let whole = || {
        let mut decision = seen.clone();
        decision.row.lost = (!point.never_seen.is_empty()).then(|| point.never_seen.to_owned());
        decision
    };
    let Site::Function(name, parameters) = point.site else { return whole() };
    match functions.symbols.find(name) {
        Found::Exact => match (functions.parameters)(name) {
            Some(other) if other != parameters => {
                missing(format!("it takes {other} parameters here, not {parameters}"))
            }
            _ => whole(),
        },
        Found::Clone(clone) if !point.on_clone.is_empty() => {
            let mut decision = whole();
            decision.row.symbol = clone;
            decision.programs = point.on_clone;
            decision
        }
        Found::Clone(clone) => missing(format!("only {clone} is there, with other arguments")),
        Found::Repeated(times) => missing(format!("{times} functions have its name")),
        Found::Missing => missing("not in this kernel, or inlined".to_owned()),
    }
}

/// Whether a function's programs will be attached.
pub fn attaches(decisions: &[Decision], function: &str) -> bool {
    decisions.iter().any(|decision| {
        matches!(decision.site, Site::Function(name, _) if name == function)
            && !decision.programs.is_empty()
    })
}

/// Names of all functions that have a point.
pub fn functions() -> Vec<&'static str> {
    let name = |point: &Point| match point.site {
        Site::Function(name, _) => Some(name),
        _ => None,
    };
    POINTS.iter().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of kallsyms that hold all functions, those in `instead` so.
    fn symbols(instead: &[(&str, &str)]) -> Symbols {
        let mut text = String::new();
        for name in functions() {
            let shown = instead.iter().find(|(other, _)| *other == name);
            for shown in shown.map_or(name, |(_, shown)| shown).split_ascii_whitespace() {
                text.push_str(&format!("ffffffff81000000 t {shown}\n"));
            }
        }
        Symbols::parse(&text, &functions())
    }

    fn decided(instead: &[(&str, &str)], refused: &[(&str, &str)]) -> Vec<Decision> {
        let refused = refused.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let parameters = |name: &str| {
            POINTS.iter().find_map(|point| match point.site {
                Site::Function(other, count) if other == name => Some(count),
                _ => None,
            })
        };
        let functions =
            Functions { symbols: &symbols(instead), parameters: &parameters, refused: &refused };
        decide(&functions, false)
    }

    fn row<'a>(decisions: &'a [Decision], function: &str) -> &'a Decision {
        let at = |decision: &&Decision| matches!(decision.site, Site::Function(name, _) if name == function);
        decisions.iter().find(at).unwrap()
    }

    #[test]
    fn our_port_loses_nothing_but_what_no_probe_sees() {
        for decision in decided(&[], &[]) {
            assert_ne!(decision.row.attached, Attached::Missing, "{decision:?}");
            let lost = ["do_epoll_ctl", "do_epoll_wait"].contains(&&*decision.row.symbol);
            assert_eq!(decision.row.lost.is_some(), lost, "{decision:?}");
        }
    }

    #[test]
    fn inlined_helpers_are_missing_and_say_what_is_lost() {
        let decisions = decided(&[(ADD, ""), (GET_BIT, "")], &[]);
        for name in [ADD, GET_BIT] {
            let decision = row(&decisions, name);
            assert_eq!(decision.row.attached, Attached::Missing);
            assert!(decision.programs.is_empty() && decision.row.lost.is_some());
            assert!(!attaches(&decisions, name));
        }
        assert!(attaches(&decisions, "ep_poll_callback"));
    }

    #[test]
    fn a_clone_serves_for_return_values_only() {
        let clones = [(GET_BIT, "ep_get_bit.isra.0"), (ADD, "ep_add_event_to_uring.isra.0")];
        let decisions = decided(&clones, &[]);
        assert_eq!(row(&decisions, GET_BIT).row.symbol, "ep_get_bit.isra.0");
        assert_eq!(row(&decisions, GET_BIT).programs, ["get_bit_return"]);
        assert_eq!(row(&decisions, ADD).row.attached, Attached::Missing);
    }

    #[test]
    fn a_name_that_occurs_twice_is_refused() {
        let decisions = decided(&[("do_epoll_wait", "do_epoll_wait do_epoll_wait")], &[]);
        let lost = row(&decisions, "do_epoll_wait").row.lost.clone().unwrap();
        assert!(lost.contains("2 functions"), "{lost}");
    }

    #[test]
    fn a_site_that_refused_its_program_says_why() {
        let decisions = decided(&[], &[("do_epoll_wait", "EINVAL")]);
        assert_eq!(row(&decisions, "do_epoll_wait").row.attached, Attached::Missing);
    }

    #[test]
    fn every_probed_function_is_checked_by_the_build_of_the_kernel() {
        let checked = include_str!("../../../kernel/probed-symbols.txt");
        let checked: Vec<_> =
            checked.lines().filter_map(|line| line.split_ascii_whitespace().next()).collect();
        for name in functions() {
            assert!(checked.contains(&name), "{name} is not in kernel/probed-symbols.txt");
        }
    }
}
