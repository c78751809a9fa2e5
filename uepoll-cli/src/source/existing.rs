//! What existed before anything was attached: every descriptor of a ring, by the
//! kernel's iterator over open files, and every thread that is asleep in a wait
//! on one, by /proc.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;

use uepoll_common::record::RingNumber;
use uepoll_common::state::{HolderRecord, WaitFrame};
use uepoll_core::capture::{Consumer, Holder};

use super::live_maps;
use crate::probe::{ProbeError, Probes};

/// Numbers of epoll_wait, epoll_pwait and epoll_pwait2 on x86-64.
const WAITS: [u64; 3] = [232, 281, 441];

/// Bytes of a [`HolderRecord`].
const RECORD: usize = size_of::<HolderRecord>();

/// Descriptors of rings.
pub type Holders = BTreeMap<RingNumber, BTreeSet<Holder>>;

/// Every descriptor of a ring there is now; empty where the kernel has no such
/// iterator (the probe plan says so).
///
/// # Errors
/// What the kernel says.
pub fn holders(probes: &mut Probes) -> Result<Holders, ProbeError> {
    let mut holders = Holders::new();
    let Some(mut file) = probes.iterate("task_file")? else { return Ok(holders) };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| ProbeError::Program {
        program: "ring_files",
        reason: format!("{error} (run on request, over the open files of all processes)"),
    })?;
    // A watch of head has a descriptor of its own, which is none of the program's.
    let own = own_number();
    for record in bytes.chunks_exact(RECORD).filter_map(decode).filter(|r| Some(r.tgid) != own) {
        holders.entry(record.ring).or_default().insert(Holder {
            pid: record.tgid,
            fd: record.fd,
            comm: name(&record.comm),
        });
    }
    Ok(holders)
}

/// Our own number in the pid namespace that /proc shows, which is the initial one
/// wherever processes can be told to the kernel at all.
pub fn own_number() -> Option<u32> {
    fs::read_link("/proc/self").ok()?.to_str()?.parse().ok()
}

/// A record's fields, in the machine's own byte order.
fn decode(bytes: &[u8]) -> Option<HolderRecord> {
    let word = |at: usize| bytes.get(at..)?.first_chunk::<4>().copied();
    Some(HolderRecord {
        ring: u32::from_ne_bytes(word(0)?),
        tgid: u32::from_ne_bytes(word(4)?),
        fd: i32::from_ne_bytes(word(8)?),
        comm: *bytes.get(12..)?.first_chunk::<16>()?,
    })
}

/// A name as the kernel keeps it, NUL padded.
pub fn name(comm: &[u8; 16]) -> String {
    let end = comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len());
    String::from_utf8_lossy(&comm[..end]).into_owned()
}

/// Threads that were asleep in a wait on a ring, by ring.
pub type Sleepers = BTreeMap<RingNumber, Vec<Consumer>>;

/// Puts down the waits of all threads that are asleep in one on a ring, so that
/// their ends are counted.
///
/// # Errors
/// If a map cannot be written.
pub fn sleepers(
    probes: &mut Probes,
    holders: &Holders,
    now_ns: u64,
) -> Result<Sleepers, ProbeError> {
    let mut by_process: BTreeMap<u32, BTreeMap<i32, RingNumber>> = BTreeMap::new();
    for (ring, of_ring) in holders {
        for holder in of_ring {
            by_process.entry(holder.pid).or_default().insert(holder.fd, *ring);
        }
    }
    let mut sleepers = Sleepers::new();
    for (tgid, rings) in by_process {
        for tid in threads(tgid) {
            let Some(fd) = asleep_in_wait(tgid, tid) else { continue };
            let Some(ring) = rings.get(&fd).copied() else { continue };
            let thread = u64::from(tgid) << 32 | u64::from(tid);
            let wait = WaitFrame {
                entry_ns: now_ns,
                ring,
                flags: WaitFrame::MET_ASLEEP,
                ..WaitFrame::default()
            };
            if !live_maps::add_wait(probes, thread, wait)? {
                continue;
            }
            // Its wait may have ended before it was put down.
            if asleep_in_wait(tgid, tid) != Some(fd) {
                live_maps::remove_wait(probes, thread)?;
                continue;
            }
            let consumer = Consumer { tid, comm: name_of_thread(tid), named: false };
            sleepers.entry(ring).or_default().push(consumer);
        }
    }
    Ok(sleepers)
}

/// Process of a thread; `None` if it is gone.
pub fn process_of(tid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// Name of a thread; empty if it is gone.
pub fn name_of_thread(tid: u32) -> String {
    let comm = fs::read_to_string(format!("/proc/{tid}/comm"));
    comm.map(|comm| comm.trim_end().to_owned()).unwrap_or_default()
}

/// Threads of a process; none if it is gone.
pub fn threads(tgid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{tgid}/task")) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// The descriptor that a thread waits on, if it is asleep in a wait.
fn asleep_in_wait(tgid: u32, tid: u32) -> Option<i32> {
    waited_on(&fs::read_to_string(format!("/proc/{tgid}/task/{tid}/syscall")).ok()?)
}

/// The same, from the text of /proc/PID/task/TID/syscall: "running", or the
/// number of the system call and its arguments in hexadecimal.
pub fn waited_on(text: &str) -> Option<i32> {
    let mut words = text.split_ascii_whitespace();
    let number: u64 = words.next()?.parse().ok()?;
    if !WAITS.contains(&number) {
        return None;
    }
    let argument = words.next()?.strip_prefix("0x")?;
    i32::try_from(u64::from_str_radix(argument, 16).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_is_known_by_its_system_call() {
        let text =
            |number: u32, fd: &str| format!("{number} {fd} 0x0 0x0 0xffffffff 0x0 0x8 0x7 0x7\n");
        assert_eq!(waited_on(&text(232, "0x5")), Some(5));
        assert_eq!(waited_on(&text(281, "0x10")), Some(16));
        assert_eq!(waited_on(&text(441, "0x3")), Some(3));
        assert_eq!(waited_on(&text(0, "0x5")), None);
        assert_eq!(waited_on(&text(232, "0xffffffffffffffff")), None);
        for text in ["running\n", "-1 0x0 0x0\n", "", "232", "232 5"] {
            assert_eq!(waited_on(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_record_that_is_cut_is_none() {
        let mut bytes = vec![0u8; RECORD];
        bytes[0] = 7;
        bytes[8] = 3;
        bytes[12..15].copy_from_slice(b"abc");
        let record = decode(&bytes).expect("whole");
        assert_eq!((record.ring, record.fd, name(&record.comm)), (7, 3, "abc".into()));
        assert_eq!(decode(&bytes[..RECORD - 1]), None);
    }
}
