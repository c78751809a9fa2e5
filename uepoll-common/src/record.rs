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
    /// [`Waited`].
    Waited = 5,
    /// [`Refused`].
    Refused = 6,
    /// [`Worked`].
    Worked = 7,
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
    /// Number of the interval in which it was published.
    pub interval: u32,
    /// Thread in whose context it was published: the producer, a worker, or
    /// whoever was interrupted. In the initial pid namespace.
    pub waker_tid: u32,
    /// [`Resolved::BY_WORKER`] or 0.
    pub flags: u32,
}

impl Resolved {
    /// Set in `flags` if polling was offloaded: a worker published it.
    pub const BY_WORKER: u32 = 1;
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
    /// Name of the process, NUL padded: hostile bytes.
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

/// A wait on a ring returned. Sent where single events are asked for: one in
/// `2^sample_shift`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited {
    /// [`RecordKind::Waited`].
    pub kind: u32,
    /// The ring.
    pub ring: RingNumber,
    /// Thread that waited, in the initial pid namespace.
    pub tid: u32,
    /// What it returned: a negative errno, 0 for a time-out.
    pub result: i32,
    /// Entry; when it was met, for a thread that was asleep by then.
    pub entry_ns: u64,
    /// Return.
    pub exit_ns: u64,
    /// Its last wake-up, 0 if it did not sleep or that was not seen.
    pub woken_ns: u64,
    /// [`Waited::SLEPT`], [`Waited::MET_ASLEEP`].
    pub flags: u32,
    /// One wait in `2^sample_shift` was being sent: it stands for that many.
    pub sample_shift: u32,
}

impl Waited {
    /// Set in `flags` if the thread slept.
    pub const SLEPT: u32 = 1;
    /// Set in `flags` if it was asleep when it was met: its entry was earlier.
    pub const MET_ASLEEP: u32 = 2;
}

/// An EPOLL_CTL_ADD failed with ENOSPC. Sent where single events are asked for:
/// one in `2^sample_shift`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// [`RecordKind::Refused`].
    pub kind: u32,
    /// The ring.
    pub ring: RingNumber,
    /// When the call returned.
    pub time_ns: u64,
    /// Thread that called, in the initial pid namespace.
    pub tid: u32,
    /// [`Refused::RING_FULL`] or [`Refused::USER_WATCHES`].
    pub cause: u32,
    /// One in `2^sample_shift` was being sent.
    pub sample_shift: u32,
    /// Not 0 if the cause is the likelier of two, not known.
    pub likely: u32,
}

impl Refused {
    /// The ring had no bit left.
    pub const RING_FULL: u32 = 1;
    /// The user's limit of watches (`max_user_watches`).
    pub const USER_WATCHES: u32 = 2;
}

/// A worker ran for an item of a ring. Sent where single events are asked for:
/// one in `2^sample_shift`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worked {
    /// [`RecordKind::Worked`].
    pub kind: u32,
    /// The ring.
    pub ring: RingNumber,
    /// The wake-up that queued it, 0 if it was not seen.
    pub queued_ns: u64,
    /// Entry of the work.
    pub begin_ns: u64,
    /// Its return.
    pub end_ns: u64,
    /// Index of the item.
    pub item: u32,
    /// The worker's thread, in the initial pid namespace.
    pub tid: u32,
    /// [`Worked::EMPTY`] or 0.
    pub flags: u32,
    /// One run in `2^sample_shift` was being sent.
    pub sample_shift: u32,
}

impl Worked {
    /// Set in `flags` if the run called back with no event.
    pub const EMPTY: u32 = 1;
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
    /// See [`Waited`].
    Waited(Waited),
    /// See [`Refused`].
    Refused(Refused),
    /// See [`Worked`].
    Worked(Worked),
}

impl Record {
    /// The ring that it is of.
    pub fn ring(&self) -> RingNumber {
        match self {
            Self::Resolved(record) => record.ring,
            Self::RingSeen(record) => record.ring,
            Self::RingClosed(record) => record.ring,
            Self::Snapshot(record) => record.ring,
            Self::Waited(record) => record.ring,
            Self::Refused(record) => record.ring,
            Self::Worked(record) => record.ring,
        }
    }

