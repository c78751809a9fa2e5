//! The plan on kernels made up for it, and the prototypes of the programs on
//! kernels that were built.

use std::path::PathBuf;

use super::*;
use crate::kernel::btf::{self, Btf, Prototype};

/// A kernel made up of what differs from our port.
#[derive(Default)]
struct Kernel<'a> {
    /// What kallsyms has in place of a function's name.
    instead: &'a [(&'a str, &'a str)],
    /// Functions with another number of parameters.
    parameters: &'a [(&'a str, usize)],
    /// Functions with another prototype.
    untyped: &'a [&'a str],
    /// What a trial refused.
    refused: &'a [(&'a str, Attached)],
}

impl Kernel<'_> {
    fn symbols(&self) -> Symbols {
        let mut text = String::new();
        for name in functions() {
            let instead = self.instead.iter().find(|(other, _)| *other == name);
            for shown in instead.map_or(name, |(_, shown)| shown).split_ascii_whitespace() {
                text.push_str(&format!("ffffffff81000000 t {shown}\n"));
            }
        }
        Symbols::parse(&text, &functions())
    }

    fn decide(&self, wants: Wants) -> Vec<Decision> {
        let refused = |(symbol, way): &(&str, Attached)| {
            (((*symbol).to_owned(), *way), "it said EPERM".to_owned())
        };
        let parameters = |name: &str| {
            let other = self.parameters.iter().find(|(other, _)| *other == name);
            other.map(|(_, count)| *count).or_else(|| {
                POINTS.iter().find_map(|point| match point.site {
                    Site::Function(other, count) if other == name => Some(count),
                    _ => None,
                })
            })
        };
        let typed = |name: &str| match self.untyped.contains(&name) {
            true => Err(format!("{name} is not in BTF")),
            false => Ok(()),
        };
        let functions = Functions {
            symbols: &self.symbols(),
            parameters: &parameters,
            typed: &typed,
            refused: &self.refused.iter().map(refused).collect(),
        };
        decide(&functions, &wants)
    }

    fn auto(&self) -> Vec<Decision> {
        self.decide(Wants::default())
    }

    fn of_kind(&self, kind: ProbeKind) -> Vec<Decision> {
        self.decide(Wants { kind, ..Wants::default() })
    }
}

fn decision<'a>(decisions: &'a [Decision], function: &str) -> &'a Decision {
    decisions.iter().find(|decision| is_of(decision, function)).unwrap()
}

fn symbols_of(decisions: &[Decision]) -> Vec<&str> {
    decisions.iter().map(|decision| &*decision.row.symbol).collect()
}

/// Calls whose outcome a kprobe needs a tracepoint for.
const TRACEPOINTS: [&str; 4] = ["epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2"];

fn has_exit_tracepoint(decisions: &[Decision], call: &str) -> bool {
    symbols_of(decisions).contains(&&*format!("syscalls:sys_exit_{call}"))
}

#[test]
fn our_port_takes_fentry_everywhere_and_loses_nothing() {
    for decision in Kernel::default().auto() {
        assert_eq!(decision.way, decision.row.attached);
        assert_eq!(decision.row.lost, None, "{decision:?}");
        assert_eq!(decision.row.why_not_better, None, "{decision:?}");
        if let Site::Function(..) = decision.site {
            assert_eq!(decision.way, Attached::Fentry, "{decision:?}");
            assert!(decision.programs.iter().all(|name| name.ends_with("_typed")), "{decision:?}");
        }
    }
}

#[test]
fn kprobes_lose_only_what_no_kprobe_sees() {
    let decisions = Kernel::default().of_kind(ProbeKind::Kprobe);
    for decision in &decisions {
        let lost = [points::CTL, points::WAIT].contains(&&*decision.row.symbol);
        assert_eq!(decision.row.lost.is_some(), lost, "{decision:?}");
        if let Site::Function(..) = decision.site {
            assert_eq!(decision.way, Attached::Kprobe, "{decision:?}");
            assert_eq!(decision.row.why_not_better.as_deref(), Some(ASKED_KPROBE));
        }
    }
}

#[test]
fn an_fexit_takes_the_place_of_its_tracepoints() {
    let typed = Kernel::default().auto();
    let by_kprobe = Kernel::default().of_kind(ProbeKind::Kprobe);
    for call in TRACEPOINTS {
        assert!(!has_exit_tracepoint(&typed, call), "{call}");
        assert!(has_exit_tracepoint(&by_kprobe, call), "{call}");
    }
    // Decided for each function on its own.
    let refused = [(points::WAIT, Attached::Fentry)];
    let mixed = Kernel { refused: &refused, ..Kernel::default() }.auto();
    assert!(!has_exit_tracepoint(&mixed, "epoll_ctl"));
    assert!(has_exit_tracepoint(&mixed, "epoll_pwait2"));
}

