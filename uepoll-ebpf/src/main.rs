//! The probes of uepoll: count and bucket in the kernel, send only sampled
//! positions, snapshots and the life of rings. One file for each thing that is
//! observed; here only the ways in. Every function can be probed in two ways,
//! by kprobe and, as NAME_typed, by fentry or fexit: one body serves both.
//!
//! The comment above each program is the prototype that it expects; the build
//! of the kernel is checked against it.
#![no_std]
#![no_main]
// Compare-and-swap and fetch-and-add on map memory: the BPF target of rustc
// offers them as intrinsics only.
#![feature(core_intrinsics)]
#![expect(internal_features, reason = "see core_intrinsics above")]

mod anomaly;
mod atomic;
mod callback;
mod fields;
mod files;
mod frames;
mod life;
mod maps;
mod offload;
mod owner;
mod pending;
mod publish;
mod ring;
mod sampler;
mod singles;
mod snapshot;
mod syscalls;
mod typed;

use aya_ebpf::EbpfContext;
use aya_ebpf::macros::{kprobe, kretprobe, perf_event, raw_tracepoint, tracepoint, uprobe};
use aya_ebpf::programs::{
    PerfEventContext, ProbeContext, RawTracePointContext, RetProbeContext, TracePointContext,
};

use crate::fields::Probed;

/// Offset of `ret` in the record of every `sys_exit_*` tracepoint: behind the
/// common part (8 bytes) and `int __syscall_nr` (padded to 8).
const SYS_EXIT_RET: usize = 16;

/// Stack pointer of the function at its entry.
#[inline(always)]
fn entry_sp(ctx: &ProbeContext) -> u64 {
    // SAFETY: the context of a kprobe is a `pt_regs`, which the verifier lets
    // programs read.
    unsafe { (*ctx.regs).rsp }
}

/// Stack pointer that the function had at its entry, told at its return: the
/// return address has been popped by then.
#[inline(always)]
fn return_sp(ctx: &RetProbeContext) -> u64 {
    // SAFETY: as in `entry_sp`.
    unsafe { (*ctx.regs).rsp }.wrapping_sub(8)
}

// static int ep_poll_callback(struct epitem *epi, __poll_t pollflags)
#[kprobe]
fn callback_entry(ctx: ProbeContext) -> u32 {
    if let (Some(item), Some(flags)) = (ctx.arg::<u64>(0), ctx.arg::<u32>(1)) {
        callback::entry::<Probed>(entry_sp(&ctx), item, flags);
    }
    0
}

// static int ep_poll_callback(struct epitem *epi, __poll_t pollflags)
#[kretprobe]
fn callback_return(ctx: RetProbeContext) -> u32 {
    callback::exit::<Probed>(return_sp(&ctx), 0);
    0
}

// static bool ep_add_event_to_uring(struct epitem *epi, __poll_t pollflags)
#[kprobe]
fn add_entry(ctx: ProbeContext) -> u32 {
    if let Some(item) = ctx.arg::<u64>(0) {
        ring::add_entry::<Probed>(entry_sp(&ctx), item);
    }
    0
}

// static bool ep_add_event_to_uring(struct epitem *epi, __poll_t pollflags)
#[kretprobe]
fn add_return(ctx: RetProbeContext) -> u32 {
    // A bool is returned in the low byte; the rest of the register is noise.
    ring::add_exit::<Probed>(return_sp(&ctx), 0, ctx.ret::<u64>() & 0xff != 0);
    0
}

// static void ep_remove_user_item(struct epitem *epi)
#[kprobe]
fn remove_entry(ctx: ProbeContext) -> u32 {
    if let Some(item) = ctx.arg::<u64>(0) {
        ring::remove_entry::<Probed>(item);
    }
    0
}

