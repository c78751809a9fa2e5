//! The build check: what the tool probes is a function of its own in the built
//! kernel, under its own name, once.

use std::fs;
use std::path::Path;

use super::{Error, Flavour, btf, on};
use crate::paths;

/// Checks the build in `folder` (`System.map` and `vmlinux.btf`), and gives the
/// content of its `symbols` file: one probed function on each line, and how it
/// was found.
///
/// # Errors
/// [`Error::Symbols`] with those that are not as they should be.
pub fn probed_symbols(folder: &Path, flavour: Flavour) -> Result<String, Error> {
    let list = paths::project().join("kernel/probed-symbols.txt");
    let list = fs::read_to_string(&list).map_err(on("read", &list))?;
    let map = folder.join("System.map");
    let map = fs::read_to_string(&map).map_err(on("read", &map))?;
    let btf_path = folder.join("vmlinux.btf");
    let btf = fs::read(&btf_path).map_err(on("read", &btf_path))?;
    let malformed = || std::io::Error::other("it is malformed, or of a kind not known here");
    let functions =
        btf::functions(&btf).ok_or_else(|| on("read the BTF in", &btf_path)(malformed()))?;
    let mut found = String::new();
    let mut wrong = Vec::new();
    for (name, helper) in probed(&list) {
        let state = state(name, &map, functions.contains(name));
        if state != State::Own && !(helper && flavour == Flavour::Inline) {
            wrong.push(format!("{name}: {}", state.words()));
        }
        found.push_str(&format!("{name} {}\n", state.words()));
    }
    if wrong.is_empty() { Ok(found) } else { Err(Error::Symbols(wrong.join("; "))) }
}

/// How a function came out of the compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Own,
    Absent,
    Cloned,
    Twice,
    NotInBtf,
}

impl State {
    fn words(self) -> &'static str {
        match self {
            Self::Own => "in BTF",
            Self::Absent => "no symbol, so inlined or not there",
            Self::Cloned => "only a clone with another name",
            Self::Twice => "more than one symbol",
            Self::NotInBtf => "a symbol, but not in BTF",
        }
    }
}

/// Names in the list, and whether they are helpers.
fn probed(list: &str) -> impl Iterator<Item = (&str, bool)> {
    let lines =
        list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| match line.split_once(' ') {
        Some((name, word)) => (name, word.trim() == "helper"),
        None => (line, false),
    })
}

fn state(name: &str, map: &str, in_btf: bool) -> State {
    let symbols = map.lines().filter_map(|line| line.rsplit(' ').next());
    let (mut own, mut clones) = (0, 0);
    for symbol in symbols {
        match symbol.strip_prefix(name) {
            Some("") => own += 1,
            // The compiler's ways to rename: .isra.0, .constprop.0, .part.0.
            Some(suffix) if suffix.starts_with('.') => clones += 1,
            _ => {}
        }
    }
    match (own, clones) {
        (1, 0) if in_btf => State::Own,
        (1, 0) => State::NotInBtf,
        (0, 0) => State::Absent,
        (0 | 1, _) => State::Cloned,
        _ => State::Twice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_counts_only_under_its_own_name_once_and_in_btf() {
        let map = "f1 t ep_get_bit\nf2 t ep_remove.isra.0\nf3 t twice\nf4 t twice\nf5 t ep_get\n";
        for (name, in_btf, expected) in [
            ("ep_get_bit", true, State::Own),
            ("ep_get_bit", false, State::NotInBtf),
            ("ep_remove", true, State::Cloned),
            ("twice", true, State::Twice),
            ("absent", true, State::Absent),
        ] {
            assert_eq!(state(name, map, in_btf), expected, "{name}");
        }
    }

    #[test]
    fn the_list_of_the_project_can_be_read() {
        let list = fs::read_to_string(paths::project().join("kernel/probed-symbols.txt")).unwrap();
        let probed: Vec<_> = probed(&list).collect();
        assert!(probed.contains(&("ep_get_bit", true)));
        assert!(probed.contains(&("ep_poll_callback", false)));
    }
}
