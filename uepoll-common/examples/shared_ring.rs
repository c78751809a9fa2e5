//! `shared_ring`: one ring that three processes hold by five descriptors: made,
//! duplicated, inherited by fork (both), and received by SCM_RIGHTS. Tells each
//! as `PID FD`, then `shared`, and stays until stdin ends. A test program for
//! the virtual machine.

use std::error::Error;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use uepoll_common::consumer::UserPoll;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut ours, theirs) = UnixStream::pair()?;
    // Before there is a ring, so that it inherits none.
    let receiver = fork(|| receive(theirs))?;
    let ring = OwnedFd::from(UserPoll::create(8)?);
    let copy = ring.try_clone()?;
    let heir = fork(pause)?;
    send(&ours, &ring)?;
    let mut received = [0; 4];
    ours.read_exact(&mut received)?;

    let own = std::process::id().cast_signed();
    let (ring_fd, copy_fd) = (ring.as_raw_fd(), copy.as_raw_fd());
    for (pid, fd) in [
        (own, ring_fd),
        (own, copy_fd),
        (heir, ring_fd),
        (heir, copy_fd),
        (receiver, RawFd::from_ne_bytes(received)),
    ] {
        println!("{pid} {fd}");
    }
    println!("shared");
    io::stdout().flush()?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    for child in [receiver, heir] {
        // SAFETY: our own children, not waited for until here.
        unsafe { libc::kill(child, libc::SIGKILL) };
    }
    Ok(())
}

/// A child that does `what` and never returns from it.
fn fork(what: impl FnOnce() -> io::Result<()>) -> io::Result<libc::pid_t> {
    // SAFETY: this process has one thread, so the child finds nothing locked.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => std::process::exit(i32::from(what().is_err())),
        child => Ok(child),
    }
}

/// Until somebody kills us.
fn pause() -> io::Result<()> {
    loop {
        // SAFETY: takes nothing.
        unsafe { libc::pause() };
    }
}

/// Receives a descriptor, answers with its number, and keeps it.
fn receive(mut from: UnixStream) -> io::Result<()> {
    let (mut byte, mut control) = ([0u8; 1], Control::zeroed());
    let mut data = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut message = message(&mut data, &mut control);
    // SAFETY: `message` points to locals that live through the call.
    if unsafe { libc::recvmsg(from.as_raw_fd(), &mut message, 0) } != 1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `message` is as the kernel left it: its control part is in
    // `control`, or has no length and there is no first header.
    let header = unsafe { libc::CMSG_FIRSTHDR(&message) };
    if header.is_null() {
        return Err(io::Error::other("no descriptor came"));
    }
    // SAFETY: the header is not null, and SCM_RIGHTS is the only kind that our
    // other end sends: one descriptor follows it.
    let fd = unsafe { libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned() };
    // SAFETY: the kernel has just made this descriptor for us.
    let _kept = unsafe { OwnedFd::from_raw_fd(fd) };
    from.write_all(&fd.to_ne_bytes())?;
    pause()
}

/// Sends a descriptor by SCM_RIGHTS, with the byte that must go with it.
fn send(to: &UnixStream, descriptor: &OwnedFd) -> io::Result<()> {
    let (mut byte, mut control) = ([0u8; 1], Control::zeroed());
    let mut data = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let message = message(&mut data, &mut control);
    // SAFETY: `message` has room for one header with one descriptor, so the
    // first header is in `control`.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as usize;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(descriptor.as_raw_fd());
    }
    // SAFETY: `message` points to locals that live through the call.
    match unsafe { libc::sendmsg(to.as_raw_fd(), &message, 0) } {
        1 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Room for a control message with one descriptor, aligned as its header.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

// SAFETY: computes a number.
const CONTROL_BYTES: usize = unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as u32) } as usize;

impl Control {
    fn zeroed() -> Self {
        Self([0; CONTROL_BYTES])
    }
}

fn message(data: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    // SAFETY: integers and pointers, for which zero means none.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = data;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_BYTES;
    message
}
