//! `cargo xtask examples`: the recordings in examples/, made anew in the virtual
//! machine.

use anyhow::{Context, ensure};

use super::test::{build_programs, build_release};
use crate::vm_tests::Bench;
use crate::{kernel, paths, setup};

/// What is recorded, and of what.
const RECORDINGS: [(&str, &str); 3] = [
    ("healthy", "uepoll stress --producers 4 --items 16 --rate 700 --events 3600"),
    // Files touched in bursts: the source's wake-ups go through the worker, and
    // what is stopped and goes on catches up.
    (
        "bursty-offload",
        "bash -c 'uepoll stress --source inotify --producers 4 --items 8 --rate 700 \
         --events 2500 & p=$!; while sleep 0.5; kill -STOP $p; do sleep 0.8; kill -CONT $p; done \
         2>/dev/null; wait $p'",
    ),
    // Two seconds of work, then the consumer sleeps elsewhere while events come.
    ("stuck", "sh -c 'sleep 7 | ring_load 0 400 800 >/dev/null'"),
];

/// Larger ones are no examples to keep beside the source.
const MOST_BYTES: u64 = 300 << 10;

/// Records each and puts it into examples/.
///
/// # Errors
/// If a run fails, or is too large.
pub fn run() -> anyhow::Result<u8> {
    setup::ensure()?;
    let bench = Bench::new(kernel::image("v2")?)?;
    build_release()?;
    build_programs()?;
    let folder = paths::project().join("examples");
    std::fs::create_dir_all(&folder).context("cannot make examples/")?;
    for (name, load) in RECORDINGS {
        // The folder that guest and host share is no place for a database.
        let script = format!(
            "hostname example; cd /tmp; export PATH={own}:{programs}:$PATH\n\
             uepoll profile -o {name}.uepoll --label example={name} -- {load} >report 2>said || \
             {{ cat said; exit 1; }}\n\
             uepoll report {name}.uepoll | cmp - report; cp {name}.uepoll $UEPOLL_SHARE; cat report",
            own = parent(bench.uepoll())?,
            programs = parent(&bench.program("ring_load"))?,
        );
        let told = bench.run(&["bash", "-euc", &script])?.success()?;
        let (from, to) =
            (bench.share().join(format!("{name}.uepoll")), folder.join(format!("{name}.uepoll")));
        let bytes = std::fs::copy(&from, &to)
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
        ensure!(bytes <= MOST_BYTES, "{name} has {bytes} bytes: record less\n{told}");
        println!("{name}: {bytes} bytes\n{told}");
    }
    Ok(0)
}

fn parent(path: &std::path::Path) -> anyhow::Result<String> {
    let parent = path.parent().with_context(|| format!("{} is in no folder", path.display()))?;
    Ok(parent.display().to_string())
}
