//! `ring_load IDLE WRITES_PER_S [STUCK_AFTER]`: one busy ring beside IDLE rings
//! in which nothing happens, until stdin ends; after STUCK_AFTER events its
//! consumer consumes no more. A test program for the virtual machine: it tells
//! `PID FD` of the busy ring once all rings are there.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use uepoll_common::consumer::{Consumer, Mapping, UserPoll};

/// Items of the busy ring, with an eventfd each.
const ITEMS: u32 = 8;

/// Reads of one empty slot before it is called stuck: seconds.
const SLOT_SPINS: u64 = 1 << 30;

const READABLE: u32 = (libc::EPOLLIN | libc::EPOLLET) as u32;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1).map(|word| word.parse::<u32>());
    let (Some(Ok(idle)), Some(Ok(rate))) = (arguments.next(), arguments.next()) else {
        return Err("usage: ring_load IDLE WRITES_PER_S [STUCK_AFTER]".into());
    };
    let stuck_after = arguments.next().transpose()?.map_or(u64::MAX, u64::from);
    let period = Duration::from_secs(1) / rate.max(1);
    let idle = (0..idle).map(|_| UserPoll::create(1)).collect::<Result<Vec<_>, _>>()?;
    let busy = UserPoll::create(ITEMS)?;
    let sources = (0..ITEMS).map(|_| eventfd()).collect::<io::Result<Vec<_>>>()?;
    for (number, source) in (0u64..).zip(&sources) {
        busy.add(source.as_fd(), READABLE, number)?;
    }
    let sources = Arc::new(sources);
    let mapping = busy.map()?;
    let fd = busy.as_raw_fd();
    let theirs = Arc::clone(&sources);
    thread::Builder::new()
        .name("consumer".into())
        .spawn(move || end_with(consume(&busy, mapping, &theirs, stuck_after)))?;
    thread::Builder::new()
        .name("producer".into())
        .spawn(move || end_with(produce(&sources, period)))?;
    println!("{} {fd}", std::process::id());
    io::stdout().flush()?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    drop(idle);
    Ok(())
}

/// A thread that fails takes the program with it: a test must not wait for it.
fn end_with(Err(error): Result<std::convert::Infallible, Failure>) {
    eprintln!("ring_load: {error}");
    std::process::exit(1);
}

fn consume(
    ring: &UserPoll,
    mapping: Mapping,
    sources: &[File],
    stuck_after: u64,
) -> Result<std::convert::Infallible, Failure> {
    let mut consumer = Consumer::new(mapping);
    let mut consumed = 0u64;
    loop {
        if consumed >= stuck_after {
            // As one that waits for a lock that nobody gives up.
            loop {
                thread::park();
            }
        }
        let mut failed = None;
        let drained = consumer.drain(SLOT_SPINS, |event| {
            let source = usize::try_from(event.data).ok().and_then(|at| sources.get(at));
            let read = source.map(|mut source| source.read(&mut [0; 8]));
            match read {
                Some(Ok(_)) => {}
                Some(Err(error)) => failed = Some(error.to_string()),
                None => failed = Some(format!("the ring names source {}", event.data)),
            }
        });
        if let Some(failed) = failed {
            return Err(failed.into());
        }
        consumed += u64::from(drained.consumed);
        if drained.consumed == 0 {
            ring.wait(None)?;
        }
    }
}

/// Writes to one source after the other, for ever.
fn produce(sources: &[File], period: Duration) -> Result<std::convert::Infallible, Failure> {
    loop {
        for mut source in sources {
            source.write_all(&1u64.to_ne_bytes())?;
            thread::sleep(period);
        }
    }
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
