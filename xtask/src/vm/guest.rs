//! What the guest is given: the first root file system, with the scripts that
//! carry the command into it byte for byte.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::cpio::Archive;
use super::{Error, Streams, VmOptions};

/// Debian's `busybox-static`: the initramfs holds nothing else that runs.
const BUSYBOX: &str = "/bin/busybox";

/// What init.sh calls.
const APPLETS: [&str; 19] = [
    "cat", "chroot", "cp", "env", "hostname", "ip", "kill", "ln", "mkdir", "mkfifo", "mount",
    "poweroff", "printf", "setsid", "sh", "sleep", "stty", "true", "usleep",
];

/// A first root file system for one run.
pub struct Guest {
    initramfs: Vec<u8>,
    mark: Vec<u8>,
}

impl Guest {
    /// Packs the scripts for `options`.
    ///
    /// # Errors
    /// If busybox is missing, or the command cannot be passed on.
    pub fn new(options: &VmOptions) -> Result<Self, Error> {
        let busybox = std::fs::read(BUSYBOX).map_err(|_| Error::Missing {
            what: "the program",
            path: PathBuf::from(BUSYBOX),
            remedy: "cargo xtask setup",
        })?;
        let mark = mark()?;
        let mut archive = Archive::default();
        for name in ["bin", "dev", "host", "proc", "root", "rw", "sys"] {
            archive.directory(name);
        }
        archive.character_device("dev/console", 5, 1);
        archive.character_device("dev/null", 1, 3);
        archive.file("bin/busybox", 0o755, &busybox);
        for applet in APPLETS {
            archive.symlink(&format!("bin/{applet}"), "busybox");
        }
        archive.file("init", 0o755, include_bytes!("init.sh"));
        archive.file("mark", 0o644, &mark);
        archive.file("share", 0o644, &share_script(&options.share));
        archive.file("run-command", 0o644, run_script(options.streams));
        archive.file("command", 0o644, &command_script(options, std::env::vars_os()));
        Ok(Self { initramfs: archive.finish(), mark })
    }

    /// The archive for QEMU's `-initrd`.
    pub fn initramfs(&self) -> &[u8] {
        &self.initramfs
    }

    /// The bytes that end each stream.
    pub fn mark(&self) -> &[u8] {
        &self.mark
    }
}

/// 24 random bytes: no output holds them by chance.
fn mark() -> Result<Vec<u8>, Error> {
    use std::io::Read;
    let path = "/dev/urandom";
    let mut mark = vec![0; 24];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut mark)).map_err(
        |source| Error::Host { doing: "read random bytes from", path: path.into(), source },
    )?;
    Ok(mark)
}

fn share_script(share: &Path) -> Vec<u8> {
    let mut target = OsString::from("/root");
    target.push(share);
    let target = quoted(&target);
    [
        b"mkdir -p ".as_slice(),
        &target,
        b" && mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=none hostshare ",
        &target,
        b" || fail \"the shared folder cannot be mounted\"\n",
    ]
    .concat()
}

fn run_script(streams: Streams) -> &'static [u8] {
    match streams {
        Streams::Forward | Streams::Capture => {
            b"setsid env -i chroot . /bin/sh /run/uepoll-vm/command \
              </dev/null >/stdout 2>/stderr 3>&-\n"
        }
        Streams::Terminal => {
            b": >/stdout; : >/stderr\n\
              setsid -c env -i chroot . /bin/sh /run/uepoll-vm/command \
              </dev/ttyS0 >/dev/ttyS0 2>&1 3>&-\n"
        }
    }
}

/// The script that becomes the command: environment, folder, `exec`.
fn command_script(
    options: &VmOptions,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<u8> {
    let mut script = Vec::new();
    let mut export = |name: &OsStr, value: &OsStr| {
        script.extend_from_slice(b"export ");
        script.extend_from_slice(name.as_bytes());
        script.push(b'=');
        script.extend_from_slice(&quoted(value));
        script.push(b'\n');
    };
    for (name, value) in environment {
        if carried(&name) {
            export(&name, &value);
        }
    }
    export(OsStr::new("UEPOLL_SHARE"), options.share.as_os_str());
    if options.streams == Streams::Terminal
        && let Ok(size) = rustix::termios::tcgetwinsize(std::io::stdout())
        && size.ws_row > 0
    {
        let size = format!("stty rows {} cols {}\n", size.ws_row, size.ws_col);
        script.extend_from_slice(size.as_bytes());
    }
    script.extend_from_slice(b"cd ");
    script.extend_from_slice(&quoted(options.folder.as_os_str()));
    script.extend_from_slice(b" || exit 125\nexec");
    let shell = [OsString::from("/bin/bash"), OsString::from("-l")];
    let command = if options.command.is_empty() { &shell[..] } else { &options.command[..] };
    for word in command {
        script.push(b' ');
        script.extend_from_slice(&quoted(word));
    }
    script.push(b'\n');
    script
}

/// Whether a variable of the caller reaches the command.
fn carried(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let plain = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    plain && (matches!(name, b"PATH" | b"HOME" | b"TERM") || name.starts_with(b"UEPOLL_"))
}

/// `word` for a shell: between single quotes, where only the quote itself is
/// special.
fn quoted(word: &OsStr) -> Vec<u8> {
    let mut out = vec![b'\''];
    for &byte in word.as_bytes() {
        match byte {
            b'\'' => out.extend_from_slice(b"'\\''"),
            _ => out.push(byte),
        }
    }
    out.push(b'\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn options(command: &[&str]) -> VmOptions {
        VmOptions {
            kernel: PathBuf::from("/k"),
            cpus: 1,
            memory_mib: 512,
            time_limit: Duration::from_secs(1),
            share: PathBuf::from("/it's"),
            kernel_words: Vec::new(),
            streams: Streams::Capture,
            folder: PathBuf::from("/"),
            command: command.iter().map(OsString::from).collect(),
        }
    }

    #[test]
    fn the_command_reaches_a_shell_word_for_word() {
        let words = ["printf", "%s|", "a b", "", "it's", "$HOME `x` \\", "new\nline", "*"];
        let script = command_script(&options(&words), std::iter::empty());
        let script = OsStr::from_bytes(&script);
        let out = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
        assert_eq!(String::from_utf8(out.stdout).unwrap(), words[2..].join("|") + "|");
    }

    #[test]
    fn only_named_variables_are_carried_over() {
        let variable = |name: &str| (OsString::from(name), OsString::from("v"));
        let caller = ["PATH", "SECRET", "UEPOLL_X", "UEPOLL_$(x)"].map(variable);
        let script = command_script(&options(&["true"]), caller.into_iter());
        let script = String::from_utf8(script).unwrap();
        assert!(script.starts_with("export PATH='v'\nexport UEPOLL_X='v'\nexport UEPOLL_SHARE="));
        assert!(!script.contains("SECRET") && !script.contains("$("), "{script}");
    }
}