    /// The same as bytes that [`Self::decode`] takes, into `put`, piece by
    /// piece.
    pub fn encode(&self, put: &mut dyn FnMut(&[u8])) {
        let mut words = Put(put);
        match self {
            Self::Resolved(r) => {
                words.u32s(&[r.kind, r.ring, r.position, r.item]);
                words.u64s(&[r.arrival_ns, r.add_entry_ns, r.add_exit_ns]);
                words.u64s(&[r.consumed_lo_ns, r.consumed_hi_ns]);
                words.u32s(&[r.sample_shift, r.interval, r.waker_tid, r.flags]);
            }
            Self::RingSeen(r) => {
                words.u32s(&[r.kind, r.ring]);
                words.u64s(&[r.time_ns]);
                words.u32s(&[r.tgid, r.tid, r.fd.cast_unsigned(), r.max_items, r.head, r.tail]);
                (words.0)(&r.comm);
                words.u32s(&[r.how, r.reserved]);
            }
            Self::RingClosed(r) => {
                words.u32s(&[r.kind, r.ring]);
                words.u64s(&[r.time_ns]);
                words.u32s(&[r.head, r.tail, r.items_used, r.reserved]);
            }
            Self::Snapshot(r) => {
                words.u32s(&[r.kind, r.ring]);
                words.u64s(&[r.before_ns, r.after_ns]);
                words.u32s(&[r.head, r.tail, r.flags, r.reserved]);
            }
            Self::Waited(r) => {
                words.u32s(&[r.kind, r.ring, r.tid, r.result.cast_unsigned()]);
                words.u64s(&[r.entry_ns, r.exit_ns, r.woken_ns]);
                words.u32s(&[r.flags, r.sample_shift]);
            }
            Self::Refused(r) => {
                words.u32s(&[r.kind, r.ring]);
                words.u64s(&[r.time_ns]);
                words.u32s(&[r.tid, r.cause, r.sample_shift, r.likely]);
            }
            Self::Worked(r) => {
                words.u32s(&[r.kind, r.ring]);
                words.u64s(&[r.queued_ns, r.begin_ns, r.end_ns]);
                words.u32s(&[r.item, r.tid, r.flags, r.sample_shift]);
            }
        }
    }

    /// The record that `bytes` hold; `None` if they hold none: an unknown
    /// kind, or too few bytes for it. More bytes than the kind needs are a
    /// later version's, and are left alone.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut words = Words(bytes);
        let kind = words.u32()?;
        let ring = words.u32()?;
        if kind == RecordKind::Resolved as u32 {
            return Some(Self::Resolved(Resolved {
                kind,
                ring,
                position: words.u32()?,
                item: words.u32()?,
                arrival_ns: words.u64()?,
                add_entry_ns: words.u64()?,
                add_exit_ns: words.u64()?,
                consumed_lo_ns: words.u64()?,
                consumed_hi_ns: words.u64()?,
                sample_shift: words.u32()?,
                interval: words.u32()?,
                waker_tid: words.u32()?,
                flags: words.u32()?,
            }));
        }
        if kind == RecordKind::RingSeen as u32 {
            return Some(Self::RingSeen(RingSeen {
                kind,
                ring,
                time_ns: words.u64()?,
                tgid: words.u32()?,
                tid: words.u32()?,
                fd: words.u32()?.cast_signed(),
                max_items: words.u32()?,
                head: words.u32()?,
                tail: words.u32()?,
                comm: words.array()?,
                how: words.u32()?,
                reserved: words.u32()?,
            }));
        }
        if kind == RecordKind::RingClosed as u32 {
            return Some(Self::RingClosed(RingClosed {
                kind,
                ring,
                time_ns: words.u64()?,
                head: words.u32()?,
                tail: words.u32()?,
                items_used: words.u32()?,
                reserved: words.u32()?,
            }));
        }
        if kind == RecordKind::Snapshot as u32 {
            return Some(Self::Snapshot(Snapshot {
                kind,
                ring,
                before_ns: words.u64()?,
                after_ns: words.u64()?,
                head: words.u32()?,
                tail: words.u32()?,
                flags: words.u32()?,
                reserved: words.u32()?,
            }));
        }
        if kind == RecordKind::Waited as u32 {
            return Some(Self::Waited(Waited {
                kind,
                ring,
                tid: words.u32()?,
                result: words.u32()?.cast_signed(),
                entry_ns: words.u64()?,
                exit_ns: words.u64()?,
                woken_ns: words.u64()?,
                flags: words.u32()?,
                sample_shift: words.u32()?,
            }));
        }
        if kind == RecordKind::Refused as u32 {
            return Some(Self::Refused(Refused {
                kind,
                ring,
                time_ns: words.u64()?,
                tid: words.u32()?,
                cause: words.u32()?,
                sample_shift: words.u32()?,
                likely: words.u32()?,
            }));
        }
        if kind == RecordKind::Worked as u32 {
            return Some(Self::Worked(Worked {
                kind,
                ring,
                queued_ns: words.u64()?,
                begin_ns: words.u64()?,
                end_ns: words.u64()?,
                item: words.u32()?,
                tid: words.u32()?,
                flags: words.u32()?,
                sample_shift: words.u32()?,
            }));
        }
        None
    }
}