#[test]
fn an_exit_without_its_entry_is_not_probed() {
    let kernel = Kernel { instead: &[(points::WAIT, "")], ..Kernel::default() };
    for kind in [ProbeKind::Auto, ProbeKind::Kprobe] {
        assert!(!has_exit_tracepoint(&kernel.of_kind(kind), "epoll_wait"), "{kind:?}");
    }
}

#[test]
fn what_refuses_fentry_goes_by_kprobe_and_says_why() {
    let refused = [(GET_BIT, Attached::Fentry)];
    let decisions = Kernel { refused: &refused, ..Kernel::default() }.auto();
    let decision = decision(&decisions, GET_BIT);
    assert_eq!(decision.way, Attached::Kprobe);
    assert_eq!(decision.programs, ["get_bit_return"]);
    assert_eq!(decision.row.why_not_better.as_deref(), Some("fentry: it said EPERM"));
}

#[test]
fn a_function_that_types_do_not_tell_of_goes_by_kprobe() {
    let decisions = Kernel { untyped: &["do_epoll_ctl"], ..Kernel::default() }.auto();
    let row = &decision(&decisions, "do_epoll_ctl").row;
    assert_eq!(row.attached, Attached::Kprobe);
    assert_eq!(row.why_not_better.as_deref(), Some("do_epoll_ctl is not in BTF"));
}

#[test]
fn fentry_alone_never_means_kprobe() {
    let refused = [(GET_BIT, Attached::Fentry)];
    let decisions = Kernel { refused: &refused, ..Kernel::default() }.of_kind(ProbeKind::Fentry);
    assert!(decisions.iter().all(|decision| decision.way != Attached::Kprobe));
    let row = &decision(&decisions, GET_BIT).row;
    assert_eq!(row.attached, Attached::Missing);
    assert!(row.lost.as_deref().is_some_and(|lost| lost.contains(ASKED_FENTRY)), "{row:?}");
}

#[test]
fn arrival_and_publish_go_the_same_way() {
    for (one, other) in [(CALLBACK, ADD), (ADD, CALLBACK)] {
        let refused = [(one, Attached::Fentry)];
        let decisions = Kernel { refused: &refused, ..Kernel::default() }.auto();
        assert_eq!(decision(&decisions, one).way, Attached::Kprobe);
        let follower = decision(&decisions, other);
        assert_eq!(follower.way, Attached::Kprobe);
        let why = follower.row.why_not_better.as_deref().unwrap();
        assert!(why.contains(one), "{why}");
        assert_eq!(decision(&decisions, points::WAIT).way, Attached::Fentry);
    }
}

#[test]
fn a_missing_partner_holds_nobody_to_kprobes() {
    let decisions = Kernel { instead: &[(ADD, "")], ..Kernel::default() }.auto();
    assert_eq!(decision(&decisions, ADD).way, Attached::Missing);
    assert_eq!(decision(&decisions, CALLBACK).way, Attached::Fentry);
}

#[test]
fn inlined_helpers_are_missing_and_say_what_is_lost() {
    let kernel = Kernel { instead: &[(ADD, ""), (GET_BIT, "")], ..Kernel::default() };
    for kind in [ProbeKind::Auto, ProbeKind::Fentry, ProbeKind::Kprobe] {
        let decisions = kernel.of_kind(kind);
        for name in [ADD, GET_BIT] {
            let decision = decision(&decisions, name);
            assert_eq!(decision.way, Attached::Missing);
            assert!(decision.programs.is_empty() && decision.row.lost.is_some());
            assert!(!attaches(&decisions, name));
        }
        assert!(attaches(&decisions, CALLBACK));
    }
}

#[test]
fn a_clone_serves_for_return_values_by_kprobe_only() {
    let clones = [(GET_BIT, "ep_get_bit.isra.0"), (ADD, "ep_add_event_to_uring.isra.0")];
    let kernel = Kernel { instead: &clones, ..Kernel::default() };
    let decisions = kernel.auto();
    let get_bit = decision(&decisions, GET_BIT);
    assert_eq!(get_bit.row.symbol, "ep_get_bit.isra.0");
    assert_eq!((get_bit.way, get_bit.programs), (Attached::Kprobe, &["get_bit_return"][..]));
    assert!(get_bit.row.why_not_better.is_some());
    assert_eq!(decision(&decisions, ADD).way, Attached::Missing);
    let typed = kernel.of_kind(ProbeKind::Fentry);
    assert_eq!(decision(&typed, GET_BIT).way, Attached::Missing);
}

