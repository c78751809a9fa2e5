//! `--check-each`: every patch of the port applies and compiles on its own,
//! without a warning that was not there before.

use std::collections::BTreeSet;
use std::path::Path;

use super::flavour::Flavour;
use super::{Error, NEEDED_BYTES, check_space, config, lock, make, on, source};
use crate::paths;

/// What is compiled beside the patched files: all that includes their headers
/// and is in a kernel without drivers, in a tenth of the time of a whole one.
const TARGETS: [&str; 4] = ["fs/", "io_uring/", "kernel/sys_ni.o", "arch/x86/entry/"];

/// Applies and compiles the patches one after the other.
///
/// # Errors
/// For the first patch that does not apply, compile, or warns.
pub fn run() -> Result<(), Error> {
    let recipe = Flavour::V2.recipe()?;
    let home = paths::cache().join("kernel");
    std::fs::create_dir_all(&home).map_err(on("make", &home))?;
    let _lock = lock(&home)?;
    check_space(&home, NEEDED_BYTES)?;
    eprintln!(
        "xtask: compiling after each of {} patches: 5 to 10 minutes on 2 cores, 3 GB in {}",
        recipe.patches.len(),
        home.display()
    );
    let tree = source::Tree::prepare(&home, "check", &recipe.version)?;
    let objects = home.join("build/check");
    let mut known = BTreeSet::new();
    for applied in 0..=recipe.patches.len() {
        let patches = &recipe.patches[..applied];
        let name = patches.last().map_or_else(|| "no patch".to_owned(), |patch| file_name(patch));
        tree.apply(patches)?;
        config::configure(&tree, &objects, &recipe.fragments)?;
        let output = make::build(&tree, &objects, &TARGETS, &name)?;
        let warnings: BTreeSet<_> = output.warnings().map(unnumbered).collect();
        let new: Vec<_> = warnings.difference(&known).cloned().collect();
        if applied > 0 && !new.is_empty() {
            return Err(Error::Warnings { patch: name, warnings: new.join("\n") });
        }
        known.extend(warnings);
    }
    println!("{} patches apply and compile, each on its own", recipe.patches.len());
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A warning without its line numbers, which move with every patch.
fn unnumbered(line: &str) -> String {
    line.split(':').filter(|part| part.parse::<u32>().is_err()).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_that_only_moved_is_the_same() {
        let first = unnumbered("fs/eventpoll.c:12:3: warning: unused");
        assert_eq!(first, unnumbered("fs/eventpoll.c:99:3: warning: unused"));
        assert_ne!(first, unnumbered("fs/eventpoll.c:12:3: warning: other"));
    }
}
