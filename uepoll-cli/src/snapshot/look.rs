//! One ring looked into: its memory copied, and what each of its items is for
//! asked of /proc. Its file is held for that long only.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use rustix::io::Errno;
use uepoll_common::abi;
use uepoll_core::capture::{Holder, Protocol};
use uepoll_core::list::{
    Detail, Hidden, Item, Known, Memory, Ring, Slot, SlotContent, State, Target, What, live_slots,
    match_targets,
};

use super::fdinfo::{self, RingFacts, TargetFd};
use super::map::{self, Area, EPOLL_FILE, Geometry, Mapped, RingFile};
use super::scan::{self, TRIES, Waits};
use super::sockets::Sockets;
use super::{file_kind, process, same_file, series};
use crate::source::live;

/// Epoll files that a message names.
const MOST_NAMED: usize = 8;

/// Why a ring cannot be looked into.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// No such process.
    #[error("there is no process {0}: `uepoll list` tells every ring as PID:FD")]
    NoSuchProcess(u32),
    /// No such descriptor, or no longer.
    #[error("process {pid} has no descriptor {fd}: {}", named(.rings))]
    NoSuchDescriptor {
        /// The process.
        pid: u32,
        /// Its descriptor.
        fd: i32,
        /// What would have been right.
        rings: Vec<i32>,
    },
    /// Another file, or an epoll file that is no ring.
    #[error("{pid}:{fd} is {what}, no user-polled ring: {}", named(.rings))]
    NoRing {
        /// The process.
        pid: u32,
        /// Its descriptor.
        fd: i32,
        /// What it is: unescaped.
        what: String,
        /// What would have been right.
        rings: Vec<i32>,
    },
    /// We may not.
    #[error("the system does not let us look at descriptor {fd} of process {pid}: {remedy}")]
    Hidden {
        /// The process.
        pid: u32,
        /// Its descriptor.
        fd: i32,
        /// What helps.
        remedy: String,
    },
    /// The system refused.
    #[error("cannot look into {pid}:{fd}: {what} failed")]
    System {
        /// The process.
        pid: u32,
        /// Its descriptor.
        fd: i32,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

fn named(rings: &[i32]) -> String {
    if rings.is_empty() {
        return "it has no ring; `uepoll list` tells those of the host".into();
    }
    let words: Vec<String> = rings.iter().take(MOST_NAMED).map(i32::to_string).collect();
    let more = if rings.len() > MOST_NAMED { ", ..." } else { "" };
    format!("its rings are {}{more}", words.join(", "))
}

/// The ring behind descriptor `fd` of the process that /proc calls `pid`.
///
/// # Errors
/// See [`LookError`].
pub fn look(pid: u32, fd: i32) -> Result<Detail, LookError> {
    let system = |what| move |source: io::Error| LookError::System { pid, fd, what, source };
    check(pid, fd)?;
    let protocol = series::protocol();
    let mut notes = Vec::new();
    let mapped = scan::open(pid).ok_or(Errno::PERM).and_then(|handle| {
        let file = RingFile::take(&handle, fd)?;
        Ok((file.map_header()?, file))
    });
    let (state, memory, listed) = match mapped {
        Ok((Mapped::Ordinary, _)) => return Err(no_ring(pid, fd, "an ordinary epoll file".into())),
        Ok((Mapped::Ring(header), file)) => {
            let (facts, listed) =
                fdinfo::whole(&file.fdinfo()).map_err(system("reading its fdinfo"))?;
            let geometry = map::geometry(&file, &header, facts.map(|facts| facts.max_items))
                .map_err(system("mapping"))?;
            let (state, memory) =
                copy(&file, &geometry, facts, listed.len(), protocol).map_err(system("mapping"))?;
            (state, Ok(memory), listed)
        }
        Err(Errno::BADF | Errno::SRCH) => {
            return Err(LookError::NoSuchDescriptor { pid, fd, rings: rings_of(pid) });
        }
        Err(Errno::PERM | Errno::ACCESS) => {
            let remedy = scan::remedy(&Hidden { files: 1, ..Hidden::default() });
            let hidden = || LookError::Hidden { pid, fd, remedy: remedy.clone() };
            let state = scan::state_by_fdinfo(pid, fd).map_err(system("reading its fdinfo"))?;
            let Some(state) = state else {
                return Err(match series::is_shown_in_fdinfo() {
                    true => no_ring(pid, fd, "an ordinary epoll file".into()),
                    false => hidden(),
                });
            };
            let listed = fdinfo::whole(&fdinfo::path(pid, fd));
            let why = format!("not shown to us: {remedy}");
            (state, Err(why), listed.map_err(system("reading its fdinfo"))?.1)
        }
        Err(errno) => return Err(system("mapping its header")(errno.into())),
    };
    let targets = targets(pid, fd, &listed, &mut notes);
    let memory = memory.map(|mut memory| {
        match_targets(&mut memory.items, &targets);
        memory
    });
    if protocol.is_none() && memory.is_ok() {
        notes.push(
            "slots are not told: which protocol the kernel speaks is known by its types, and \
             /sys/kernel/btf/vmlinux cannot be read"
                .into(),
        );
    }
    let (ring, hidden) = ring(pid, fd, state);
    Ok(Detail { release: live::release(), protocol, ring, memory, targets, hidden, notes })
}

/// That there is an epoll file by this name.
fn check(pid: u32, fd: i32) -> Result<(), LookError> {
    let folder = format!("/proc/{pid}");
    if fs::metadata(&folder).is_err() {
        return Err(LookError::NoSuchProcess(pid));
    }
    match fs::read_link(format!("{folder}/fd/{fd}")) {
        Ok(link) if link.as_os_str() == EPOLL_FILE => Ok(()),
        Ok(link) => Err(no_ring(pid, fd, link.to_string_lossy().into_owned())),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let remedy = scan::remedy(&Hidden { processes: 1, ..Hidden::default() });
            Err(LookError::Hidden { pid, fd, remedy })
        }
        Err(_) => Err(LookError::NoSuchDescriptor { pid, fd, rings: rings_of(pid) }),
    }
}

