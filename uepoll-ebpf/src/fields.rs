//! Kernel field access: where fields lie, and how they are read. Nothing else
//! in the programs touches kernel memory.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_ktime_get_ns};
use uepoll_common::abi::{HEADER_MAGIC, HEADER_SIZE, ITEM_SIZE, OFF_HEAD, OFF_ITEM_READY_EVENTS};
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
    add_probed: 0,
    get_bit_probed: 0,
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
    /// Address of `eventpoll_fops`.
    eventpoll_fops: u64;
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
fn field<T>(base: u64, field: Field) -> Option<T> {
    read(base.wrapping_add(u64::from(field.offset)))
}

/// Reads a field that every supported kernel has.
macro_rules! get {
    ($base:expr, $name:ident) => {
        field($base, global!(FIELDS.$name))
    };
}

/// The `struct eventpoll` of an item.
#[inline(always)]
pub fn ep_of_item(item: u64) -> Option<u64> {
    get!(item, epitem_ep)
}

/// The header of a user-polled epoll file; `None` for an ordinary one.
#[inline(always)]
pub fn header_of(ep: u64) -> Option<u64> {
    get!(ep, eventpoll_user_header).filter(|header| *header != 0)
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
    field(ep, used)
}

/// Head and tail as the mapping shows them, read in one access: both are
/// writable by the process.
#[inline(always)]
pub fn head_and_tail(header: u64) -> Option<(u32, u32)> {
    let both: u64 = read(header.wrapping_add(OFF_HEAD as u64))?;
    Some((both as u32, (both >> 32) as u32))
}

/// Tail: the kernel's private one where there is one, else the mapped one.
#[inline(always)]
pub fn tail_of(ep: u64, header: u64) -> Option<u32> {
    let private = global!(FIELDS.eventpoll_user_tail);
    if private.exists != 0 {
        return field(ep, private);
    }
    head_and_tail(header).map(|(_, tail)| tail)
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
pub fn events_of_item(item: u64) -> Option<u32> {
    get!(item, epitem_events)
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

/// The `struct eventpoll` behind an epoll file.
#[inline(always)]
pub fn ep_of_file(file: u64) -> Option<u64> {
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
    let operations: u64 = get!(file, file_f_op)?;
    if file == 0 || operations != eventpoll_fops() {
        return None;
    }
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
    let task = unsafe { bpf_get_current_task() };
    get!(task, task_leader).and_then(|leader: u64| get!(leader, task_comm)).unwrap_or([0; 16])
}

/// Process of a task.
#[inline(always)]
pub fn tgid_of_task(task: u64) -> Option<u32> {
    get!(task, task_tgid)
}
