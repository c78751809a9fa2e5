//! `cargo xtask formats`: what uepoll writes for other tools, looked at with
//! these: the page in Chromium, the trace by Perfetto's schema, the log by
//! HdrHistogram's reader. Of a run that has everything in it, and of the
//! recordings in examples/, which the pictures in the docs are of.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::{paths, setup};

/// Options of `cargo xtask formats`.
#[derive(clap::Args)]
pub struct Args {
    /// Put new pictures of an example's page into docs/screenshots
    #[arg(long)]
    pictures: bool,
}

/// What only this command needs: Debian's package, and a file of it.
const PACKAGES: [(&str, &str); 2] =
    [("chromium", "/usr/bin/chromium"), ("python3-venv", "/usr/share/doc/python3-venv")];

/// The other side's own readers, from PyPI.
const READERS: [&str; 3] = ["perfetto==0.59.1", "protobuf==7.36.2", "hdrhistogram==0.10.8"];

/// Recordings whose files are read.
const EXAMPLES: [&str; 3] = ["healthy", "bursty-offload", "stuck"];

/// Pictures that are kept.
const PICTURES: [&str; 2] = ["page-light.png", "page-dark.png"];

/// Writes each format from one run and has it read; keeps pictures if asked.
///
/// # Errors
/// As [`look`], and if a picture cannot be kept.
pub fn run(args: Args) -> anyhow::Result<u8> {
    look()?;
    if args.pictures {
        let kept = paths::project().join("docs/screenshots");
        for picture in PICTURES {
            fs::copy(folder().join(picture), kept.join(picture))
                .with_context(|| format!("cannot keep {picture} in {}", kept.display()))?;
        }
    }
    Ok(0)
}

/// Writes each format from one run and has it read.
///
/// # Errors
/// If something cannot be installed, or a reader is not content.
pub fn look() -> anyhow::Result<()> {
    setup::ensure_packages(&PACKAGES)?;
    let python = readers()?;
    written()?;
    let folder = folder();
    examples(&folder)?;
    let scripts = paths::project().join("xtask/formats");
    let mut looks = vec![
        ("page.py", String::new()),
        ("trace.py", "trace.perfetto".into()),
        ("log.py", "run.hlog".into()),
    ];
    for example in EXAMPLES {
        looks.push(("trace.py", format!("{example}.perfetto")));
        looks.push(("log.py", format!("{example}.hlog")));
    }
    for (script, what) in looks {
        let mut command = Command::new(&python);
        command.arg("-B").arg(scripts.join(script)).arg(folder.join(&what));
        checked(&mut command, &format!("{script} {what}"))?;
    }
    Ok(())
}

/// Has uepoll write each format of each recording in examples/.
fn examples(folder: &Path) -> anyhow::Result<()> {
    super::test::build_release()?;
    for example in EXAMPLES {
        let recording = paths::project().join("examples").join(format!("{example}.uepoll"));
        for format in ["html", "perfetto", "hlog"] {
            let to = folder.join(format!("{example}.{format}"));
            let mut command = Command::new(paths::uepoll());
            command.arg("report").arg(&recording).args(["-f", format, "-o"]).arg(&to);
            checked(&mut command, &format!("uepoll report {example}.uepoll -f {format}"))?;
        }
    }
    Ok(())
}

/// Has the tests of uepoll-core write a file of each format.
fn written() -> anyhow::Result<()> {
    let mut cargo = super::test::cargo();
    cargo.args(["test", "--quiet", "--package", "uepoll-core", "--test", "formats"]);
    checked(&mut cargo, "cargo test --test formats")
}

/// Where cargo lets these tests write, and where pictures come to lie.
fn folder() -> PathBuf {
    paths::target().join("tmp/formats")
}

/// A Python that has the readers, made once for each set of versions.
fn readers() -> anyhow::Result<PathBuf> {
    let environment = paths::cache().join("readers");
    let python = environment.join("bin/python");
    let complete = environment.join("versions");
    let versions = READERS.join("\n");
    if fs::read_to_string(&complete).is_ok_and(|there| there == versions) {
        return Ok(python);
    }
    eprintln!("xtask: installing {} into {}", READERS.join(", "), environment.display());
    let mut venv = Command::new("python3");
    checked(venv.args(["-m", "venv", "--clear"]).arg(&environment), "python3 -m venv")?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(READERS);
    checked(&mut pip, "pip install")?;
    write(&complete, &versions)?;
    Ok(python)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn checked(command: &mut Command, what: &str) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {what}"))?;
    if !status.success() {
        bail!("{what} failed ({status}); its words are above");
    }
    Ok(())
}
