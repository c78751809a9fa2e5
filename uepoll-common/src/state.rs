//! What the kernel side keeps for each ring in a map that user space reads at
//! the end of a run: who owns it, what was last seen of it, and the sampled
//! positions whose consumption has not been seen yet.

/// Rings that one run has places for unless the host has many: maps of rings
/// are made as large as `Config::rings` says.
pub const RINGS: usize = 1024;

/// What is counted is kept in two banks, taken in turn by the intervals of a
/// run: one is read while the other fills.
pub const BANKS: usize = 2;

/// Sampled positions of one ring that wait for their consumption to be seen.
pub const PENDING: usize = 64;

/// So many rings of a run have histograms: those that need them first.
pub const HISTOGRAM_RINGS: usize = 32;

/// Threads of one ring whose waits are told apart.
pub const WAITERS: usize = 8;

/// Marks the entry of a consumer that the user named.
pub const NAMED_CONSUMER: u32 = 1 << 31;

/// Places in the list of rings that have published of late, which the sampler
/// looks at.
pub const ACTIVE_RINGS: usize = 64;

/// What the probes do.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing.
    Off = 0,
    /// Remember what was entered, count nothing: so that whatever is already
    /// under way when counting starts is known for what it is.
    Frames = 1,
    /// Count.
    Counting = 2,
    /// Finish what was entered while counting, begin nothing: so that the
    /// books balance to the last event.
    Draining = 3,
}

/// The one word that user space writes during a run: what the probes do, and
/// the number of the interval they do it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseWord(pub u32);

impl PhaseWord {
    /// Largest number of an interval.
    pub const LAST_INTERVAL: u32 = u32::MAX >> 8;

    /// The word for a phase of an interval; intervals are numbered from 0.
    #[inline(always)]
    pub const fn new(phase: Phase, interval: u32) -> Self {
        Self(phase as u32 | interval << 8)
    }

    /// Whether it says `phase`.
    #[inline(always)]
    pub const fn is(self, phase: Phase) -> bool {
        self.0 & 0xff == phase as u32
    }

    /// Number of the interval.
    #[inline(always)]
    pub const fn interval(self) -> u32 {
        self.0 >> 8
    }
}

/// State that belongs to no ring, written by the kernel side alone: one cell.
/// (The [`Phase`], which user space writes, has a map of its own.)
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Number of the next ring to be met; also how many were met.
    pub next_ring: u32,
    /// Offload workers that are running.
    pub workers_active: u32,
    /// Places taken in the list of active rings, wrapping.
    pub active_cursor: u32,
    /// Where the sampler goes on in that list.
    pub sampler_cursor: u32,
    /// Sets of histograms that were given to rings; also how many asked.
    pub next_histograms: u32,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
}

/// One wait on a user-polled file, kept by thread. The kernel side makes it at
/// entry; for a thread that was asleep before, user space does.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitFrame {
    /// Entry of the wait; when it was met, with [`Self::MET_ASLEEP`].
    pub entry_ns: u64,
    /// Voluntary switches of the thread at that moment.
    pub switches: u64,
    /// Last wake-up of the thread since, 0 if none.
    pub woken_ns: u64,
    /// Number of the ring.
    pub ring: u32,
    /// See the constants.
    pub flags: u32,
}

impl WaitFrame {
    /// The thread was asleep in this wait before anything was attached: it has
    /// slept, and how long it has waited is not known.
    pub const MET_ASLEEP: u32 = 1;
}

/// Where a ring stood when an interval began: at the first add that was counted
/// in it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Number of the interval plus one; 0 if never set.
    pub interval: u32,
    /// Head.
    pub head: u32,
    /// Tail, before that add.
    pub tail: u32,
}

/// A descriptor of a ring, as the iterator over all open files found it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HolderRecord {
    /// Number of the ring.
    pub ring: u32,
    /// Process, in the initial pid namespace.
    pub tgid: u32,
    /// Its descriptor.
    pub fd: i32,
    /// Its name, NUL padded: hostile bytes.
    pub comm: [u8; 16],
}

/// A thread that waited on a ring.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiter {
    /// Its number in the initial pid namespace, 0 if the place is free.
    pub tid: u32,
    /// Its name when first seen, NUL padded: hostile bytes.
    pub comm: [u8; 16],
}

/// A sampled position that waits for its consumption to be seen.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// One of the `STATE_` constants in the low two bits; above them the
    /// number of the place in the queue, so that a place that was taken again
    /// is never mistaken for what it held before.
    pub state: u32,
    /// Value of tail at which the event was published.
    pub position: u32,
    /// Index of the item.
    pub item: u32,
    /// Rate at which the position was chosen: 1 in `2^sample_shift`.
    pub sample_shift: u32,
    /// See [`crate::record::Resolved`].
    pub arrival_ns: u64,
    /// See [`crate::record::Resolved`].
    pub add_entry_ns: u64,
    /// See [`crate::record::Resolved`].
    pub add_exit_ns: u64,
    /// See [`crate::record::Resolved`].
    pub interval: u32,
    /// Thread in whose context it was published; [`Self::BY_WORKER`] is set if
    /// that is a worker.
    pub waker: u32,
    /// Consumed no earlier, as far as snapshots have shown.
    pub lo_ns: u64,
}

