//! `sleepers N`: N threads asleep in epoll_wait on one ring. Tells `asleep` on
//! stdout once all of them are, wakes them all when stdin says something or
//! ends, and tells how many came back with which outcome. A test program for
//! the virtual machine.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::sync::{Arc, mpsc};
use std::thread;

use uepoll_common::consumer::{UserPoll, UserPollError, WaitOutcome};

const READABLE: u32 = (libc::EPOLLIN | libc::EPOLLET) as u32;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(Ok(threads)) = std::env::args().nth(1).map(|word| word.parse::<u32>()) else {
        return Err("usage: sleepers N".into());
    };
    let ring = Arc::new(UserPoll::create(1)?);
    let source = eventfd()?;
    ring.add(source.as_fd(), READABLE, 0)?;
    let (returned, outcomes) = mpsc::channel();
    for number in 0..threads {
        let (ring, returned) = (Arc::clone(&ring), returned.clone());
        let wait = move || {
            // Nobody listens any more if another wait has failed.
            let _ = returned.send(ring.wait(None));
        };
        thread::Builder::new().name(format!("sleeper-{number}")).spawn(wait)?;
    }
    drop(returned);
    while asleep()? < threads {
        thread::yield_now();
    }
    println!("asleep");
    io::stdout().flush()?;
    io::stdin().read_line(&mut String::new())?;
    let outcomes = wake(&source, threads, &outcomes)?;
    println!("{outcomes}");
    Ok(())
}

/// Wakes them one after the other: a wake-up of a ring takes one exclusive
/// waiter, and since nobody consumes, that one returns with ESTALE.
fn wake(
    mut source: &File,
    threads: u32,
    outcomes: &mpsc::Receiver<Result<WaitOutcome, UserPollError>>,
) -> Result<String, Box<dyn Error>> {
    let mut stale = 0;
    for _ in 0..threads {
        source.write_all(&1u64.to_ne_bytes())?;
        match outcomes.recv()?? {
            WaitOutcome::Stale => stale += 1,
            other => return Err(format!("a wait ended with {other:?}").into()),
        }
    }
    Ok(format!("estale {stale}"))
}

/// Threads of this process that sleep in epoll_wait: what the kernel says, not
/// what they are about to do.
fn asleep() -> io::Result<u32> {
    let wait = format!("{} ", libc::SYS_epoll_wait);
    let mut asleep = 0;
    for task in fs::read_dir("/proc/self/task")? {
        // A thread that runs shows "running" instead of its system call.
        let call = fs::read_to_string(task?.path().join("syscall"))?;
        asleep += u32::from(call.starts_with(&wait));
    }
    Ok(asleep)
}

fn eventfd() -> io::Result<File> {
    // SAFETY: takes two numbers and returns a descriptor or an error.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that the kernel has just given us, owned by nobody
    // else.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}
