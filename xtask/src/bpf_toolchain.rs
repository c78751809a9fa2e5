//! Which compiler and which linker build the eBPF object: decided here only,
//! for xtask and for the build script of uepoll-cli, which includes this file
//! and therefore may use nothing but the standard library.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target of the eBPF object.
pub const TARGET: &str = "bpfel-unknown-none";
/// The bpf-linker that is known to work with the compilers below: later ones
/// want an LLVM of their own.
pub const LINKER_VERSION: &str = "0.10.3";
/// Names the compiler to use, whatever else is there.
pub const COMPILER_VARIABLE: &str = "UEPOLL_BPF_RUSTC";

/// The end of every message about something missing.
const REMEDY: &str = "`cargo xtask setup` installs what is missing";

/// A compiler that can build for [`TARGET`].
#[derive(Clone, Debug)]
pub struct Compiler {
    /// The rustc to run.
    pub rustc: PathBuf,
    /// Why this one.
    pub reason: String,
    /// The LLVM that this compiler uses, which the linker has to use too.
    llvm: PathBuf,
    /// It has no compiled core for the target, but the sources of core.
    build_std: bool,
}

/// What builds the eBPF object.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// The compiler.
    pub compiler: Compiler,
    /// The linker.
    pub linker: PathBuf,
}

impl Toolchain {
    /// Finds compiler and linker.
    ///
    /// # Errors
    /// One sentence that names what is missing and the remedy.
    pub fn find() -> Result<Self, String> {
        Ok(Self { compiler: Compiler::choose()?, linker: linker()? })
    }

    /// The choice and its reason, in one line.
    pub fn describe(&self) -> String {
        let Compiler { rustc, reason, .. } = &self.compiler;
        format!("eBPF compiler {}: {reason}; linker {}", rustc.display(), self.linker.display())
    }

    /// Cargo, told to run `verb` on the package in `package` for the BPF target,
    /// always in release: the kernel's verifier refuses debug builds.
    ///
    /// # Errors
    /// If `target_dir` cannot be written to.
    pub fn cargo(&self, verb: &str, package: &Path, target_dir: &Path) -> Result<Command, String> {
        let llvm = lone_llvm(&self.compiler.llvm, target_dir)?;
        let rustc = &self.compiler.rustc;
        let cargo = match rustc.with_file_name("cargo") {
            // -Zbuild-std is for the cargo of the same release.
            beside if self.compiler.build_std && beside.is_file() => beside.into_os_string(),
            _ => std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
        };
        let mut command = Command::new(cargo);
        for (name, _) in std::env::vars_os() {
            if leaks(&name) {
                command.env_remove(name);
            }
        }
        let mut flags = OsString::from("-Clinker=");
        flags.push(&self.linker);
        flags.push("\u{1f}-Clink-arg=--btf\u{1f}-Cdebuginfo=2");
        // Compare-and-swap and 32-bit atomics came with version 3 of the
        // instruction set (Linux 5.12).
        flags.push("\u{1f}-Ctarget-cpu=v3");
        command
            .arg(verb)
            .args(["--release", "--target", TARGET])
            .arg("--manifest-path")
            .arg(package.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(target_dir)
            .env("RUSTC", rustc)
            // aya-ebpf uses one unstable feature.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", flags)
            .env("LD_LIBRARY_PATH", llvm);
        if self.compiler.build_std {
            command.arg("-Zbuild-std=core");
        }
        Ok(command)
    }
}

impl Compiler {
    /// `$UEPOLL_BPF_RUSTC`, else a rustc that brings core compiled for the
    /// target, else rustup's nightly with the sources of core.
    ///
    /// # Errors
    /// One sentence if there is none.
    pub fn choose() -> Result<Self, String> {
        if let Some(rustc) = set(COMPILER_VARIABLE) {
            return Self::named(PathBuf::from(rustc));
        }
        let candidates = [set("RUSTC"), Some("rustc".into()), Some("/usr/bin/rustc".into())]
            .into_iter()
            .flatten();
        for rustc in candidates.map(PathBuf::from) {
            if let Some(root) = sysroot(&rustc).filter(|root| has_target(root)) {
                let reason = format!("it brings core compiled for {TARGET}");
                let llvm = llvm(&rustc, &root)?;
                return Ok(Self { rustc, reason, llvm, build_std: false });
            }
        }
        let nightly =
            Command::new("rustup").args(["run", "nightly", "rustc", "--print=sysroot"]).output();
        match nightly.ok().and_then(|out| first_line(&out.stdout)).map(PathBuf::from) {
            Some(root) if has_sources(&root) => Ok(Self {
                llvm: llvm(&root.join("bin/rustc"), &root)?,
                rustc: root.join("bin/rustc"),
                reason: "nightly with rust-src: core is built along (build-std)".to_owned(),
                build_std: true,
            }),
            _ => Err(format!(
                "no Rust compiler here can build for {TARGET} (none has its core library, and \
                 there is no nightly with rust-src): {REMEDY}"
            )),
        }
    }