/// Where a record's bytes go, in the machine's own byte order.
struct Put<'a>(&'a mut dyn FnMut(&[u8]));

impl Put<'_> {
    fn u32s(&mut self, words: &[u32]) {
        words.iter().for_each(|word| (self.0)(&word.to_ne_bytes()));
    }

    fn u64s(&mut self, words: &[u64]) {
        words.iter().for_each(|word| (self.0)(&word.to_ne_bytes()));
    }
}

/// What is left of a record's bytes, taken in the machine's own byte order.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_ne_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a `RingClosed`, as the kernel side lays them out.
    fn closed_bytes() -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [RecordKind::RingClosed as u32, 7] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(99u64.to_ne_bytes());
        for word in [1u32, 2, 3, 0] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let expected = RingClosed {
            kind: RecordKind::RingClosed as u32,
            ring: 7,
            time_ns: 99,
            head: 1,
            tail: 2,
            items_used: 3,
            reserved: 0,
        };
        assert_eq!(Record::decode(&closed_bytes()), Some(Record::RingClosed(expected)));
        assert_eq!(closed_bytes().len(), size_of::<RingClosed>());
    }

    #[test]
    fn every_kind_needs_all_its_bytes_and_no_more() {
        let sizes = [
            (RecordKind::Waited, size_of::<Waited>()),
            (RecordKind::Refused, size_of::<Refused>()),
            (RecordKind::Worked, size_of::<Worked>()),
            (RecordKind::Resolved, size_of::<Resolved>()),
            (RecordKind::RingSeen, size_of::<RingSeen>()),
            (RecordKind::RingClosed, size_of::<RingClosed>()),
            (RecordKind::Snapshot, size_of::<Snapshot>()),
        ];
        for (kind, size) in sizes {
            let mut bytes = vec![0xffu8; size];
            bytes[..4].copy_from_slice(&(kind as u32).to_ne_bytes());
            let record = Record::decode(&bytes).expect("whole");
            let mut again = Vec::new();
            record.encode(&mut |piece| again.extend_from_slice(piece));
            assert_eq!(again, bytes, "{kind:?}");
            for cut in 0..size {
                assert_eq!(Record::decode(&bytes[..cut]), None, "{kind:?} cut to {cut}");
            }
            bytes.push(0);
            assert!(Record::decode(&bytes).is_some(), "{kind:?} and one byte");
        }
    }

    #[test]
    fn an_unknown_kind_is_no_record() {
        for kind in [0u32, 8, u32::MAX] {
            let mut bytes = kind.to_ne_bytes().to_vec();
            bytes.resize(256, 0);
            assert_eq!(Record::decode(&bytes), None);
        }
    }
}
