//! `uepoll man FOLDER`, for those who package: a man page for the program and
//! one for each verb, from the definitions that `--help` shows.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap_mangen::Man;

use crate::{exit, output};

/// Options of `uepoll man`
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Where the pages go: uepoll.1, uepoll-list.1 and so on; made if need be
    folder: PathBuf,
}

/// Writes them. `command` is the whole command line's definition.
///
/// # Errors
/// If a page cannot be written.
pub fn run(args: Args, mut command: clap::Command) -> anyhow::Result<u8> {
    let folder = args.folder;
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    command.build();
    let verbs: Vec<clap::Command> =
        command.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned().collect();
    let mut written = String::new();
    for page in [command].into_iter().chain(verbs) {
        // "uepoll list" once it is built.
        let name = page.get_bin_name().unwrap_or(page.get_name()).replace(' ', "-");
        let path = folder.join(format!("{name}.1"));
        let mut text = Vec::new();
        let man = Man::new(page)
            .title(name.to_uppercase())
            .manual("uepoll")
            .section("1")
            .source(concat!("uepoll ", env!("CARGO_PKG_VERSION")));
        man.render(&mut text).context("cannot render a page")?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        written += &format!("{}\n", path.display());
    }
    output::print("names of the pages", &written)?;
    Ok(exit::FINE)
}
