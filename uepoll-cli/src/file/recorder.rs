//! Recording beside watching: what comes is handed to a thread that writes, so
//! that a slow disk stops nobody. What goes wrong is kept for the end: no figure
//! that is printed is lost for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use uepoll_common::record::Record;
use uepoll_core::capture::Capture;
use uepoll_core::file::{Block, BlockWriter};
use uepoll_core::report::Report;
use uepoll_core::run::{RunInfo, Told};

use super::FileError;
use super::write::Writer;

/// Bytes that may wait to be written; beyond, records are not kept.
const MOST_WAITING_BYTES: u64 = 64 << 20;

/// What a checkpoint of one ring takes while it waits, at most.
const RING_BYTES: u64 = 40 << 10;

/// What the writing thread is given.
enum Message {
    Block(Block),
    Checkpoint(Box<Capture>),
    Interval { capture: Box<Capture>, report: Box<Report>, missing: u64 },
    Finish,
}

impl Message {
    fn bytes(&self) -> u64 {
        match self {
            Self::Block(block) => block.len_bytes() as u64,
            Self::Checkpoint(capture) | Self::Interval { capture, .. } => {
                RING_BYTES.saturating_mul(capture.rings.len() as u64 + 1)
            }
            Self::Finish => 0,
        }
    }
}

/// A run that is being recorded.
pub struct Recorder {
    path: PathBuf,
    block: BlockWriter,
    /// Records of this interval that found too much waiting.
    missing: u64,
    /// The same of the whole run.
    missing_in_all: u64,
    waiting_bytes: Arc<AtomicU64>,
    to: Option<Sender<Message>>,
    thread: Option<JoinHandle<Result<(), FileError>>>,
}

/// A file that a run can be appended to, or made for it.
pub struct Prepared {
    path: PathBuf,
}

impl Prepared {
    /// Begins the run, with what was counted so far.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn begin(self, info: &RunInfo, first: &Capture) -> Result<Recorder, FileError> {
        let writer = Writer::open(&self.path)?;
        self.begin_with(writer, info, first)
    }

    fn begin_with(
        self,
        mut writer: Writer,
        info: &RunInfo,
        first: &Capture,
    ) -> Result<Recorder, FileError> {
        writer.begin(info, first)?;
        let (to, from) = channel();
        let waiting_bytes = Arc::new(AtomicU64::new(0));
        let waiting = Arc::clone(&waiting_bytes);
        let thread = std::thread::Builder::new()
            .name("uepoll-file".into())
            .spawn(move || write_all(writer, &from, &waiting))
            .map_err(|error| FileError::Thread {
                path: self.path.clone(),
                what: format!("cannot be started: {error}"),
            })?;
        Ok(Recorder {
            path: self.path,
            block: BlockWriter::default(),
            missing: 0,
            missing_in_all: 0,
            waiting_bytes,
            to: Some(to),
            thread: Some(thread),
        })
    }
}

impl Recorder {
    /// Opens a file, or makes it, before anything is attached, so that what is
    /// wrong with it is told early; and lets it go again: until a run begins,
    /// there is no file without one.
    ///
    /// # Errors
    /// If it cannot be written to.
    pub fn prepare(path: &Path) -> Result<Prepared, FileError> {
        drop(Writer::open(path)?);
        Ok(Prepared { path: path.to_owned() })
    }

    /// Takes a record.
    pub fn record(&mut self, record: &Record) {
        self.block.push(record);
        if self.block.is_whole() {
            self.send_block();
        }
    }

    /// Takes how far the interval has come.
    pub fn checkpoint(&mut self, so_far: &Capture) {
        self.send_block();
        let message = Message::Checkpoint(Box::new(so_far.clone()));
        if self.has_place() {
            self.send(message);
        }
    }

    /// Takes an interval that has ended.
    pub fn interval(&mut self, told: &Told) {
        self.send_block();
        let missing = std::mem::take(&mut self.missing);
        // However much waits: without it the figures of the interval are gone.
        self.send(Message::Interval {
            capture: Box::new(told.capture.clone()),
            report: Box::new(told.report.clone()),
            missing,
        });
    }

