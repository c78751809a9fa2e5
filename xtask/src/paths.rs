//! Where things live: the project's tree, and the cache that every command of
//! xtask and the build script of uepoll-cli share. Nothing is created here.

use std::path::{Path, PathBuf};

/// The root of the project's tree.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the project, so it has a parent")
}

/// The cache folder: see [`crate::bpf_toolchain::cache_dir`], which the build
/// script shares.
pub fn cache() -> PathBuf {
    crate::bpf_toolchain::cache_dir()
}

/// Where cargo puts what it builds for this tree.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| project().join("target"), |dir| project().join(dir))
}

/// The `uepoll` binary as `cargo build --release` leaves it.
pub fn uepoll() -> PathBuf {
    target().join("release/uepoll")
}
