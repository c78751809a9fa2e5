//! `uepoll list [PID:FD]`: every ring of the host, or one looked into. Chooses
//! processes, prints, and looks again with `--watch`; finding and reading rings
//! is `snapshot`'s, what is told of them uepoll-core's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, IsTerminal};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGINT, SIGTERM};
use uepoll_core::list::{detail_json, detail_text, json, text};
use uepoll_core::render::escaped;

use super::cgroup::Cgroup;
use super::select::SelectError;
use crate::exit::{self, CannotRun, Usage};
use crate::number;
use crate::options::{Comm, MOST_PID, RingName};
use crate::output::{self, Reader};
use crate::snapshot::{self, LookError, scan, series};
use crate::source::live;

/// Home and clear, of every terminal there is.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Between two looks with `--watch`.
const PERIOD: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Columns of a message that a process's own words may take.
const WORDS_COLUMNS: usize = 80;

/// Options of `uepoll list`
#[derive(clap::Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("target").multiple(false))]
pub struct Args {
    /// Look into this ring: its header, live slots, and items, each with what
    /// its file is
    #[arg(value_name = "PID:FD", group = "target", value_parser = RingName::parse)]
    ring: Option<RingName>,

    /// Rings of this process and of its children alone
    #[arg(short, long, value_name = "PID", group = "target",
          value_parser = number::within("a process number", 1..=MOST_PID))]
    pid: Option<u32>,

    /// Rings of processes of this name alone, as in /proc/PID/comm
    #[arg(long, value_name = "NAME", group = "target", value_parser = Comm::parse)]
    comm: Option<Comm>,

    /// Rings of processes in this cgroup (v2), or below it, alone
    #[arg(long, value_name = "PATH", group = "target")]
    cgroup: Option<PathBuf>,

    /// Again each second, until Ctrl-C; in place on a terminal
    #[arg(short, long)]
    watch: bool,

    /// As JSON (schema uepoll.list/1), a line for each look
    #[arg(long)]
    json: bool,
}

/// Runs it. Returns the exit code.
///
/// # Errors
/// [`CannotRun`] on a kernel without the series or without the rights that it
/// takes, [`Usage`] if what was named is not there.
pub fn run(args: Args) -> anyhow::Result<u8> {
    if !series::is_present() {
        return Err(CannotRun(format!(
            "there is no user-polled ring: this kernel ({}) does not carry EPOLL_USERPOLL; \
             `uepoll doctor` tells what it has",
            live::release()
        ))
        .into());
    }
    if !args.watch {
        output::print("list", &told(&args)?)?;
        return Ok(exit::FINE);
    }
    watch(&args)
}

/// Looks each second, until a signal or until nobody reads.
fn watch(args: &Args) -> anyhow::Result<u8> {
    let (ours, theirs) = UnixStream::pair().context("cannot watch: no pair of sockets")?;
    for signal in [SIGINT, SIGTERM] {
        let theirs = theirs.try_clone().context("cannot watch: no descriptor is left")?;
        signal_hook::low_level::pipe::register(signal, theirs).context("cannot take signals")?;
    }
    let in_place = io::stdout().is_terminal() && !args.json;
    let mut looked = false;
    loop {
        let text = match told(args) {
            Ok(text) => text,
            // It was there: that it is not any more is the end, not a mistake.
            Err(error) if looked && error.is::<Usage>() => {
                eprintln!("uepoll: {error:#}");
                return Ok(exit::FINE);
            }
            Err(error) => return Err(error),
        };
        let before = if in_place { CLEAR } else { "" };
        if output::print("list", &format!("{before}{text}"))? == Reader::Gone {
            return Ok(exit::FINE);
        }
        looked = true;
        match poll(&mut [PollFd::new(&ours, PollFlags::IN)], Some(&PERIOD)) {
            Ok(0) => {}
            Ok(_) | Err(Errno::INTR) => return Ok(exit::FINE),
            Err(errno) => return Err(errno).context("cannot wait for the next look"),
        }
    }
}

