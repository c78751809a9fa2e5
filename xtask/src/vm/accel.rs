//! Hardware virtualisation or emulation. A /dev/kvm that opens proves nothing:
//! on some hosts an ordinary guest stalls under it and QEMU never returns. So:
//! the processor's flags, and then a short boot with a time limit.

use std::path::PathBuf;
use std::time::Duration;

use super::{Ending, Streams, VmOptions};
use crate::paths;

/// A guest under working hardware virtualisation boots in one second.
const TRIAL_LIMIT: Duration = Duration::from_secs(20);

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// The processor itself.
    Kvm,
    /// QEMU's emulator, one thread for each processor.
    Tcg,
}

impl Accel {
    /// The words of QEMU's command line.
    pub fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max"],
        }
    }
}

/// Hardware virtualisation if it is proven to work here, else emulation.
pub fn choose(options: &VmOptions) -> Accel {
    let Ok(cpus) = std::fs::read_to_string("/proc/cpuinfo") else { return Accel::Tcg };
    if !has_virtualisation(&cpus) || std::fs::File::open("/dev/kvm").is_err() {
        return Accel::Tcg;
    }
    let remembered = remembered_at();
    match std::fs::read_to_string(&remembered).as_deref() {
        Ok("kvm") => return Accel::Kvm,
        Ok("tcg") => return Accel::Tcg,
        _ => {}
    }
    let (accel, word) = if boots(options) { (Accel::Kvm, "kvm") } else { (Accel::Tcg, "tcg") };
    // Not remembered means tried again next time: slower, not wrong.
    let folder = remembered.parent().map(std::fs::create_dir_all);
    if !matches!(folder, Some(Ok(()))) || std::fs::write(&remembered, word).is_err() {
        eprintln!("xtask: cannot remember in {} that {word} works", remembered.display());
    }
    accel
}

/// One answer for each host kernel: a new one may bring or break it.
fn remembered_at() -> PathBuf {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    paths::cache().join("vm").join(format!("accel-{release}"))
}

fn has_virtualisation(cpuinfo: &str) -> bool {
    cpuinfo
        .lines()
        .filter(|line| line.starts_with("flags"))
        .flat_map(str::split_whitespace)
        .any(|flag| flag == "vmx" || flag == "svm")
}

fn boots(options: &VmOptions) -> bool {
    let trial = VmOptions {
        time_limit: TRIAL_LIMIT,
        streams: Streams::Capture,
        command: vec!["true".into()],
        ..options.clone()
    };
    super::run_with(&trial, Accel::Kvm, TRIAL_LIMIT)
        .is_ok_and(|outcome| outcome.ending == Ending::Exited(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_processors_flags_count() {
        assert!(has_virtualisation("model name : x\nflags\t\t: fpu vmx sse\n"));
        assert!(has_virtualisation("flags : svm\n"));
        assert!(!has_virtualisation("model name : vmx\nflags : fpu sse hypervisor\n"));
    }
}
