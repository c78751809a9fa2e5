//! What the kernel side counts: per ring, and for the host as a whole. Every
//! counter is kept per CPU and only ever grows.

/// Declares an enum of counters whose last index is known.
macro_rules! counters {
    ($(#[$meta:meta])* $name:ident, $count:ident { $($(#[$doc:meta])* $variant:ident,)+ }) => {
        $(#[$meta])*
        #[repr(usize)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All of them, in index order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its name, by which files know it: names stay, places may change.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)+ }
            }
        }

        #[doc = concat!("Number of [`", stringify!($name), "`] counters.")]
        pub const $count: usize = $name::ALL.len();
    };
}

counters! {
    /// Counters of one ring.
    RingCounter, RING_COUNTERS {
        /// Entries of `ep_poll_callback` for items of this ring.
        Arrivals,
        /// Of these, entries from the offload worker.
        ArrivalsOffloaded,
        /// Adds from the callback that made a new slot.
        PublishedCallback,
        /// Adds from `ep_insert` that made a new slot.
        PublishedInsert,
        /// Adds from `ep_modify` that made a new slot.
        PublishedModify,
        /// Adds from the callback that found the item already ready.
        MergedCallback,
        /// Adds from `ep_insert` that found the item already ready.
        MergedInsert,
        /// Adds from `ep_modify` that found the item already ready.
        MergedModify,
        /// Arrivals with no flag that the item asked for.
        Filtered,
        /// Arrivals dropped because EPOLLONESHOT has disarmed the item.
        Disarmed,
        /// Entries of `ep_remove_user_item`.
        Removed,
        /// Of these, items removed while `ready_events` was set.
        RemovedReady,
        /// `ep_poll_wakeup` calls without poll flags: polling is offloaded.
        WakeupsKeyless,
        /// Runs of `ep_poll_callback_work`.
        OffloadRuns,
        /// Of these, runs that called back with no event.
        OffloadEmptyRuns,
        /// Exits of `epoll_wait` on this ring, whatever the outcome.
        Waits,
        /// ESTALE without having slept: the race to sleep, lost.
        WaitsStaleAtOnce,
        /// ESTALE after having slept: woken by an event.
        WaitsStaleSlept,
        /// Zero: timed out.
        WaitsTimedOut,
        /// EINTR.
        WaitsInterrupted,
        /// Any other result.
        WaitsOther,
        /// Waits that slept, whatever the outcome.
        WaitsSlept,
        /// `EPOLL_CTL_ADD` calls that returned, whatever the result.
        Adds,
        /// ADDs refused with ENOSPC because the item bitmap was full.
        AddsNoSpaceFull,
        /// ADDs refused with ENOSPC for another cause: the user-watch limit.
        AddsNoSpaceWatches,
        /// Sampled positions: published while observed and chosen.
        SampledDue,
        /// Sampled positions lost to a full ring buffer.
        SampledLost,
        /// Sampled positions dropped because head or tail contradicted itself.
        SampledDoubtful,
        /// Sampled positions that found no free place among the pending.
        SampledPendingFull,
        /// New slots whose exact position could not be told.
        PositionsAmbiguous,
        /// Snapshots that saw head beyond tail.
        HeadBeyondTail,
        /// Snapshots that saw head go back.
        HeadBack,
        /// Snapshots whose header had a wrong magic.
        BadMagic,
        /// Returns without their entry, or entries without their return.
        PairsMismatched,
        /// Snapshots of head and tail.
        Snapshots,
        /// Snapshots that saw an empty ring.
        SnapshotsEmpty,
        /// Looks of the sampler at this ring.
        SamplerLooks,
        /// Of these, looks that saw the slot at head empty while an add for
        /// exactly that position was under way: whoever consumes there spins.
        SlotSpinSightings,
        /// Sampler ticks that found a consumer of this ring on the CPU, and not
        /// in a wait.
        ConsumerTicks,
        /// Of these, ticks in user mode while the ring was empty.
        ConsumerTicksEmpty,
        /// Ends of spin episodes told by the consumer's own probe.
        SpinEpisodes,
        /// Iterations of these.
        SpinIterations,
        /// Nanoseconds spent in waits that returned; of a wait that was met
        /// asleep, those since.
        WaitedNs,
    }
}

counters! {
    /// Counters that belong to no ring.
    HostCounter, HOST_COUNTERS {
        /// Sampler ticks that ran.
        SamplerTicks,
        /// Ring-buffer reserves that failed, of any record.
        ReservesFailed,
        /// A ring that found no place in the ring table.
        RingTableFull,
        /// An update of a per-thread map that failed.
        ThreadMapFull,
        /// Per-CPU entry stacks that overflowed (nesting deeper than four).
        StackOverflows,
        /// Returns without an entry, where the ring is unknown.
        PairsMismatched,
        /// Callbacks of rings that nobody selected (filtered by owner).
        Unselected,
        /// Records of single events that found the ring buffer full.
        SinglesLost,
    }
}

/// Histograms of one ring, in nanoseconds except [`RingHistogram::Depth`].
#[repr(usize)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingHistogram {
    /// Callback entry to add exit, in the waker's context.
    PublishDirect,
    /// Callback entry to add exit, in the offload worker.
    PublishOffloaded,
    /// Keyless wake-up to entry of its worker.
    OffloadDelay,
    /// Entry to return of the worker.
    OffloadRun,
    /// Entry to return of a wait.
    Blocked,
    /// tail - head at each publish and each look of the sampler (items, not
    /// nanoseconds).
    Depth,
    /// Entry to exit of the add that made a new slot: no longer than this was
    /// tail ahead of the slot.
    SlotExposure,
    /// Last wake-up of a sleeping waiter to the return of its wait.
    WakeUp,
}

impl RingHistogram {
    /// All of them, in index order.
    pub const ALL: &'static [Self] = &[
        Self::PublishDirect,
        Self::PublishOffloaded,
        Self::OffloadDelay,
        Self::OffloadRun,
        Self::Blocked,
        Self::Depth,
        Self::SlotExposure,
        Self::WakeUp,
    ];
}

/// Number of [`RingHistogram`]s.
pub const RING_HISTOGRAMS: usize = RingHistogram::ALL.len();
