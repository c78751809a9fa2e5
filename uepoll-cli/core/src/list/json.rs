//! The same for programs: schema `uepoll.list/1`, one document in ASCII. What is
//! absent is null.

use serde_json::{Value as Json, json as object};

use super::detail::{Detail, Known, SlotContent, Target, What};
use super::{Capacity, Hidden, Listing, Ring, container, protocol_name};
use crate::capture::Holder;
use crate::render::json::ascii;

/// Name and major version of the schema: additive changes keep it.
pub const SCHEMA: &str = "uepoll.list/1";

/// The whole list; ends with a line break.
pub fn listing(listing: &Listing) -> String {
    document(&object!({
        "schema": SCHEMA,
        "release": listing.release,
        "protocol": protocol_name(listing.protocol),
        "rings": listing.rings.iter().map(ring).collect::<Vec<_>>(),
        "hidden": hidden(&listing.hidden),
        "notes": listing.notes,
    }))
}

/// One ring looked into; ends with a line break. The same document with one
/// ring, which has `memory` and `targets` too.
pub fn detail(detail: &Detail) -> String {
    let mut one = ring(&detail.ring);
    let targets: Vec<Json> = detail.targets.iter().map(target).collect();
    one["targets"] = targets.into();
    (one["memory"], one["why_no_memory"]) = match &detail.memory {
        Ok(found) => (memory(found, &detail.targets), Json::Null),
        Err(why) => (Json::Null, why.as_str().into()),
    };
    document(&object!({
        "schema": SCHEMA,
        "release": detail.release,
        "protocol": protocol_name(detail.protocol),
        "rings": [one],
        "hidden": hidden(&detail.hidden),
        "notes": detail.notes,
    }))
}

/// On one line, so that repeated ones are lines.
fn document(json: &Json) -> String {
    ascii(&format!("{json}\n"))
}

fn hidden(hidden: &Hidden) -> Json {
    object!({
        "processes": hidden.processes,
        "epoll_files": hidden.files,
        "waits_of_processes": hidden.waits,
        "do": (!hidden.is_nothing()).then_some(&hidden.remedy),
    })
}

fn ring(ring: &Ring) -> Json {
    let state = &ring.state;
    let (capacity, bound) = match state.capacity {
        Capacity::Exact(items) => (Some(items), items),
        Capacity::AtMost(items) => (None, items),
    };
    object!({
        "pid": ring.holder.pid,
        "inner_pid": ring.inner_pid,
        "fd": ring.holder.fd,
        "comm": ring.holder.comm,
        "others": ring.others.iter().map(holder).collect::<Vec<_>>(),
        "used": state.used,
        "capacity": capacity,
        "capacity_at_most": bound,
        "head": state.head,
        "tail": state.tail,
        "depth": state.sound_depth(),
        "corrupt": state.is_impossible(),
        "moving": state.moving,
        "asleep": ring.asleep.as_ref().map(|asleep| {
            asleep.iter().map(|s| object!({ "tid": s.tid, "comm": s.comm })).collect::<Vec<_>>()
        }),
        "container": ring.cgroup.as_deref().and_then(container),
        "cgroup": ring.cgroup,
    })
}

fn holder(holder: &Holder) -> Json {
    object!({ "pid": holder.pid, "fd": holder.fd, "comm": holder.comm })
}

fn target(target: &Target) -> Json {
    let (kind, description) = match &target.what {
        What::File { kind, description } => (Some(kind), Some(description)),
        What::Replaced | What::Unknown => (None, None),
    };
    object!({
        "fd": target.fd,
        "events": target.events,
        "data": format!("{:#x}", target.data),
        "kind": kind,
        "description": description,
        "replaced": target.what == What::Replaced,
    })
}

fn memory(memory: &super::detail::Memory, targets: &[Target]) -> Json {
    let header = &memory.header;
    object!({
        "moving": memory.moving,
        "header_bytes": memory.header_bytes,
        "index_bytes": memory.index_bytes,
        "header": {
            "magic": header.magic,
            "header_length": header.header_length,
            "index_length": header.index_length,
            "max_items_nr": header.max_items,
            "head": header.head,
            "tail": header.tail,
        },
        "slots": memory.slots.iter().map(|slot| {
            let (item, word) = match slot.content {
                SlotContent::Item(item) => (Some(item), None),
                SlotContent::Empty => (None, Some(0)),
                SlotContent::OutOfRange(word) => (None, Some(word)),
            };
            object!({ "position": slot.position, "item": item, "no_item": word })
        }).collect::<Vec<_>>(),
        "items": memory.items.iter().map(|item| object!({
            "item": item.number,
            "events": item.events,
            "ready_events": item.ready_events,
            "data": format!("{:#x}", item.data),
            "position": item.position,
            "fd": match item.known {
                Known::Target(at) => targets.get(at).map(|target| target.fd),
                Known::Unknown | Known::Free => None,
            },
            "free": item.known == Known::Free,
        })).collect::<Vec<_>>(),
    })
}
