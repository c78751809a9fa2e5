//! The prototypes that the programs read their functions by, as in the comments
//! beside the programs (a test keeps them equal), and whether this kernel's
//! types agree.

use crate::kernel::btf::{Btf, Prototype};

/// One for each probed function.
const PROTOTYPES: &[&str] = &[
    "static int ep_poll_callback(struct epitem *epi, __poll_t pollflags)",
    "static bool ep_add_event_to_uring(struct epitem *epi, __poll_t pollflags)",
    "static void ep_remove_user_item(struct epitem *epi)",
    "static void ep_remove(struct eventpoll *ep, struct epitem *epi)",
    "static int ep_poll_wakeup(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)",
    "static void ep_poll_callback_work(struct work_struct *work)",
    "static int ep_get_bit(struct eventpoll *ep)",
    "int do_epoll_ctl(int epfd, int op, int fd, struct epoll_event *epds, bool nonblock)",
    "static int do_epoll_wait(int epfd, struct epoll_event __user *events, int maxevents, \
     struct timespec64 *to)",
    "static int do_epoll_create(int flags, size_t size)",
    "static int ep_eventpoll_mmap(struct file *file, struct vm_area_struct *vma)",
    "static int ep_eventpoll_release(struct inode *inode, struct file *file)",
];

/// The prototype that the programs of a function expect; `None` if none has it.
pub fn prototype_of(function: &str) -> Option<&'static str> {
    let of = |text: &&&str| Prototype::parse(text).is_ok_and(|found| found.function == function);
    PROTOTYPES.iter().find(of).copied()
}

/// Whether a function's prototype in the kernel's types is the expected one.
///
/// # Errors
/// In what it differs, in words.
pub fn fits(types: &Btf, function: &str) -> Result<(), String> {
    let text = prototype_of(function).ok_or_else(|| format!("no program reads {function}"))?;
    let expected = Prototype::parse(text).map_err(|error| error.to_string())?;
    let real = types.prototype(function).ok_or_else(|| format!("{function} is not in BTF"))?;
    expected.difference(&real).map_or(Ok(()), Err)
}
