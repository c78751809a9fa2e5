//! Listening to consumers' own probes: which executables carry one, and since
//! when each is listened to.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::live::now_ns;
use crate::probe::usdt::spin_probes_of;
use crate::probe::{ProbeError, Probes};

/// A file, whatever its name: device and inode.
type File = (u64, u64);

/// Executables that were looked into.
#[derive(Default)]
pub struct Spins {
    /// Whether to look at all.
    wanted: bool,
    /// Since when each that carries the probe is listened to; `None` for one
    /// that carries none.
    files: BTreeMap<File, Option<u64>>,
    /// The executables of processes.
    processes: BTreeMap<u32, File>,
}

impl Spins {
    /// Nobody is listened to yet. A probe that is listened to takes a trap for
    /// each episode: `wanted` where one process is looked at.
    pub fn new(wanted: bool) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Listens to a file, once.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn listen(&mut self, probes: &mut Probes, file: &Path) -> Result<(), ProbeError> {
        if !self.wanted {
            return Ok(());
        }
        // What cannot be read has gone, or is none of ours.
        let Ok(known) = fs::metadata(file).map(|file| (file.dev(), file.ino())) else {
            return Ok(());
        };
        if self.files.contains_key(&known) {
            return Ok(());
        }
        let offsets = fs::File::open(file).map(spin_probes_of).unwrap_or_default();
        if offsets.is_empty() {
            self.files.insert(known, None);
            return Ok(());
        }
        let listened = probes.listen_to_spins(file, &offsets);
        // After a refusal it is not tried again: a place that was taken already
        // would be taken twice, and each of its episodes told twice.
        self.files.insert(known, listened.is_ok().then(now_ns));
        listened
    }

    /// Listens to the executable of a process.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn listen_to_process(&mut self, probes: &mut Probes, tgid: u32) -> Result<(), ProbeError> {
        if !self.wanted {
            return Ok(());
        }
        let file = format!("/proc/{tgid}/exe");
        self.listen(probes, Path::new(&file))?;
        if let Ok(known) = fs::metadata(&file) {
            self.processes.insert(tgid, (known.dev(), known.ino()));
        }
        Ok(())
    }

    /// Since when the executable of a process is listened to; `None` if it is
    /// not, or carries no probe.
    pub fn since(&self, tgid: u32) -> Option<u64> {
        *self.files.get(self.processes.get(&tgid)?)?
    }
}