impl Pending {
    /// Set in `waker` beside the thread's number, which is below 2^22.
    pub const BY_WORKER: u32 = 1 << 31;
    /// The place is free.
    pub const STATE_FREE: u32 = 0;
    /// It is being filled.
    pub const STATE_WRITING: u32 = 1;
    /// It holds a position.
    pub const STATE_READY: u32 = 2;
    /// Its consumption was seen and is being sent.
    pub const STATE_CLAIMED: u32 = 3;
    /// Mask of the above.
    pub const STATE_MASK: u32 = 3;

    /// State of the place that was filled as number `at` of the queue.
    #[inline(always)]
    pub const fn ready(at: u32) -> u32 {
        at << 2 | Self::STATE_READY
    }
}

/// One ring.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingState {
    /// Address of the `struct eventpoll`; 0 if the place holds no ring.
    pub ep: u64,
    /// Address of the ring's header in kernel memory.
    pub header: u64,
    /// When it was first seen.
    pub first_seen_ns: u64,
    /// Process that owns it (see the design: the first that created it,
    /// controlled it, waited on it or mapped it), 0 if not known.
    pub owner_tgid: u32,
    /// Thread of that process that was seen.
    pub owner_tid: u32,
    /// Descriptor in that process, -1 if not known.
    pub fd: i32,
    /// Name of that process, NUL padded: hostile bytes.
    pub comm: [u8; 16],
    /// How it was met, see [`crate::record::RingSeen`].
    pub how: u32,
    /// Not 0 if its owner passes the filter.
    pub selected: u32,
    /// Not 0 since the last reference to its file went away: one of the
    /// `CLOSING_` constants.
    pub closing: u32,
    /// Items it can hold, from the kernel's own copy.
    pub max_items: u32,
    /// One position in `2^sample_shift` is sampled.
    pub sample_shift: u32,
    /// Positions chosen since `window_start_ns`.
    pub window_due: u32,
    /// Not 0 while it has a place in the list of active rings.
    pub active: u32,
    /// Head when it was met.
    pub met_head: u32,
    /// Tail when it was met.
    pub met_tail: u32,
    /// Not 0 while an add of it is under way; a number of adds where ep->lock
    /// is not a spinlock.
    pub adding: u32,
    /// Tail when the last add entered.
    pub adding_tail: u32,
    /// Number of its set of histograms plus one; 0 if it has not asked for one,
    /// more than [`HISTOGRAM_RINGS`] if none was left.
    pub histograms: u32,
    /// Where it stood when intervals began, by bank.
    pub starts: [Start; BANKS],
    /// Tail after the last add that was counted.
    pub counted_tail: u32,
    /// Head at the last snapshot.
    pub last_head: u32,
    /// Tail at the last snapshot.
    pub last_tail: u32,
    /// Not 0 if magic or lengths were wrong when last looked at.
    pub header_wrong: u32,
    /// Items in use at the last closing look.
    pub items_used: u32,
    /// Not 0 if `final_` and `items_used` hold: the ring was looked at when it
    /// closed or when the run ended.
    pub final_known: u32,
    /// Start of the window in which `window_due` counts.
    pub window_start_ns: u64,
    /// Clock before the final snapshot.
    pub final_before_ns: u64,
    /// Clock after the final snapshot.
    pub final_after_ns: u64,
    /// Head at the final snapshot.
    pub final_head: u32,
    /// Tail at the final snapshot.
    pub final_tail: u32,
    /// Head and tail in the last snapshot record that was sent.
    pub sent_head: u32,
    /// See `sent_head`.
    pub sent_tail: u32,
    /// When that record was sent.
    pub sent_ns: u64,
    /// Number of the oldest place of the queue of pending positions.
    pub pending_head: u32,
    /// Number of the place that will be filled next.
    pub pending_tail: u32,
    /// Start of the window in which `singles_due` counts.
    pub singles_window_ns: u64,
    /// Single events chosen since then.
    pub singles_due: u32,
    /// One single event in `2^singles_shift` is sent.
    pub singles_shift: u32,
    /// Threads seen waiting, also those that found no place below.
    pub waiters_seen: u32,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
    /// Threads seen waiting.
    pub waiters: [Waiter; WAITERS],
    /// The queue.
    pub pending: [Pending; PENDING],
}

impl RingState {
    /// Closed while counting: every event before its final look was counted
    /// if any was.
    pub const CLOSING_COUNTED: u32 = 1;
    /// Closed outside of counting: its final look may show uncounted events.
    pub const CLOSING_UNCOUNTED: u32 = 2;
}
