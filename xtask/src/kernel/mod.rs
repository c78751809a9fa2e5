//! Our kernels: built from Debian's source with the port's patches, cached by
//! content. What a flavour is made of is in `flavour.rs`; this file decides
//! whether something has to be done and in which order.

pub mod btf;
pub mod check;
pub mod check_each;
pub mod config;
pub mod flavour;
pub mod make;
pub mod patches;
pub mod source;

use std::fs;
use std::path::{Path, PathBuf};

use crate::paths;
pub use flavour::Flavour;

/// Built images kept for each flavour: other work trees have other patches, and
/// share this cache.
const KEPT_IMAGES: usize = 3;
/// What one flavour takes while it is built: sources and objects.
const NEEDED_BYTES: u64 = 3 << 30;
/// The same once the objects are there.
const NEEDED_AGAIN_BYTES: u64 = 1 << 30;

/// Why a kernel could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that is neither a flavour nor a file.
    #[error(
        "`{0}` is no kernel: write v2, inline, debug, delay, stock-6.12, or the path of a bzImage"
    )]
    UnknownName(String),
    /// Something that set-up installs is missing.
    #[error("{what} is missing: `cargo xtask setup` installs it")]
    NotSetUp {
        /// What it is.
        what: String,
    },
    /// A file of the project or of the cache could not be used.
    #[error("cannot {doing} {path}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A program did not do its work.
    #[error("{program} failed ({why}): {output}")]
    Program {
        /// The program, and what it was to do.
        program: String,
        /// Its exit status.
        why: String,
        /// The part of its output that says why.
        output: String,
    },
    /// A patch does not apply.
    #[error(
        "{patch} no longer applies to Linux {version}: hunk {hunk} of {file}; \
         carry it over by hand and run `cargo xtask kernel` again"
    )]
    Patch {
        /// The patch file.
        patch: PathBuf,
        /// The version of the source.
        version: String,
        /// The number of the hunk, and its line, or why there is none.
        hunk: String,
        /// The file that the hunk changes.
        file: String,
    },
    /// Options that the configuration refused.
    #[error("these options of {fragment} did not take: {options}; each needs another option")]
    Options {
        /// The fragments.
        fragment: String,
        /// The lines that are not in the result.
        options: String,
    },
    /// A new compiler warning.
    #[error("{patch} brings a compiler warning:\n{warnings}")]
    Warnings {
        /// The patch, or the flavour.
        patch: String,
        /// The warnings, one on each line.
        warnings: String,
    },
    /// Probed functions that the build lost.
    #[error(
        "the built kernel lacks probed functions ({0}); in the port each must be \
         `static noinline __noclone`, see kernel/probed-symbols.txt"
    )]
    Symbols(String),
    /// The disk is too small.
    #[error("{path} has {free} MiB left and this needs {needed} MiB; set UEPOLL_CACHE elsewhere")]
    Space {
        /// The cache.
        path: PathBuf,
        /// What is left there.
        free: u64,
        /// What a build takes.
        needed: u64,
    },
}

/// An [`Error::File`] with its context.
pub(crate) fn on<'a>(doing: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> Error + 'a {
    move |source| Error::File { doing, path: path.to_owned(), source }
}

/// The image that `name` stands for: a flavour (built if need be) or a path.
///
/// # Errors
/// If there is no such kernel, or it cannot be built.
pub fn image(name: &str) -> Result<PathBuf, Error> {
    if let Some(flavour) = Flavour::named(name) {
        return Ok(ensure(flavour)?.join("bzImage"));
    }
    match name.contains('/') || Path::new(name).is_file() {
        true => Ok(PathBuf::from(name)),
        false => Err(Error::UnknownName(name.to_owned())),
    }
}

