//! Every ring of the host, or of some of its processes: epoll files by the links
//! in /proc/PID/fd, told from ordinary ones by a mapping where we may make one
//! (which asks nothing of the program's locks) and else by fdinfo.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use uepoll_common::abi;
use uepoll_core::capture::Holder;
use uepoll_core::list::{Hidden, Listing, Ring, Sleeper, State};

use super::map::{Area, EPOLL_FILE, Mapped, RingFile};
use super::{fdinfo, map, process, same_file, series};
use crate::source::existing;
use crate::source::live;

/// How often head and tail are read anew while head moves.
pub const TRIES: u32 = 4;

/// Every ring of the processes that are `chosen`, or of all that can be seen.
///
/// # Errors
/// If /proc cannot be listed.
pub fn scan(chosen: Option<&BTreeSet<u32>>) -> io::Result<Listing> {
    let own = std::process::id();
    let mut scan = Scan::default();
    let chosen = |pid: &u32| chosen.is_none_or(|chosen| chosen.contains(pid));
    // Our own number is not /proc's where that is another namespace's: then our
    // own files are ordinary ones among others.
    for pid in process::numbers_in::<u32>("/proc")?.into_iter().filter(chosen) {
        if pid != own {
            scan.process(pid);
        }
    }
    Ok(scan.listing())
}

/// What a descriptor is.
enum Found {
    Ring(State),
    Ordinary,
    /// The kernel does not tell us.
    Unknown,
}

#[derive(Default)]
struct Scan {
    found: Vec<(Holder, State)>,
    hidden: Hidden,
    /// Whether fdinfo tells of rings here; asked once, if it matters.
    fdinfo_tells: Option<bool>,
}

impl Scan {
    fn process(&mut self, pid: u32) {
        let fds = match epoll_files(pid) {
            Ok(fds) => fds,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let of_the_kernel = process::status(pid).is_none_or(|of| of.is_kernel_thread);
                self.hidden.processes += usize::from(!of_the_kernel);
                return;
            }
            // It has ended.
            Err(_) => return,
        };
        if fds.is_empty() {
            return;
        }
        let handle = open(pid);
        let mut comm = None;
        for fd in fds {
            match self.examine(handle.as_ref(), pid, fd) {
                Found::Ring(state) => {
                    let comm = comm.get_or_insert_with(|| process::comm(pid)).clone();
                    self.found.push((Holder { pid, fd, comm }, state));
                }
                Found::Ordinary => {}
                Found::Unknown => self.hidden.files += 1,
            }
        }
    }

    fn examine(&mut self, handle: Option<&OwnedFd>, pid: u32, fd: i32) -> Found {
        let file = handle.map(|handle| {
            let file = RingFile::take(handle, fd)?;
            let header = file.map_header()?;
            Ok((file, header))
        });
        match file {
            Some(Ok((_, Mapped::Ordinary))) => return Found::Ordinary,
            Some(Ok((file, Mapped::Ring(header)))) => {
                if let Ok(state) = state_by_mapping(&file, &header) {
                    return Found::Ring(state);
                }
            }
            // Closed since it was listed.
            Some(Err(Errno::BADF | Errno::SRCH)) => return Found::Ordinary,
            Some(Err(_)) | None => {}
        }
        match state_by_fdinfo(pid, fd) {
            Ok(Some(state)) => Found::Ring(state),
            Ok(None) => {
                let tells = *self.fdinfo_tells.get_or_insert_with(series::is_shown_in_fdinfo);
                if tells { Found::Ordinary } else { Found::Unknown }
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Found::Unknown,
            Err(_) => Found::Ordinary,
        }
    }

    fn listing(mut self) -> Listing {
        let (groups, compared) = group(self.found);
        let mut waits = Waits::default();
        let rings = groups.into_iter().map(|(state, holder, others)| {
            let inner_pid = process::inner_pid(holder.pid);
            let cgroup = process::cgroup(holder.pid);
            let asleep = waits.of([&holder].into_iter().chain(&others));
            Ring { holder, inner_pid, others, state, asleep, cgroup }
        });
        let rings: Vec<Ring> = rings.collect();
        self.hidden.waits = waits.hidden();
        self.hidden.remedy = remedy(&self.hidden);
        let notes = compared.err().map(|error| {
            format!(
                "a ring with several descriptors is told as several: kcmp failed ({error}); it \
                 needs a kernel with CONFIG_KCMP"
            )
        });
        Listing {
            release: live::release(),
            protocol: series::protocol(),
            rings,
            hidden: self.hidden,
            notes: notes.into_iter().collect(),
        }
    }
}

