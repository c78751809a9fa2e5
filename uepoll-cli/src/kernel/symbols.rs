//! The kernel's symbols: what each function that we probe became in the build
//! that is running. A compiler may inline it, rename it with other arguments
//! (`.isra`, `.constprop`, `.part`), or leave several of one name.

use std::collections::HashMap;

/// Where the running kernel lists its symbols.
pub const PATH: &str = "/proc/kallsyms";

/// What became of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Once, under its own name.
    Exact,
    /// Only as a clone of this name: its arguments are not the prototype's.
    Clone(String),
    /// Several of this name: which one is meant cannot be told.
    Repeated(usize),
    /// Nowhere: inlined, or not in this kernel.
    Missing,
}

/// Addresses of the symbols asked for, and of their clones.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Symbols {
    by_base: HashMap<String, Vec<(u64, String)>>,
}

/// What the compiler appends to the name of a clone.
const CLONE_MARKS: [&str; 4] = ["isra", "constprop", "part", "cold"];

impl Symbols {
    /// Picks `wanted` out of the text of kallsyms. Symbols of modules are not
    /// looked at; what is no line of kallsyms is skipped.
    pub fn parse(text: &str, wanted: &[&str]) -> Self {
        let mut by_base: HashMap<String, Vec<(u64, String)>> = HashMap::new();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(address), Some(_kind), Some(name), None) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                continue;
            };
            let base = name.split_once('.').map_or(name, |(base, _)| base);
            if !wanted.contains(&base) {
                continue;
            }
            if let Ok(address) = u64::from_str_radix(address, 16) {
                by_base.entry(base.to_owned()).or_default().push((address, name.to_owned()));
            }
        }
        Self { by_base }
    }

    fn of(&self, function: &str) -> &[(u64, String)] {
        self.by_base.get(function).map_or(&[], Vec::as_slice)
    }

    /// What became of a function.
    pub fn find(&self, function: &str) -> Found {
        let all = self.of(function);
        let exact = all.iter().filter(|(_, name)| name == function).count();
        match exact {
            1 => return Found::Exact,
            0 => {}
            several => return Found::Repeated(several),
        }
        let clones: Vec<_> = all.iter().filter(|(_, name)| is_clone(name)).collect();
        match clones.as_slice() {
            [] => Found::Missing,
            [(_, name)] => Found::Clone(name.clone()),
            several => Found::Repeated(several.len()),
        }
    }

    /// Address of a symbol; `None` if there is not exactly one, or its address
    /// is hidden from us.
    pub fn address(&self, name: &str) -> Option<u64> {
        let mut exact = self.of(name).iter().filter(|(_, full)| full == name);
        match (exact.next(), exact.next()) {
            (Some((address, _)), None) if *address != 0 => Some(*address),
            _ => None,
        }
    }

    /// Whether a symbol is listed, its address shown or hidden.
    pub fn lists(&self, name: &str) -> bool {
        self.of(name).iter().any(|(_, full)| full == name)
    }
}

/// Whether a name is that of a clone that does the function's work: the cold
/// half of a split function does not.
fn is_clone(name: &str) -> bool {
    let marks: Vec<_> = name.split('.').skip(1).collect();
    marks.iter().any(|mark| CLONE_MARKS.contains(mark)) && !marks.contains(&"cold")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
ffffffff812d27e0 t ep_add_event_to_uring
ffffffff812d2bf0 t ep_get_bit.isra.0
ffffffff812d2c00 t ep_get_bit.isra.0.cold
ffffffff812d3080 t ep_remove_user_item
ffffffff812d3090 t ep_remove_user_item
ffffffff812d3790 t ep_poll_callback.constprop.0
ffffffff812d3791 t ep_poll_callback.isra.0
ffffffff81a38ec0 d eventpoll_fops
0000000000000000 t do_epoll_ctl
ffffffffc0001000 t do_epoll_wait\t[module]
nonsense
";

    fn symbols() -> Symbols {
        let wanted = [
            "ep_add_event_to_uring",
            "ep_get_bit",
            "ep_remove_user_item",
            "ep_poll_callback",
            "eventpoll_fops",
            "do_epoll_ctl",
            "do_epoll_wait",
        ];
        Symbols::parse(TEXT, &wanted)
    }

    #[test]
    fn a_function_is_exact_cloned_repeated_or_missing() {
        let symbols = symbols();
        assert_eq!(symbols.find("ep_add_event_to_uring"), Found::Exact);
        assert_eq!(symbols.find("ep_get_bit"), Found::Clone("ep_get_bit.isra.0".into()));
        assert_eq!(symbols.find("ep_remove_user_item"), Found::Repeated(2));
        assert_eq!(symbols.find("ep_poll_callback"), Found::Repeated(2));
        assert_eq!(symbols.find("ep_poll_wakeup"), Found::Missing);
    }

    #[test]
    fn a_function_of_a_module_is_not_the_kernels() {
        assert_eq!(symbols().find("do_epoll_wait"), Found::Missing);
    }

    #[test]
    fn a_hidden_address_is_no_address() {
        let symbols = symbols();
        assert_eq!(symbols.address("eventpoll_fops"), Some(0xffff_ffff_81a3_8ec0));
        assert_eq!(symbols.address("do_epoll_ctl"), None);
        assert!(symbols.lists("do_epoll_ctl") && !symbols.lists("do_epoll_pwait"));
        assert_eq!(symbols.address("ep_remove_user_item"), None);
    }
}
