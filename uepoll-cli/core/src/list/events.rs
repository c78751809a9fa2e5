//! Event masks as names: those that an item asks for, and those that it has.

/// Names of flags, as in `<sys/epoll.h>` without their prefix.
const FLAGS: [(u32, &str); 10] = [
    (0x001, "IN"),
    (0x002, "PRI"),
    (0x004, "OUT"),
    (0x008, "ERR"),
    (0x010, "HUP"),
    (0x040, "RDNORM"),
    (0x080, "RDBAND"),
    (0x100, "WRNORM"),
    (0x200, "WRBAND"),
    (0x2000, "RDHUP"),
];

/// Those that say how to tell of events.
const INPUT_FLAGS: [(u32, &str); 4] =
    [(1 << 28, "EXCLUSIVE"), (1 << 29, "WAKEUP"), (1 << 30, "ONESHOT"), (1 << 31, "ET")];

/// ERR and HUP, which the kernel adds to whatever is asked for.
const ALWAYS: u32 = 0x018;

/// What an item asks for, beyond ERR and HUP, which every item does: `IN|ET`.
pub fn interest(events: u32) -> String {
    let asked = if events & ALWAYS == ALWAYS { events & !ALWAYS } else { events };
    names(asked, FLAGS.iter().chain(&INPUT_FLAGS))
}

/// What an item has: `IN|HUP`, with `REMOVED` for bit 27.
pub fn ready(events: u32) -> String {
    names(events, FLAGS.iter().chain(&[(uepoll_common::abi::EPOLLREMOVED, "REMOVED")]))
}

/// The names of all that are set; what has none as one number; `0` for nothing.
fn names<'a>(events: u32, flags: impl Iterator<Item = &'a (u32, &'a str)>) -> String {
    let mut left = events;
    let mut words = Vec::new();
    for (bit, name) in flags {
        if events & bit != 0 {
            words.push((*name).to_owned());
            left &= !bit;
        }
    }
    if left != 0 || words.is_empty() {
        words.push(if left == 0 { "0".into() } else { format!("{left:#x}") });
    }
    words.join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_is_told() {
        assert_eq!(interest(0x8000_0019), "IN|ET");
        assert_eq!(interest(0x8000_0009), "IN|ERR|ET");
        assert_eq!(ready(0x0800_0011), "IN|HUP|REMOVED");
        assert_eq!(ready(0), "0");
        assert_eq!(ready(0x8000_0000), "0x80000000");
        // Bit 27 is no interest.
        assert_eq!(interest(0x0800_0001), "IN|0x8000000");
    }
}
