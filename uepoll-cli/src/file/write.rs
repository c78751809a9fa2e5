//! Writing one run: each call is one transaction, so that a kill leaves what was
//! written whole before it.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use uepoll_core::capture::Capture;
use uepoll_core::file::{Block, encode_capture};
use uepoll_core::report::Report;
use uepoll_core::run::RunInfo;

use super::rows;
use super::{FileError, create};

/// How this machine orders the bytes of records.
pub const BYTE_ORDER: &str = if cfg!(target_endian = "little") { "little" } else { "big" };

/// One run on its way into a file.
pub struct Writer {
    db: Connection,
    path: PathBuf,
    created: bool,
    /// Number of the run, once it has begun.
    run: Option<u32>,
    interval: u32,
    checkpoint: u32,
    block: u32,
}

impl Writer {
    /// Opens the file, or makes it. The run has not begun.
    ///
    /// # Errors
    /// If the file cannot be written to.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let opened = create::open_for_writing(path)?;
        Ok(Self {
            db: opened.db,
            path: path.to_owned(),
            created: opened.created,
            run: None,
            interval: 0,
            checkpoint: 0,
            block: 0,
        })
    }

    /// As on a disk that has place for so many pages.
    #[cfg(test)]
    pub fn allow_pages(&self, pages: u32) {
        self.db.pragma_update(None, "max_page_count", pages).expect("SQLite knows it");
    }

    /// Begins a run, the next one of the file, with what was counted so far: from
    /// here on there is something to tell.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn begin(&mut self, info: &RunInfo, first: &Capture) -> Result<(), FileError> {
        let info = info.clone();
        let (duration, bytes) = (rows::int(first.duration_ns), encode_capture(first));
        let run = self.write("begin a run in", move |to, _| {
            let number: u32 =
                to.query_row("SELECT COALESCE(MAX(number), 0) + 1 FROM run", [], |row| row.get(0))?;
            let words = serde_json::Value::from(info.words.clone()).to_string();
            to.execute(
                "INSERT INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
                params![
                    number,
                    info.tool,
                    rows::int(info.started_unix_ns),
                    rows::int(info.started_mono_ns),
                    words,
                    info.hostname,
                    info.cpu_model,
                    info.by_intervals,
                    BYTE_ORDER,
                ],
            )?;
            for (key, value) in &info.labels {
                to.execute("INSERT INTO label VALUES (?, ?, ?)", params![number, key, value])?;
            }
            for (weakness, state) in &info.mitigations {
                let row = params![number, weakness, state];
                to.execute("INSERT INTO mitigation VALUES (?, ?, ?)", row)?;
            }
            let row = params![number, 0, 0, duration, bytes];
            to.execute("INSERT INTO checkpoint VALUES (?, ?, ?, ?, ?)", row)?;
            Ok(number)
        })?;
        self.run = Some(run);
        self.checkpoint = 1;
        Ok(())
    }

    /// Writes records.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn block(&mut self, block: &Block) -> Result<(), FileError> {
        let bytes = block.pack();
        let records = rows::int(block.records);
        self.write("write records to", |to, at| {
            to.execute(
                "INSERT INTO block VALUES (?, ?, ?, ?, ?, ?)",
                params![at.run, at.interval, at.checkpoint, at.block, records, bytes],
            )
        })?;
        self.block += 1;
        Ok(())
    }

    /// Writes how far an interval has come.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn checkpoint(&mut self, capture: &Capture) -> Result<(), FileError> {
        let bytes = encode_capture(capture);
        let duration = rows::int(capture.duration_ns);
        self.write("write a checkpoint to", |to, at| {
            to.execute(
                "INSERT INTO checkpoint VALUES (?, ?, ?, ?, ?)",
                params![at.run, at.interval, at.checkpoint, duration, bytes],
            )
        })?;
        self.checkpoint += 1;
        self.block = 0;
        Ok(())
    }

    /// Writes an interval that has ended, all its figures, and begins the next.
    /// So many records of it were not written.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn interval(
        &mut self,
        capture: &Capture,
        report: &Report,
        records_missing: u64,
    ) -> Result<(), FileError> {
        let bytes = encode_capture(capture);
        self.write("write an interval to", |to, at| {
            to.execute(
                "INSERT INTO interval VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    at.run,
                    at.interval,
                    rows::int(capture.start_ns),
                    rows::int(capture.duration_ns),
                    capture.host.release,
                    capture.host.cpus,
                    rows::protocol(capture.host.protocol),
                    capture.host.emulated,
                    rows::int(records_missing),
                    bytes,
                ],
            )?;
            rows::write(to, at.run, at.interval, capture, report)
        })?;
        self.interval += 1;
        self.checkpoint = 0;
        self.block = 0;
        Ok(())
    }

    /// Ends the run and makes the file one file again.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn finish(mut self) -> Result<(), FileError> {
        self.write("end a run in", |to, at| {
            to.execute("UPDATE run SET finished = 1 WHERE number = ?", params![at.run])
        })?;
        let closed = self
            .db
            .pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get::<_, String>(0));
        match closed.map_err(|error| FileError::of(&self.path, "close", error)) {
            // Somebody reads it now, or records another run: what is beside the
            // file belongs to it until the last of them is done.
            Ok(_) | Err(FileError::Busy { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn write<T>(
        &mut self,
        doing: &'static str,
        each: impl FnOnce(&Transaction<'_>, &At) -> rusqlite::Result<T>,
    ) -> Result<T, FileError> {
        let at = At {
            run: self.run.unwrap_or(0),
            interval: self.interval,
            checkpoint: self.checkpoint,
            block: self.block,
        };
        let written = || {
            let to = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = each(&to, &at)?;
            to.commit()?;
            Ok(result)
        };
        written().map_err(|error| FileError::of(&self.path, doing, error))
    }
}

impl Drop for Writer {
    /// A file that was made for a run that never began goes away again.
    fn drop(&mut self) {
        let runs = || self.db.query_row("SELECT COUNT(*) FROM run", [], |row| row.get::<_, i64>(0));
        if self.created && self.run.is_none() && runs().is_ok_and(|runs| runs == 0) {
            create::remove(&self.path);
        }
    }
}

/// Where the next row belongs.
struct At {
    run: u32,
    interval: u32,
    checkpoint: u32,
    block: u32,
}
