//! `cargo xtask ebpf`: builds, or checks with clippy, the eBPF object alone, so
//! that its compiler's words are seen.

use anyhow::{Context, bail};

use crate::bpf_toolchain::{TARGET, Toolchain};
use crate::{paths, setup};

/// Options of `cargo xtask ebpf`.
#[derive(clap::Args)]
pub struct Args {
    /// Run clippy instead, warnings being errors, where its compiler has one
    #[arg(long)]
    clippy: bool,
}

/// Builds the object and prints its path.
///
/// # Errors
/// If the toolchain is not there or the object does not build.
pub fn run(args: Args) -> anyhow::Result<u8> {
    setup::ensure()?;
    let toolchain = Toolchain::find().map_err(anyhow::Error::msg)?;
    eprintln!("xtask: {}", toolchain.describe());
    let (verb, folder) = if args.clippy { ("check", "ebpf-clippy") } else { ("build", "ebpf") };
    let target_dir = paths::target().join(folder);
    let package = paths::project().join("uepoll-ebpf");
    let mut cargo = toolchain.cargo(verb, &package, &target_dir).map_err(anyhow::Error::msg)?;
    if args.clippy {
        // The one of the same release: another cannot read this compiler's core.
        let driver = toolchain.compiler.rustc.with_file_name("clippy-driver");
        if !driver.is_file() {
            bail!(
                "{} has no clippy-driver beside it: install it (Debian: rust-web-clippy)",
                toolchain.compiler.rustc.display()
            );
        }
        cargo.env("RUSTC_WORKSPACE_WRAPPER", driver).env("CARGO_ENCODED_RUSTFLAGS", "-Dwarnings");
    }
    let status = cargo.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("uepoll-ebpf did not pass `cargo {verb}`; the compiler's words are above");
    }
    if !args.clippy {
        println!("{}", target_dir.join(TARGET).join("release/uepoll-ebpf").display());
    }
    Ok(0)
}