    /// Writes what is left, and closes the file.
    ///
    /// # Errors
    /// The first that came, now or before.
    pub fn finish(mut self) -> Result<(), FileError> {
        self.send(Message::Finish);
        self.join()?;
        match self.missing_in_all {
            0 => Ok(()),
            records => Err(FileError::TooSlow { path: self.path.clone(), records }),
        }
    }

    fn has_place(&self) -> bool {
        self.waiting_bytes.load(Ordering::Relaxed) < MOST_WAITING_BYTES
    }

    fn send_block(&mut self) {
        if self.block.records() == 0 {
            return;
        }
        let block = self.block.take();
        if self.has_place() {
            self.send(Message::Block(block));
        } else {
            self.missing = self.missing.saturating_add(block.records);
            self.missing_in_all = self.missing_in_all.saturating_add(block.records);
        }
    }

    fn send(&self, message: Message) {
        self.waiting_bytes.fetch_add(message.bytes(), Ordering::Relaxed);
        // The thread takes messages until it is told to finish, whatever fails;
        // that it has panicked is told at the end.
        if let Some(to) = &self.to {
            let _ = to.send(message);
        }
    }

    /// Waits for the thread, which was told to finish or will hear no more.
    fn join(&mut self) -> Result<(), FileError> {
        self.to = None;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| {
            Err(FileError::Thread {
                path: self.path.clone(),
                what: "has panicked: the recording is not complete".into(),
            })
        })
    }
}

impl Drop for Recorder {
    /// Given up: what was taken is still written, the run stays cut short.
    fn drop(&mut self) {
        // Whoever gives a recording up has an error of its own to tell.
        let _ = self.join();
    }
}

/// Writes what comes until there is no more. After a failure the rest is taken
/// and left: half an interval later on would be none.
fn write_all(
    mut writer: Writer,
    from: &Receiver<Message>,
    waiting_bytes: &AtomicU64,
) -> Result<(), FileError> {
    let mut failed = None;
    while let Ok(message) = from.recv() {
        let bytes = message.bytes();
        let result = match (&message, &failed) {
            (Message::Finish, None) => return writer.finish(),
            (Message::Finish, Some(_)) => break,
            (_, Some(_)) => Ok(()),
            (Message::Block(block), None) => writer.block(block),
            (Message::Checkpoint(capture), None) => writer.checkpoint(capture),
            (Message::Interval { capture, report, missing }, None) => {
                writer.interval(capture, report, *missing)
            }
        };
        failed = failed.or(result.err());
        waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
    // Without a word to finish the run was given up: it stays cut short.
    failed.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{Recording, run_info};
    use uepoll_common::record::RingClosed;

    #[test]
    fn a_full_disk_is_told_at_the_end_and_what_was_written_stays() {
        let folder = tempfile::TempDir::new().expect("a folder for tests");
        let path = folder.path().join("run.uepoll");
        let prepared = Recorder::prepare(&path).expect("opens");
        let writer = Writer::open(&path).expect("opens");
        writer.allow_pages(60);
        let first = crate::core_fixture::capture(Vec::new());
        let begun = prepared.begin_with(writer, &run_info(&[], false), &first);
        let mut recorder = begun.expect("begins");
        let mut number = 1u64;
        for _ in 0..200_000 {
            // Hard to compress.
            number = number.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            recorder.record(&Record::RingClosed(RingClosed {
                kind: 3,
                ring: 0,
                time_ns: number,
                head: (number >> 32) as u32,
                tail: (number >> 16) as u32,
                items_used: (number >> 8) as u32,
                reserved: 0,
            }));
        }
        let message = recorder.finish().expect_err("full").to_string();
        assert!(
            message.contains("cannot write records to") && message.contains("full"),
            "{message}"
        );
        let recording = Recording::open(&path).expect("readable");
        assert!(!recording.runs()[0].complete);
    }
}
