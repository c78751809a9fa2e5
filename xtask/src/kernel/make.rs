//! Running the kernel's make: with progress that suits a terminal and a log,
//! and with an ear for warnings.

use std::fs;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::source::Tree;
use super::{Error, on};
use crate::span;

/// What a make printed.
pub struct Output {
    text: String,
}

impl Output {
    /// The lines that warn.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter(|line| line.contains("warning:"))
    }
}

/// Makes `.config` of the options in `fragment` and nothing else.
///
/// # Errors
/// If make fails.
pub fn configure(tree: &Tree, objects: &Path, fragment: &Path) -> Result<(), Error> {
    let mut command = make(tree, objects);
    let mut assignment = std::ffi::OsString::from("KCONFIG_ALLCONFIG=");
    assignment.push(fragment);
    let out =
        command.arg(assignment).args(["-s", "allnoconfig"]).output().map_err(|_| missing())?;
    match out.status.success() {
        true => Ok(()),
        false => Err(failed("make allnoconfig", out.status, &String::from_utf8_lossy(&out.stderr))),
    }
}

/// Builds `targets`, telling how far it is as `name`.
///
/// # Errors
/// If make fails, with the lines that say why; all of it is in `build.log`.
pub fn build(tree: &Tree, objects: &Path, targets: &[&str], name: &str) -> Result<Output, Error> {
    let log_path = objects.join("build.log");
    let mut log = fs::File::create(&log_path).map_err(on("write", &log_path))?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut command = make(tree, objects);
    command.arg(format!("-j{processors}")).args(targets).stdin(Stdio::null());
    // Both streams into one pipe, in the order in which they were written.
    let (reader, writer) = std::io::pipe().map_err(on("make a pipe for", &log_path))?;
    let second = writer.try_clone().map_err(on("make a pipe for", &log_path))?;
    command.stdout(writer).stderr(second);
    let mut child = command.spawn().map_err(|_| missing())?;
    // It holds the writing ends, and the pipe ends with the last of them.
    drop(command);
    let mut progress = Progress::new(name);
    let mut text = String::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.map_err(on("read what make says into", &log_path))?;
        let line = String::from_utf8_lossy(&line);
        writeln!(log, "{line}").map_err(on("write", &log_path))?;
        progress.step(&line);
        text.push_str(&line);
        text.push('\n');
    }
    let status = child.wait().map_err(on("wait for make in", objects))?;
    progress.end(status.success());
    if status.success() {
        return Ok(Output { text });
    }
    let told = [" error: ", "Error ", "undefined reference", "***", "FAILED", "No space"];
    let why: Vec<_> = text.lines().filter(|line| told.iter().any(|t| line.contains(t))).collect();
    let why = format!("{}\nall of it is in {}", why.join("\n"), log_path.display());
    Err(failed(&format!("make {}", targets.join(" ")), status, &why))
}

/// Fails if make warned about one of `files`, which are ours.
///
/// # Errors
/// [`Error::Warnings`] with them.
pub fn refuse_warnings(output: &Output, files: &[String], patch: &str) -> Result<(), Error> {
    let ours = |line: &&str| files.iter().any(|file| line.contains(file.as_str()));
    let warnings: Vec<_> = output.warnings().filter(ours).collect();
    match warnings.is_empty() {
        true => Ok(()),
        false => Err(Error::Warnings { patch: patch.to_owned(), warnings: warnings.join("\n") }),
    }
}

fn make(tree: &Tree, objects: &Path) -> Command {
    let mut output = std::ffi::OsString::from("O=");
    output.push(objects);
    let mut command = Command::new("make");
    command.arg("-C").arg(&tree.path).arg(output);
    // Set but empty: no suffix that depends on the tree being in a repository.
    command.arg("LOCALVERSION=");
    command
        .env("LC_ALL", "C")
        .env("KBUILD_BUILD_USER", "uepoll")
        .env("KBUILD_BUILD_HOST", "uepoll");
    // A make or cargo above us must not hand its job server down.
    command.env_remove("MAKEFLAGS").env_remove("CARGO_MAKEFLAGS");
    command
}

fn missing() -> Error {
    Error::NotSetUp { what: "the program make".to_owned() }
}

fn failed(program: &str, status: std::process::ExitStatus, output: &str) -> Error {
    Error::Program {
        program: program.to_owned(),
        why: status.to_string(),
        output: output.trim().to_owned(),
    }
}

/// One line that is rewritten on a terminal; a line each minute elsewhere.
struct Progress<'a> {
    name: &'a str,
    started: Instant,
    last: Instant,
    steps: u32,
    terminal: bool,
}

impl<'a> Progress<'a> {
    fn new(name: &'a str) -> Self {
        let now = Instant::now();
        let terminal = std::io::stderr().is_terminal();
        Self { name, started: now, last: now, steps: 0, terminal }
    }

    fn step(&mut self, line: &str) {
        // Kbuild prints each command as two blanks, a word, and a file.
        if !line.starts_with("  ") {
            return;
        }
        self.steps += 1;
        let pause = Duration::from_millis(if self.terminal { 200 } else { 60_000 });
        if self.last.elapsed() < pause {
            return;
        }
        self.last = Instant::now();
        let told =
            format!("{}: {} steps, {}", self.name, self.steps, span::show(self.started.elapsed()));
        match self.terminal {
            true => eprint!("\r\x1b[K{:.79}", format!("{told} {line}")),
            false => eprintln!("{told}"),
        }
    }

    fn end(&self, well: bool) {
        let how = if well { "built" } else { "not built" };
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        let (name, took) = (self.name, span::show(self.started.elapsed()));
        eprintln!("{clear}{name}: {how} in {took} ({} steps)", self.steps);
    }
}
