//! What existed before: every descriptor of a ring, found by the iterator over
//! the open files of all processes. Run on request, not by events.

use core::ffi::c_void;

use aya_ebpf::bindings::seq_file;
use aya_ebpf::helpers::generated::bpf_seq_write;
use uepoll_common::state::HolderRecord;

use crate::{fields, life};

/// `struct bpf_iter__task_file`.
#[repr(C)]
struct IteratorContext {
    meta: *const IteratorMeta,
    /// 0 at the end.
    task: u64,
    fd: u32,
    /// 0 at the end.
    file: u64,
}

/// `struct bpf_iter_meta`, as far as it is used.
#[repr(C)]
struct IteratorMeta {
    seq: *mut seq_file,
}

// int bpf_iter__task_file(struct bpf_iter_meta *meta, struct task_struct *task,
//                         u32 fd, struct file *file)
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
fn ring_files(ctx: *const c_void) -> i32 {
    let ctx: *const IteratorContext = ctx.cast();
    // SAFETY: the verifier checks every load from the context of an iterator.
    let (task, fd, file) = unsafe {
        (
            (&raw const (*ctx).task).read_volatile(),
            (&raw const (*ctx).fd).read_volatile(),
            (&raw const (*ctx).file).read_volatile(),
        )
    };
    if task == 0 || file == 0 {
        return 0;
    }
    let Some(ep) = fields::ep_of_file(file) else { return 0 };
    let Some((ring, thread)) = life::met_in_files(ep, task, fd.cast_signed()) else { return 0 };
    let record = HolderRecord {
        ring,
        tgid: (thread >> 32) as u32,
        fd: fd.cast_signed(),
        comm: fields::process_name_of(task),
    };
    // SAFETY: the sequence is the iterator's own; the record is read whole.
    // Its failure is a full buffer: the kernel then calls again for this file.
    unsafe {
        let seq = (*(*ctx).meta).seq;
        bpf_seq_write(seq, (&raw const record).cast_mut().cast(), size_of::<HolderRecord>() as u32);
    }
    0
}