// static void ep_remove(struct eventpoll *ep, struct epitem *epi)
// Where `ep_remove_user_item` cannot be probed.
#[kprobe]
fn remove_by_ctl_entry(ctx: ProbeContext) -> u32 {
    if let Some(item) = ctx.arg::<u64>(1) {
        ring::remove_entry::<Probed>(item);
    }
    0
}

// static int ep_poll_wakeup(wait_queue_entry_t *wait, unsigned int mode,
//                           int sync, void *key)
#[kprobe]
fn wakeup_entry(ctx: ProbeContext) -> u32 {
    // key_to_poll(): the poll flags are the low 32 bits of the key.
    if let (Some(wait), Some(key)) = (ctx.arg::<u64>(0), ctx.arg::<u32>(3)) {
        offload::wakeup_entry(wait, key);
    }
    0
}

// static int ep_poll_wakeup(wait_queue_entry_t *wait, unsigned int mode,
//                           int sync, void *key)
// Where `ep_poll_callback` cannot be probed: a wake-up with flags calls it.
#[kprobe]
fn arrival_wakeup_entry(ctx: ProbeContext) -> u32 {
    if let (Some(wait), Some(key)) = (ctx.arg::<u64>(0), ctx.arg::<u32>(3)) {
        offload::arrival_entry(entry_sp(&ctx), wait, key);
    }
    0
}

// static int ep_poll_wakeup(wait_queue_entry_t *wait, unsigned int mode,
//                           int sync, void *key)
#[kretprobe]
fn arrival_wakeup_return(ctx: RetProbeContext) -> u32 {
    callback::exit::<Probed>(return_sp(&ctx), 0);
    0
}

// static void ep_poll_callback_work(struct work_struct *work)
#[kprobe]
fn work_entry(ctx: ProbeContext) -> u32 {
    if let Some(work) = ctx.arg::<u64>(0) {
        offload::work_entry(work);
    }
    0
}

// static void ep_poll_callback_work(struct work_struct *work)
#[kretprobe]
fn work_return(_ctx: RetProbeContext) -> u32 {
    offload::work_exit();
    0
}

// static int ep_get_bit(struct eventpoll *ep)
#[kretprobe]
fn get_bit_return(ctx: RetProbeContext) -> u32 {
    syscalls::get_bit_exit(ctx.ret::<i32>());
    0
}

// int do_epoll_ctl(int epfd, int op, int fd, struct epoll_event *epds,
//                  bool nonblock)
#[kprobe]
fn ctl_entry(ctx: ProbeContext) -> u32 {
    if let (Some(epfd), Some(op)) = (ctx.arg::<i32>(0), ctx.arg::<u32>(1)) {
        syscalls::ctl_entry(epfd, op);
    }
    0
}

// syscalls:sys_exit_epoll_ctl
#[tracepoint]
fn ctl_exit(ctx: TracePointContext) -> u32 {
    // SAFETY: the record of the tracepoint is longer than this offset.
    if let Ok(ret) = unsafe { ctx.read_at::<i64>(SYS_EXIT_RET) } {
        syscalls::ctl_exit(ret);
    }
    0
}

// static int do_epoll_wait(int epfd, struct epoll_event __user *events,
//                          int maxevents, struct timespec64 *to)
#[kprobe]
fn wait_entry(ctx: ProbeContext) -> u32 {
    if let Some(epfd) = ctx.arg::<i32>(0) {
        syscalls::wait_entry(epfd);
    }
    0
}

// syscalls:sys_exit_epoll_wait, sys_exit_epoll_pwait, sys_exit_epoll_pwait2.
// Never a kretprobe: the function blocks, and instances run out.
#[tracepoint]
fn wait_exit(ctx: TracePointContext) -> u32 {
    // SAFETY: the record of the tracepoint is longer than this offset.
    if let Ok(ret) = unsafe { ctx.read_at::<i64>(SYS_EXIT_RET) } {
        syscalls::wait_exit(ret);
    }
    0
}

