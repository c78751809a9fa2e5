//! What is remembered between the entry and the return of a function, and the
//! stacks it is kept on. On the direct path interrupts are off from entry to
//! return, so frames are kept per CPU; an ordinary epoll file that watches a
//! ring nests another callback inside, hence four places.
//!
//! A kretprobe does not know the arguments of its function: its frames are
//! matched on the stack pointer at entry, which no other call can have
//! meanwhile. An fexit knows them: its frames are matched on the item.

use core::mem::size_of;

use crate::fields::Way;

/// Places on each stack; a power of two.
pub const FRAMES: usize = 4;

/// One call of `ep_poll_callback`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CallbackFrame {
    /// What tells this call from others; 0 if there is no call.
    pub call: u64,
    pub item: u64,
    pub ep: u64,
    pub header: u64,
    pub entry_ns: u64,
    pub ring: u32,
    pub poll_flags: u32,
    /// The interval in which its add is counted.
    pub interval: u32,
    pub reserved: u32,
    /// Tail at entry, only where the add is not probed.
    pub tail: u32,
    /// See the constants.
    pub flags: u32,
}

impl CpuFrames {
    /// Publishes so close to each other, or to a tick, may be of one interrupt.
    pub const ONE_INTERRUPT_NS: u64 = 200_000;
}

impl CallbackFrame {
    pub const NONE: Self = Self {
        call: 0,
        item: 0,
        ep: 0,
        header: 0,
        entry_ns: 0,
        ring: 0,
        poll_flags: 0,
        interval: 0,
        reserved: 0,
        tail: 0,
        flags: 0,
    };

    /// Its add is counted.
    pub const COUNTED: u32 = 1;
    /// Called by the offload worker.
    pub const OFFLOADED: u32 = 2;
    /// The add was entered.
    pub const ADD_ENTERED: u32 = 4;
    /// The add returned.
    pub const ADD_RETURNED: u32 = 8;
}

/// Where an add comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Origin {
    Callback = 0,
    Worker = 1,
    Insert = 2,
    Modify = 3,
}

/// One call of `ep_add_event_to_uring`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct AddFrame {
    /// What tells this call from others; 0 if there is no call.
    pub call: u64,
    pub item: u64,
    pub ep: u64,
    pub header: u64,
    /// Entry of the callback around it, 0 if none.
    pub arrival_ns: u64,
    pub entry_ns: u64,
    pub ring: u32,
    /// An [`Origin`].
    pub origin: u32,
    /// Tail at entry.
    pub tail: u32,
    /// The interval in which it is counted.
    pub interval: u32,
    /// Not 0 if the callback around it was seen to begin.
    pub by_callback: u32,
    pub reserved: u32,
}

/// The frames of one CPU.
#[repr(C)]
pub struct CpuFrames {
    /// When this CPU last published.
    pub published_ns: u64,
    /// Where: the ring plus one, 0 for nowhere.
    pub published_in: u32,
    /// Tail before the first of the publishes that followed each other there.
    pub published_from: u32,
    /// Tail after the last of them.
    pub published_to: u32,
    pub reserved: u32,
    pub callback_depth: u32,
    pub add_depth: u32,
    pub callbacks: [CallbackFrame; FRAMES],
    pub adds: [AddFrame; FRAMES],
}

/// One run of `ep_poll_callback_work`, kept by thread: it may sleep.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WorkerFrame {
    pub item: u64,
    pub entry_ns: u64,
    pub ring: u32,
    /// Not 0 once it has called back.
    pub called_back: u32,
    /// The interval in which it is counted plus one; 0 for none.
    pub counted: u32,
    /// Index of the item.
    pub bit: u32,
    /// The wake-up that queued it, 0 if not known.
    pub queued_ns: u64,
    /// The callback that it has made.
    pub callback: CallbackFrame,
}

/// One call of `do_epoll_ctl` on a user-polled file, kept by thread.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CtlFrame {
    pub ep: u64,
    pub ring: u32,
    pub op: u32,
    /// Not 0 once `ep_get_bit` has found no free bit.
    pub no_bit: u32,
    /// The interval in which it is counted plus one; 0 for none.
    pub counted: u32,
}

// A frame is built on the stack of a program, which has 512 bytes.
const _: () = assert!(size_of::<WorkerFrame>() <= 144);

/// Farthest that the stack grows between the entry of a callback and the
/// entry of the add that it makes: far less in fact.
const CALL_BYTES: u64 = 2048;

/// Whether the call `inner` can have been made by the call `outer`, both for one
/// item: guards against a frame whose return was missed.
#[inline(always)]
pub fn made_by<W: Way>(inner: u64, outer: u64) -> bool {
    if W::TYPED {
        return outer == inner;
    }
    let grown = outer.wrapping_sub(inner);
    outer != 0 && grown > 0 && grown < CALL_BYTES
}
