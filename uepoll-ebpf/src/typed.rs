//! The ways in by fentry and fexit: the twins of the kprobes in `main.rs`, which
//! have the same bodies. Arguments are typed, and known again at the return.

use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};

use crate::fields::Typed;
use crate::{callback, life, offload, ring, syscalls};

// static int ep_poll_callback(struct epitem *epi, __poll_t pollflags)
#[fentry]
fn callback_entry_typed(ctx: FEntryContext) -> u32 {
    let item: u64 = ctx.arg(0);
    callback::entry::<Typed>(item, item, ctx.arg(1));
    0
}

// static int ep_poll_callback(struct epitem *epi, __poll_t pollflags)
#[fexit]
fn callback_return_typed(ctx: FExitContext) -> u32 {
    let item: u64 = ctx.arg(0);
    callback::exit::<Typed>(item, item);
    0
}

// static bool ep_add_event_to_uring(struct epitem *epi, __poll_t pollflags)
#[fentry]
fn add_entry_typed(ctx: FEntryContext) -> u32 {
    let item: u64 = ctx.arg(0);
    ring::add_entry::<Typed>(item, item);
    0
}

// static bool ep_add_event_to_uring(struct epitem *epi, __poll_t pollflags)
#[fexit]
fn add_return_typed(ctx: FExitContext) -> u32 {
    let item: u64 = ctx.arg(0);
    // A bool is returned in the low byte; the rest of the register is noise.
    let new_slot = ctx.arg::<u64>(2) & 0xff != 0;
    ring::add_exit::<Typed>(item, item, new_slot);
    0
}

// static void ep_remove_user_item(struct epitem *epi)
#[fentry]
fn remove_entry_typed(ctx: FEntryContext) -> u32 {
    ring::remove_entry::<Typed>(ctx.arg(0));
    0
}

// static int ep_poll_wakeup(wait_queue_entry_t *wait, unsigned int mode,
//                           int sync, void *key)
#[fentry]
fn wakeup_entry_typed(ctx: FEntryContext) -> u32 {
    // key_to_poll(): the poll flags are the low 32 bits of the key.
    offload::wakeup_entry(ctx.arg(0), ctx.arg::<u64>(3) as u32);
    0
}

// static void ep_poll_callback_work(struct work_struct *work)
#[fentry]
fn work_entry_typed(ctx: FEntryContext) -> u32 {
    offload::work_entry(ctx.arg(0));
    0
}

// static void ep_poll_callback_work(struct work_struct *work)
#[fexit]
fn work_return_typed(_ctx: FExitContext) -> u32 {
    offload::work_exit();
    0
}

// static int ep_get_bit(struct eventpoll *ep)
#[fexit]
fn get_bit_return_typed(ctx: FExitContext) -> u32 {
    syscalls::get_bit_exit(ctx.arg(1));
    0
}

// int do_epoll_ctl(int epfd, int op, int fd, struct epoll_event *epds,
//                  bool nonblock)
#[fentry]
fn ctl_entry_typed(ctx: FEntryContext) -> u32 {
    syscalls::ctl_entry(ctx.arg(0), ctx.arg(1));
    0
}

// int do_epoll_ctl(int epfd, int op, int fd, struct epoll_event *epds,
//                  bool nonblock)
#[fexit]
fn ctl_return_typed(ctx: FExitContext) -> u32 {
    syscalls::ctl_exit(i64::from(ctx.arg::<i32>(5)));
    0
}

// static int do_epoll_wait(int epfd, struct epoll_event __user *events,
//                          int maxevents, struct timespec64 *to)
#[fentry]
fn wait_entry_typed(ctx: FEntryContext) -> u32 {
    syscalls::wait_entry(ctx.arg(0));
    0
}

// static int do_epoll_wait(int epfd, struct epoll_event __user *events,
//                          int maxevents, struct timespec64 *to)
#[fexit]
fn wait_return_typed(ctx: FExitContext) -> u32 {
    syscalls::wait_exit(i64::from(ctx.arg::<i32>(4)));
    0
}

// static int do_epoll_create(int flags, size_t size)
#[fexit]
fn create_return_typed(ctx: FExitContext) -> u32 {
    life::create_exit(ctx.arg(2));
    0
}

// static int ep_eventpoll_mmap(struct file *file, struct vm_area_struct *vma)
#[fentry]
fn mmap_entry_typed(ctx: FEntryContext) -> u32 {
    life::mmap_entry(ctx.arg(0));
    0
}

// static int ep_eventpoll_release(struct inode *inode, struct file *file)
#[fentry]
fn release_entry_typed(ctx: FEntryContext) -> u32 {
    let file: u64 = ctx.arg(1);
    life::release_entry(file, file);
    0
}

// static int ep_eventpoll_release(struct inode *inode, struct file *file)
#[fexit]
fn release_return_typed(ctx: FExitContext) -> u32 {
    life::release_exit(ctx.arg(1));
    0
}