fn no_ring(pid: u32, fd: i32, what: String) -> LookError {
    LookError::NoRing { pid, fd, what, rings: rings_of(pid) }
}

/// The descriptors of rings that a process has, for a message.
fn rings_of(pid: u32) -> Vec<i32> {
    let listing = scan::scan(Some(&[pid].into()));
    let rings = listing.map(|listing| listing.rings).unwrap_or_default();
    rings.into_iter().map(|ring| ring.holder.fd).collect()
}

/// The ring as the list has it, its other holders found among all processes.
fn ring(pid: u32, fd: i32, state: State) -> (Ring, Hidden) {
    let mut hidden = Hidden::default();
    let mut others = Vec::new();
    for other in process::numbers_in::<u32>("/proc").unwrap_or_default() {
        let mut comm = None;
        for other_fd in scan::epoll_files(other).unwrap_or_default() {
            let order = same_file::order((pid, fd), (other, other_fd));
            if (other, other_fd) != (pid, fd) && order.is_ok_and(|order| order.is_eq()) {
                let comm = comm.get_or_insert_with(|| process::comm(other)).clone();
                others.push(Holder { pid: other, fd: other_fd, comm });
            }
        }
    }
    let holder = Holder { pid, fd, comm: process::comm(pid) };
    let mut waits = Waits::default();
    let asleep = waits.of([&holder].into_iter().chain(&others));
    hidden.waits = waits.hidden();
    hidden.remedy = scan::remedy(&hidden);
    let (inner_pid, cgroup) = (process::inner_pid(pid), process::cgroup(pid));
    (Ring { holder, inner_pid, others, state, asleep, cgroup }, hidden)
}

