//! Kernel field access: where fields lie, and how they are read. Nothing else
//! in the programs touches kernel memory.
//!
//! A program attached by fentry has typed arguments: the verifier knows what
//! they point to, and fields are loaded directly, at half the price of a call.
//! A program attached by kprobe has numbers, and asks a helper. Bodies are
//! written once, for either [`Way`]. What a typed argument does not reach (the
//! structure around it, memory that is no structure) is always asked for.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_ktime_get_ns};
use uepoll_common::abi::{
    HEADER_MAGIC, HEADER_SIZE, ITEM_SIZE, MAX_ITEMS, OFF_HEAD, OFF_ITEM_READY_EVENTS, OFF_TAIL,
};
use uepoll_common::fields::{Config, Field, KernelFields};

// Overridden by user space before the programs are loaded; frozen afterwards,
// so that the verifier takes them for constants.
#[unsafe(no_mangle)]
static FIELDS: KernelFields = KernelFields::ABSENT;

#[unsafe(no_mangle)]
static CONFIG: Config = Config {
    eventpoll_fops: 0,
    salt: 1,
    sample_shift: 0,
    sample_budget: 0,
    filter_on: 0,
    follow_forks: 0,
    filter_fd: 0,
    filter_cgroup: 0,
    filter_cgroup_level: 0,
    filter_comm: [0; 16],
    add_probed: 0,
    callback_probed: 0,
    get_bit_probed: 0,
    lock_is_spinlock: 0,
    slots_from_one: 0,
    rings: 0,
    singles: 0,
};

/// One word of a read-only global. Volatile: what the compiler sees is not
/// what is loaded.
macro_rules! global {
    ($($place:tt)+) => {
        // SAFETY: a static of this program, read whole.
        unsafe { (&raw const $($place)+).read_volatile() }
    };
}