    fn named(rustc: PathBuf) -> Result<Self, String> {
        let shown = rustc.display();
        let Some(root) = sysroot(&rustc) else {
            return Err(format!(
                "{COMPILER_VARIABLE} is {shown}, which does not run as a rustc: name another, or \
                 unset it and run `cargo xtask setup`"
            ));
        };
        let build_std = !has_target(&root);
        if build_std && !has_sources(&root) {
            return Err(format!(
                "{COMPILER_VARIABLE} is {shown}, which has neither core for {TARGET} nor rust-src: \
                 add one, or unset it and run `cargo xtask setup`"
            ));
        }
        let llvm = llvm(&rustc, &root)?;
        Ok(Self { rustc, reason: format!("{COMPILER_VARIABLE} names it"), llvm, build_std })
    }
}

/// The LLVM of `rustc`, in its own sysroot (rustup) or among the system's
/// libraries (a distribution's package).
fn llvm(rustc: &Path, sysroot: &Path) -> Result<PathBuf, String> {
    let verbose = Command::new(rustc).arg("-vV").output().ok().map(|out| out.stdout);
    let verbose = String::from_utf8(verbose.unwrap_or_default()).unwrap_or_default();
    let version = verbose.lines().find_map(|line| line.strip_prefix("LLVM version: "));
    let major = version.and_then(|version| version.split('.').next()).unwrap_or("?");
    let folders = [
        sysroot.join("lib"),
        sysroot.join("lib").join(format!("{}-linux-gnu", std::env::consts::ARCH)),
        sysroot.join("lib64"),
        PathBuf::from(format!("/usr/lib/llvm-{major}/lib")),
    ];
    let names = [format!("libLLVM.so.{major}."), format!("libLLVM-{major}")];
    let wanted = |file: &Path| {
        let name = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
        names.iter().any(|start| name.starts_with(start.as_str()))
    };
    let files = |folder: &PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
    folders.iter().flat_map(files).map(|entry| entry.path()).find(|file| wanted(file)).ok_or_else(
        || {
            format!(
                "the LLVM {major} that {} uses is not in {}: name another compiler with \
                 {COMPILER_VARIABLE}",
                rustc.display(),
                folders[0].display()
            )
        },
    )
}

/// A folder with nothing but a link to `llvm`: bpf-linker takes the first
/// libLLVM that it meets on LD_LIBRARY_PATH, and Debian has several in one place.
fn lone_llvm(llvm: &Path, target_dir: &Path) -> Result<PathBuf, String> {
    let folder = target_dir.join("llvm");
    let link = folder.join("libLLVM.so");
    if std::fs::read_link(&link).is_ok_and(|target| target == llvm) {
        return Ok(folder);
    }
    // What an older compiler left; a first build has none.
    let _ = std::fs::remove_file(&link);
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::os::unix::fs::symlink(llvm, &link))
        .map_err(|error| format!("cannot write {}: {error}", link.display()))?;
    Ok(folder)
}

/// The project's own bpf-linker, else one of the same series in PATH.
///
/// # Errors
/// One sentence if there is none.
pub fn linker() -> Result<PathBuf, String> {
    let own = tool("bpf-linker");
    if own.is_file() {
        return Ok(own);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("bpf-linker"))
        .find(|program| program.is_file());
    let series = LINKER_VERSION.rsplit_once('.').map_or(LINKER_VERSION, |(series, _)| series);
    match found {
        Some(program) if version(&program).is_some_and(|v| v.starts_with(series)) => Ok(program),
        Some(other) => Err(format!(
            "{} is not bpf-linker {series}, and there is none in {}: {REMEDY}",
            other.display(),
            own.display()
        )),
        None => Err(format!("bpf-linker is not in {}: {REMEDY}", own.display())),
    }
}

/// Where `cargo xtask setup` puts the program `name`.
pub fn tool(name: &str) -> PathBuf {
    cache_dir().join("tools/bin").join(name)
}

/// Where xtask keeps what it builds and installs: `$UEPOLL_CACHE`, else
/// `uepoll` in the user's cache folder.
pub fn cache_dir() -> PathBuf {
    if let Some(cache) = set("UEPOLL_CACHE") {
        return PathBuf::from(cache);
    }
    if let Some(caches) = set("XDG_CACHE_HOME") {
        return PathBuf::from(caches).join("uepoll");
    }
    PathBuf::from(set("HOME").unwrap_or_else(|| "/root".into())).join(".cache/uepoll")
}

fn set(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    let out = Command::new(rustc).arg("--print=sysroot").output().ok()?;
    first_line(&out.stdout).filter(|_| out.status.success()).map(PathBuf::from)
}

fn has_target(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir()
}

fn has_sources(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib/src/rust/library/core").is_dir()
}

fn version(program: &Path) -> Option<String> {
    let out = Command::new(program).arg("--version").output().ok()?;
    first_line(&out.stdout)?.split_whitespace().last().map(str::to_owned)
}

fn first_line(output: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(output).ok()?.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// Variables by which the cargo (or clippy) that runs us would reach into the
/// build for another target.
fn leaks(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    const KEPT: [&str; 5] =
        ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_TERM_"];
    (name.starts_with("CARGO") && !KEPT.iter().any(|kept| name.starts_with(kept)))
        || name.starts_with("RUSTC")
        || name.starts_with("CLIPPY_")
        || matches!(name, "RUSTFLAGS" | "RUSTDOCFLAGS" | "TARGET" | "HOST" | "OUT_DIR")
        || matches!(name, "MAKEFLAGS" | "LD_LIBRARY_PATH")
}