/// What is to be printed now.
fn told(args: &Args) -> anyhow::Result<String> {
    if let Some(ring) = args.ring {
        let detail = snapshot::look(ring.pid, ring.fd).map_err(with_code)?;
        return Ok(match args.json {
            true => detail_json(&detail),
            false => detail_text(&detail, output::charset()),
        });
    }
    let chosen = chosen(args)?;
    let listing = scan::scan(chosen.as_ref()).context("cannot list /proc")?;
    Ok(match args.json {
        true => json(&listing),
        false => text(&listing, output::charset()),
    })
}

/// The same as an error whose exit code is that of its remedy.
fn with_code(error: LookError) -> anyhow::Error {
    // A link's text may be anything.
    let words = || escaped(&error.to_string(), output::charset(), usize::MAX);
    match &error {
        LookError::NoSuchProcess(_) | LookError::NoSuchDescriptor { .. } => Usage(words()).into(),
        LookError::NoRing { pid, fd, what, rings } => {
            let what = escaped(what, output::charset(), WORDS_COLUMNS);
            let (pid, fd, rings) = (*pid, *fd, rings.clone());
            Usage(LookError::NoRing { pid, fd, what, rings }.to_string()).into()
        }
        LookError::Hidden { .. } => CannotRun(words()).into(),
        LookError::System { .. } => error.into(),
    }
}

/// The processes that the options choose; `None` for all.
fn chosen(args: &Args) -> anyhow::Result<Option<BTreeSet<u32>>> {
    let chosen = if let Some(pid) = args.pid {
        if fs::metadata(format!("/proc/{pid}")).is_err() {
            let message = format!(
                "there is no process {pid}: `pgrep NAME` finds the number of a running one"
            );
            return Err(Usage(message).into());
        }
        with_descendants(pid, &scan::parents().context("cannot list /proc")?)
    } else if let Some(comm) = &args.comm {
        scan::called(comm.bytes()).context("cannot list /proc")?
    } else if let Some(path) = &args.cgroup {
        of_cgroup(path)?
    } else {
        return Ok(None);
    };
    Ok(Some(chosen))
}

fn of_cgroup(path: &Path) -> anyhow::Result<BTreeSet<u32>> {
    let processes = Cgroup::find(path).and_then(|cgroup| cgroup.processes());
    let processes = processes.map_err(|error| SelectError::Cgroup(error).with_code())?;
    Ok(processes.into_iter().filter(|pid| *pid != 0).collect())
}

/// A process and all that descend from it.
fn with_descendants(pid: u32, parents: &BTreeMap<u32, u32>) -> BTreeSet<u32> {
    let mut chosen = BTreeSet::from([pid]);
    loop {
        let before = chosen.len();
        let born = parents.iter().filter(|(_, parent)| chosen.contains(parent));
        let born: Vec<u32> = born.map(|(child, _)| *child).collect();
        chosen.extend(born);
        if chosen.len() == before {
            return chosen;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_children_are_chosen_with_a_process() {
        let parents = BTreeMap::from([(2, 9), (9, 5), (5, 1), (6, 1), (7, 2)]);
        assert_eq!(with_descendants(5, &parents), BTreeSet::from([2, 5, 7, 9]));
        assert_eq!(with_descendants(4, &parents), BTreeSet::from([4]));
    }

    #[test]
    fn what_was_named_wrongly_is_a_matter_of_usage_and_what_is_hidden_of_rights() {
        let hostile = LookError::NoRing { pid: 1, fd: 2, what: "/\x1b[2J".into(), rings: vec![7] };
        let error = with_code(hostile);
        assert!(error.is::<Usage>());
        assert_eq!(error.to_string(), "1:2 is /\\x1b[2J, no user-polled ring: its rings are 7");
        assert!(with_code(LookError::NoSuchProcess(1)).is::<Usage>());
        let hidden = LookError::Hidden { pid: 1, fd: 2, remedy: "x".into() };
        assert!(with_code(hidden).is::<CannotRun>());
    }
}
