//! The QEMU process: its command line, the sockets to the guest's ports, and
//! its end. It is given everything by inherited descriptors, so that a run
//! leaves no file behind however it ends.

use std::ffi::OsString;
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::accel::Accel;
use super::guest::Guest;
use super::{Error, VmOptions};

const QEMU: &str = "qemu-system-x86_64";

/// A running machine.
pub struct Machine {
    child: Child,
    stdout: Option<UnixStream>,
    stderr: Option<UnixStream>,
    status: Option<UnixStream>,
    console: UnixStream,
}

impl Machine {
    /// Starts QEMU. It is killed when the calling thread ends, in whatever way:
    /// call from a thread that waits for the machine's end.
    ///
    /// # Errors
    /// If QEMU or the kernel is missing, or the host refuses a descriptor.
    pub fn start(options: &VmOptions, accel: Accel, guest: &Guest) -> Result<Self, Error> {
        if !options.kernel.is_file() {
            return Err(Error::Missing {
                what: "the kernel image",
                path: options.kernel.clone(),
                remedy: "cargo xtask kernel",
            });
        }
        let (stdout, guest_stdout) = pair()?;
        let (stderr, guest_stderr) = pair()?;
        let (status, guest_status) = pair()?;
        let (console, guest_console) = pair()?;
        let initramfs = in_memory(guest.initramfs())?;
        let inherited: [OwnedFd; 5] = [
            guest_stdout.into(),
            guest_stderr.into(),
            guest_status.into(),
            guest_console.into(),
            initramfs,
        ];
        let [out, err, stat, cons, initrd] = inherited.each_ref().map(AsRawFd::as_raw_fd);

        let mut command = Command::new(QEMU);
        command.args(["-machine", "q35"]).args(accel.arguments());
        command.args(["-smp", &options.cpus.to_string()]);
        command.args(["-m", &format!("{}M", options.memory_mib)]);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        command.arg("-kernel").arg(&options.kernel);
        command.args(["-initrd", &format!("/proc/self/fd/{initrd}")]);
        command.args(["-append", &kernel_words(&options.kernel_words)]);
        command.args(["-chardev", &format!("socket,id=console,fd={cons}")]);
        command.args(["-serial", "chardev:console", "-device", "virtio-serial-pci"]);
        for (name, fd) in [("stdout", out), ("stderr", err), ("status", stat)] {
            command.args(["-chardev", &format!("socket,id={name},fd={fd}")]);
            command.args(["-device", &format!("virtserialport,chardev={name},name={name}")]);
        }
        command.arg("-virtfs").arg(shared("hostroot", Path::new("/"), ",readonly=on"));
        command.arg("-virtfs").arg(shared("hostshare", &options.share, ""));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        // Ctrl-C is for us: QEMU would take it too and die before we can tell.
        command.process_group(0);
        let numbers = inherited.each_ref().map(AsRawFd::as_raw_fd);
        let parent = rustix::process::getpid();
        // SAFETY: between fork and exec only async-signal-safe system calls are
        // made (fcntl, prctl, getppid), on descriptors that `inherited` keeps
        // open in the parent until after spawn; nothing is allocated.
        unsafe {
            command.pre_exec(move || {
                for number in numbers {
                    let fd = BorrowedFd::borrow_raw(number);
                    rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?;
                }
                let kill = Some(rustix::process::Signal::KILL);
                rustix::process::set_parent_process_death_signal(kill)?;
                // The parent may have died before the line above took effect.
                match rustix::process::getppid() == Some(parent) {
                    true => Ok(()),
                    false => Err(rustix::io::Errno::SRCH.into()),
                }
            });
        }
        let child = command.spawn().map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::Missing {
                what: "the program",
                path: PathBuf::from(QEMU),
                remedy: "cargo xtask setup",
            },
            _ => Error::Host { doing: "start", path: QEMU.into(), source },
        })?;
        Ok(Self {
            child,
            stdout: Some(stdout),
            stderr: Some(stderr),
            status: Some(status),
            console,
        })
    }

    /// The command's stdout. Once only.
    pub fn take_stdout(&mut self) -> UnixStream {
        self.stdout.take().expect("taken once, by vm::run")
    }

    /// The command's stderr. Once only.
    pub fn take_stderr(&mut self) -> UnixStream {
        self.stderr.take().expect("taken once, by vm::run")
    }

    /// The port on which the guest tells the start and the end of the command.
    /// Once only.
    pub fn take_status(&mut self) -> UnixStream {
        self.status.take().expect("taken once, by vm::run")
    }

    /// The serial console: one end to write to it, one to read from it.
    pub fn take_console(&self) -> (UnixStream, UnixStream) {
        let clone = || self.console.try_clone().expect("one descriptor more is within the limit");
        (clone(), clone())
    }

    /// Ends QEMU and takes its exit status from the system.
    pub fn kill(&mut self) {
        // An error means that it is gone already, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.console.shutdown(Shutdown::Write);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The kernel's command line.
fn kernel_words(more: &[String]) -> String {
    // loglevel=5 shows warnings, which is what lockdep and WARN speak in.
    let mut words = vec!["console=ttyS0", "panic=-1", "loglevel=5", "rdinit=/init"];
    words.extend(more.iter().map(String::as_str));
    words.join(" ")
}

fn shared(tag: &str, path: &Path, more: &str) -> OsString {
    let mut argument = OsString::from("local,path=");
    for (at, part) in path.as_os_str().as_bytes().split(|byte| *byte == b',').enumerate() {
        // QEMU reads a doubled comma as one that belongs to the value.
        argument.push(if at > 0 { ",," } else { "" });
        argument.push(std::ffi::OsStr::from_bytes(part));
    }
    argument.push(format!(",mount_tag={tag},security_model=none,multidevs=remap{more}"));
    argument
}

fn pair() -> Result<(UnixStream, UnixStream), Error> {
    UnixStream::pair().map_err(|source| Error::Host {
        doing: "make",
        path: "a pair of sockets".into(),
        source,
    })
}

/// `bytes` as a file that has no name.
fn in_memory(bytes: &[u8]) -> Result<OwnedFd, Error> {
    let error = |source| Error::Host { doing: "make", path: "the initramfs".into(), source };
    let fd = rustix::fs::memfd_create("uepoll-initramfs", rustix::fs::MemfdFlags::CLOEXEC)
        .map_err(|errno| error(errno.into()))?;
    let mut file = std::fs::File::from(fd);
    file.write_all(bytes).map_err(error)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_a_path_stays_in_the_path() {
        let argument = shared("share", Path::new("/a,b"), "");
        assert!(argument.to_string_lossy().starts_with("local,path=/a,,b,mount_tag=share,"));
    }
}
