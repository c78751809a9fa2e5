//! The kernel's configuration: from fragments, on top of "nothing", and then
//! looked at: kconfig drops without a word what depends on something absent.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::make;
use super::source::Tree;
use super::{Error, on};

/// In the object folder: the fragments that its `.config` was made of.
const MERGED: &str = ".uepoll-fragment";

/// Configures `objects` for `tree`, unless it is so already.
///
/// # Errors
/// [`Error::Options`] if options did not take.
pub fn configure(tree: &Tree, objects: &Path, fragments: &[PathBuf]) -> Result<(), Error> {
    let mut wanted = BTreeMap::new();
    for fragment in fragments {
        let text = fs::read_to_string(fragment).map_err(on("read", fragment))?;
        wanted.extend(options(&text));
    }
    let merged: String = wanted.iter().map(|(name, value)| line(name, value)).collect();
    let merged_path = objects.join(MERGED);
    let config = objects.join(".config");
    let same = fs::read_to_string(&merged_path).is_ok_and(|present| present == merged);
    if !same || !config.is_file() {
        fs::create_dir_all(objects).map_err(on("make", objects))?;
        fs::write(&merged_path, &merged).map_err(on("write", &merged_path))?;
        make::configure(tree, objects, &merged_path)?;
    }
    let result = fs::read_to_string(&config).map_err(on("read", &config))?;
    let refused = refused(&wanted, &options(&result));
    if refused.is_empty() {
        return Ok(());
    }
    // Next time it has to be made again, not found.
    fs::remove_file(&merged_path).map_err(on("remove", &merged_path))?;
    let names: Vec<_> = fragments.iter().map(|path| path.display().to_string()).collect();
    Err(Error::Options { fragment: names.join(" and "), options: refused.join(", ") })
}

/// The options of a fragment or of a `.config`: name to value, `n` for unset.
fn options(text: &str) -> BTreeMap<String, String> {
    let option = |line: &str| {
        let unset = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" is not set"));
        match unset {
            Some(name) => Some((name.to_owned(), "n".to_owned())),
            None => line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())),
        }
    };
    text.lines()
        .map(str::trim)
        .filter_map(option)
        .filter(|(n, _)| n.starts_with("CONFIG_"))
        .collect()
}

fn line(name: &str, value: &str) -> String {
    match value {
        "n" => format!("# {name} is not set\n"),
        _ => format!("{name}={value}\n"),
    }
}

fn refused(wanted: &BTreeMap<String, String>, got: &BTreeMap<String, String>) -> Vec<String> {
    // An option that its dependencies hide is absent, which is as good as unset.
    let took = |(name, value): &(&String, &String)| got.get(*name).map_or("n", |v| v) == *value;
    let failed = wanted.iter().filter(|option| !took(option));
    failed.map(|(name, value)| format!("{name}={value}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_did_not_take_are_named() {
        let wanted =
            options("CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=n\nCONFIG_D=\"x\"\n# note\n");
        let got = options("CONFIG_A=y\nCONFIG_B=y\nCONFIG_D=\"y\"\n");
        assert_eq!(refused(&wanted, &got), ["CONFIG_B=n", "CONFIG_D=\"x\""]);
    }

    #[test]
    fn a_later_fragment_wins() {
        let mut all = options("CONFIG_FRAME_WARN=2048\n");
        all.extend(options("CONFIG_FRAME_WARN=3072\n"));
        assert_eq!(all["CONFIG_FRAME_WARN"], "3072");
    }
}
