//! `cargo xtask setup`: installs what is missing.

use crate::bpf_toolchain::Toolchain;
use crate::setup;

/// Installs, and says what there is.
///
/// # Errors
/// See [`setup::Error`].
pub fn run() -> anyhow::Result<u8> {
    setup::ensure()?;
    println!("{}", Toolchain::find().map_err(anyhow::Error::msg)?.describe());
    println!("set-up is complete; next: cargo xtask demo");
    Ok(0)
}
