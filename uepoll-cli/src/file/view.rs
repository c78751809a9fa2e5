//! Telling a run from a file, in the order in which it came: records, frames,
//! intervals. Memory grows with rings, never with the length of the run.

use rusqlite::{Connection, params};
use uepoll_common::record::Record;
use uepoll_core::capture::Capture;
use uepoll_core::correlate::Correlator;
use uepoll_core::file::{decode_block, decode_capture};
use uepoll_core::run::{Told, Viewer};
use uepoll_core::since::since;

use super::read::Recording;
use super::{FileError, Which};

/// What the report of an interval says that was not ended.
const CUT_SHORT: &str = "this recording was cut short, or still goes on: the figures are those of \
                         its last checkpoint, read while counters moved, so that books need not \
                         balance; what came after it is not in them";

/// Why reading stopped.
enum Stop {
    Sql(rusqlite::Error),
    Damaged(String),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Recording {
    /// Tells a run.
    ///
    /// # Errors
    /// If there is no such run, it is damaged, or nothing was counted.
    pub fn view(&self, run: u32, viewer: &mut dyn Viewer) -> Result<(), FileError> {
        self.view_some(run, true, viewer)
    }

    /// The same without frames, for those who do not look at them: quicker.
    ///
    /// # Errors
    /// As [`Self::view`].
    pub fn view_intervals(&self, run: u32, viewer: &mut dyn Viewer) -> Result<(), FileError> {
        self.view_some(run, false, viewer)
    }

    fn view_some(&self, run: u32, frames: bool, viewer: &mut dyn Viewer) -> Result<(), FileError> {
        let summary = self.find(&Which::Number(run))?;
        summary.check_byte_order(&self.path)?;
        let mut telling = Telling {
            db: &self.db,
            run,
            by_intervals: summary.info.by_intervals,
            frames,
            viewer,
            correlator: Correlator::default(),
            frame: Correlator::default(),
            told: 0,
        };
        telling.run().map_err(|stop| match stop {
            Stop::Sql(error) => FileError::of(&self.path, "read", error),
            Stop::Damaged(what) => {
                FileError::Damaged { path: self.path.clone(), what: format!("run {run}: {what}") }
            }
        })?;
        match telling.told {
            0 => Err(FileError::NothingCounted { path: self.path.clone(), run }),
            _ => Ok(()),
        }
    }
}

/// What is shorter is no frame.
const LEAST_FRAME_NS: u64 = 100_000_000;

/// A run while it is told.
struct Telling<'a> {
    db: &'a Connection,
    run: u32,
    by_intervals: bool,
    frames: bool,
    viewer: &'a mut dyn Viewer,
    correlator: Correlator,
    /// Takes the records of one frame.
    frame: Correlator,
    told: u64,
}

impl Telling<'_> {
    fn run(&mut self) -> Result<(), Stop> {
        let mut statement = self.db.prepare(
            "SELECT number FROM interval WHERE run = ?1 \
             UNION SELECT interval FROM checkpoint WHERE run = ?1 ORDER BY 1",
        )?;
        let mut rows = statement.query(params![self.run])?;
        while let Some(row) = rows.next()? {
            self.interval(row.get(0)?)?;
        }
        Ok(())
    }

    fn interval(&mut self, interval: u32) -> Result<(), Stop> {
        // The last frame's end, and the last checkpoint.
        let mut earlier: Option<Capture> = None;
        let mut latest: Option<Capture> = None;
        let mut statement = self.db.prepare_cached(
            "SELECT number, capture FROM checkpoint WHERE run = ? AND interval = ? ORDER BY number",
        )?;
        let mut rows = statement.query(params![self.run, interval])?;
        let mut next = 0u32;
        while let Some(row) = rows.next()? {
            let number: u32 = row.get(0)?;
            let so_far = capture_of(row.get_ref(1)?, interval)?;
            self.blocks(interval, next..=number, true)?;
            next = number.saturating_add(1);
            let begun_ns = earlier.as_ref().map_or(0, |earlier| earlier.duration_ns);
            // The one with which a run begins has seen nothing yet.
            if so_far.duration_ns.saturating_sub(begun_ns) >= LEAST_FRAME_NS {
                self.tell_frame(earlier.as_ref(), &so_far);
                earlier = Some(so_far.clone());
            }
            latest = Some(so_far);
        }
        drop(rows);
        let mut statement = self.db.prepare_cached(
            "SELECT capture, records_missing FROM interval WHERE run = ? AND number = ?",
        )?;
        let mut rows = statement.query(params![self.run, interval])?;
        let ended = match rows.next()? {
            Some(row) => Some((capture_of(row.get_ref(0)?, interval)?, row.get::<_, u64>(1)?)),
            None => None,
        };
        // What came after the last checkpoint of an interval that has no end is
        // shown, but is no part of what was counted until then.
        self.blocks(interval, next..=u32::MAX, ended.is_some())?;
        let capture = match (ended, latest) {
            (Some((mut capture, missing)), _) => {
                self.tell_frame(earlier.as_ref(), &capture);
                if missing > 0 {
                    capture.notes.push(format!(
                        "{missing} records did not get into this file, which was not written \
                         fast enough: samples are fewer than were taken"
                    ));
                }
                capture
            }
            (None, Some(mut so_far)) => {
                so_far.notes.push(CUT_SHORT.into());
                so_far
            }
            (None, None) => return Ok(()),
        };
        let told = Told::of_interval(capture, &mut self.correlator, self.by_intervals);
        self.viewer.interval(&told);
        self.told += 1;
        Ok(())
    }

    /// Hands over the records that came before these checkpoints.
    fn blocks(
        &mut self,
        interval: u32,
        checkpoints: std::ops::RangeInclusive<u32>,
        counted: bool,
    ) -> Result<(), Stop> {
        let mut statement = self.db.prepare_cached(
            "SELECT number, bytes FROM block WHERE run = ? AND interval = ? \
             AND checkpoint BETWEEN ? AND ? ORDER BY checkpoint, number",
        )?;
        let (first, last) = checkpoints.into_inner();
        let mut rows = statement.query(params![self.run, interval, first, last])?;
        while let Some(row) = rows.next()? {
            let number: u32 = row.get(0)?;
            let bytes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let Self { viewer, correlator, frame, frames, .. } = self;
            let each = |record: &Record| {
                viewer.record(record);
                if counted {
                    correlator.push(record);
                }
                if counted && *frames {
                    frame.push(record);
                }
            };
            decode_block(bytes, each).map_err(|why| {
                Stop::Damaged(format!("block {number} of interval {interval}: {why}"))
            })?;
        }
        Ok(())
    }

    fn tell_frame(&mut self, earlier: Option<&Capture>, later: &Capture) {
        if !self.frames {
            return;
        }
        let capture = earlier.map_or_else(|| later.clone(), |earlier| since(earlier, later));
        let mut records = std::mem::take(&mut self.frame);
        self.viewer.frame(&Told::of_interval(capture, &mut records, false));
    }
}

/// The capture of a row, which has to be of the interval that it is stored for.
fn capture_of(value: rusqlite::types::ValueRef<'_>, interval: u32) -> Result<Capture, Stop> {
    let damaged =
        |why: &dyn std::fmt::Display| Stop::Damaged(format!("interval {interval}: {why}"));
    let bytes = value.as_blob().map_err(rusqlite::Error::from)?;
    let capture = decode_capture(bytes).map_err(|why| damaged(&why))?;
    if capture.interval != interval {
        return Err(damaged(&"it is of another one"));
    }
    Ok(capture)
}
