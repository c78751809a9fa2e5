//! What the kernel side is told about the running kernel before it is loaded:
//! where fields lie, and how the run is set up. Resolved in user space from
//! the kernel's own BTF; no offset is known beforehand.

/// Where one field lies in its structure.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// Bytes from the start of the structure.
    pub offset: u32,
    /// 0 if this kernel has no such field.
    pub exists: u32,
}

impl Field {
    /// Not there.
    pub const ABSENT: Self = Self { offset: 0, exists: 0 };

    /// At `offset` bytes.
    pub const fn at(offset: u32) -> Self {
        Self { offset, exists: 1 }
    }
}

/// Declares [`KernelFields`] and the list of its fields together, so that
/// what the kernel side reads and what user space looks for cannot differ.
macro_rules! kernel_fields {
    ($($name:ident: $structure:literal . $path:literal, $need:ident, $doc:literal;)+) => {
        /// The fields that probes read.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct KernelFields { $(#[doc = $doc] pub $name: Field,)+ }

        impl KernelFields {
            /// None of them there.
            pub const ABSENT: Self = Self { $($name: Field::ABSENT,)+ };

            /// Fills every field with what `find(structure, path)` gives.
            ///
            /// # Errors
            /// The structure and path of the first field that no run can do
            /// without and that `find` does not know.
            pub fn resolve(
                mut find: impl FnMut(&str, &str) -> Option<u32>,
            ) -> Result<Self, (&'static str, &'static str)> {
                Ok(Self {
                    $($name: match find($structure, $path) {
                        Some(offset) => Field::at(offset),
                        None if Need::$need as u8 == Need::Optional as u8 => Field::ABSENT,
                        None => return Err(($structure, $path)),
                    },)+
                })
            }
        }
    };
}

/// Whether a run can do without a field.
#[derive(Clone, Copy)]
enum Need {
    Required,
    Optional,
}

kernel_fields! {
    eventpoll_user_header: "eventpoll"."user_header", Required, "`eventpoll.user_header`";
    eventpoll_header_length: "eventpoll"."header_length", Required, "`eventpoll.header_length`";
    eventpoll_index_length: "eventpoll"."index_length", Required, "`eventpoll.index_length`";
    eventpoll_max_items_nr: "eventpoll"."max_items_nr", Required, "`eventpoll.max_items_nr`";
    eventpoll_user_tail: "eventpoll"."user_tail", Optional, "the port's private tail";
    eventpoll_user_used: "eventpoll"."user_used", Optional, "the port's count of used items";
    eventpoll_user_index: "eventpoll"."user_index", Required, "`eventpoll.user_index`";
    eventpoll_items_bm: "eventpoll"."items_bm", Optional, "bitmap of used items";
    epitem_ep: "epitem"."ep", Required, "`epitem.ep`";
    epitem_events: "epitem"."event.events", Required, "`epitem.event.events`";
    epitem_bit: "uepitem"."bit", Required, "index of the item, in `uepitem` or `epitem`";
    epitem_work: "uepitem"."work", Optional, "offload work, in `uepitem` or `epitem`";
    eppoll_entry_wait: "eppoll_entry"."wait", Optional, "`eppoll_entry.wait`";
    eppoll_entry_base: "eppoll_entry"."base", Optional, "`eppoll_entry.base`";
    task_files: "task_struct"."files", Required, "`task_struct.files`";
    task_nvcsw: "task_struct"."nvcsw", Required, "voluntary switches of a thread";
    task_leader: "task_struct"."group_leader", Required, "first thread of a process";
    task_comm: "task_struct"."comm", Required, "name of a thread";
    task_pid: "task_struct"."pid", Required, "`task_struct.pid`";
    task_tgid: "task_struct"."tgid", Required, "`task_struct.tgid`";
    files_fdt: "files_struct"."fdt", Required, "`files_struct.fdt`";
    fdtable_fd: "fdtable"."fd", Required, "`fdtable.fd`";
    fdtable_max_fds: "fdtable"."max_fds", Required, "`fdtable.max_fds`";
    file_f_op: "file"."f_op", Required, "`file.f_op`";
    file_private_data: "file"."private_data", Required, "`file.private_data`";
}

/// How a run is set up. Fixed before the programs are loaded.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Address of `eventpoll_fops`: how an epoll file is known.
    pub eventpoll_fops: u64,
    /// Number of the cgroup whose processes are wanted; 0 for none.
    pub filter_cgroup: u64,
    /// Odd number that decides which positions are sampled.
    pub salt: u32,
    /// Smallest sample shift of any ring.
    pub sample_shift: u32,
    /// Positions of one ring that are sampled in 100 ms before its sample
    /// shift is raised.
    pub sample_budget: u32,
    /// Not 0 if only selected rings count: those of the target processes, or
    /// those that one of the following words names.
    pub filter_on: u32,
    /// Not 0 if processes forked by a target are targets too.
    pub follow_forks: u32,
    /// Descriptor of the one ring of the target process that is wanted, plus
    /// one; 0 for any.
    pub filter_fd: u32,
    /// Depth of that cgroup in the hierarchy.
    pub filter_cgroup_level: u32,
    /// Name of the processes that are wanted, NUL padded; all 0 for none.
    pub filter_comm: [u8; 16],
    /// Not 0 if `ep_add_event_to_uring` is probed; else what it did is
    /// inferred from the movement of tail.
    pub add_probed: u32,
    /// Not 0 if `ep_poll_callback` is probed; else arrivals are those of
    /// `ep_poll_wakeup`.
    pub callback_probed: u32,
    /// Not 0 if `ep_get_bit` is probed; else a full ring is told from the
    /// count of used items.
    pub get_bit_probed: u32,
    /// Not 0 if ep->lock is a spinlock: adds of one ring follow each other.
    pub lock_is_spinlock: u32,
    /// Places in the maps of rings.
    pub rings: u32,
    /// Not 0 if single events are asked for beside what is counted.
    pub singles: u32,
    /// Not 0 if slots hold index + 1, and 0 while unwritten (v2 and v3).
    pub slots_from_one: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_a_required_field_is_named() {
        let missing = KernelFields::resolve(|structure, path| {
            (structure != "eventpoll" || path != "user_header").then_some(8)
        });
        assert_eq!(missing, Err(("eventpoll", "user_header")));
    }

    #[test]
    fn a_kernel_without_an_optional_field_says_so() {
        let fields = KernelFields::resolve(|_, path| (path != "user_tail").then_some(16));
        assert_eq!(fields.map(|f| f.eventpoll_user_tail), Ok(Field::ABSENT));
        assert_eq!(fields.map(|f| f.eventpoll_user_used), Ok(Field::at(16)));
    }
}
