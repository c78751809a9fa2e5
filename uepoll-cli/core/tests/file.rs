//! Captures and records as a file keeps them: what comes back makes the same
//! report, byte for byte, and bytes that somebody made up harm nobody.

mod fixture;

use std::io::Write;
use std::sync::Arc;

use fixture::{busy_ring, capture, slow_ring, told, with_hostile_names, with_loss};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;
use uepoll_common::counter::RingHistogram;
use uepoll_common::record::{Record, Refused as RefusedAdd, Snapshot, Waited};
use uepoll_core::capture::{Attached, Capture, HeadWatch, Protocol};
use uepoll_core::file::{
    BlockWriter, Refused, decode_block, decode_capture, encode_capture, histogram_buckets,
};
use uepoll_core::render::text::{TextOptions, render};
use uepoll_core::render::{Charset, json};
use uepoll_core::report::Report;

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// All that can be told of a capture.
fn everything(capture: &Capture) -> (String, String) {
    let report = Report::build(capture, &told(0));
    let options = TextOptions { charset: Charset::Utf8, verbose: true };
    (render(&report, options), json::render(&report))
}

fn captures() -> Vec<Capture> {
    let mut watched = capture(vec![busy_ring(0), busy_ring(1)]);
    watched.head_watch = Some(HeadWatch {
        ring: Some(0),
        reads: u64::MAX,
        watched_ns: 1,
        longest_gap_ns: 2,
        ended: Some("gone \u{1b}[31m".into()),
    });
    watched.host.protocol = Protocol::V4;
    watched.notes = vec!["said \"once\"\n".into()];
    watched.unfinished = true;
    let mut ways = capture(vec![slow_ring().0]);
    let rows = ways.plan.clone();
    for (row, way) in rows.iter().cycle().zip(Attached::ALL) {
        let mut row = row.clone();
        row.attached = way;
        row.lost = Some("something".into());
        ways.plan.push(row);
    }
    ways.loss.probe_misses = None;
    vec![
        capture(Vec::new()),
        capture(vec![busy_ring(0)]),
        with_loss(capture(vec![busy_ring(0)])),
        with_hostile_names(capture(vec![busy_ring(0)])),
        watched,
        ways,
    ]
}

#[test]
fn a_capture_that_is_read_back_makes_the_same_report() {
    for (number, capture) in captures().iter().enumerate() {
        let again = decode_capture(&encode_capture(capture)).expect("it was just written");
        assert_eq!(everything(&again), everything(capture), "capture {number}");
        // And what no report shows.
        assert_eq!(encode_capture(&again), encode_capture(capture), "capture {number}");
        assert_eq!((again.start_ns, again.unfinished), (capture.start_ns, capture.unfinished));
    }
}

#[test]
fn a_histogram_comes_back_exactly() {
    let mut ring = busy_ring(0);
    let histograms = Arc::make_mut(ring.histograms.as_mut().expect("a busy ring has some"));
    let depth = &mut histograms[RingHistogram::Depth as usize];
    [0, 1, 17, 1 << 20, u64::MAX].iter().for_each(|value| depth.record(*value));
    let expected = *depth;
    let again = decode_capture(&encode_capture(&capture(vec![ring]))).expect("whole");
    let depth = again.rings[0].histogram(RingHistogram::Depth).expect("kept");
    assert_eq!(histogram_buckets(depth), histogram_buckets(&expected));
    assert_eq!((depth.count, depth.sum, depth.max), (expected.count, expected.sum, expected.max));
}

#[test]
fn names_that_a_later_version_adds_are_passed_over() {
    let mut json = String::new();
    let bytes = encode_capture(&capture(vec![busy_ring(0)]));
    std::io::Read::read_to_string(&mut flate2::read::ZlibDecoder::new(&bytes[..]), &mut json)
        .expect("JSON");
    let later = json.replacen("\"Arrivals\":", "\"Aftermaths\":3,\"Arrivals\":", 1).replacen(
        "{\"release\"",
        "{\"weather\":\"fine\",\"release\"",
        1,
    );
    assert_ne!(later, json);
    let again = decode_capture(&zlib(later.as_bytes())).expect("readable");
    assert_eq!(everything(&again), everything(&capture(vec![busy_ring(0)])));
}

#[test]
fn what_is_no_capture_is_refused_in_words() {
    assert_eq!(decode_capture(b"").err(), Some(Refused::NotPacked));
    assert_eq!(decode_capture(b"SQLite format 3").err(), Some(Refused::NotPacked));
    assert!(matches!(decode_capture(&zlib(b"[]")).err(), Some(Refused::Wrong(_))));
    let bomb = zlib(&vec![b' '; 65 << 20]);
    assert!(bomb.len() < 1 << 20);
    assert!(matches!(decode_capture(&bomb).err(), Some(Refused::TooLarge(_))));
}

#[test]
fn rings_with_more_histograms_than_memory_are_refused() {
    let rings = (0..1025).map(busy_ring).collect();
    let error = decode_capture(&encode_capture(&capture(rings))).err().expect("too many");
    assert!(error.to_string().contains("more rings"), "{error}");
}

fn records() -> Vec<Record> {
    vec![
        Record::Snapshot(Snapshot {
            kind: 4,
            ring: 1,
            before_ns: 5,
            after_ns: u64::MAX,
            head: 1,
            tail: 2,
            flags: 1,
            reserved: 0,
        }),
        Record::Waited(Waited {
            kind: 5,
            ring: 2,
            tid: 3,
            result: -4,
            entry_ns: 1,
            exit_ns: 2,
            woken_ns: 0,
            flags: 1,
            sample_shift: 0,
        }),
        Record::Refused(RefusedAdd {
            kind: 6,
            ring: 0,
            time_ns: 1,
            tid: 2,
            cause: 1,
            sample_shift: 3,
            likely: 0,
        }),
    ]
}

fn read(block: &[u8]) -> Result<Vec<Record>, Refused> {
    let mut read = Vec::new();
    decode_block(block, |record| read.push(*record)).map(|()| read)
}

#[test]
fn records_come_back_in_order_and_a_block_ends_when_it_is_whole() {
    let mut writer = BlockWriter::default();
    let mut expected = Vec::new();
    while !writer.is_whole() {
        records().iter().for_each(|record| writer.push(record));
        expected.extend(records());
    }
    assert_eq!(writer.records(), expected.len() as u64);
    let block = writer.take();
    assert!((64 << 10..65 << 10).contains(&block.len_bytes()), "{}", block.len_bytes());
    assert_eq!((writer.records(), writer.is_whole()), (0, false));
    assert_eq!(read(&block.pack()), Ok(expected));
}

#[test]
fn a_record_of_an_unknown_kind_is_passed_over_and_a_cut_one_refused() {
    let mut bytes = vec![4, 0, 99, 0, 0, 0];
    assert_eq!(read(&zlib(&bytes)), Ok(Vec::new()));
    bytes.push(7);
    assert!(matches!(read(&zlib(&bytes)), Err(Refused::Wrong(_))));
    bytes.extend([0, 1]);
    assert!(matches!(read(&zlib(&bytes)), Err(Refused::Wrong(_))));
    assert!(matches!(read(&zlib(&vec![0; 2 << 20])), Err(Refused::TooLarge(_))));
}

proptest! {
    #[test]
    fn no_bytes_harm_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_capture(&bytes);
        let _ = decode_capture(&zlib(&bytes));
        let _ = read(&bytes);
        let _ = read(&zlib(&bytes));
    }
}
