//! Every point of observation, as data: the design's table of probe points with
//! the programs of both ways. What is made of it in a given kernel is decided
//! next door.

use super::{Point, Site};

const POINT: Point = Point {
    name: "",
    site: Site::Clock,
    programs: &[],
    typed: &[],
    on_clone: &[],
    lost: "",
    lost_by_kprobe: "",
    for_filter: false,
    beside_kprobe: None,
    stand_in: None,
};

/// The function that every event goes through.
pub const CALLBACK: &str = "ep_poll_callback";

/// What a stock kernel's function of that name takes.
pub const STOCK_CALLBACK_PARAMETERS: usize = 4;

/// The function whose absence makes adds be inferred.
pub const ADD: &str = "ep_add_event_to_uring";

/// The function that tells a full ring from other causes of ENOSPC.
pub const GET_BIT: &str = "ep_get_bit";

/// The callback of the wait queue, which calls [`CALLBACK`] unless the wake-up
/// comes without flags.
pub const WAKEUP: &str = "ep_poll_wakeup";

/// What `epoll_ctl` and io_uring both enter.
pub const CTL: &str = "do_epoll_ctl";

/// What every `epoll_wait` enters.
pub const WAIT: &str = "do_epoll_wait";

/// Arrivals where [`CALLBACK`] is inlined or a clone.
static ARRIVAL_BY_WAKEUP: Point = Point {
    name: "arrival",
    site: Site::Function(WAKEUP, 4),
    programs: &["arrival_wakeup_entry", "arrival_wakeup_return"],
    lost: "arrivals of direct wake-ups",
    lost_by_kprobe: "offloaded arrivals; filtered and disarmed ones are not told apart from \
                     merged ones",
    ..POINT
};

/// Removed items where the helper is inlined.
static REMOVE_BY_CTL: Point = Point {
    name: "remove",
    site: Site::Function("ep_remove", 2),
    programs: &["remove_by_ctl_entry"],
    lost: "removed items",
    lost_by_kprobe: "items that go because their file, or the ring, is closed",
    ..POINT
};

/// Every point of this version.
pub static POINTS: &[Point] = &[
    Point {
        name: "arrival",
        site: Site::Function(CALLBACK, 2),
        programs: &["callback_entry", "callback_return"],
        typed: &["callback_entry_typed", "callback_return_typed"],
        lost: "arrivals, filtered, disarmed and publish latency",
        stand_in: Some(&ARRIVAL_BY_WAKEUP),
        ..POINT
    },
    Point {
        name: "publish",
        site: Site::Function(ADD, 2),
        programs: &["add_entry", "add_return"],
        typed: &["add_entry_typed", "add_return_typed"],
        lost: "published and merged are inferred from tail before and after the callback \
               (wrong where two callbacks overlap); adds by epoll_ctl are not seen",
        ..POINT
    },
    Point {
        name: "remove",
        site: Site::Function("ep_remove_user_item", 1),
        programs: &["remove_entry"],
        typed: &["remove_entry_typed"],
        lost: "removed items",
        stand_in: Some(&REMOVE_BY_CTL),
        ..POINT
    },
    Point {
        name: "offload",
        site: Site::Function(WAKEUP, 4),
        programs: &["wakeup_entry"],
        typed: &["wakeup_entry_typed"],
        lost: "keyless wake-ups, their delay, and how many collapsed",
        ..POINT
    },
    Point {
        name: "offload",
        site: Site::Function("ep_poll_callback_work", 1),
        programs: &["work_entry", "work_return"],
        typed: &["work_entry_typed", "work_return_typed"],
        lost: "runs of the offload worker, and which arrivals are its own",
        ..POINT
    },
    Point {
        name: "control",
        site: Site::Function(CTL, 5),
        programs: &["ctl_entry"],
        typed: &["ctl_entry_typed", "ctl_return_typed"],
        lost: "ADDs, ENOSPC, and adds by epoll_ctl",
        lost_by_kprobe: "results of ADDs through io_uring",
        ..POINT
    },
    Point {
        name: "control",
        site: Site::Tracepoint("syscalls", "sys_exit_epoll_ctl"),
        programs: &["ctl_exit"],
        lost: "ADDs and ENOSPC",
        beside_kprobe: Some(CTL),
        ..POINT
    },
    Point {
        name: "control",
        site: Site::Function(GET_BIT, 1),
        programs: &["get_bit_return"],
        typed: &["get_bit_return_typed"],
        on_clone: &["get_bit_return"],
        lost: "the cause of ENOSPC is taken from the count of used items",
        ..POINT
    },
    Point {
        name: "wait",
        site: Site::Function(WAIT, 4),
        programs: &["wait_entry"],
        typed: &["wait_entry_typed", "wait_return_typed"],
        lost: "waits, ESTALE, blocked time, and who waits",
        lost_by_kprobe: "waits of 32-bit programs",
        ..POINT
    },
    Point {
        name: "wait",
        site: Site::Tracepoint("syscalls", "sys_exit_epoll_wait"),
        programs: &["wait_exit"],
        lost: "outcomes of epoll_wait",
        beside_kprobe: Some(WAIT),
        ..POINT
    },
    Point {
        name: "wait",
        site: Site::Tracepoint("syscalls", "sys_exit_epoll_pwait"),
        programs: &["wait_exit"],
        lost: "outcomes of epoll_pwait",
        beside_kprobe: Some(WAIT),
        ..POINT
    },
    Point {
        name: "wait",
        site: Site::Tracepoint("syscalls", "sys_exit_epoll_pwait2"),
        programs: &["wait_exit"],
        lost: "outcomes of epoll_pwait2",
        beside_kprobe: Some(WAIT),
        ..POINT
    },
    Point {
        name: "wake-up",
        site: Site::RawTracepoint("sched_wakeup"),
        programs: &["wakeup"],
        lost: "wake-up latency",
        ..POINT
    },
    Point {
        name: "life",
        site: Site::Function("do_epoll_create", 2),
        programs: &["create_return"],
        typed: &["create_return_typed"],
        on_clone: &["create_return"],
        lost: "creation of rings: they are met when first used",
        ..POINT
    },
    Point {
        name: "life",
        site: Site::Function("ep_eventpoll_mmap", 2),
        programs: &["mmap_entry"],
        typed: &["mmap_entry_typed"],
        lost: "rings of which nothing is seen but their mapping",
        ..POINT
    },
    Point {
        name: "life",
        site: Site::Function("ep_eventpoll_release", 2),
        programs: &["release_entry", "release_return"],
        typed: &["release_entry_typed", "release_return_typed"],
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
        name: "life",
        site: Site::RawTracepoint("sched_process_free"),
        programs: &["process_free"],
        lost: "the end of targets and consumers: whoever gets the number of one counts as it",
        ..POINT
    },
    Point {
        name: "life",
        site: Site::Iterator("task_file"),
        programs: &["ring_files"],
        lost: "rings that existed before and were not used since; other descriptors of a ring",
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
