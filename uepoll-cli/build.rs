//! Builds the eBPF object, which `uepoll` carries inside itself, as
//! `$OUT_DIR/uepoll-ebpf`. Which compiler was taken, and why, is in
//! `$OUT_DIR/bpf-compiler.txt`.

use std::path::{Path, PathBuf};

#[path = "../xtask/src/bpf_toolchain.rs"]
mod bpf_toolchain;

use bpf_toolchain::{COMPILER_VARIABLE, TARGET, Toolchain};

/// What the object is made of, beside this package.
const SOURCES: [&str; 6] = [
    "uepoll-ebpf/src",
    "uepoll-ebpf/Cargo.toml",
    "uepoll-common/src",
    "uepoll-common/Cargo.toml",
    "Cargo.toml",
    "xtask/src/bpf_toolchain.rs",
];

fn main() {
    // Said in one sentence, which cargo shows as the reason of the failure.
    if let Err(message) = build() {
        println!("cargo::error={message}");
    }
}

fn build() -> Result<(), String> {
    let project = variable("CARGO_MANIFEST_DIR")?.join("..");
    let out_dir = variable("OUT_DIR")?;
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", project.join(source).display());
    }
    for name in [COMPILER_VARIABLE, "UEPOLL_CACHE", "XDG_CACHE_HOME", "PATH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let toolchain = Toolchain::find()?;
    // A linker or compiler that is replaced makes another object.
    println!("cargo::rerun-if-changed={}", toolchain.linker.display());
    write(&out_dir.join("bpf-compiler.txt"), toolchain.describe().as_bytes())?;
    println!("{}", toolchain.describe());

    let target_dir = out_dir.join("ebpf");
    let mut cargo = toolchain.cargo("build", &project.join("uepoll-ebpf"), &target_dir)?;
    let status = cargo.status().map_err(|error| format!("cannot run {cargo:?}: {error}"))?;
    if !status.success() {
        // Cargo shows what the compiler said only if this program fails.
        std::process::exit(1);
    }
    let object = target_dir.join(TARGET).join("release/uepoll-ebpf");
    let bytes = std::fs::read(&object)
        .map_err(|error| format!("the eBPF object {} is not there: {error}", object.display()))?;
    write(&out_dir.join("uepoll-ebpf"), &bytes)
}

fn variable(name: &str) -> Result<PathBuf, String> {
    let value = std::env::var_os(name).map(PathBuf::from);
    value.ok_or_else(|| format!("{name} is not set: build scripts are run by cargo"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
}
