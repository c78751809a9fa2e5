//! Kernels.
use std::path::PathBuf;
pub fn image(name: &str) -> anyhow::Result<PathBuf> { Ok(name.into()) }
