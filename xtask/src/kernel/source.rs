//! The kernel's source: unpacked once for each version, and one tree for each
//! flavour made of hard links to it, in which only patched files are files of
//! their own. Keeps file times, so that make rebuilds what changed and no more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Error, on, patches};

/// Where the package linux-source-6.12 puts it.
pub const ARCHIVE: &str = "/usr/src/linux-source-6.12.tar.xz";
const PACKAGE: &str = "linux-source-6.12";
/// In a tree: the version it is of.
const VERSION_FILE: &str = ".uepoll-version";
/// In a tree: the files that differ from the unpacked source.
const PATCHED_FILE: &str = ".uepoll-patched";

/// The version of the installed source package.
///
/// # Errors
/// If it is not installed.
pub fn version() -> Result<String, Error> {
    let missing = || Error::NotSetUp { what: format!("the kernel's source {ARCHIVE}") };
    let archive = fs::metadata(ARCHIVE).map_err(|_| missing())?;
    let asked = Command::new("dpkg-query").args(["-W", "-f", "${Version}", PACKAGE]).output();
    Ok(match asked {
        Ok(answer) if answer.status.success() && !answer.stdout.is_empty() => {
            String::from_utf8_lossy(&answer.stdout).into_owned()
        }
        // Not from a package: as good as a version is what the archive looks like.
        _ => format!("6.12-archive-{}", archive.len()),
    })
}

/// A source tree that patches are applied to.
pub struct Tree {
    /// Its root.
    pub path: PathBuf,
    /// The version it is of.
    pub version: String,
    pristine: PathBuf,
}

impl Tree {
    /// The tree called `name`, unpacking the source if need be.
    ///
    /// # Errors
    /// If it cannot be unpacked or linked.
    pub fn prepare(home: &Path, name: &str, version: &str) -> Result<Self, Error> {
        let sources = home.join("source");
        let pristine = unpacked(&sources, version)?;
        let path = sources.join(name);
        let current = fs::read_to_string(path.join(VERSION_FILE)).is_ok_and(|v| v == version);
        if !current {
            if path.exists() {
                fs::remove_dir_all(&path).map_err(on("remove", &path))?;
            }
            let mut copy = Command::new("cp");
            run(copy.arg("-al").arg(&pristine).arg(&path))?;
            fs::write(path.join(VERSION_FILE), version).map_err(on("write to", &path))?;
        }
        Ok(Self { path, version: version.to_owned(), pristine })
    }

    /// Makes the tree what the source is with `patches` applied in order,
    /// touching only the files that come out different.
    ///
    /// # Errors
    /// [`Error::Patch`] for the first that does not apply.
    pub fn apply(&self, patches: &[PathBuf]) -> Result<(), Error> {
        let scratch = self.path.with_extension("scratch");
        if scratch.exists() {
            fs::remove_dir_all(&scratch).map_err(on("remove", &scratch))?;
        }
        fs::create_dir_all(&scratch).map_err(on("make", &scratch))?;
        let mut wanted = Vec::new();
        for patch in patches {
            let text = fs::read_to_string(patch).map_err(on("read", patch))?;
            for file in patches::files(&text) {
                let (from, to) = (self.pristine.join(&file), scratch.join(&file));
                if !wanted.contains(&file) {
                    if from.is_file() {
                        copy(&from, &to)?;
                    }
                    wanted.push(file);
                }
            }
            patches::apply(patch, &scratch, &self.version)?;
        }
        // Before the first change: a run that breaks off must not lose track.
        let mut differing = self.patched_files()?;
        differing.extend(wanted.iter().cloned());
        differing.sort();
        differing.dedup();
        self.remember(&differing)?;
        for file in &differing {
            let made = match wanted.contains(file) {
                true => scratch.join(file),
                false => self.pristine.join(file),
            };
            install(&made, &self.path.join(file))?;
        }
        self.remember(&wanted)?;
        fs::remove_dir_all(&scratch).map_err(on("remove", &scratch))
    }

    /// The files that patches changed, relative to the root.
    ///
    /// # Errors
    /// If the tree cannot be read.
    pub fn patched_files(&self) -> Result<Vec<String>, Error> {
        let list = self.path.join(PATCHED_FILE);
        match fs::read_to_string(&list) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(on("read", &list)(error)),
        }
    }

    fn remember(&self, files: &[String]) -> Result<(), Error> {
        let list = self.path.join(PATCHED_FILE);
        fs::write(&list, files.join("\n")).map_err(on("write", &list))
    }
}

/// The unpacked source of `version`; those of other versions are removed.
fn unpacked(sources: &Path, version: &str) -> Result<PathBuf, Error> {
    let pristine = sources.join(format!("linux-{version}"));
    if pristine.is_dir() {
        return Ok(pristine);
    }
    if sources.is_dir() {
        fs::remove_dir_all(sources).map_err(on("remove", sources))?;
    }
    let partial = sources.join("partial");
    fs::create_dir_all(&partial).map_err(on("make", &partial))?;
    eprintln!("xtask: unpacking {ARCHIVE} (half a minute)");
    let mut tar = Command::new("tar");
    run(tar
        .args(["--extract", "--strip-components=1", "--file", ARCHIVE])
        .arg("-C")
        .arg(&partial))?;
    fs::rename(&partial, &pristine).map_err(on("name", &pristine))?;
    Ok(pristine)
}

/// Puts `made` in the place of `file`, unless it is the same already.
fn install(made: &Path, file: &Path) -> Result<(), Error> {
    if !made.exists() {
        return match fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(on("remove", file)(error))
            }
            _ => Ok(()),
        };
    }
    let content = fs::read(made).map_err(on("read", made))?;
    if fs::read(file).is_ok_and(|present| present == content) {
        return Ok(());
    }
    // Not written in place: the file may be a link to the unpacked source. And
    // not linked back to it either: its old date would hide the change from make.
    if file.exists() {
        fs::remove_file(file).map_err(on("replace", file))?;
    }
    copy(made, file)
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(on("make", folder))?;
    }
    fs::copy(from, to).map(drop).map_err(on("copy", from))
}

fn run(command: &mut Command) -> Result<(), Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let out =
        command.output().map_err(|_| Error::NotSetUp { what: format!("the program {program}") })?;
    match out.status.success() {
        true => Ok(()),
        false => Err(Error::Program {
            program,
            why: out.status.to_string(),
            output: String::from_utf8_lossy(&out.stderr).trim().to_owned(),
        }),
    }
}