// syscalls:sys_exit_epoll_wait, sys_exit_epoll_pwait, sys_exit_epoll_pwait2.
// Where waits end by fexit: it is not run for a call that was entered before.
#[tracepoint]
fn wait_met_exit(ctx: TracePointContext) -> u32 {
    // SAFETY: the record of the tracepoint is longer than this offset.
    if let Ok(ret) = unsafe { ctx.read_at::<i64>(SYS_EXIT_RET) } {
        syscalls::wait_met_exit(ret);
    }
    0
}

// static int do_epoll_create(int flags, size_t size)
#[kretprobe]
fn create_return(ctx: RetProbeContext) -> u32 {
    life::create_exit(ctx.ret::<i32>());
    0
}

// static int ep_eventpoll_mmap(struct file *file, struct vm_area_struct *vma)
#[kprobe]
fn mmap_entry(ctx: ProbeContext) -> u32 {
    if let Some(file) = ctx.arg::<u64>(0) {
        life::mmap_entry(file);
    }
    0
}

// static int ep_eventpoll_release(struct inode *inode, struct file *file)
#[kprobe]
fn release_entry(ctx: ProbeContext) -> u32 {
    if let Some(file) = ctx.arg::<u64>(1) {
        life::release_entry(entry_sp(&ctx), file);
    }
    0
}

// static int ep_eventpoll_release(struct inode *inode, struct file *file)
#[kretprobe]
fn release_return(ctx: RetProbeContext) -> u32 {
    life::release_exit(return_sp(&ctx));
    0
}

// sched:sched_process_fork
// TP_PROTO(struct task_struct *parent, struct task_struct *child)
#[raw_tracepoint(tracepoint = "sched_process_fork")]
fn fork(ctx: RawTracePointContext) -> i32 {
    owner::fork(ctx.arg::<u64>(0), ctx.arg::<u64>(1));
    0
}

// sched:sched_process_free
// TP_PROTO(struct task_struct *p)
#[raw_tracepoint(tracepoint = "sched_process_free")]
fn process_free(ctx: RawTracePointContext) -> i32 {
    owner::process_free(ctx.arg::<u64>(0));
    0
}

// sched:sched_wakeup
// TP_PROTO(struct task_struct *p)
#[raw_tracepoint(tracepoint = "sched_wakeup")]
fn wakeup(ctx: RawTracePointContext) -> i32 {
    syscalls::wakeup(ctx.arg::<u64>(0));
    0
}

// perf software clock, on every CPU.
#[perf_event]
fn sampler(ctx: PerfEventContext) -> u32 {
    // SAFETY: the context begins with the registers of what was interrupted;
    // the verifier lets programs read them whole.
    let cs = unsafe { (&raw const (*ctx.ctx).regs.cs).read_volatile() };
    // The privilege level of the code that ran: 3 in user mode.
    sampler::tick(cs & 3 != 0);
    0
}

// USDT-style probe of consumers: provider `uepoll`, name `spin_end`, see
// docs/spin-probe.md: the descriptor in %edi, iterations in %rsi.
#[uprobe]
fn spin_end(ctx: ProbeContext) -> u32 {
    if let (Some(epfd), Some(iterations)) = (ctx.arg::<i32>(0), ctx.arg::<u64>(1)) {
        syscalls::spin_end(epfd, iterations);
    }
    0
}

/// Looks at one ring when user space asks for it (`BPF_PROG_TEST_RUN`, argument
/// 0 is the ring's number): the last look of a run. Attached to nothing.
#[raw_tracepoint]
fn look(ctx: RawTracePointContext) -> i32 {
    sampler::look(ctx.arg::<u64>(0) as u32);
    0
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // No code path panics: indexes are masked or checked. The verifier would
    // refuse a reachable endless loop.
    loop {}
}

// The helpers that are used are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Keeps the trait that gives contexts their address in scope of the macros.
#[expect(dead_code, reason = "see above")]
fn context_is_ebpf<T: EbpfContext>(_: &T) {}
