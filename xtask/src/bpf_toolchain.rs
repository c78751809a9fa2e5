//! Which compiler and which linker build the eBPF object: decided here only,
//! for xtask and for the build script of uepoll-cli, which includes this file
//! and therefore may use nothing but the standard library.

use std::path::PathBuf;

/// Where xtask keeps what it builds and installs: `$UEPOLL_CACHE`, else
/// `uepoll` in the user's cache folder.
pub fn cache_dir() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(cache) = set("UEPOLL_CACHE") {
        return PathBuf::from(cache);
    }
    if let Some(caches) = set("XDG_CACHE_HOME") {
        return PathBuf::from(caches).join("uepoll");
    }
    PathBuf::from(set("HOME").unwrap_or_else(|| "/root".into())).join(".cache/uepoll")
}
