//! Findings as people and programs see them, compared with the files in
//! `tests/expected`, and their roll-up. After a wanted change:
//! `UEPOLL_BLESS=1 cargo test`, and read the difference.

use std::path::Path;

use uepoll_core::capture::{Attached, PlanRow, Protocol};
use uepoll_core::doctor::{
    Check, Examination, Fitness, PointCheck, Section, Series, Trial, Verdict, json, obstacles, text,
};
use uepoll_core::render::Charset;
use uepoll_core::render::text::WIDTH;

const SETCAP: &str = "run it under sudo, or once `sudo setcap cap_bpf,cap_perfmon+ep /bin/uepoll`";

fn point(point: &'static str, symbol: &str, attached: Attached) -> PointCheck {
    let row =
        PlanRow { point, symbol: symbol.to_owned(), attached, why_not_better: None, lost: None };
    PointCheck { row, remedy: None }
}

/// A host on which nothing is lost.
fn fine() -> Examination {
    Examination {
        release: "6.12.117-uepoll".to_owned(),
        series: Series::Present(Protocol::V2),
        checks: vec![
            Check::ok(Section::Kernel, "BTF", "/sys/kernel/btf/vmlinux"),
            Check::ok(Section::Rights, "CAP_BPF", ""),
            Check::ok(Section::Rights, "lockdown", "integrity"),
        ],
        probe_kind: "auto",
        trial: Trial::Made,
        points: vec![
            point("arrival", "ep_poll_callback", Attached::Fentry),
            point("wait", "syscalls:sys_exit_epoll_pwait2", Attached::Tracepoint),
            point("life", "task_file", Attached::Iterator),
            point("sampler", "cpu-clock", Attached::PerfClock),
        ],
    }
}

/// One that loses something in every way there is.
fn degraded() -> Examination {
    let mut host = fine();
    host.checks.push(Check::degraded(Section::Rights, "CAP_SYS_PTRACE", "descriptors", SETCAP));
    host.checks.push(Check::unknown(Section::Kernel, "configuration", "not readable"));
    let arrival = &mut host.points[0];
    arrival.row.attached = Attached::Kprobe;
    arrival.row.why_not_better = Some("fentry: EPERM".to_owned());
    let mut wait = point("wait", "do_epoll_wait", Attached::Kprobe);
    wait.row.why_not_better = Some("goes its own way".to_owned());
    wait.row.lost = Some("waits of 32-bit programs".to_owned());
    wait.remedy = Some("try --probe-kind auto, which prefers fentry".to_owned());
    let mut add = point("publish", "ep_add_event_to_uring", Attached::Missing);
    add.row.lost = Some(
        "published and merged are inferred from tail before and after the callback (not in this \
         kernel, or inlined)"
            .to_owned(),
    );
    add.remedy = Some("boot a kernel that keeps the function apart".to_owned());
    host.points.extend([wait, add]);
    host
}

/// One where an ordinary user asks.
fn refused() -> Examination {
    let mut host = fine();
    host.checks = vec![
        Check::essential(Section::Rights, "CAP_BPF", "no program can be loaded", SETCAP),
        Check::essential(Section::Rights, "CAP_PERFMON", "no program can be attached", SETCAP),
        Check::essential(Section::Rights, "lockdown", "confidentiality", "boot without it"),
    ];
    host.trial = Trial::NotMade { why: "no CAP_BPF".to_owned() };
    host
}

/// One without the series.
fn stock() -> Examination {
    Examination {
        release: "6.1.0-43-amd64".to_owned(),
        series: Series::Absent,
        trial: Trial::NotMade { why: "the series was not found".to_owned() },
        points: Vec::new(),
        ..fine()
    }
}

/// Compares with the expected file, or writes it where that is asked for.
fn expect(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected").join(name);
    if std::env::var_os("UEPOLL_BLESS").is_some() {
        std::fs::write(&path, text).expect("the folder is there");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{} is not what is printed:\n{text}", path.display());
}

fn printed(host: &Examination) -> String {
    let text = text(host, Charset::Ascii);
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "wider than {WIDTH}: {line}");
        assert!(line.is_ascii() && line.trim_end() == line, "{line:?}");
    }
    text
}

#[test]
fn a_host_on_which_nothing_is_lost_is_fine() {
    assert_eq!(fine().fitness(), Fitness::Fine);
    expect("doctor-fine.txt", &printed(&fine()));
}

#[test]
fn what_is_lost_is_told_with_its_remedy() {
    assert_eq!(degraded().fitness(), Fitness::Degraded { checks: 1, points: 2 });
    expect("doctor-degraded.txt", &printed(&degraded()));
    expect("doctor-degraded.json", &json(&degraded()));
}

#[test]
fn rights_with_one_remedy_are_told_in_one_sentence() {
    let told = obstacles(&refused().checks);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].what.contains("CAP_BPF") && told[0].what.contains("CAP_PERFMON"));
    assert_eq!(told[0].remedy, SETCAP);
    expect("doctor-refused.txt", &printed(&refused()));
}

#[test]
fn a_stock_kernel_is_one_sentence_and_what_still_works() {
    let Fitness::CannotRun { why } = stock().fitness() else { panic!("{:?}", stock().fitness()) };
    assert_eq!(why.len(), 1, "{why:?}");
    assert!(why[0].contains("does not carry") && why[0].contains("works here"), "{why:?}");
    expect("doctor-stock.txt", &printed(&stock()));
    assert!(json(&stock()).contains("\"verdict\": \"cannot_run\""));
}

#[test]
fn a_point_that_nobody_tried_is_not_called_ok() {
    let host = Examination { trial: Trial::NotMade { why: "no right".to_owned() }, ..fine() };
    assert_eq!(host.verdict(&host.points[0]), Verdict::Unknown);
    assert_eq!(fine().verdict(&host.points[0]), Verdict::Ok);
    assert_eq!(host.fitness(), Fitness::CannotRun { why: vec!["no right".to_owned()] });
}

#[test]
fn a_worse_way_that_loses_nothing_is_no_degradation() {
    let mut host = fine();
    host.points[0].row.attached = Attached::Kprobe;
    host.points[0].row.why_not_better = Some("fentry: EPERM".to_owned());
    assert_eq!(host.fitness(), Fitness::Fine);
}

#[test]
fn a_host_where_no_function_can_be_probed_cannot_run() {
    let mut host = fine();
    host.points.retain(|point| point.row.attached != Attached::Fentry);
    assert!(matches!(host.fitness(), Fitness::CannotRun { .. }));
}

#[test]
fn what_cannot_be_looked_at_proves_nothing() {
    let mut host = fine();
    host.checks.push(Check::unknown(Section::Rights, "lockdown", "not readable"));
    assert_eq!(host.fitness(), Fitness::Fine);
}

#[test]
fn a_why_that_many_points_share_is_told_once() {
    let mut host = fine();
    for point in &mut host.points[..2] {
        point.row.why_not_better = Some("kprobes were asked for".to_owned());
    }
    assert_eq!(printed(&host).matches("kprobes were asked for").count(), 1);
    host.points[2].row.why_not_better = Some("for a reason of its own".to_owned());
    assert_eq!(printed(&host).matches("kprobes were asked for").count(), 2);
}

#[test]
fn strings_of_the_host_cannot_command_a_terminal() {
    let host = Examination { release: "6.1\u{1b}[2J\u{9b}".to_owned(), ..stock() };
    for text in [printed(&host), json(&host)] {
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
    }
}
