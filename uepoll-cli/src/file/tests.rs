//! A file as a whole: what goes in comes out, also after a kill, and what is no
//! file of ours is refused with what to do.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;
use uepoll_common::record::{Record, Resolved, Snapshot};
use uepoll_core::capture::Capture;
use uepoll_core::correlate::Correlator;
use uepoll_core::run::{RunInfo, Told, Viewer};

use super::{FileError, Recorder, Recording, RunName, run_info};
use crate::command::report::{Form, text_of};
use crate::core_fixture as fixture;

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a folder for tests");
    let path = folder.path().join("run.uepoll");
    (folder, path)
}

/// A sampled position and a look at the ring, at `at` of an interval.
fn records(interval: u32, at: u32) -> [Record; 2] {
    let time_ns = 1_000_000_000_000 + u64::from(at) * 1000;
    [
        Record::Resolved(Resolved {
            kind: 1,
            ring: 0,
            position: at,
            item: 1,
            arrival_ns: time_ns,
            add_entry_ns: time_ns + 100,
            add_exit_ns: time_ns + 200,
            consumed_lo_ns: time_ns + 900,
            consumed_hi_ns: time_ns + 2000 + u64::from(at),
            sample_shift: 3,
            interval,
            waker_tid: 7,
            flags: 0,
        }),
        Record::Snapshot(Snapshot {
            kind: 4,
            ring: 0,
            before_ns: time_ns,
            after_ns: time_ns + 50,
            head: at,
            tail: at + at % 7,
            flags: Snapshot::HEADER_RIGHT,
            reserved: 0,
        }),
    ]
}

fn capture(interval: u32) -> Capture {
    let mut capture = fixture::capture(vec![fixture::busy_ring(0), fixture::busy_ring(1)]);
    capture.interval = interval;
    capture.notes = vec![format!("note of {interval}")];
    capture
}

/// How far an interval has come after a part of it.
fn so_far(interval: u32, tenths: u64) -> Capture {
    let mut capture = capture(interval);
    capture.duration_ns = capture.duration_ns / 10 * tenths;
    capture.unfinished = true;
    capture
}

/// Records intervals as a live run would, and what it printed of each.
fn record(recorder: &mut Recorder, intervals: u32) -> Vec<Told> {
    let mut correlator = Correlator::default();
    let mut told = Vec::new();
    for interval in 0..intervals {
        for at in 0..3000 {
            // The next interval's first positions overtake the end of this one.
            for record in records(interval + u32::from(at > 2950), at) {
                correlator.push(&record);
                recorder.record(&record);
            }
            if at % 1000 == 999 {
                recorder.checkpoint(&so_far(interval, u64::from(at / 1000) + 1));
            }
        }
        let ended = Told::of_interval(capture(interval), &mut correlator, intervals > 1);
        recorder.interval(&ended);
        told.push(ended);
    }
    told
}

fn start(path: &Path, info: &RunInfo) -> Recorder {
    // As it is when counting has just begun.
    let first = Capture { duration_ns: 0, unfinished: true, ..fixture::capture(Vec::new()) };
    Recorder::prepare(path).expect("opens").begin(info, &first).expect("begins")
}

/// Everything that is told of a run.
#[derive(Default)]
struct Seen {
    records: usize,
    frames: Vec<u64>,
    texts: Vec<String>,
    order: String,
}

impl Viewer for Seen {
    fn record(&mut self, _record: &Record) {
        self.records += 1;
        if !self.order.ends_with('r') {
            self.order.push('r');
        }
    }

    fn frame(&mut self, frame: &Told) {
        self.frames.push(frame.capture.duration_ns);
        self.order.push('f');
    }

    fn interval(&mut self, interval: &Told) {
        self.texts.extend(texts(interval));
        self.order.push('i');
    }
}

/// All the forms of a report.
fn texts(told: &Told) -> [String; 3] {
    [(false, true, true), (true, false, true), (true, false, false)]
        .map(|(json, verbose, by_intervals)| text_of(told, Form { json, verbose, by_intervals }))
}

fn seen(recording: &Recording, run: u32) -> Seen {
    let mut seen = Seen::default();
    recording.view(run, &mut seen).expect("whole");
    seen
}

#[test]
fn a_recorded_run_is_told_byte_for_byte_as_it_was_live() {
    let (_folder, path) = folder();
    let mut recorder = start(&path, &run_info(&[], true));
    let live: Vec<String> = record(&mut recorder, 3).iter().flat_map(texts).collect();
    recorder.finish().expect("written");
    let recording = Recording::open(&path).expect("ours");
    let seen = seen(&recording, 1);
    assert!(seen.texts == live, "not what was printed");
    assert_eq!(seen.records, 3 * 3000 * 2);
    assert_eq!(seen.order, "rfrfrffi".repeat(3), "records, then their frame");
    assert_eq!(seen.frames[..4], [1_000_000_000, 1_000_000_000, 1_000_000_000, 7_000_000_000]);
    // Without frames the same is told.
    let mut quick = Seen::default();
    recording.view_intervals(1, &mut quick).expect("whole");
    assert_eq!((quick.texts, quick.frames), (live, Vec::new()));
}