/// Declares what reads one word of the configuration.
macro_rules! config {
    ($($(#[$doc:meta])* $name:ident: $kind:ty;)+) => {
        $($(#[$doc])* #[inline(always)] pub fn $name() -> $kind { global!(CONFIG.$name) })+
    };
}

config! {
    /// Odd number that decides which positions are sampled.
    salt: u32;
    /// Smallest sample shift of any ring.
    sample_shift: u32;
    /// Positions of a ring that may be sampled in one window.
    sample_budget: u32;
    /// Not 0 if only rings of the target processes count.
    filter_on: u32;
    /// Not 0 if `ep_add_event_to_uring` is probed.
    add_probed: u32;
    /// Not 0 if `ep_get_bit` is probed.
    get_bit_probed: u32;
    /// Not 0 if `ep_poll_callback` is probed.
    callback_probed: u32;
    /// Not 0 if adds of one ring follow each other.
    lock_is_spinlock: u32;
    /// Not 0 if an unwritten slot holds 0.
    slots_from_one: u32;
    /// Places in the maps of rings.
    rings: u32;
    /// Not 0 if single events are asked for.
    singles: u32;
    /// Not 0 if processes forked by a target are targets.
    follow_forks: u32;
    /// Descriptor of the one ring that is wanted, plus one.
    filter_fd: u32;
    /// Cgroup that is wanted.
    filter_cgroup: u64;
    /// Its depth.
    filter_cgroup_level: u32;
    /// Name of the processes that are wanted.
    filter_comm: [u8; 16];
    /// Address of `eventpoll_fops`.
    eventpoll_fops: u64;
}

/// How a program reaches the fields of its arguments.
pub trait Way {
    /// Whether arguments are typed, and known again at the return.
    const TYPED: bool;

    /// Reads kernel memory; `None` if it cannot be read.
    fn read<T: Copy>(address: u64) -> Option<T>;
}

/// Attached by kprobe or kretprobe.
pub struct Probed;

impl Way for Probed {
    const TYPED: bool = false;

    #[inline(always)]
    fn read<T: Copy>(address: u64) -> Option<T> {
        read(address)
    }
}

/// Attached by fentry or fexit.
pub struct Typed;

impl Way for Typed {
    const TYPED: bool = true;

    #[inline(always)]
    fn read<T: Copy>(address: u64) -> Option<T> {
        // SAFETY: the verifier knows the type behind this address and checks
        // the load against it; a bad address reads as 0.
        Some(unsafe { (address as *const T).read_volatile() })
    }
}

/// `CLOCK_MONOTONIC`.
#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

/// Reads kernel memory; a bad address gives `None`.
#[inline(always)]
pub fn read<T>(address: u64) -> Option<T> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(address as *const T) }.ok()
}

#[inline(always)]
fn field<W: Way, T: Copy>(base: u64, field: Field) -> Option<T> {
    W::read(base.wrapping_add(u64::from(field.offset)))
}

/// Reads a field that every supported kernel has.
macro_rules! get {
    ($base:expr, $name:ident) => {
        get!(Probed, $base, $name)
    };
    ($way:ty, $base:expr, $name:ident) => {
        field::<$way, _>($base, global!(FIELDS.$name))
    };
}

/// The `struct eventpoll` of an item.
#[inline(always)]
pub fn ep_of_item<W: Way>(item: u64) -> Option<u64> {
    get!(W, item, epitem_ep)
}

/// The header of a user-polled epoll file; `None` for an ordinary one.
#[inline(always)]
pub fn header_of<W: Way>(ep: u64) -> Option<u64> {
    get!(W, ep, eventpoll_user_header).filter(|header| *header != 0)
}

/// Items that a ring can hold, the kernel's own copy.
#[inline(always)]
pub fn max_items_of(ep: u64) -> u32 {
    get!(ep, eventpoll_max_items_nr).unwrap_or(0)
}

/// Items in use; `None` where the kernel does not count them.
#[inline(always)]
pub fn items_used_of(ep: u64) -> Option<u32> {
    let used = global!(FIELDS.eventpoll_user_used);
    if used.exists == 0 {
        return None;
    }
    field::<Probed, _>(ep, used)
}

/// Head and tail as the mapping shows them: both are writable by the process.
/// Head is read no later than tail, so that a depth is never too small.
#[inline(always)]
pub fn head_and_tail<W: Way>(header: u64) -> Option<(u32, u32)> {
    if W::TYPED {
        // Two fields: a typed load cannot span them.
        let head: u32 = W::read(header.wrapping_add(OFF_HEAD as u64))?;
        let tail: u32 = W::read(header.wrapping_add(OFF_TAIL as u64))?;
        return Some((head, tail));
    }
    let both: u64 = read(header.wrapping_add(OFF_HEAD as u64))?;
    Some((both as u32, (both >> 32) as u32))
}

/// Tail: the kernel's private one where there is one, else the mapped one.
#[inline(always)]
pub fn tail_of<W: Way>(ep: u64, header: u64) -> Option<u32> {
    let private = global!(FIELDS.eventpoll_user_tail);
    if private.exists != 0 {
        return field::<W, _>(ep, private);
    }
    head_and_tail::<W>(header).map(|(_, tail)| tail)
}

/// What the slot of a position holds.
#[inline(always)]
pub fn slot_at(ep: u64, position: u32) -> Option<u32> {
    let index: u64 = get!(ep, eventpoll_user_index)?;
    let bytes: u32 = get!(ep, eventpoll_index_length)?;
    // The kernel's own length, a power of two of 32-bit slots.
    let slot = position & (bytes >> 2).wrapping_sub(1);
    read(index.wrapping_add(u64::from(slot) * 4))
}

/// Whether every item of a ring is used, by its bitmap; `None` where that
/// cannot be read. Bounded: 65536 bits.
#[inline(always)]
pub fn bitmap_full(ep: u64) -> Option<bool> {
    const WORDS: u32 = 8;
    let bitmap = global!(FIELDS.eventpoll_items_bm);
    if bitmap.exists == 0 {
        return None;
    }
    let words: u64 = field::<Probed, _>(ep, bitmap)?;
    let items = max_items_of(ep);
    let mut used = 0u32;
    let mut at = 0u32;
    while at < MAX_ITEMS / 64 && at * 64 < items {
        let part: [u64; WORDS as usize] = read(words.wrapping_add(u64::from(at) * 8))?;
        for word in part {
            used = used.wrapping_add(word.count_ones());
        }
        at += WORDS;
    }
    Some(used >= items)
}

/// Whether magic and lengths in the header are what the kernel wrote there.
#[inline(always)]
pub fn header_right(ep: u64, header: u64) -> bool {
    let Some(words) = read::<[u32; 4]>(header) else { return false };
    let header_length: Option<u32> = get!(ep, eventpoll_header_length);
    let index_length: Option<u32> = get!(ep, eventpoll_index_length);
    let [magic, in_header, in_index, in_max] = words;
    magic == HEADER_MAGIC
        && header_length == Some(in_header)
        && index_length == Some(in_index)
        && max_items_of(ep) == in_max
}

/// Events that an item asks for, private bits included.
#[inline(always)]
pub fn events_of_item<W: Way>(item: u64) -> Option<u32> {
    get!(W, item, epitem_events)
}

/// Index of an item in the header.
#[inline(always)]
pub fn bit_of_item(item: u64) -> Option<u32> {
    get!(item, epitem_bit)
}

/// `ready_events` of an item.
#[inline(always)]
pub fn ready_events(header: u64, bit: u32) -> Option<u32> {
    let at = HEADER_SIZE as u64 + u64::from(bit) * ITEM_SIZE as u64 + OFF_ITEM_READY_EVENTS as u64;
    read(header.wrapping_add(at))
}

/// The item that a wait-queue entry belongs to: `container_of(wait, struct
/// eppoll_entry, wait)->base`.
#[inline(always)]
pub fn item_of_wait(wait: u64) -> Option<u64> {
    let inside = global!(FIELDS.eppoll_entry_wait);
    get!(wait.wrapping_sub(u64::from(inside.offset)), eppoll_entry_base)
}

/// The item that an offload work belongs to: `container_of(work, …, work)`.
#[inline(always)]
pub fn item_of_work(work: u64) -> u64 {
    let inside = global!(FIELDS.epitem_work);
    work.wrapping_sub(u64::from(inside.offset))
}

/// The `struct eventpoll` behind a file; `None` if it is no epoll file.
#[inline(always)]
pub fn ep_of_file(file: u64) -> Option<u64> {
    let operations: u64 = get!(file, file_f_op)?;
    if file == 0 || operations != eventpoll_fops() {
        return None;
    }
    get!(file, file_private_data)
}

/// The `struct eventpoll` behind a descriptor of the current process; `None`
/// if there is none or it is no epoll file.
#[inline(always)]
pub fn ep_of_fd(fd: i32) -> Option<u64> {
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    let files: u64 = get!(task, task_files)?;
    let table: u64 = get!(files, files_fdt)?;
    let length: u32 = get!(table, fdtable_max_fds)?;
    if fd < 0 || fd as u32 >= length {
        return None;
    }
    let array: u64 = get!(table, fdtable_fd)?;
    let file: u64 = read(array.wrapping_add(fd as u64 * 8))?;
    ep_of_file(file)
}

/// Voluntary switches of the current thread so far.
#[inline(always)]
pub fn voluntary_switches() -> u64 {
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    get!(task, task_nvcsw).unwrap_or(0)
}

/// Name of the current process, which its threads need not share.
#[inline(always)]
pub fn process_name() -> [u8; 16] {
    // SAFETY: the helper has no preconditions.
    process_name_of(unsafe { bpf_get_current_task() })
}

/// Name of a task's process.
#[inline(always)]
pub fn process_name_of(task: u64) -> [u8; 16] {
    get!(task, task_leader).and_then(|leader: u64| get!(leader, task_comm)).unwrap_or([0; 16])
}

/// Thread and process of a task in one word, as `bpf_get_current_pid_tgid`
/// gives them for the current one.
#[inline(always)]
pub fn thread_of_task(task: u64) -> Option<u64> {
    let tid: u32 = get!(task, task_pid)?;
    Some(u64::from(tgid_of_task(task)?) << 32 | u64::from(tid))
}

/// Process of a task.
#[inline(always)]
pub fn tgid_of_task(task: u64) -> Option<u32> {
    get!(task, task_tgid)
}
