//! A command that is forked first and executed later, so that everything can
//! be attached to it before its first instruction. Nothing is attached here.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::io::{self, PipeWriter, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::ptr;
use std::thread::JoinHandle;

use rustix::fs::{Gid, Uid};

/// Why a command could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// Before it existed.
    #[error("cannot prepare `{command}`")]
    Prepare {
        /// The command.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// When it should have been executed.
    #[error("cannot start `{command}` (is it spelt right, in PATH and executable?)")]
    Start {
        /// The command.
        command: String,
        /// What the system said.
        source: io::Error,
    },
}

/// The file that a command's first word names, as execvp(3) looks for it; `None`
/// if none is found there.
pub fn executable_of(word: &OsStr) -> Option<PathBuf> {
    let path = Path::new(word);
    if path.components().count() > 1 {
        return Some(path.to_owned());
    }
    let places = std::env::var_os("PATH")?;
    std::env::split_paths(&places).map(|place| place.join(path)).find(|file| file.is_file())
}

/// A forked process that waits to be told to execute its command. Dropped, it
/// exits without having executed anything.
pub struct Held {
    pid: u32,
    name: String,
    gate: PipeWriter,
    spawn: JoinHandle<io::Result<Child>>,
}

impl Held {
    /// Forks `words[0]` with the other words as its arguments. Its stdout is our
    /// stderr, so that our own stays whole. Under sudo it is the calling user's.
    pub fn fork(words: &[OsString]) -> Result<Self, ChildError> {
        Self::fork_as(words, Caller::under_sudo())
    }

    /// The same as a certain user.
    fn fork_as(words: &[OsString], caller: Option<Caller>) -> Result<Self, ChildError> {
        let Some((program, arguments)) = words.split_first() else {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "it is empty");
            return Err(ChildError::Prepare { command: String::new(), source });
        };
        let name = program.to_string_lossy().into_owned();
        let prepare = |source| ChildError::Prepare { command: name.clone(), source };
        let (gate_reader, gate) = io::pipe().map_err(prepare)?;
        let (mut pid_reader, pid_writer) = io::pipe().map_err(prepare)?;
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::from(io::stderr()));
        if let Some(caller) = &caller {
            // What sudo set for root: a program would look for its files there.
            command.envs(caller.variables());
        }
        let gate_fd = gate.as_raw_fd();
        let hold = move || {
            // Written whole: four bytes are far below PIPE_BUF.
            rustix::io::write(&pid_writer, &std::process::id().to_ne_bytes())?;
            wait_at(gate_reader.as_fd(), gate_fd)?;
            match &caller {
                Some(caller) => caller.become_them(),
                None => Ok(()),
            }
        };
        // SAFETY: between fork and exec `hold` makes system calls only; it takes
        // no lock and allocates nothing (io::Error of an errno or of a static
        // message is made without the allocator).
        unsafe { command.pre_exec(hold) };
        // In a thread, because spawn() returns when the command is executed.
        // The command, and with it our end of the pid pipe, lives in it.
        let spawn = std::thread::spawn(move || command.spawn());
        let mut pid = [0; 4];
        if let Err(source) = pid_reader.read_exact(&mut pid) {
            // No process: spawn() knows better why, the pipe only ended.
            let source = match spawn.join() {
                Ok(Err(why)) => why,
                _ => source,
            };
            return Err(ChildError::Prepare { command: name, source });
        }
        Ok(Self { pid: u32::from_ne_bytes(pid), name, gate, spawn })
    }

    /// Its process number, which the command will have too.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets it execute the command.
    pub fn release(mut self) -> Result<Child, ChildError> {
        let start = |source| ChildError::Start { command: self.name.clone(), source };
        // Fails only if it is gone already; then spawn() says why.
        let _ = self.gate.write_all(&[GO]);
        match self.spawn.join() {
            Ok(result) => result.map_err(start),
            Err(_) => Err(start(io::Error::other("the thread that starts it panicked"))),
        }
    }
}

