//! The list and one ring as people and programs see them, compared with the
//! files in `tests/expected`. After a wanted change: `UEPOLL_BLESS=1 cargo test`,
//! and read the difference.

use std::path::Path;

use uepoll_core::capture::{Holder, Protocol};
use uepoll_core::list::{
    Capacity, Detail, Header, Hidden, Item, Known, Listing, Memory, Ring, Sleeper, Slot,
    SlotContent, State, Target, What, detail_json, detail_text, json, match_targets, text,
};
use uepoll_core::render::Charset;
use uepoll_core::render::text::WIDTH;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn holder(pid: u32, fd: i32, comm: &str) -> Holder {
    Holder { pid, fd, comm: comm.to_owned() }
}

fn ring(pid: u32, fd: i32, comm: &str) -> Ring {
    Ring {
        holder: holder(pid, fd, comm),
        inner_pid: None,
        others: Vec::new(),
        state: State {
            head: 90417,
            tail: 90513,
            used: Some(96),
            capacity: Capacity::Exact(1024),
            moving: false,
        },
        asleep: Some(Vec::new()),
        cgroup: None,
    }
}

fn listing(rings: Vec<Ring>) -> Listing {
    Listing {
        release: "6.12.117-uepoll".to_owned(),
        protocol: Some(Protocol::V2),
        rings,
        hidden: Hidden::default(),
        notes: Vec::new(),
    }
}

/// Rings in every state that there is.
fn busy() -> Listing {
    let mut shared = ring(4242, 7, "nginx");
    shared.others = vec![holder(4242, 9, "nginx"), holder(4300, 7, "nginx-helper")];
    shared.asleep = Some(vec![Sleeper { tid: 4251, comm: "worker-0".into() }]);
    shared.cgroup = Some(format!("/system.slice/docker-{ID}.scope"));
    let mut moving = ring(4300, 11, "server");
    moving.state = State { head: u32::MAX, tail: 2, moving: true, ..moving.state };
    moving.asleep = None;
    moving.cgroup = Some("/system.slice/server.service".into());
    let mut corrupt = ring(5000, 3, "scribbler");
    corrupt.state = State { head: 1002, tail: 2, capacity: Capacity::AtMost(248), ..corrupt.state };
    listing(vec![shared, moving, corrupt])
}

/// The widest that can be.
fn wide() -> Listing {
    let mut ring = ring(4_194_303, 1_048_575, "evil\u{1b}[2J\u{202e}name");
    ring.state = State {
        head: 4_294_900_000,
        tail: 4_294_965_536,
        used: Some(65536),
        capacity: Capacity::Exact(65536),
        moving: true,
    };
    let sleeper = |tid| Sleeper { tid, comm: "w".into() };
    ring.asleep = Some(vec![sleeper(4_194_000), sleeper(4_194_001)]);
    ring.cgroup = Some("/a-name-of-a-cgroup/that-goes-on/and-on".into());
    listing(vec![ring])
}

/// What an ordinary user sees.
fn hidden() -> Listing {
    let mut ring = ring(4242, 7, "mine");
    ring.asleep = None;
    Listing {
        hidden: Hidden {
            processes: 41,
            files: 1,
            waits: 1,
            remedy: "run it under sudo, or once `sudo setcap \
                     cap_dac_read_search,cap_sys_ptrace+ep /usr/bin/uepoll`"
                .to_owned(),
        },
        notes: vec!["a ring with several descriptors is told as several".to_owned()],
        ..listing(vec![ring])
    }
}

fn item(number: u32, data: u64, position: Option<u32>) -> Item {
    Item {
        number,
        events: 0x8000_0019,
        ready_events: u32::from(position.is_some()),
        data,
        position,
        known: Known::Unknown,
    }
}

fn target(fd: i32, data: u64, kind: &str, description: &str) -> Target {
    let what = What::File { kind: kind.into(), description: description.into() };
    Target { fd, events: 0x8000_0019, data, what }
}