#[test]
fn a_closed_file_is_one_file_and_its_users_alone() {
    let (folder, path) = folder();
    let mut recorder = start(&path, &run_info(&[], false));
    record(&mut recorder, 1);
    recorder.finish().expect("written");
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 1);
}

#[test]
fn runs_are_appended_and_found_by_number_and_label() {
    let (_folder, path) = folder();
    for commit in ["abc", "def", "abc"] {
        let mut recorder = start(&path, &run_info(&[("commit".into(), commit.into())], false));
        record(&mut recorder, 1);
        recorder.finish().expect("written");
    }
    let open = |run: &str| {
        let mut name = path.clone().into_os_string();
        name.push(run);
        Recording::open_run(&RunName::parse(&name).expect("a name")).map(|(_, run)| run)
    };
    assert_eq!(open("").expect("the last"), 3);
    assert_eq!(open("#2").expect("there"), 2);
    assert_eq!(open("#commit=def").expect("there"), 2);
    assert_eq!(open("#commit=abc").expect("the last of two"), 3);
    let message = open("#commit=x").expect_err("none").to_string();
    assert!(message.contains("no run labelled commit=x: it has runs 1 to 3"), "{message}");
    let recording = Recording::open(&path).expect("ours");
    assert!(recording.runs().iter().all(|run| run.complete));
    assert_eq!(recording.runs()[1].info.labels["commit"], "def");
}

#[test]
fn a_run_that_was_cut_short_is_told_up_to_its_last_checkpoint() {
    let (_folder, path) = folder();
    let mut recorder = start(&path, &run_info(&[], true));
    let whole = record(&mut recorder, 2);
    for at in 0..5000 {
        records(2, at).iter().for_each(|record| recorder.record(record));
    }
    recorder.checkpoint(&so_far(2, 2));
    for at in 0..5000 {
        records(2, at).iter().for_each(|record| recorder.record(record));
    }
    // Never finished.
    drop(recorder);
    let recording = Recording::open(&path).expect("readable");
    assert!(!recording.runs()[0].complete);
    let seen = seen(&recording, 1);
    let live: Vec<String> = whole.iter().flat_map(texts).collect();
    assert!(seen.texts[..6] == live[..], "what had ended is told as it was");
    assert!(seen.texts[6].contains("cut short") && seen.texts[6].contains("2.0 s"));
    assert!(seen.order.ends_with("irfri"), "{}", seen.order);
}

#[test]
fn a_run_that_is_killed_as_it_begins_is_told_and_harms_no_other() {
    let (_folder, path) = folder();
    drop(start(&path, &run_info(&[], false)));
    let told = seen(&Recording::open(&path).expect("readable"), 1);
    assert_eq!(told.order, "i");
    assert!(told.texts[0].contains("cut short"), "{}", told.texts[0]);
    let mut recorder = start(&path, &run_info(&[], false));
    record(&mut recorder, 1);
    recorder.finish().expect("written");
    assert_eq!(seen(&Recording::open(&path).expect("ours"), 2).texts.len(), 3);
}

#[test]
fn a_run_that_never_begins_leaves_no_file_and_an_older_one_alone() {
    let (folder, path) = folder();
    drop(Recorder::prepare(&path).expect("opens"));
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 0);
    let mut recorder = start(&path, &run_info(&[], false));
    record(&mut recorder, 1);
    recorder.finish().expect("written");
    drop(Recorder::prepare(&path).expect("opens"));
    assert_eq!(Recording::open(&path).expect("there").runs().len(), 1);
}

#[test]
fn figures_can_be_asked_for_by_sql() {
    let (_folder, path) = folder();
    let mut recorder = start(&path, &run_info(&[], false));
    record(&mut recorder, 1);
    recorder.finish().expect("written");
    let db = Connection::open(&path).expect("SQLite's own");
    let ask = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).expect(sql);
    assert_eq!(ask("SELECT value FROM figure WHERE figure = 'published' AND ring = 0"), 400_000);
    assert_eq!(ask("SELECT COUNT(*) FROM figure WHERE part = 'p99' AND lo > hi"), 0);
    let samples = "SELECT value FROM figure WHERE figure = 'residency_ns' AND part = 'samples'";
    assert_eq!(ask(samples), 2951);
    let (count, buckets): (i64, i64) = db
        .query_row(
            "SELECT count, (SELECT SUM(value ->> 1) FROM json_each(buckets)) FROM histogram LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .expect("a histogram");
    assert_eq!(count, buckets);
}

