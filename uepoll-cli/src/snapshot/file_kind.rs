//! What a file behind a descriptor is, by its link and its fdinfo in /proc.

use std::fs;
use std::os::unix::fs::FileTypeExt;

use uepoll_core::list::What;

use super::fdinfo::{self, field};
use super::sockets::Sockets;

/// What descriptor `fd` of the process is now.
pub fn describe(pid: u32, fd: i32, sockets: &mut Sockets) -> What {
    let path = format!("/proc/{pid}/fd/{fd}");
    let Ok(link) = fs::read_link(&path) else { return What::Unknown };
    let link = link.to_string_lossy();
    if let Some(inode) = inode_in(&link, "socket:[") {
        return match sockets.find(inode) {
            Some(socket) => file(socket.kind, socket.addresses),
            None => file("socket", "of another family".into()),
        };
    }
    if inode_in(&link, "pipe:[").is_some() {
        return file("pipe", link.into_owned());
    }
    if link.starts_with('/') {
        let kind = match fs::metadata(&path).map(|data| data.file_type()) {
            Ok(kind) if kind.is_fifo() => "pipe",
            Ok(_) if link.starts_with("/dev/pts/") || link.starts_with("/dev/tty") => "tty",
            Ok(kind) if kind.is_char_device() => "device",
            _ => "file",
        };
        return file(kind, link.into_owned());
    }
    let facts = fdinfo::text(&fdinfo::path(pid, fd)).unwrap_or_default();
    anonymous(&link, &facts)
}

fn file(kind: &str, description: String) -> What {
    What::File { kind: kind.to_owned(), description }
}

/// The number in `socket:[4711]`.
fn inode_in(link: &str, before: &str) -> Option<u64> {
    link.strip_prefix(before)?.strip_suffix(']')?.parse().ok()
}

/// A file without a path: `anon_inode:[eventfd]`, `anon_inode:inotify`.
fn anonymous(link: &str, facts: &str) -> What {
    let name = link.strip_prefix("anon_inode:").unwrap_or(link);
    let name = name.trim_start_matches('[').split(']').next().unwrap_or(name);
    let name = name.split(':').next().unwrap_or(name);
    let description = match name {
        "eventfd" => eventfd(facts),
        "timerfd" => timerfd(facts),
        "signalfd" => signalfd(facts),
        "inotify" => Some(watches(facts)),
        "pidfd" => field(facts, "Pid").map(|pid| format!("process {pid}")),
        "eventpoll" => return nested(facts),
        _ => Some(String::new()),
    };
    file(name, description.unwrap_or_default())
}

fn eventfd(facts: &str) -> Option<String> {
    let count = u64::from_str_radix(field(facts, "eventfd-count")?, 16).ok()?;
    Some(format!("count {count}"))
}

/// `it_value: (S, NS)`: time left and period.
fn timerfd(facts: &str) -> Option<String> {
    let clock = match field(facts, "clockid")? {
        "0" => "realtime".to_owned(),
        "1" => "monotonic".to_owned(),
        "7" => "boottime".to_owned(),
        "8" => "realtime alarm".to_owned(),
        "9" => "boottime alarm".to_owned(),
        other => format!("clock {other}"),
    };
    let time = |name| {
        let (s, ns) = field(facts, name)?.strip_prefix('(')?.strip_suffix(')')?.split_once(", ")?;
        Some((s.parse::<u64>().ok()?, ns.parse::<u64>().ok()?))
    };
    let (left, period) = (time("it_value")?, time("it_interval")?);
    let seconds = |(s, ns): (u64, u64)| format!("{s}.{:03} s", ns / 1_000_000);
    let state = match (left, period) {
        ((0, 0), (0, 0)) => "not armed".to_owned(),
        (left, (0, 0)) => format!("in {}", seconds(left)),
        (left, period) => format!("in {}, then each {}", seconds(left), seconds(period)),
    };
    let ticks: u64 = field(facts, "ticks")?.parse().ok()?;
    Some(format!("{clock}, {state}, {ticks} ticks not read"))
}

/// The signals in `sigmask`: bit 0 is signal 1.
fn signalfd(facts: &str) -> Option<String> {
    let mask = u64::from_str_radix(field(facts, "sigmask")?, 16).ok()?;
    let signals = (0..64).filter(|bit| mask >> bit & 1 == 1).map(|bit| (bit + 1).to_string());
    Some(format!("signals {}", signals.collect::<Vec<_>>().join(" ")))
}

fn watches(facts: &str) -> String {
    let watches = facts.lines().filter(|line| line.starts_with("inotify ")).count();
    if watches == 1 { "1 watch".into() } else { format!("{watches} watches") }
}

/// Another epoll file: a ring where the kernel says so.
fn nested(facts: &str) -> What {
    let items = facts.lines().filter(|line| line.starts_with("tfd:")).count();
    let ring = field(facts, "UserMaxItems").map(|most| format!("ring of {most} items, "));
    file("epoll", format!("{}{items} used", ring.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(link: &str, facts: &str) -> String {
        match anonymous(link, facts) {
            What::File { kind, description } => format!("{kind}, {description}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn anonymous_files_are_told_with_what_is_in_them() {
        let eventfd = "pos:\t0\neventfd-count:               1f\neventfd-id: 1\n";
        assert_eq!(told("anon_inode:[eventfd]", eventfd), "eventfd, count 31");
        let timer = "clockid: 1\nticks: 2\nsettime flags: 01\nit_value: (0, 250000000)\n\
                     it_interval: (1, 0)\n";
        assert_eq!(
            told("anon_inode:[timerfd]", timer),
            "timerfd, monotonic, in 0.250 s, then each 1.000 s, 2 ticks not read"
        );
        assert_eq!(
            told("anon_inode:[signalfd]", "sigmask:\t0000000000000402\n"),
            "signalfd, \
                    signals 2 11"
        );
        assert_eq!(told("anon_inode:inotify", "inotify wd:1 ino:2\n"), "inotify, 1 watch");
        assert_eq!(told("anon_inode:[pidfd]", "Pid:\t42\nNSpid:\t42\n"), "pidfd, process 42");
        assert_eq!(told("pidfd:[77]", "Pid:\t42\n"), "pidfd, process 42");
        assert_eq!(told("anon_inode:[eventpoll]", "tfd: 1 \n"), "epoll, 1 used");
        assert_eq!(told("anon_inode:[io_uring]", ""), "io_uring, ");
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_left_out() {
        assert_eq!(told("anon_inode:[eventfd]", ""), "eventfd, ");
        assert_eq!(told("anon_inode:[timerfd]", "clockid: 1\n"), "timerfd, ");
    }
}