/// What shows what was hidden.
pub fn remedy(hidden: &Hidden) -> String {
    if hidden.is_nothing() {
        return String::new();
    }
    if own_number_differs() {
        return "uepoll runs in a pid namespace of its own and /proc shows another's; run it in \
                the host's (docker run --pid=host)"
            .into();
    }
    let binary = std::env::current_exe().unwrap_or_else(|_| "uepoll".into());
    let sysctl = match yama_scope() {
        Some(1) if hidden.processes == 0 => {
            ", or for processes of your own `sudo sysctl kernel.yama.ptrace_scope=0`"
        }
        _ => "",
    };
    format!(
        "run it under sudo, or once `sudo setcap cap_dac_read_search,cap_sys_ptrace+ep \
         {}`{sysctl}",
        binary.display()
    )
}

/// kernel.yama.ptrace_scope, which keeps even processes of the same user apart.
fn yama_scope() -> Option<u32> {
    fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?.trim().parse().ok()
}

/// Whether /proc numbers processes otherwise than system calls of ours do.
fn own_number_differs() -> bool {
    existing::own_number() != Some(std::process::id())
}

/// A handle of the process that /proc calls `pid`.
pub fn open(pid: u32) -> Option<OwnedFd> {
    if own_number_differs() {
        return None;
    }
    pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()
}