#[test]
fn a_name_that_occurs_twice_is_refused() {
    let instead = [(points::WAIT, "do_epoll_wait do_epoll_wait")];
    let decisions = Kernel { instead: &instead, ..Kernel::default() }.auto();
    let lost = decision(&decisions, points::WAIT).row.lost.clone().unwrap();
    assert!(lost.contains("2 functions"), "{lost}");
}

#[test]
fn a_stock_callback_is_told_from_the_series() {
    let kernel = Kernel {
        instead: &[(points::WAKEUP, ""), (ADD, "")],
        parameters: &[(CALLBACK, 4)],
        ..Kernel::default()
    };
    let decisions = kernel.auto();
    let row = &decision(&decisions, CALLBACK).row;
    assert_eq!(row.attached, Attached::Missing);
    let lost = row.lost.as_deref().unwrap();
    assert!(lost.contains("stock kernel's (wait, mode, sync, key)"), "{lost}");
}

#[test]
fn without_its_callback_arrivals_are_seen_at_the_wakeup() {
    for instead in ["", "ep_poll_callback.isra.0"] {
        let kernel = Kernel { instead: &[(CALLBACK, instead)], ..Kernel::default() };
        let decisions = kernel.auto();
        // Before the row of what is missing: the way of arrivals is the first's.
        let arrival = decisions.iter().find(|decision| decision.row.point == "arrival").unwrap();
        assert_eq!(arrival.row.symbol, points::WAKEUP);
        assert_eq!(arrival.programs, ["arrival_wakeup_entry", "arrival_wakeup_return"]);
        assert!(arrival.row.lost.as_deref().is_some_and(|lost| lost.contains("offloaded")));
        assert!(arrival.row.why_not_better.as_deref().is_some_and(|why| why.contains(CALLBACK)));
        assert_eq!(decision(&decisions, CALLBACK).way, Attached::Missing);
        assert_eq!(decision(&decisions, ADD).way, Attached::Kprobe, "paired with a kprobe");
        // The same function still tells of offload, and that goes by fentry.
        let offload = decisions.iter().find(|decision| decision.programs == ["wakeup_entry_typed"]);
        assert!(offload.is_some());
        let typed = kernel.of_kind(ProbeKind::Fentry);
        assert!(typed.iter().all(|decision| decision.way != Attached::Kprobe));
    }
}

#[test]
fn what_nobody_filters_by_is_not_watched() {
    let all = Kernel::default().auto();
    let filtered = Kernel::default().decide(Wants { filtered: true, ..Wants::default() });
    assert!(!symbols_of(&all).contains(&"sched_process_fork"));
    assert!(symbols_of(&filtered).contains(&"sched_process_fork"));
    for symbol in ["sched_wakeup", "sched_process_free", "task_file", "cpu-clock"] {
        assert!(symbols_of(&all).contains(&symbol), "{symbol}");
    }
}

#[test]
fn a_tracepoint_or_iterator_that_refused_its_program_is_missing() {
    let refused = [
        ("sched_wakeup", Attached::Tracepoint),
        ("task_file", Attached::Iterator),
        ("cpu-clock", Attached::PerfClock),
    ];
    let decisions = Kernel { refused: &refused, ..Kernel::default() }.auto();
    let missing = decisions.iter().filter(|decision| decision.way == Attached::Missing);
    assert_eq!(missing.count(), 3);
}

#[test]
fn every_probed_function_is_checked_by_the_build_of_the_kernel() {
    let checked = include_str!("../../../../kernel/probed-symbols.txt");
    let checked: Vec<_> =
        checked.lines().filter_map(|line| line.split_ascii_whitespace().next()).collect();
    for name in functions() {
        assert!(checked.contains(&name), "{name} is not in kernel/probed-symbols.txt");
    }
}

/// The prototypes in the comments directly above attributes of programs. What
/// follows the parameters is prose.
fn commented(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut comment = String::new();
    for line in source.lines() {
        match line.strip_prefix("// ") {
            Some(text) => comment = format!("{comment} {}", text.trim()),
            None => {
                let is_program = ["#[kprobe", "#[kretprobe", "#[fentry", "#[fexit"]
                    .iter()
                    .any(|attribute| line.starts_with(attribute));
                let text = std::mem::take(&mut comment);
                if is_program {
                    let end = text.find(')').map_or(text.len(), |last| last + 1);
                    found.push(text[..end].trim().to_owned());
                }
            }
        }
    }
    found
}