/// Copies slots and items between two looks at head, again while it moves.
fn copy(
    file: &RingFile,
    geometry: &Geometry,
    facts: Option<RingFacts>,
    listed: usize,
    protocol: Option<Protocol>,
) -> io::Result<(State, Memory)> {
    let header = Area::map(file, 0, geometry.header_bytes)?;
    let index = Area::map(file, geometry.header_bytes, geometry.index_bytes)?;
    let items = geometry.capacity.most();
    let used = facts.map_or(listed as u32, |facts| facts.used);
    let mut left = TRIES;
    loop {
        left -= 1;
        let head = header.header(abi::OFF_HEAD);
        // The kernel's tail where it tells it: the header's can be written over.
        let tail = match facts {
            Some(_) => fdinfo::ring_facts(&file.fdinfo())?.map(|facts| facts.tail),
            None => None,
        };
        let tail = tail.unwrap_or_else(|| header.header(abi::OFF_TAIL));
        let slots = match protocol {
            Some(protocol) => slots(&index, geometry, head, tail, protocol),
            None => Vec::new(),
        };
        let items = copy_items(&header, items, &slots);
        let moving = header.header(abi::OFF_HEAD) != head;
        if moving && left > 0 {
            continue;
        }
        let state = State { head, tail, used: Some(used), capacity: geometry.capacity, moving };
        let memory = Memory {
            header: header.whole_header(),
            header_bytes: geometry.header_bytes,
            index_bytes: geometry.index_bytes,
            slots,
            items,
            moving,
        };
        return Ok((state, memory));
    }
}

fn slots(index: &Area, geometry: &Geometry, head: u32, tail: u32, protocol: Protocol) -> Vec<Slot> {
    // A power of two: the kernel makes it so, and `geometry` found it so.
    let count = (geometry.index_bytes / 4) as u32;
    let slot = |position: u32| {
        let word = index.word((position & (count - 1)) as usize * 4)?;
        let content = SlotContent::of(word, protocol, geometry.capacity.most());
        Some(Slot { position, content })
    };
    live_slots(head, tail, count).filter_map(slot).collect()
}

/// Items that ask for something, have something or are in a slot.
fn copy_items(header: &Area, items: u32, slots: &[Slot]) -> Vec<Item> {
    let mut positions = BTreeMap::new();
    for slot in slots {
        if let SlotContent::Item(item) = slot.content {
            positions.entry(item).or_insert(slot.position);
        }
    }
    let copy = |number: u32| {
        let word =
            |offset| header.word(abi::HEADER_SIZE + number as usize * abi::ITEM_SIZE + offset);
        let data = [word(abi::OFF_ITEM_DATA)?, word(abi::OFF_ITEM_DATA + 4)?];
        let item = Item {
            number,
            events: word(abi::OFF_ITEM_EVENTS)?,
            ready_events: word(abi::OFF_ITEM_READY_EVENTS)?,
            data: joined(data),
            position: positions.get(&number).copied(),
            known: Known::Unknown,
        };
        let used = item.events != 0 || item.ready_events != 0 || item.position.is_some();
        used.then_some(item)
    };
    (0..items).filter_map(copy).collect()
}

/// A u64 of two words in the machine's own order.
fn joined(words: [u32; 2]) -> u64 {
    let [first, second] = words.map(u32::to_ne_bytes);
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first);
    bytes[4..].copy_from_slice(&second);
    u64::from_ne_bytes(bytes)
}

/// What the ring watches, each with what its file is: if the descriptor still is
/// that file, before and after it was looked at.
fn targets(pid: u32, fd: i32, listed: &[TargetFd], notes: &mut Vec<String>) -> Vec<Target> {
    let mut sockets = Sockets::of(pid);
    let mut seen = BTreeMap::<i32, u32>::new();
    let mut unknown = None;
    let mut found = Vec::new();
    for target in listed {
        let nth = seen.entry(target.fd).or_default();
        let same = || same_file::is_target(pid, fd, target.fd, *nth);
        let what = match same() {
            Ok(true) => match file_kind::describe(pid, target.fd, &mut sockets) {
                what if same().is_ok_and(|same| same) => what,
                _ => What::Replaced,
            },
            Ok(false) => What::Replaced,
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => What::Replaced,
            Err(error) => {
                unknown = Some(error);
                What::Unknown
            }
        };
        *nth += 1;
        found.push(Target { fd: target.fd, events: target.events, data: target.data, what });
    }
    notes.extend(unknown.map(|error| {
        format!("whether a descriptor still is the file it was, kcmp tells, which failed ({error})")
    }));
    found
}