/// The descriptors of a process that are epoll files, ascending.
///
/// # Errors
/// What the system says: that we may not look, or that it is gone.
pub fn epoll_files(pid: u32) -> io::Result<Vec<i32>> {
    let folder = format!("/proc/{pid}/fd");
    let mut found = Vec::new();
    for fd in process::numbers_in::<i32>(&folder)? {
        match fs::read_link(format!("{folder}/{fd}")) {
            Ok(link) if link.as_os_str() == EPOLL_FILE => found.push(fd),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Head and tail of one moment, if head stands still: head by the mapping on both
/// sides of the kernel's tail.
fn state_by_mapping(file: &RingFile, header: &Area) -> io::Result<State> {
    let path = file.fdinfo();
    for left in (0..TRIES).rev() {
        let Some(facts) = fdinfo::ring_facts(&path)? else { break };
        let moving = header.header(abi::OFF_HEAD) != facts.head;
        if !moving || left == 0 {
            return Ok(state_of(&facts, moving));
        }
    }
    // The kernel does not tell: by the header alone, which is the program's.
    let (head, tail, still) = header.head_and_tail();
    let capacity = map::geometry(file, header, None)?.capacity;
    let used = fdinfo::whole(&path)?.1.len() as u32;
    Ok(State { head, tail, used: Some(used), capacity, moving: !still })
}

/// The same by fdinfo alone, read again until head stands still; `None` where it
/// tells of no ring.
pub fn state_by_fdinfo(pid: u32, fd: i32) -> io::Result<Option<State>> {
    let path = fdinfo::path(pid, fd);
    let Some(mut facts) = fdinfo::ring_facts(&path)? else { return Ok(None) };
    for _ in 0..TRIES {
        let Some(next) = fdinfo::ring_facts(&path)? else { return Ok(None) };
        if next.head == facts.head {
            return Ok(Some(state_of(&facts, false)));
        }
        facts = next;
    }
    Ok(Some(state_of(&facts, true)))
}

fn state_of(facts: &fdinfo::RingFacts, moving: bool) -> State {
    State {
        head: facts.head,
        tail: facts.tail,
        used: Some(facts.used),
        capacity: uepoll_core::list::Capacity::Exact(facts.max_items),
        moving,
    }
}

type Group = (State, Holder, Vec<Holder>);

/// Descriptors of one ring put together, in the order of the first of each. By
/// the kernel's order of files, so that thousands are no matter.
fn group(found: Vec<(Holder, State)>) -> (Vec<Group>, io::Result<()>) {
    let mut groups: Vec<Group> = Vec::new();
    // Numbers of groups, by that order.
    let mut sorted: Vec<usize> = Vec::new();
    let mut compared = Ok(());
    for (holder, state) in found {
        let mut failed = None;
        let place = sorted.binary_search_by(|at| {
            let first = &groups[*at].1;
            let order = same_file::order((first.pid, first.fd), (holder.pid, holder.fd));
            order.unwrap_or_else(|error| {
                failed = Some(error);
                Ordering::Less
            })
        });
        match (place, failed) {
            (Ok(place), None) => groups[sorted[place]].2.push(holder),
            (Err(place), None) => {
                sorted.insert(place, groups.len());
                groups.push((state, holder, Vec::new()));
            }
            (_, Some(error)) => {
                // Closed meanwhile is no failure of the kernel's.
                if error.raw_os_error().is_some_and(|e| e == libc::ENOSYS || e == libc::EPERM) {
                    compared = Err(error);
                }
                groups.push((state, holder, Vec::new()));
            }
        }
    }
    (groups, compared)
}

/// Threads asleep in waits, by process; each process is asked once.
#[derive(Default)]
pub struct Waits {
    of_process: BTreeMap<u32, Option<BTreeMap<i32, Vec<Sleeper>>>>,
}

impl Waits {
    /// Threads that are asleep in a wait on any of these descriptors; `None` if
    /// we may not look at one of the processes.
    pub fn of<'a>(&mut self, holders: impl Iterator<Item = &'a Holder>) -> Option<Vec<Sleeper>> {
        let mut asleep = Vec::new();
        for holder in holders {
            let waits = self.of_process.entry(holder.pid).or_insert_with(|| waits_in(holder.pid));
            asleep.extend(waits.as_ref()?.get(&holder.fd).into_iter().flatten().cloned());
        }
        asleep.sort_unstable();
        asleep.dedup();
        Some(asleep)
    }

    /// Processes that we may not look at.
    pub fn hidden(&self) -> usize {
        self.of_process.values().filter(|waits| waits.is_none()).count()
    }
}

fn waits_in(pid: u32) -> Option<BTreeMap<i32, Vec<Sleeper>>> {
    let mut waits = BTreeMap::<i32, Vec<Sleeper>>::new();
    for tid in existing::threads(pid) {
        match fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")) {
            Ok(text) => {
                if let Some(fd) = existing::waited_on(&text) {
                    let comm = existing::name_of_thread(tid);
                    waits.entry(fd).or_default().push(Sleeper { tid, comm });
                }
            }
            // It has ended.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(_) => return None,
        }
    }
    Some(waits)
}

/// Every process of this name.
///
/// # Errors
/// If /proc cannot be listed.
pub fn called(name: &[u8]) -> io::Result<BTreeSet<u32>> {
    let mut found: BTreeSet<u32> = process::numbers_in("/proc")?.into_iter().collect();
    found.retain(|pid| {
        fs::read(format!("/proc/{pid}/comm"))
            .is_ok_and(|comm| comm.strip_suffix(b"\n").unwrap_or(&comm) == name)
    });
    Ok(found)
}

/// The parent of every process.
///
/// # Errors
/// If /proc cannot be listed.
pub fn parents() -> io::Result<BTreeMap<u32, u32>> {
    let processes = process::numbers_in::<u32>("/proc")?;
    Ok(processes.into_iter().filter_map(|pid| Some((pid, process::status(pid)?.parent))).collect())
}