/// What is wrong with the comments of programs on a kernel with these types.
fn wrong_comments(comments: &[String], types: &Btf) -> Vec<String> {
    let wrong = |comment: &String| {
        let expected = match Prototype::parse(comment) {
            Ok(expected) => expected,
            Err(error) => return Some(error.to_string()),
        };
        // Inlined in this kernel, so nothing is attached there.
        let real = types.prototype(&expected.function)?;
        expected.difference(&real)
    };
    comments.iter().filter_map(wrong).collect()
}

fn comments() -> Vec<String> {
    let main = include_str!("../../../../uepoll-ebpf/src/main.rs");
    let typed = include_str!("../../../../uepoll-ebpf/src/typed.rs");
    [commented(main), commented(typed)].concat()
}

/// The types of the kernels that were built, and of the one that runs if it
/// carries the series.
fn patched_kernels() -> Vec<(PathBuf, Btf)> {
    let cache = std::env::var_os("UEPOLL_CACHE")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/uepoll")));
    let built = cache.and_then(|cache| std::fs::read_dir(cache.join("kernel")).ok());
    let built = built.into_iter().flatten().flatten().map(|entry| entry.path().join("vmlinux.btf"));
    let all = [PathBuf::from(btf::PATH)].into_iter().chain(built);
    let types = all.filter_map(|path| {
        let types = Btf::parse(std::fs::read(&path).ok()?).unwrap();
        types.offset("eventpoll", "user_header").map(|_| (path, types))
    });
    types.collect()
}

#[test]
fn every_program_on_a_function_says_which_prototype_it_expects() {
    let comments = comments();
    let mut commented: Vec<String> = Vec::new();
    for comment in &comments {
        let prototype = Prototype::parse(comment).unwrap();
        let planned = prototype_of(&prototype.function);
        let planned = planned.unwrap_or_else(|| panic!("nobody plans {comment}"));
        assert_eq!(Prototype::parse(planned).unwrap(), prototype, "the plan has another");
        commented.push(prototype.function);
    }
    for name in functions() {
        assert!(commented.iter().any(|other| other == name), "no program is for {name}");
    }
}

#[test]
fn the_prototypes_are_those_of_the_built_kernels() {
    let kernels = patched_kernels();
    if kernels.is_empty() {
        eprintln!("skipped: no patched kernel runs here or was built by `cargo xtask kernel`");
    }
    for (path, types) in kernels {
        let wrong = wrong_comments(&comments(), &types);
        assert!(wrong.is_empty(), "{}: {wrong:?}", path.display());
        // Not by their absence: whatever is inlined, these are not.
        for name in [CALLBACK, points::WAKEUP, points::CTL, points::WAIT] {
            assert_eq!(fits(&types, name), Ok(()), "{}", path.display());
        }
    }
}

#[test]
fn a_wrong_prototype_is_found_out() {
    let Some((_, types)) = patched_kernels().pop() else {
        eprintln!("skipped: no patched kernel runs here or was built by `cargo xtask kernel`");
        return;
    };
    for (wrong, word) in [
        ("static int ep_poll_callback(struct epitem *epi)", "takes 2 parameters"),
        ("static bool ep_poll_callback(struct epitem *epi, __poll_t flags)", "returns int"),
        ("static int ep_poll_callback(struct eventpoll *ep, __poll_t flags)", "parameter 1"),
        ("static int ep_poll_callback(struct epitem epi, __poll_t flags)", "parameter 1"),
        ("static int ep_poll_callback(struct epitem *epi, u32 flags)", "parameter 2"),
        ("ep_poll_callback, more or less", "is no prototype"),
    ] {
        let source = format!("// {wrong}\n#[kprobe]\nfn callback_entry() {{}}\n");
        let told = wrong_comments(&commented(&source), &types);
        assert!(told.len() == 1 && told[0].contains(word), "{wrong}: {told:?}");
    }
}

#[test]
fn a_comment_of_several_lines_is_one_prototype_and_others_are_none() {
    let source = "// int f(int a,\n//       int b)\n// Prose (why).\n#[kprobe]\nfn x() {}\n\
                  // prose\nfn y() {}\n#[fexit]\nfn z() {}\n";
    assert_eq!(commented(source), ["int f(int a, int b)", ""]);
}
