//! The virtual machine: runs one command in a given kernel, on the host's root
//! read-only, and gives back its streams and exit status. How the guest is laid
//! out is in `guest.rs` and `init.sh`, how QEMU is started in `qemu.rs`.

mod accel;
mod cpio;
mod guest;
mod qemu;
mod streams;
mod terminal;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::span;
use streams::{Event, Sink};

/// Exit code of `cargo xtask vm` when the guest's kernel panicked.
pub const PANICKED: u8 = 123;
/// Exit code when CMD did not end within the time limit (as `timeout`'s).
pub const TIMED_OUT: u8 = 124;
/// Exit code when the machine could not run CMD at all.
pub const FAILED: u8 = 125;
/// Exit code when nobody reads our output any more (128 + SIGPIPE).
pub const OUTPUT_CLOSED: u8 = 141;

/// How long a guest may take from start to its command: a busy host needs 10 s,
/// a guest that is still silent after this is stuck.
const BOOT_LIMIT: Duration = Duration::from_secs(120);

/// Where the command's output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// To this process's own stdout and stderr, as it comes.
    Forward,
    /// Into [`VmOutcome`].
    Capture,
    /// The command gets a terminal, which is ours.
    Terminal,
}

/// What to run, and on what.
#[derive(Clone, Debug)]
pub struct VmOptions {
    /// The kernel image (bzImage).
    pub kernel: PathBuf,
    /// Number of processors.
    pub cpus: u32,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// The time CMD may take, counted from its start; booting has a limit of
    /// its own.
    pub time_limit: Duration,
    /// The host's folder that the guest can write to, at the same path.
    pub share: PathBuf,
    /// Words added to the kernel's command line.
    pub kernel_words: Vec<String>,
    /// Where output goes.
    pub streams: Streams,
    /// The command's working folder.
    pub folder: PathBuf,
    /// The command and its arguments.
    pub command: Vec<OsString>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The command ended with this status (128 + n if signal n ended it).
    Exited(u8),
    /// The command was still running at the time limit.
    TimedOut,
    /// The guest's kernel panicked.
    Panicked,
    /// The machine stopped before the command ended, without a panic.
    Died,
    /// The reader of our stdout or stderr went away.
    OutputClosed,
    /// The user left the terminal with Ctrl-].
    Left,
}

/// What a run gave.
#[derive(Debug)]
pub struct VmOutcome {
    /// How it ended.
    pub ending: Ending,
    /// The command's stdout, if captured.
    pub stdout: Vec<u8>,
    /// The command's stderr, if captured.
    pub stderr: Vec<u8>,
    /// The guest's console: kernel messages of level warning and above.
    pub console: String,
    /// From the start of QEMU to the start of the command, if it started.
    pub boot: Option<Duration>,
}

/// Why a machine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program or file is missing.
    #[error("{what} {path} is missing: `{remedy}` brings it")]
    Missing {
        /// What it is.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// The command that installs or builds it.
        remedy: &'static str,
    },
    /// The host refused something.
    #[error("cannot {doing} {path}")]
    Host {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The host's answer.
        source: std::io::Error,
    },
}

impl Ending {
    /// The exit code that stands for this ending.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Exited(status) => status,
            Self::TimedOut => TIMED_OUT,
            Self::Panicked => PANICKED,
            Self::Died => FAILED,
            Self::OutputClosed => OUTPUT_CLOSED,
            Self::Left => 0,
        }
    }
}

impl VmOutcome {
    /// One line that says how the run ended if it was not by the command's own
    /// end, and what to do.
    pub fn complaint(&self, options: &VmOptions) -> Option<String> {
        let limit = span::show(options.time_limit);
        let command = options.command.first().map_or("the shell".into(), |c| c.to_string_lossy());
        Some(match self.ending {
            Ending::Exited(_) | Ending::OutputClosed | Ending::Left => return None,
            Ending::TimedOut => format!(
                "time limit: {command} was still running {limit} after its start and the machine \
                 was killed; allow more with --timeout"
            ),
            Ending::Panicked => format!(
                "the guest's kernel ({}) panicked; its log is above",
                options.kernel.display()
            ),
            Ending::Died if self.boot.is_none() => format!(
                "the guest ({}) stopped before it could run {command}; its console is above",
                options.kernel.display()
            ),
            Ending::Died => format!(
                "the guest stopped while {command} was running (did it power off?); its console \
                 is above"
            ),
        })
    }
}

/// Boots the machine, runs the command, and gives back how it ended.
///
/// # Errors
/// When the machine could not be started. Everything that happens after that is
/// an [`Ending`].
pub fn run(options: &VmOptions) -> Result<VmOutcome, Error> {
    let accel = accel::choose(options);
    run_with(options, accel, BOOT_LIMIT)
}

fn run_with(
    options: &VmOptions,
    accel: accel::Accel,
    boot_limit: Duration,
) -> Result<VmOutcome, Error> {
    std::fs::create_dir_all(&options.share).map_err(|source| Error::Host {
        doing: "make the shared folder",
        path: options.share.clone(),
        source,
    })?;
    let guest = guest::Guest::new(options)?;
    let started = Instant::now();
    // Lives in this thread until the end: QEMU dies with the thread that
    // started it (see qemu.rs).
    let mut machine = qemu::Machine::start(options, accel, &guest)?;

    let (events, received) = mpsc::channel();
    let capture = options.streams == Streams::Capture;
    let sink = |forward| if capture { Sink::Keep } else { forward };
    let stdout = streams::output(machine.take_stdout(), sink(Sink::Stdout), guest.mark(), &events);
    let stderr = streams::output(machine.take_stderr(), sink(Sink::Stderr), guest.mark(), &events);
    let (console_in, console_out) = machine.take_console();
    let terminal = match options.streams {
        Streams::Terminal => Some(terminal::Terminal::attach(console_in, &events)),
        Streams::Forward | Streams::Capture => None,
    };
    let console = streams::console(console_out, terminal.is_some());
    streams::status(machine.take_status(), &events);
    drop(events);

    let mut boot = None;
    let mut exited = None;
    let mut streams_left = 2;
    let mut deadline = started + boot_limit;
    let ending = loop {
        if let (Some(status), 0) = (exited, streams_left) {
            break Ending::Exited(status);
        }
        match received.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Event::Started) => {
                boot = Some(started.elapsed());
                deadline = Instant::now() + options.time_limit;
            }
            Ok(Event::Exited(status)) => exited = Some(status),
            Ok(Event::StreamEnded) => streams_left -= 1,
            Ok(Event::OutputClosed) => break Ending::OutputClosed,
            Ok(Event::Left) => break Ending::Left,
            // A guest whose processors are stopped by a panic may leave QEMU
            // running; one that never came up is no different from a dead one.
            Err(RecvTimeoutError::Timeout) if boot.is_none() => break Ending::Died,
            Err(RecvTimeoutError::Timeout) => break Ending::TimedOut,
            Ok(Event::Gone) | Err(RecvTimeoutError::Disconnected) => break Ending::Died,
        }
    };
    machine.kill();
    drop(terminal);
    let console = join(console);
    let panicked = console.contains("Kernel panic - not syncing");
    Ok(VmOutcome {
        ending: if ending == Ending::Died && panicked { Ending::Panicked } else { ending },
        stdout: join(stdout),
        stderr: join(stderr),
        console,
        boot,
    })
}

fn join<T>(thread: std::thread::JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