/// The folder with the built `flavour`: `bzImage`, `System.map`, `vmlinux.btf`,
/// `config` and `symbols`. Builds it if it is not in the cache.
///
/// # Errors
/// Whatever keeps it from being built.
pub fn ensure(flavour: Flavour) -> Result<PathBuf, Error> {
    let recipe = flavour.recipe()?;
    let home = paths::cache().join("kernel");
    let built = home.join(format!("{flavour}-{}", recipe.key));
    if built.join("bzImage").is_file() {
        return Ok(built);
    }
    fs::create_dir_all(&home).map_err(on("make", &home))?;
    let _lock = lock(&home)?;
    // Another process may have built it while we waited.
    if built.join("bzImage").is_file() {
        return Ok(built);
    }
    let objects = home.join("build").join(flavour.tree());
    let again = objects.join("vmlinux").is_file();
    check_space(&home, if again { NEEDED_AGAIN_BYTES } else { NEEDED_BYTES })?;
    eprintln!(
        "xtask: building kernel {flavour} (Linux {}, {} patches): {} in {}",
        recipe.version,
        recipe.patches.len(),
        if again { "1 to 10 minutes, 3 GB" } else { "10 to 20 minutes on 2 cores, 3 GB" },
        home.display()
    );
    let tree = source::Tree::prepare(&home, flavour.tree(), &recipe.version)?;
    tree.apply(&recipe.patches)?;
    config::configure(&tree, &objects, &recipe.fragments)?;
    let output = make::build(&tree, &objects, &["bzImage"], &format!("kernel {flavour}"))?;
    make::refuse_warnings(&output, &tree.patched_files()?, &flavour.to_string())?;
    keep(flavour, &objects, &built)?;
    forget_old(&home, flavour)?;
    Ok(built)
}

/// Takes what is kept of a build out of its object folder.
fn keep(flavour: Flavour, objects: &Path, built: &Path) -> Result<(), Error> {
    let partial = built.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(on("remove", &partial))?;
    }
    fs::create_dir_all(&partial).map_err(on("make", &partial))?;
    let files =
        [("arch/x86/boot/bzImage", "bzImage"), ("System.map", "System.map"), (".config", "config")];
    for (from, to) in files {
        let from = objects.join(from);
        fs::copy(&from, partial.join(to)).map_err(on("keep", &from))?;
    }
    let vmlinux = objects.join("vmlinux");
    let btf = btf::section(&vmlinux).map_err(on("read the BTF of", &vmlinux))?;
    fs::write(partial.join("vmlinux.btf"), btf).map_err(on("write to", &partial))?;
    if flavour.is_ours() {
        let found = check::probed_symbols(&partial, flavour)?;
        fs::write(partial.join("symbols"), found).map_err(on("write to", &partial))?;
    }
    // All of it or nothing: the cache is looked up by this name.
    fs::rename(&partial, built).map_err(on("name", built))
}

/// Removes all but the newest images of `flavour`.
fn forget_old(home: &Path, flavour: Flavour) -> Result<(), Error> {
    let start = format!("{flavour}-");
    let mut built = Vec::new();
    for entry in fs::read_dir(home).map_err(on("read", home))?.flatten() {
        let key = entry.file_name().to_string_lossy().strip_prefix(&start).map(str::len);
        if key.is_some_and(|length| length >= flavour::KEY_DIGITS) {
            let age = entry.metadata().and_then(|data| data.modified());
            built.push((age.map_err(on("read", &entry.path()))?, entry.path()));
        }
    }
    built.sort();
    let old = built.len().saturating_sub(KEPT_IMAGES);
    for (_, path) in &built[..old] {
        fs::remove_dir_all(path).map_err(on("remove", path))?;
    }
    Ok(())
}

/// One build at a time: they share sources and all processors.
pub(crate) fn lock(home: &Path) -> Result<fs::File, Error> {
    let path = home.join("lock");
    let file = fs::File::create(&path).map_err(on("open", &path))?;
    if file.try_lock().is_err() {
        eprintln!("xtask: another build holds {}: waiting for its end", path.display());
        file.lock().map_err(on("lock", &path))?;
    }
    Ok(file)
}

pub(crate) fn check_space(home: &Path, needed: u64) -> Result<(), Error> {
    let stat =
        rustix::fs::statvfs(home).map_err(|errno| on("ask for space on", home)(errno.into()))?;
    let free = stat.f_bavail * stat.f_frsize;
    match free >= needed {
        true => Ok(()),
        false => {
            Err(Error::Space { path: home.to_owned(), free: free >> 20, needed: needed >> 20 })
        }
    }
}
