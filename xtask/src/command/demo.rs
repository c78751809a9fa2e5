//! `cargo xtask demo`: from a bare machine to the figures of a real ring.

use std::time::Duration;

use anyhow::Context;

use super::test::build_release;
use crate::vm::{self, Ending, Streams, VmOptions};
use crate::{kernel, paths, setup, span};

/// The load that is looked at: paced, so that most writes are published rather
/// than merged (unpaced producers fill the same eight items again and again).
const LOAD: [&str; 9] =
    ["stress", "--producers", "8", "--items", "8", "--events", "100000", "--rate", "10000"];

/// Sets up, builds, runs, and keeps the report.
///
/// # Errors
/// If one of these fails.
pub fn run() -> anyhow::Result<u8> {
    setup::ensure()?;
    let kernel = kernel::image("v2")?;
    build_release()?;
    let uepoll = paths::uepoll();
    let mut command = vec![uepoll.clone().into(), "profile".into(), "--".into(), uepoll.into()];
    command.extend(LOAD.map(Into::into));
    let options = VmOptions {
        kernel,
        cpus: 2,
        memory_mib: 1024,
        time_limit: Duration::from_secs(300),
        share: paths::cache().join("share"),
        kernel_words: Vec::new(),
        streams: Streams::Capture,
        folder: paths::project().to_owned(),
        command,
    };
    eprintln!("xtask: in the virtual machine: uepoll profile -- uepoll {}", LOAD.join(" "));
    let outcome = vm::run(&options)?;
    eprint!("{}", String::from_utf8_lossy(&outcome.stderr));
    if let Some(complaint) = outcome.complaint(&options) {
        eprint!("{}", outcome.console);
        anyhow::bail!("{complaint}");
    }
    let report = String::from_utf8_lossy(&outcome.stdout);
    print!("{report}");
    if outcome.ending == Ending::Exited(0) {
        let folder = paths::target().join("demo");
        let kept = folder.join("report.txt");
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(&kept, &outcome.stdout))
            .with_context(|| format!("cannot keep the report in {}", kept.display()))?;
        let boot = outcome.boot.map_or_else(String::new, span::show);
        eprintln!("xtask: the machine was up after {boot}; report kept in {}", kept.display());
    }
    Ok(outcome.ending.exit_code())
}
