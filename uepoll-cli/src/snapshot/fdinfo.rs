//! `/proc/PID/fdinfo/FD` of epoll files: their items, and for rings, where the
//! kernel is our port, head, tail and sizes. The kernel's word, all of it but
//! head.

use std::fs::File;
use std::io::{self, Read};

/// Bytes that hold all lines before the items'.
const FIRST: u64 = 1024;

/// Bytes of the longest fdinfo that is read: 65536 items, a line of less than
/// 128 bytes each.
const MOST: u64 = 65536 * 128;

/// The lines that our port adds for a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingFacts {
    /// What the program stored to head.
    pub head: u32,
    /// Tail as the kernel counts it.
    pub tail: u32,
    /// Items in use.
    pub used: u32,
    /// Items it was made for.
    pub max_items: u32,
}

/// An item, as an `tfd:` line has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetFd {
    /// The descriptor by which it was added.
    pub fd: i32,
    /// What was asked for.
    pub events: u32,
    /// What the program gave.
    pub data: u64,
}

/// Where the fdinfo of a process's descriptor is.
pub fn path(pid: u32, fd: i32) -> String {
    format!("/proc/{pid}/fdinfo/{fd}")
}

/// The ring's lines; `None` where the file is none or the kernel does not tell.
///
/// # Errors
/// What the system says.
pub fn ring_facts(path: &str) -> io::Result<Option<RingFacts>> {
    Ok(parse_facts(&read(path, FIRST)?))
}

/// The ring's lines and every item.
///
/// # Errors
/// What the system says.
pub fn whole(path: &str) -> io::Result<(Option<RingFacts>, Vec<TargetFd>)> {
    let text = text(path)?;
    Ok((parse_facts(&text), text.lines().filter_map(parse_target).collect()))
}

/// The text of any file's fdinfo, cut where it grows long.
///
/// # Errors
/// What the system says.
pub fn text(path: &str) -> io::Result<String> {
    read(path, MOST)
}

fn read(path: &str, most: u64) -> io::Result<String> {
    let mut text = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn parse_facts(text: &str) -> Option<RingFacts> {
    let number = |name| field(text, name)?.parse().ok();
    Some(RingFacts {
        head: number("UserHead")?,
        tail: number("UserTail")?,
        used: number("UserItems")?,
        max_items: number("UserMaxItems")?,
    })
}

/// The rest of the line that begins with `name:`.
pub fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

/// `tfd: FD events: HEX data: HEX pos:N ino:HEX sdev:HEX`, as ep_show_fdinfo()
/// prints it.
fn parse_target(line: &str) -> Option<TargetFd> {
    let mut words = line.strip_prefix("tfd:")?.split_ascii_whitespace();
    let fd = words.next()?.parse().ok()?;
    let mut hex = |name| {
        let word = (words.next()? == name).then(|| words.next())??;
        u64::from_str_radix(word, 16).ok()
    };
    let events = u32::try_from(hex("events:")?).ok()?;
    Some(TargetFd { fd, events, data: hex("data:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t1057\n\
        UserHead:\t4294967295\nUserTail:\t2\nUserItems:\t2\nUserMaxItems:\t8\n\
        tfd:        5 events: 80000001 data:                7  pos:0 ino:421 sdev:f\n\
        tfd:       12 events: 40000019 data: ffffffffffffffff  pos:0 ino:421 sdev:f\n";

    #[test]
    fn a_ring_is_told_from_an_ordinary_epoll_file_by_its_lines() {
        let facts = parse_facts(TEXT).expect("a ring");
        assert_eq!(facts, RingFacts { head: u32::MAX, tail: 2, used: 2, max_items: 8 });
        assert_eq!(parse_facts("pos:\t0\nino:\t1057\n"), None);
        assert_eq!(parse_facts("UserHead:\t1\n"), None);
        assert_eq!(parse_facts(&TEXT.replace("UserTail:\t2", "UserTail:\t-2")), None);
    }

    #[test]
    fn items_are_read_from_their_lines() {
        let targets: Vec<_> = TEXT.lines().filter_map(parse_target).collect();
        let all = TargetFd { fd: 12, events: 0x4000_0019, data: u64::MAX };
        assert_eq!(targets, [TargetFd { fd: 5, events: 0x8000_0001, data: 7 }, all]);
        for line in ["tfd: x events: 1 data: 2", "tfd: 1 events: 1", "tfd:", "pos:\t0"] {
            assert_eq!(parse_target(line), None, "{line}");
        }
    }
}