/// A file with one run that an edit is made to.
fn edited(edit: impl Fn(&Connection)) -> (TempDir, PathBuf) {
    let (folder, path) = folder();
    let mut recorder = start(&path, &run_info(&[], false));
    record(&mut recorder, 1);
    recorder.finish().expect("written");
    edit(&Connection::open(&path).expect("SQLite's own"));
    (folder, path)
}

fn refusal(path: &Path) -> String {
    match Recording::open(path) {
        Ok(recording) => {
            let told = recording.view(1, &mut Seen::default());
            told.expect_err("was read").to_string()
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_no_recording_is_refused_with_what_to_do() {
    let (folder, path) = folder();
    let write = |bytes: &[u8]| fs::write(&path, bytes).expect("written");
    assert!(refusal(&path).contains("No such file"));
    assert!(refusal(folder.path()).contains("is a folder, and a recording is a file"));
    assert!(refusal(Path::new("/dev/null")).contains("is a device or a pipe"));
    write(b"");
    assert!(refusal(&path).contains("ended before it began"));
    write(b"published 5\n");
    assert!(refusal(&path).contains("is not a recording of uepoll (no SQLite database)"));
    write(b"SQLite format 3\0 and no more");
    assert!(refusal(&path).contains("damaged (its end is missing)"), "{}", refusal(&path));
}

#[test]
fn a_file_of_a_newer_version_names_both_versions() {
    let (_folder, path) = edited(|db| db.pragma_update(None, "user_version", 9).expect("set"));
    assert!(refusal(&path).contains("has format 9, and this uepoll"), "{}", refusal(&path));
    let message = Recorder::prepare(&path).err().expect("refused").to_string();
    assert!(message.contains("newer uepoll"), "{message}");
}

#[test]
fn a_database_of_another_program_is_neither_read_nor_written_to() {
    let (_folder, path) = folder();
    Connection::open(&path).and_then(|db| db.execute_batch("CREATE TABLE x (y)")).expect("made");
    let before = fs::read(&path).expect("there");
    assert!(refusal(&path).contains("another program"), "{}", refusal(&path));
    assert!(matches!(Recorder::prepare(&path), Err(FileError::NotOurs { .. })));
    assert_eq!(fs::read(&path).expect("there"), before);
}

#[test]
fn nothing_that_somebody_defined_is_executed() {
    for sql in [
        "CREATE TRIGGER t AFTER INSERT ON run BEGIN SELECT 1; END",
        "CREATE INDEX i ON block (abs(records))",
        "ALTER TABLE figure ADD COLUMN more ANY",
        "DROP TABLE label; CREATE VIEW label AS SELECT 1 AS run, 2 AS key, 3 AS value",
    ] {
        let (_folder, path) = edited(|db| db.execute_batch(sql).expect(sql));
        assert!(refusal(&path).contains("is not a recording"), "{sql}: {}", refusal(&path));
        assert!(matches!(Recorder::prepare(&path), Err(FileError::NotOurs { .. })), "{sql}");
    }
}

#[test]
fn values_that_no_recorder_writes_are_told_as_damage() {
    for sql in [
        "UPDATE interval SET capture = x'00'",
        "UPDATE interval SET capture = zeroblob(1000)",
        "UPDATE interval SET number = 5000000000",
        "UPDATE interval SET number = 7",
        "UPDATE interval SET records_missing = -1",
        "UPDATE block SET bytes = x'78'",
        "UPDATE run SET started_unix_ns = -1",
        "UPDATE run SET words = 'none'",
        "UPDATE run SET number = -1",
    ] {
        let (_folder, path) = edited(|db| db.execute_batch(sql).expect(sql));
        assert!(refusal(&path).contains("is damaged"), "{sql}: {}", refusal(&path));
    }
    let (_folder, path) =
        edited(|db| db.execute_batch("UPDATE run SET byte_order = 'big'").expect("set"));
    assert!(refusal(&path).contains("big-endian machine"));
}

#[test]
fn a_file_that_was_cut_off_or_scribbled_on_is_never_more_than_an_error() {
    let (_folder, path) = edited(|_| ());
    let whole = fs::read(&path).expect("there");
    for length in (0..whole.len()).step_by(whole.len() / 40).chain([whole.len() - 1]) {
        fs::write(&path, &whole[..length]).expect("written");
        refusal(&path);
    }
    let mut state = 1u64;
    for _ in 0..40 {
        let mut bytes = whole.clone();
        for _ in 0..20 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let at = (state >> 20) as usize % bytes.len();
            bytes[at] = (state >> 50) as u8;
        }
        fs::write(&path, &bytes).expect("written");
        if let Ok(recording) = Recording::open(&path) {
            let _ = recording.view(1, &mut Seen::default());
        }
    }
}

#[test]
fn a_name_like_one_of_sqlites_own_is_a_file() {
    let message = Recording::open(Path::new(":memory:")).err().expect("not there").to_string();
    assert!(message.contains("No such file"), "{message}");
    assert!(RunName::parse(OsStr::new(":memory:")).is_ok());
}