/// A ring with files of several kinds, of which one item's cannot be told.
fn looked_into() -> Detail {
    let targets = vec![
        target(12, 0xc, "eventfd", "count 3"),
        target(13, 0x7f00_1234_5678, "tcp", "[fe80::1234:5678:9abc:def0]:65535 to [fe80::1]:443"),
        target(14, 7, "pipe", "/run/\u{1b}[31mred"),
        target(15, 7, "eventfd", "count 0"),
        Target { what: What::Replaced, ..target(16, 16, "", "") },
    ];
    let mut items = vec![
        item(0, 0xc, Some(90417)),
        item(1, 0x7f00_1234_5678, None),
        item(2, 7, None),
        item(3, 7, Some(90418)),
        item(4, 16, None),
    ];
    match_targets(&mut items, &targets);
    let content = [
        SlotContent::Item(0),
        SlotContent::Item(3),
        SlotContent::Empty,
        SlotContent::OutOfRange(9),
    ];
    let slots = (90417..).zip(content).map(|(position, content)| Slot { position, content });
    let mut ring = ring(4242, 7, "nginx");
    ring.inner_pid = Some(17);
    ring.others = vec![holder(4242, 9, "nginx")];
    ring.cgroup = Some("/system.slice/nginx.service".into());
    ring.asleep = Some(vec![Sleeper { tid: 4251, comm: "worker-0".into() }]);
    ring.state = State {
        head: 90417,
        tail: 90421,
        used: Some(5),
        capacity: Capacity::Exact(8),
        moving: false,
    };
    let header = Header {
        magic: 0xeb01_eb01,
        header_length: 4096,
        index_length: 4096,
        max_items: 8,
        head: 90417,
        tail: 90421,
    };
    Detail {
        release: "6.12.117-uepoll".to_owned(),
        protocol: Some(Protocol::V2),
        ring,
        memory: Ok(Memory {
            header,
            header_bytes: 4096,
            index_bytes: 4096,
            slots: slots.collect(),
            items,
            moving: false,
        }),
        targets,
        hidden: Hidden::default(),
        notes: Vec::new(),
    }
}

/// The same, scribbled over.
fn hostile() -> Detail {
    let mut detail = looked_into();
    let memory = detail.memory.as_mut().expect("there is memory");
    memory.header.magic = 0xdead_beef;
    memory.header.index_length = u32::MAX;
    memory.slots.clear();
    memory.moving = true;
    for item in &mut memory.items {
        *item = Item {
            number: 65535,
            events: u32::MAX,
            ready_events: u32::MAX,
            data: u64::MAX,
            position: None,
            known: Known::Unknown,
        };
    }
    detail.ring.state.head = 1 << 30;
    detail
}

/// Compares with the expected file, or writes it where that is asked for.
fn expect(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected").join(name);
    if std::env::var_os("UEPOLL_BLESS").is_some() {
        std::fs::write(&path, text).expect("the folder is there");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{} is not what is printed:\n{text}", path.display());
}

/// Nothing wider than a terminal, and nothing that commands one.
fn checked(text: String) -> String {
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "wider than {WIDTH}: {line}");
        assert!(line.is_ascii() && line.trim_end() == line, "{line:?}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }
    text
}

#[test]
fn each_ring_is_a_line_with_what_is_wrong_below() {
    expect("list-busy.txt", &checked(text(&busy(), Charset::Ascii)));
    expect("list-busy.json", &json(&busy()));
}

#[test]
fn the_widest_ring_fits_into_80_columns() {
    expect("list-wide.txt", &checked(text(&wide(), Charset::Ascii)));
}

#[test]
fn what_was_hidden_is_told_with_the_right_that_shows_it() {
    expect("list-hidden.txt", &checked(text(&hidden(), Charset::Ascii)));
    let nothing = Listing { rings: Vec::new(), ..hidden() };
    let told = checked(text(&nothing, Charset::Ascii));
    assert!(told.contains("no user-polled ring where we may look\n"), "{told}");
    assert!(text(&listing(Vec::new()), Charset::Ascii).ends_with("no user-polled ring\n"));
}

#[test]
fn one_ring_is_told_with_what_each_item_is_for() {
    expect("list-ring.txt", &checked(detail_text(&looked_into(), Charset::Ascii)));
    expect("list-ring.json", &detail_json(&looked_into()));
}

#[test]
fn a_ring_that_was_scribbled_over_is_told_as_that() {
    expect("list-hostile.txt", &checked(detail_text(&hostile(), Charset::Ascii)));
}

#[test]
fn without_its_memory_a_rings_files_are_told_and_what_would_show_the_rest() {
    let mut detail = looked_into();
    detail.memory = Err("not shown to us: run it under sudo".to_owned());
    expect("list-ring-hidden.txt", &checked(detail_text(&detail, Charset::Ascii)));
    let told: serde_json::Value = serde_json::from_str(&detail_json(&detail)).expect("JSON");
    assert!(told["rings"][0]["memory"].is_null());
    assert_eq!(told["rings"][0]["why_no_memory"], "not shown to us: run it under sudo");
}
