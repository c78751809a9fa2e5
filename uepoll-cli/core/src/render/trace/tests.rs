//! Lines of known records, and of hostile ones.

use super::*;

const START_NS: u64 = 5_000_000_000;

fn seen() -> RingSeen {
    RingSeen {
        kind: 2,
        ring: 3,
        time_ns: START_NS,
        tgid: 4242,
        tid: 4251,
        fd: 7,
        max_items: 1024,
        head: 5,
        tail: 9,
        comm: *b"ng\x1binx\0\0\0\0\0\0\0\0\0\0",
        how: RingSeen::MET,
        reserved: 0,
    }
}

fn lines() -> Lines {
    let mut lines = Lines::new(START_NS, Charset::Utf8);
    let line = lines.text(&Record::RingSeen(seen())).expect("a line");
    assert_eq!(line, "   0.000000 4242:7     ng\\x1binx  ring    met, of 1024 items, 4 in it\n");
    lines
}

#[test]
fn a_ring_is_told_again_only_if_it_is_known_better() {
    let unknown = Record::RingSeen(RingSeen { tgid: 0, ..seen() });
    let known = Record::RingSeen(seen());
    let other = Record::RingSeen(RingSeen { fd: 8, ..seen() });
    let mut lines = Lines::new(START_NS, Charset::Utf8);
    let told = |lines: &mut Lines, record| (lines.text(record).is_some(), lines.json(record));
    assert_eq!(told(&mut lines, &unknown), (true, None));
    assert_eq!(told(&mut lines, &known), (true, None));
    assert_eq!(told(&mut lines, &unknown), (false, None));
    assert_eq!(told(&mut lines, &other), (true, None));
}

fn records() -> Vec<Record> {
    let at = |ns: u64| START_NS + ns;
    let resolved = Resolved {
        kind: 1,
        ring: 3,
        position: 77,
        item: 12,
        arrival_ns: at(1_000),
        add_entry_ns: at(1_100),
        add_exit_ns: at(1_500),
        consumed_lo_ns: at(5_600),
        consumed_hi_ns: at(6_100),
        sample_shift: 0,
        interval: 0,
        waker_tid: 99,
        flags: 0,
    };
    let waited = Waited {
        kind: 5,
        ring: 3,
        tid: 4251,
        result: -116,
        entry_ns: at(10_000),
        exit_ns: at(10_400),
        woken_ns: 0,
        flags: 0,
        sample_shift: 3,
    };
    let slept = Waited {
        result: 0,
        flags: Waited::SLEPT | Waited::MET_ASLEEP,
        woken_ns: at(10_200),
        sample_shift: 0,
        ..waited
    };
    let refused = Refused {
        kind: 6,
        ring: 3,
        time_ns: at(2_500_000_000),
        tid: 4243,
        cause: Refused::RING_FULL,
        sample_shift: 0,
        likely: 1,
    };
    let worked = Worked {
        kind: 7,
        ring: 8,
        queued_ns: 0,
        begin_ns: at(20_000),
        end_ns: at(25_000),
        item: u32::MAX,
        tid: 33,
        flags: Worked::EMPTY,
        sample_shift: 0,
    };
    vec![
        Record::Resolved(resolved),
        Record::Resolved(Resolved { consumed_hi_ns: 0, flags: Resolved::BY_WORKER, ..resolved }),
        Record::Waited(waited),
        Record::Waited(slept),
        Record::Refused(refused),
        Record::Worked(worked),
    ]
}

#[test]
fn each_kind_has_its_line() {
    let mut lines = lines();
    let told: String = records().iter().filter_map(|record| lines.text(record)).collect();
    assert_eq!(
        told,
        "   0.000001 4242:7     ng\\x1binx  event   item 12 in 99, in ring 4.1..5.0us\n   \
         0.000001 4242:7     ng\\x1binx  event   item 12 worker 99, in ring >=4.1us so far\n   \
         0.000010 4242:7     ng\\x1binx  estale  4251 at once, 400ns: ESTALE (1 of 8)\n   \
         0.000010 4242:7     ng\\x1binx  wait    4251 slept >= 400ns, woke in 200ns: timed out\n   \
         2.500000 4242:7     ng\\x1binx  enospc  4243 cannot add: ring full (likely)\n   \
         0.000025 ring 8     ?          offload item ? by 33, queued ?, ran 5.0us, empty\n"
    );
}

#[test]
fn json_lines_are_ascii_documents_with_what_is_not_known_as_null() {
    let mut lines = lines();
    let told: Vec<Json> = records()
        .iter()
        .filter_map(|record| lines.json(record))
        .inspect(|line| assert!(line.is_ascii() && line.ends_with('\n')))
        .map(|line| serde_json::from_str(&line).expect("JSON"))
        .collect();
    assert_eq!(told[0]["consumed_hi_ns"], 6_100);
    assert_eq!(told[0]["owner"]["comm"], "ng\u{1b}inx");
    assert_eq!(told[1]["consumed_hi_ns"], Json::Null);
    assert_eq!((&told[2]["kind"], &told[2]["stands_for"]), (&json!("estale"), &json!(8)));
    assert_eq!(told[3]["entry_ns"], Json::Null);
    assert_eq!(told[5]["owner"], Json::Null);
    assert_eq!(told[5]["queued_ns"], Json::Null);
}

#[test]
fn hostile_records_make_lines_too() {
    let mut lines = Lines::new(u64::MAX, Charset::Ascii);
    for kind in 1..=7u32 {
        for fill in [0u8, 0x80, 0xff] {
            let mut bytes = vec![fill; 256];
            bytes[..4].copy_from_slice(&kind.to_ne_bytes());
            let record = Record::decode(&bytes).expect("a record");
            for line in [lines.text(&record), lines.json(&record)].into_iter().flatten() {
                assert!(line.is_ascii() && line.ends_with('\n'), "{line:?}");
                assert!(!line.trim_end().contains(char::is_control), "{line:?}");
            }
        }
    }
}