/// Longer entries of the user database than this are none.
const LONGEST_ENTRY: usize = 1 << 20;

/// The byte that opens the gate.
const GO: u8 = 1;

/// Exit code of the forked process if the gate never opened: nobody waits for it.
const NEVER_RELEASED: libc::c_int = 125;

/// Waits, in the forked process, until the gate opens. Should it be closed
/// instead, nothing is to be executed, and the process ends without a word: were
/// an error returned, the standard library would tell it to a parent that may
/// have been killed, and abort with a message of its own.
///
/// # Errors
/// If the gate cannot be read.
fn wait_at(gate: BorrowedFd<'_>, other_end: RawFd) -> io::Result<()> {
    // SAFETY: the number is this process's copy of the gate's writing end; its
    // owner is in the parent's memory, never dropped here. Were it left open,
    // the end of the parent could not be seen.
    unsafe { rustix::io::close(other_end) };
    let mut byte = [0];
    loop {
        match rustix::io::read(gate, &mut byte) {
            Ok(1) => return Ok(()),
            // SAFETY: ends this process at once; nothing of the parent's that was
            // copied by fork is flushed, unlocked or dropped.
            Ok(_) => unsafe { libc::_exit(NEVER_RELEASED) },
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The user who called sudo.
struct Caller {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    /// As sudo tells it.
    name: Option<String>,
}

impl Caller {
    /// From what sudo leaves in the environment; `None` if we are not root, or
    /// were not called through it.
    fn under_sudo() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        Self::named_by(|name| std::env::var(name).ok())
    }

    /// From the variables of sudo; `None` if one is not there or no number.
    fn named_by(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let number = |name| variable(name)?.parse::<u32>().ok();
        let (uid, gid) = (number("SUDO_UID")?, number("SUDO_GID")?);
        let name = variable("SUDO_USER");
        let groups = name.as_deref().and_then(|user| groups_of(user, gid));
        let groups = groups.unwrap_or_else(|| vec![gid]);
        Some(Self {
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(gid),
            groups: groups.into_iter().map(Gid::from_raw).collect(),
            name,
        })
    }

    /// The variables that name a user, as far as they are known.
    fn variables(&self) -> Vec<(&'static str, OsString)> {
        let name = self.name.as_deref().map(OsString::from);
        let home = home_of(self.uid.as_raw());
        [("USER", name.clone()), ("LOGNAME", name), ("HOME", home)]
            .into_iter()
            .filter_map(|(variable, value)| Some((variable, value?)))
            .collect()
    }

    /// Makes this process theirs. For a process with one thread, as after fork.
    fn become_them(&self) -> io::Result<()> {
        rustix::thread::set_thread_groups(&self.groups)?;
        rustix::thread::set_thread_res_gid(self.gid, self.gid, self.gid)?;
        rustix::thread::set_thread_res_uid(self.uid, self.uid, self.uid)?;
        Ok(())
    }
}

/// Home of a user, `None` if the system does not know them.
fn home_of(uid: u32) -> Option<OsString> {
    let mut strings = vec![0; 1024];
    while strings.len() <= LONGEST_ENTRY {
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut found = ptr::null_mut();
        // SAFETY: `entry` and `found` are ours and writable, and `strings` has
        // the length that is told; the call writes nowhere else.
        let error = unsafe {
            libc::getpwuid_r(
                uid,
                entry.as_mut_ptr(),
                strings.as_mut_ptr(),
                strings.len(),
                &mut found,
            )
        };
        if error == libc::ERANGE {
            strings.resize(strings.len() * 4, 0);
            continue;
        }
        if error != 0 || found.is_null() {
            return None;
        }
        // SAFETY: the call gave an entry, whose strings end with NUL and lie in
        // `strings`, which is alive until the copy is made.
        let home = unsafe { CStr::from_ptr((*found).pw_dir) };
        return Some(OsStr::from_bytes(home.to_bytes()).to_owned());
    }
    None
}

/// Every group of a user, `None` if the system does not know them.
fn groups_of(user: &str, gid: u32) -> Option<Vec<u32>> {
    let user = CString::new(user).ok()?;
    let mut groups = vec![0; 64];
    loop {
        let room = libc::c_int::try_from(groups.len()).ok()?;
        let mut count = room;
        // SAFETY: `user` ends with NUL, and `groups` has room for `count` groups;
        // the call writes no more than that and tells how many there are.
        let found =
            unsafe { libc::getgrouplist(user.as_ptr(), gid, groups.as_mut_ptr(), &mut count) };
        let needed = usize::try_from(count).ok()?;
        if found >= 0 {
            groups.truncate(needed);
            return Some(groups);
        }
        if needed <= groups.len() {
            return None;
        }
        groups.resize(needed, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn the_command_runs_under_the_number_told_before() {
        let held = Held::fork(&words(&["true"])).expect("fork");
        let pid = held.pid();
        let mut child = held.release().expect("true exists");
        assert_eq!(child.id(), pid);
        child.wait().expect("it ends");
    }

    #[test]
    fn under_sudo_the_command_is_the_calling_users() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let variables = [("SUDO_UID", "4321"), ("SUDO_GID", "8765"), ("SUDO_USER", "nobody-here")];
        let caller = Caller::named_by(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        });
        let words = words(&[
            "sh",
            "-c",
            "test \"$(id -u) $(id -ru) $(id -g) $(id -rg) $(id -G)\" = \"4321 4321 8765 8765 8765\"",
        ]);
        let held = Held::fork_as(&words, Some(caller.expect("all three are there"))).expect("fork");
        let status = held.release().expect("sh exists").wait().expect("it ends");
        assert!(status.success(), "{status}: the command ran as somebody else");
    }

    #[test]
    fn under_sudo_the_command_finds_the_calling_users_home() {
        let Some(home) = home_of(0) else { return };
        let caller = Caller::named_by(|name| {
            Some(if name == "SUDO_USER" { "root" } else { "0" }.to_owned())
        });
        let variables = caller.expect("all three are there").variables();
        let root = OsString::from("root");
        assert_eq!(variables, [("USER", root.clone()), ("LOGNAME", root), ("HOME", home)]);
        // The last number is nobody's: (uid_t)-1 is no user.
        assert_eq!(home_of(u32::MAX), None);
    }

    #[test]
    fn who_did_not_come_through_sudo_stays_who_they_are() {
        let uid_alone = |name: &str| (name == "SUDO_UID").then(|| "1000".to_owned());
        assert!(Caller::named_by(|_| None).is_none());
        assert!(Caller::named_by(uid_alone).is_none());
        assert!(Caller::named_by(|_| Some("-1".into())).is_none());
    }

    #[test]
    fn a_command_that_is_not_released_never_runs() {
        let folder = tempfile::tempdir().expect("a folder");
        let witness = folder.path().join("ran");
        let held = Held::fork(&[OsString::from("touch"), witness.clone().into()]).expect("fork");
        let Held { gate, spawn, .. } = held;
        drop(gate);
        let mut child = spawn.join().expect("no panic").expect("nobody is told of a failure");
        assert_eq!(child.wait().expect("it ends").code(), Some(NEVER_RELEASED));
        assert!(!witness.exists());
    }

    #[test]
    fn a_command_that_does_not_exist_is_named() {
        let held = Held::fork(&words(&["/nonexistent/uepoll-test"])).expect("fork");
        let error = held.release().expect_err("it does not exist").to_string();
        assert!(error.contains("`/nonexistent/uepoll-test`"), "{error}");
    }

    #[test]
    fn groups_of_an_unknown_user_are_still_the_callers_own() {
        let groups = groups_of("no-such-user-here", 1234);
        assert!(groups.is_none_or(|groups| groups == [1234]));
    }
}
