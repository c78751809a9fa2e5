//! The few calls of bpf(2) that aya does not offer: what a program missed, what
//! a probe missed, and running a program once on request.

use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use aya_obj::generated::bpf_prog_info;

const BPF_PROG_TEST_RUN: libc::c_int = 10;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_LINK_GET_FD_BY_ID: libc::c_int = 30;

/// `bpf_link_info.perf_event.kprobe.missed`, since Linux 6.7.
const LINK_MISSED: usize = 48;
/// `bpf_link_info.perf_event.type`.
const LINK_EVENT_TYPE: usize = 16;
/// `BPF_PERF_EVENT_KPROBE` and `BPF_PERF_EVENT_KRETPROBE`.
const EVENT_KPROBES: [u32; 2] = [3, 4];

/// `union bpf_attr`, as far as these calls reach.
#[repr(C, align(8))]
struct Attributes([u8; 128]);

impl Attributes {
    fn new() -> Self {
        Self([0; 128])
    }

    fn set_u32(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    fn set_u64(&mut self, at: usize, value: u64) {
        self.0[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }

    fn get_u32(&self, at: usize) -> u32 {
        let mut word = [0; 4];
        word.copy_from_slice(&self.0[at..at + 4]);
        u32::from_ne_bytes(word)
    }

    fn call(&mut self, command: libc::c_int) -> io::Result<i64> {
        // SAFETY: the attributes are valid for their length; what addresses in
        // them point to is kept alive by the callers.
        let result = unsafe {
            libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), size_of::<Self>())
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
    }
}

/// What the kernel tells of a program or a link, as far as it tells.
struct Info {
    bytes: [u8; 512],
    length: usize,
}

impl Info {
    fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let mut info = Self { bytes: [0; 512], length: 0 };
        let mut attributes = Attributes::new();
        attributes.set_u32(0, fd.as_raw_fd().cast_unsigned());
        attributes.set_u32(4, info.bytes.len() as u32);
        attributes.set_u64(8, info.bytes.as_mut_ptr() as u64);
        attributes.call(BPF_OBJ_GET_INFO_BY_FD)?;
        info.length = attributes.get_u32(4) as usize;
        Ok(info)
    }

    /// A word; `None` where this kernel's answer is shorter.
    fn u64(&self, at: usize) -> Option<u64> {
        let known = self.bytes.get(..self.length)?;
        known.get(at..)?.first_chunk::<8>().map(|word| u64::from_ne_bytes(*word))
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let known = self.bytes.get(..self.length)?;
        known.get(at..)?.first_chunk::<4>().map(|word| u32::from_ne_bytes(*word))
    }
}

/// What a program did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgramFigures {
    /// Run time while statistics were on.
    pub run_time_ns: u64,
    /// Hits while statistics were on.
    pub hits: u64,
    /// Hits missed because a program ran on that CPU already.
    pub recursion_misses: u64,
}

/// What a program did so far.
///
/// # Errors
/// What the system call says.
pub fn program_figures(program: BorrowedFd<'_>) -> io::Result<ProgramFigures> {
    let info = Info::of(program)?;
    Ok(ProgramFigures {
        run_time_ns: info.u64(offset_of!(bpf_prog_info, run_time_ns)).unwrap_or(0),
        hits: info.u64(offset_of!(bpf_prog_info, run_cnt)).unwrap_or(0),
        recursion_misses: info.u64(offset_of!(bpf_prog_info, recursion_misses)).unwrap_or(0),
    })
}

/// Hits that the probe behind a link missed; `None` where the kernel does not
/// tell, or not us (a link is opened by number with CAP_SYS_ADMIN only).
pub fn probe_misses(link_id: u32) -> Option<u64> {
    let mut attributes = Attributes::new();
    attributes.set_u32(0, link_id);
    let fd = attributes.call(BPF_LINK_GET_FD_BY_ID).ok()?;
    // SAFETY: the call above has just given us this descriptor.
    let link = unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).ok()?) };
    let info = Info::of(link.as_fd()).ok()?;
    if !EVENT_KPROBES.contains(&info.u32(LINK_EVENT_TYPE)?) {
        return None;
    }
    info.u64(LINK_MISSED)
}

/// Runs a raw-tracepoint program once, with one argument.
///
/// # Errors
/// What the system call says.
pub fn run_once(program: BorrowedFd<'_>, argument: u64) -> io::Result<()> {
    // bpf_attr.test: prog_fd @0, ctx_size_in @40, ctx_in @48. The program may
    // look at as many arguments as any raw tracepoint has.
    let context = [argument, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut attributes = Attributes::new();
    attributes.set_u32(0, program.as_raw_fd().cast_unsigned());
    attributes.set_u32(40, size_of_val(&context) as u32);
    attributes.set_u64(48, context.as_ptr() as u64);
    attributes.call(BPF_PROG_TEST_RUN).map(drop)
}
