//! The records that probes send through the ring buffer. Fixed size, plain
//! data, first word says which. All clocks are CLOCK_MONOTONIC nanoseconds.

/// Number of a ring while a tool observes it: index into the kernel side's
/// tables. Not the epoll pointer, which never leaves the kernel side.
pub type RingNumber = u32;

/// First word of each record.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// [`Resolved`].
    Resolved = 1,
    /// [`RingSeen`].
    RingSeen = 2,
    /// [`RingClosed`].
    RingClosed = 3,
    /// [`Snapshot`].
    Snapshot = 4,
}

/// A sampled position whose consumption has been bracketed.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// [`RecordKind::Resolved`].
    pub kind: u32,
    /// The ring.
    pub ring: RingNumber,
    /// Value of tail at which the event was published.
    pub position: u32,
    /// Index of the item.
    pub item: u32,
    /// Entry of the callback, 0 where the add did not come from one.
    pub arrival_ns: u64,
    /// Entry of the add: published no earlier.
    pub add_entry_ns: u64,
    /// Exit of the add: published no later.
    pub add_exit_ns: u64,
    /// Consumed no earlier: clock before the last snapshot that saw
    /// head <= position (0 if none).
    pub consumed_lo_ns: u64,
    /// Consumed no later: clock after the first snapshot that saw
    /// head > position. 0 if still unconsumed when the ring closed or the
    /// tool stopped.
    pub consumed_hi_ns: u64,
    /// One position in `2^sample_shift` was being sampled when this one was
    /// chosen: it stands for that many.
    pub sample_shift: u32,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
}

/// A ring was seen for the first time, or for the first time with its owner.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSeen {
    /// [`RecordKind::RingSeen`].
    pub kind: u32,
    /// The ring.
    pub ring: RingNumber,
    /// When.
    pub time_ns: u64,
    /// Process of the thread that used it, 0 if not yet known (seen first in a
    /// waker's context). In the initial pid namespace.
    pub tgid: u32,
    /// That thread.
    pub tid: u32,
    /// Its file descriptor there, -1 if not known.
    pub fd: i32,
    /// Items the ring can hold.
    pub max_items: u32,
    /// Head when first seen.
    pub head: u32,
    /// Tail when first seen.
    pub tail: u32,
    /// Comm of the thread, NUL padded: hostile bytes.
    pub comm: [u8; 16],
    /// How it was met: [`RingSeen::CREATED`] or [`RingSeen::MET`].
    pub how: u32,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
}

impl RingSeen {
    /// Its creation was observed.
    pub const CREATED: u32 = 1;
    /// It existed before, or its creation was not observed.
    pub const MET: u32 = 2;
}

/// The last reference to a ring's file went away.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingClosed {
    /// [`RecordKind::RingClosed`].
    pub kind: u32,
    /// The ring.
    pub ring: RingNumber,
    /// When.
    pub time_ns: u64,
    /// Last head.
    pub head: u32,
    /// Last tail.
    pub tail: u32,
    /// Items in use.
    pub items_used: u32,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
}

/// Head and tail, read between two clocks.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// [`RecordKind::Snapshot`].
    pub kind: u32,
    /// The ring.
    pub ring: RingNumber,
    /// Clock before the read.
    pub before_ns: u64,
    /// Clock after the read.
    pub after_ns: u64,
    /// Head, as the program left it: hostile.
    pub head: u32,
    /// Tail, as the mapping shows it: hostile.
    pub tail: u32,
    /// Bit 0: the header's magic and lengths were right.
    pub flags: u32,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
}

impl Snapshot {
    /// Set in `flags` if the header's magic and lengths were right.
    pub const HEADER_RIGHT: u32 = 1;
}

/// A record, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// See [`Resolved`].
    Resolved(Resolved),
    /// See [`RingSeen`].
    RingSeen(RingSeen),
    /// See [`RingClosed`].
    RingClosed(RingClosed),
    /// See [`Snapshot`].
    Snapshot(Snapshot),
}
