//! What ought not to happen, told by name at debug level to whoever asked for
//! it. Everything here is counted as well; without a listener the verifier
//! removes the messages, because their level is a frozen global.

use aya_log_ebpf::debug;

/// What happened.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Anomaly {
    HeadBeyondTail = 0,
    HeadBack = 1,
    HeaderWrong = 2,
    PairsMismatched = 3,
    RingTableFull = 4,
    StackOverflow = 5,
}

/// Tells it. `detail` is head, tail or number of the ring, as said below.
pub fn tell(what: Anomaly, ring: u32, detail: u32) {
    tell_word(what as u32, ring, detail);
}

/// A function of its own: the code of a message is long, and is met in rare
/// branches only.
#[inline(never)]
fn tell_word(what: u32, ring: u32, detail: u32) -> u32 {
    if what == Anomaly::HeadBeyondTail as u32 {
        debug!(&(), "ring {}: head {} is beyond tail", ring, detail);
    } else if what == Anomaly::HeadBack as u32 {
        debug!(&(), "ring {}: head went back to {}", ring, detail);
    } else if what == Anomaly::HeaderWrong as u32 {
        debug!(&(), "ring {}: magic or lengths in its header are wrong", ring);
    } else if what == Anomaly::PairsMismatched as u32 {
        debug!(&(), "ring {}: an add whose callback was not seen to begin", ring);
    } else if what == Anomaly::RingTableFull as u32 {
        debug!(&(), "no place for a ring: {} are known", detail);
    } else {
        debug!(&(), "more than {} nested calls on one CPU: a return was missed", detail);
    }
    0
}
