//! What has to be on the machine: looked for by its files, installed if it is
//! missing, in one go. Knows Debian and Ubuntu; elsewhere it says what to
//! install. Also called by demo and test, so a complete machine costs nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::bpf_toolchain::{self, Compiler, LINKER_VERSION};
use crate::kernel::source;
use crate::paths;

/// Why set-up could not complete.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not Debian or Ubuntu, or no right to install: the user has to do it.
    #[error("{why}; install these yourself and run this again:\n  {what}")]
    Yourself {
        /// Why we cannot.
        why: &'static str,
        /// What to install, or the line that does it.
        what: String,
    },
    /// An installer failed.
    #[error("`{command}` failed ({status}); its words are above")]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: String,
    },
    /// Installed, and still not there.
    #[error("{0} is still missing after the installation")]
    Still(String),
}

/// A Debian package and the file by which to see that it is there.
struct Package {
    name: &'static str,
    file: &'static str,
}

const fn package(name: &'static str, file: &'static str) -> Package {
    Package { name, file }
}

/// What builds kernels and runs machines.
const PACKAGES: [Package; 24] = [
    package("gcc", "/usr/bin/gcc"),
    package("libc6-dev", "/usr/include/stdio.h"),
    package("binutils", "/usr/bin/ld"),
    package("make", "/usr/bin/make"),
    package("patch", "/usr/bin/patch"),
    package("perl", "/usr/bin/perl"),
    package("linux-source-6.12", source::ARCHIVE),
    package("flex", "/usr/bin/flex"),
    package("bison", "/usr/bin/bison"),
    package("bc", "/usr/bin/bc"),
    package("libelf-dev", "/usr/include/gelf.h"),
    package("libssl-dev", "/usr/include/openssl/ssl.h"),
    package("dwarves", "/usr/bin/pahole"),
    package("cpio", "/usr/bin/cpio"),
    package("lz4", "/usr/bin/lz4"),
    package("zstd", "/usr/bin/zstd"),
    package("xz-utils", "/usr/bin/xz"),
    package("kmod", "/usr/bin/kmod"),
    package("rsync", "/usr/bin/rsync"),
    package("qemu-system-x86", "/usr/bin/qemu-system-x86_64"),
    package("busybox-static", "/bin/busybox"),
    package("bpftrace", "/usr/bin/bpftrace"),
    package("iproute2", "/usr/sbin/ip"),
    package("tmux", "/usr/bin/tmux"),
];

/// A compiler with a core library for BPF, wanted only where there is none.
const BPF_COMPILER: [&str; 2] = ["rustc-web", "libstd-rust-web-dev-bpf"];

/// Brings the machine to where everything of the project builds and runs.
///
/// # Errors
/// If something cannot be installed; nothing is left half done that a second
/// run would not complete.
pub fn ensure() -> Result<(), Error> {
    let missing = missing_packages();
    if !missing.is_empty() {
        install(&missing)?;
        if let Some(name) = missing_packages().first() {
            return Err(Error::Still(format!("the package {name}")));
        }
    }
    if bpf_toolchain::linker().is_err() {
        install_linker()?;
        bpf_toolchain::linker().map_err(Error::Still)?;
    }
    Ok(())
}

/// Installs what one command alone needs: packages, each with the file by which
/// to see that it is there.
///
/// # Errors
/// As [`ensure`].
pub fn ensure_packages(packages: &[(&'static str, &str)]) -> Result<(), Error> {
    let missing = || {
        let absent = packages.iter().filter(|(_, file)| !Path::new(file).exists());
        absent.map(|(name, _)| *name).collect::<Vec<_>>()
    };
    if missing().is_empty() {
        return Ok(());
    }
    install(&missing())?;
    match missing().first() {
        Some(name) => Err(Error::Still(format!("the package {name}"))),
        None => Ok(()),
    }
}

fn missing_packages() -> Vec<&'static str> {
    let there = |package: &Package| match package.name {
        "busybox-static" => is_static(Path::new(package.file)),
        _ => Path::new(package.file).exists(),
    };
    let absent = PACKAGES.iter().filter(|package| !there(package));
    let mut missing: Vec<_> = absent.map(|package| package.name).collect();
    if Compiler::choose().is_err() {
        missing.extend(BPF_COMPILER);
    }
    missing
}

/// Whether a program needs nothing else to run: it names no interpreter.
fn is_static(program: &Path) -> bool {
    let Ok(elf) = fs::read(program) else { return false };
    let number = |at: usize, size: usize| {
        let bytes = elf.get(at..at + size)?;
        Some(bytes.iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    const PT_INTERP: usize = 3;
    let interpreter = || {
        let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        (0..count).map(|n| number(table + n * size, 4)).find(|kind| *kind == Some(PT_INTERP))
    };
    elf.starts_with(b"\x7fELF\x02\x01") && interpreter().is_none()
}

fn install(missing: &[&str]) -> Result<(), Error> {
    let list = missing.join(" ");
    if !is_debian() {
        let why = "this is neither Debian nor Ubuntu (names below are Debian's)";
        return Err(Error::Yourself { why, what: list });
    }
    let mut sudo: &[&str] = &[];
    if !rustix::process::geteuid().is_root() {
        if !in_path("sudo") {
            let why = "installing needs root, and there is no sudo";
            return Err(Error::Yourself { why, what: format!("apt-get install {list}") });
        }
        sudo = &["sudo"];
    }
    eprintln!("xtask: installing with apt-get (1 to 3 minutes, up to 700 MB): {list}");
    let options = ["-o", "DPkg::Lock::Timeout=400", "-qq"];
    run(&[sudo, &["apt-get"], &options, &["update"]].concat())?;
    // sudo drops the environment, so the setting goes through env.
    let quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
    let verb = ["install", "--yes", "--no-install-recommends"];
    run(&[sudo, &quiet, &options, &verb, missing].concat())
}

fn install_linker() -> Result<(), Error> {
    let root = paths::cache().join("tools");
    eprintln!(
        "xtask: installing bpf-linker {LINKER_VERSION} with cargo into {} (about 90 s)",
        root.display()
    );
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--quiet"])
        // One in our folder that does not run is replaced.
        .args(["--force", "--root"])
        .arg(&root)
        // Its objects are of no use afterwards: a temporary folder, not ours.
        .env_remove("CARGO_TARGET_DIR");
    ended(&mut command, "cargo install bpf-linker")
}

fn run(words: &[&str]) -> Result<(), Error> {
    let (program, arguments) = words.split_first().expect("the callers above name a program");
    // What apt says is no result of ours: all of it to stderr.
    let mut command = Command::new(program);
    command.args(arguments).stdout(std::io::stderr());
    ended(&mut command, &words.join(" "))
}

fn ended(command: &mut Command, shown: &str) -> Result<(), Error> {
    let failed = |status| Error::Failed { command: shown.to_owned(), status };
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(status.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

fn is_debian() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let names = |line: &str| {
        let value = line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE="));
        value.is_some_and(|value| value.contains("debian") || value.contains("ubuntu"))
    };
    release.lines().any(names) && in_path("apt-get")
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        // Every test program of cargo is linked to the C library.
        assert!(!is_static(&std::env::current_exe().unwrap()));
        assert!(!is_static(Path::new("/etc/os-release")));
        assert!(!is_static(Path::new("/nonesuch")));
    }
}
