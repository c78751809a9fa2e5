//! What a test works with: a kernel, the release build of `uepoll`, and short
//! ways to run a command and to look at what it gave. Every run also fails if
//! the kernel complained.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::kernel::Flavour;
use crate::vm::{self, Ending, Streams, VmOptions, VmOutcome};
use crate::{kernel, paths};

/// Long enough for the longest test on a busy host; what takes longer hangs.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// What the kernel prints when something is wrong with it.
const COMPLAINTS: [&str; 7] =
    ["WARNING:", "BUG:", "Oops:", "KASAN:", "INFO: task", "INFO: possible", "ODEBUG:"];

/// Kernel, program and shared folder of the tests.
pub struct Bench {
    kernel: PathBuf,
    uepoll: PathBuf,
    share: PathBuf,
}

/// A command's end, if it came to its own end.
#[derive(Debug)]
pub struct Ran {
    /// Its exit status.
    pub status: u8,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it printed on stderr.
    pub stderr: Vec<u8>,
}

impl Bench {
    /// A bench on the kernel `image`, with a shared folder of its own.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn new(image: PathBuf) -> anyhow::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("share-{}-{number}", std::process::id());
        let share = paths::cache().join("vm").join(name);
        std::fs::create_dir_all(&share)
            .with_context(|| format!("cannot make the shared folder {}", share.display()))?;
        Ok(Self { kernel: image, uepoll: paths::uepoll(), share })
    }

    /// The same on another of our kernels, built if need be.
    ///
    /// # Errors
    /// If it cannot be built.
    pub fn on(&self, flavour: Flavour) -> anyhow::Result<Self> {
        Self::new(kernel::ensure(flavour)?.join("bzImage"))
    }

    /// The release build of `uepoll`, a path that is the same in the guest.
    pub fn uepoll(&self) -> &Path {
        &self.uepoll
    }

    /// A program of uepoll-common/examples, a path that is the same in the guest.
    pub fn program(&self, name: &str) -> PathBuf {
        paths::target().join("release/examples").join(name)
    }

    /// The folder that guest and host share, under the same path in both.
    pub fn share(&self) -> &Path {
        &self.share
    }

    /// The options of a run; change what a test needs, then call [`Self::boot`].
    pub fn options(&self, command: &[impl AsRef<OsStr>]) -> VmOptions {
        VmOptions {
            kernel: self.kernel.clone(),
            cpus: 2,
            memory_mib: 1024,
            time_limit: TIME_LIMIT,
            share: self.share.clone(),
            kernel_words: Vec::new(),
            streams: Streams::Capture,
            folder: paths::project().to_owned(),
            command: command.iter().map(|word| word.as_ref().to_owned()).collect(),
        }
    }

    /// Boots a machine with these options, however it ends.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn boot(&self, options: &VmOptions) -> anyhow::Result<VmOutcome> {
        Ok(vm::run(options)?)
    }

    /// Runs `command` in a machine of its own.
    ///
    /// # Errors
    /// If it did not come to its own end, or the kernel complained meanwhile.
    pub fn run(&self, command: &[impl AsRef<OsStr>]) -> anyhow::Result<Ran> {
        self.run_with(&self.options(command))
    }

    /// Runs a command with these options.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_with(&self, options: &VmOptions) -> anyhow::Result<Ran> {
        self.ended(options, self.boot(options)?)
    }

    /// The end of a command that was run with these options.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn ended(&self, options: &VmOptions, outcome: VmOutcome) -> anyhow::Result<Ran> {
        let Ending::Exited(status) = outcome.ending else {
            let complaint = outcome.complaint(options).unwrap_or_default();
            let stderr = String::from_utf8_lossy(&outcome.stderr);
            bail!("{complaint}\nstderr: {stderr}\nconsole:\n{}", outcome.console);
        };
        if let Some(line) = complaint(&outcome.console) {
            bail!("the kernel complained: {line}\nconsole:\n{}", outcome.console);
        }
        Ok(Ran { status, stdout: outcome.stdout, stderr: outcome.stderr })
    }

    /// Runs a shell script.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn sh(&self, script: &str) -> anyhow::Result<Ran> {
        self.run(&["sh", "-c", script])
    }

    /// Runs `uepoll ARGUMENTS --json`, which must exit with 0, and reads what it
    /// printed.
    ///
    /// # Errors
    /// As [`Self::run`], or if it is not JSON.
    pub fn uepoll_json(&self, arguments: &[&str]) -> anyhow::Result<serde_json::Value> {
        // --json goes before what follows `--`, which is another command's.
        let own = arguments.iter().position(|word| *word == "--").unwrap_or(arguments.len());
        let mut command = vec![self.uepoll().as_os_str()];
        command.extend(arguments[..own].iter().map(OsStr::new));
        command.push(OsStr::new("--json"));
        command.extend(arguments[own..].iter().map(OsStr::new));
        let stdout = self.run(&command)?.success()?;
        serde_json::from_str(&stdout).with_context(|| format!("not JSON: {stdout}"))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.share) {
            eprintln!("xtask: cannot remove {}: {error}", self.share.display());
        }
    }
}

impl Ran {
    /// The command's stdout, if it exited with 0.
    ///
    /// # Errors
    /// With its status and stderr, if it did not.
    pub fn success(&self) -> anyhow::Result<String> {
        let stderr = self.stderr_text();
        ensure!(self.status == 0, "exit status {}; stderr: {stderr}", self.status);
        Ok(String::from_utf8_lossy(&self.stdout).into_owned())
    }

    /// The command's stderr.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// The first line in which the kernel says that something is wrong with it.
fn complaint(console: &str) -> Option<&str> {
    console.lines().find(|line| COMPLAINTS.iter().any(|words| line.contains(words)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_splat_is_found_among_harmless_messages() {
        let boot = "[    0.4] mtrr: your CPUs had inconsistent fixed MTRR settings\n";
        assert_eq!(complaint(boot), None);
        let splat = format!("{boot}[    2.0] WARNING: possible recursive locking detected\n");
        assert!(complaint(&splat).is_some_and(|line| line.contains("recursive")));
    }
}
