//! Bytes of a file as somebody may have made them: captures, blocks of records
//! and what is made of them. No input may panic, no line be too wide or hold a
//! control character. SQLite itself is fuzzed by its makers.

#![no_main]

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use libfuzzer_sys::fuzz_target;
use uepoll_common::record::Record;
use uepoll_core::capture::Capture;
use uepoll_core::correlate::Correlator;
use uepoll_core::file::{decode_block, decode_capture, encode_capture};
use uepoll_core::render::hlog::Log;
use uepoll_core::render::html::Page;
use uepoll_core::render::perfetto::Trace;
use uepoll_core::render::text::{self, TextOptions, WIDTH};
use uepoll_core::render::{Charset, json};
use uepoll_core::run::{RunInfo, Told, Viewer};
use uepoll_core::since::since;

fuzz_target!(|data: &[u8]| {
    // As they are: the decompressor's input.
    let _ = decode_capture(data);
    let _ = decode_block(data, |_| ());
    // Compressed by us: up to two captures, then a block, each behind a zero.
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let captures: Vec<Capture> = parts
        .by_ref()
        .take(2)
        .filter_map(|bytes| decode_capture(&zlib(bytes)).ok())
        .collect();
    let mut records = Vec::new();
    // Lengths are ours, so that what is behind them is reached.
    let mut block = Vec::new();
    for record in parts.next().unwrap_or_default().chunks(64) {
        block.extend((record.len() as u16).to_le_bytes());
        block.extend_from_slice(record);
    }
    decode_block(&zlib(&block), |record| records.push(*record)).expect("lengths are right");
    for capture in &captures {
        let again = decode_capture(&encode_capture(capture)).expect("what was read is written");
        assert_eq!(encode_capture(&again), encode_capture(capture));
        tell(capture.clone(), &records);
    }
    if let [earlier, later] = &captures[..] {
        tell(since(earlier, later), &records);
    }
});

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a Vec takes every byte")
}

fn tell(capture: Capture, records: &[Record]) {
    let mut correlator = Correlator::default();
    records.iter().for_each(|record| correlator.push(record));
    let told = Told::of_interval(capture, &mut correlator, true);
    for (charset, verbose) in [(Charset::Ascii, true), (Charset::Utf8, false)] {
        for line in text::render(&told.report, TextOptions { charset, verbose }).lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
    }
    let json = json::render(&told.report);
    assert!(json.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)));
    let info = RunInfo::default();
    let (mut page, mut trace, mut log) = (Page::new(&info), Trace::new(&info), Log::new(&info));
    for viewer in [&mut page as &mut dyn Viewer, &mut trace, &mut log] {
        records.iter().for_each(|record| viewer.record(record));
        viewer.frame(&told);
        viewer.interval(&told);
    }
    page.finish();
    trace.finish();
    log.finish();
}
