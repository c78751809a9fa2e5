//! `cargo xtask vm`: one command, or a shell, in a virtual machine.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::vm::{self, Ending, Streams, VmOptions};
use crate::{kernel, paths, span};

/// Options of `cargo xtask vm`.
#[derive(clap::Args)]
pub struct Args {
    /// v2, inline, debug, delay, stock-6.12, or the path of a bzImage
    #[arg(long, default_value = "v2")]
    kernel: String,
    /// Number of processors
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=8))]
    cpus: u32,
    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024,
          value_parser = clap::value_parser!(u32).range(256..))]
    memory: u32,
    /// Kill the machine if CMD runs longer (5s, 10m, 1h)
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = span::parse)]
    timeout: Duration,
    /// Folder that CMD can write to, at the same path [default: share in the cache]
    #[arg(long, value_name = "DIR")]
    share: Option<PathBuf>,
    /// Add a word to the kernel's command line
    #[arg(long = "kernel-arg", value_name = "WORD")]
    kernel_words: Vec<String>,
    /// Give CMD (a shell, if there is none) this terminal; Ctrl-] ends it
    #[arg(long)]
    shell: bool,
    /// Show the kernel's messages on stderr afterwards
    #[arg(long)]
    dmesg: bool,
    /// What to run, in the current folder; $UEPOLL_SHARE is the shared folder
    #[arg(last = true, value_name = "CMD", required_unless_present = "shell")]
    command: Vec<OsString>,
}

/// Runs the command; its exit status is ours.
///
/// # Errors
/// When the machine could not be started.
pub fn run(args: Args) -> anyhow::Result<u8> {
    if args.shell && !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        bail!("--shell needs a terminal on stdin and stdout; without one, give a CMD alone");
    }
    if let Some(share) = args.share.as_deref().filter(|share| !share.is_dir()) {
        bail!("--share {}: there is no such folder; make it first", share.display());
    }
    let share = args.share.unwrap_or_else(|| paths::cache().join("share"));
    let options = VmOptions {
        kernel: kernel::image(&args.kernel)?,
        cpus: args.cpus,
        memory_mib: args.memory,
        time_limit: args.timeout,
        share: std::path::absolute(&share)
            .with_context(|| format!("cannot find the shared folder {}", share.display()))?,
        kernel_words: args.kernel_words,
        streams: if args.shell { Streams::Terminal } else { Streams::Forward },
        folder: std::env::current_dir().context("cannot tell the current folder")?,
        command: args.command,
    };
    let outcome = vm::run(&options)?;
    let died = matches!(outcome.ending, Ending::Panicked | Ending::Died);
    // A terminal has shown the console already.
    if args.dmesg || (died && !args.shell) {
        eprint!("{}", outcome.console);
    }
    if let Some(complaint) = outcome.complaint(&options) {
        eprintln!("xtask: {complaint}");
    }
    Ok(outcome.ending.exit_code())
}
