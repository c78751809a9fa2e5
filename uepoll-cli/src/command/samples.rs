//! `UEPOLL_SAMPLES=FILE`, for developers: a JSON line for each sampled position,
//! from which the truth of a run can be checked (docs/accuracy.md).

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;
use uepoll_common::record::{Record, Resolved};

/// Names the file; without it, or empty, nothing is written.
const VARIABLE: &str = "UEPOLL_SAMPLES";

/// One line.
#[derive(Serialize)]
struct Line {
    ring: u32,
    position: u32,
    item: u32,
    arrival_ns: Option<u64>,
    add_entry_ns: u64,
    add_exit_ns: u64,
    consumed_lo_ns: Option<u64>,
    consumed_hi_ns: Option<u64>,
    sample_shift: u32,
    interval: u32,
}

impl From<&Resolved> for Line {
    fn from(record: &Resolved) -> Self {
        // The kernel side's 0 is "not known".
        let known = |clock: u64| (clock != 0).then_some(clock);
        Self {
            ring: record.ring,
            position: record.position,
            item: record.item,
            arrival_ns: known(record.arrival_ns),
            add_entry_ns: record.add_entry_ns,
            add_exit_ns: record.add_exit_ns,
            consumed_lo_ns: known(record.consumed_lo_ns),
            consumed_hi_ns: known(record.consumed_hi_ns),
            sample_shift: record.sample_shift,
            interval: record.interval,
        }
    }
}

/// Samples on their way to a file. A failure is kept for the end: the figures of
/// a run are not lost for it.
pub struct Samples {
    path: PathBuf,
    out: Box<dyn Write>,
    failed: Option<io::Error>,
}

impl Samples {
    /// To the file that the environment names, made anew; `None` if it names
    /// none.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn from_environment() -> anyhow::Result<Option<Self>> {
        let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        let path = PathBuf::from(path);
        let file = File::create(&path)
            .with_context(|| format!("cannot write samples to {} ({VARIABLE})", path.display()))?;
        Ok(Some(Self { path, out: Box::new(BufWriter::new(file)), failed: None }))
    }

    /// Writes a record that is a sampled position, unless writing has failed
    /// before.
    pub fn push(&mut self, record: &Record) {
        if let (Record::Resolved(resolved), None) = (record, &self.failed) {
            self.failed = self.write(&Line::from(resolved)).err();
        }
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n")
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// The first that came, now or before.
    pub fn finish(mut self) -> anyhow::Result<()> {
        let result = match self.failed.take() {
            Some(error) => Err(error),
            None => self.out.flush(),
        };
        result.with_context(|| {
            format!(
                "the samples in {} ({VARIABLE}) are not complete; the report is",
                self.path.display()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn resolved() -> Record {
        Record::Resolved(Resolved {
            kind: 1,
            ring: 2,
            position: u32::MAX,
            item: 3,
            arrival_ns: 0,
            add_entry_ns: 10,
            add_exit_ns: 20,
            consumed_lo_ns: 30,
            consumed_hi_ns: 0,
            sample_shift: 4,
            interval: 5,
            waker_tid: 0,
            flags: 0,
        })
    }

    /// Hands over what is written, or fails.
    struct Written(Option<mpsc::Sender<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match &self.0 {
                Some(sender) => {
                    sender.send(bytes.to_vec()).map_err(io::Error::other)?;
                    Ok(bytes.len())
                }
                None => Err(io::ErrorKind::StorageFull.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn samples(out: Written) -> Samples {
        Samples { path: "samples.jsonl".into(), out: Box::new(out), failed: None }
    }

    #[test]
    fn what_is_not_known_is_null() {
        let (sender, receiver) = mpsc::channel();
        let mut samples = samples(Written(Some(sender)));
        samples.push(&resolved());
        samples.finish().expect("written");
        let text = String::from_utf8(receiver.iter().flatten().collect()).expect("text");
        assert_eq!(
            text,
            "{\"ring\":2,\"position\":4294967295,\"item\":3,\"arrival_ns\":null,\
             \"add_entry_ns\":10,\"add_exit_ns\":20,\"consumed_lo_ns\":30,\
             \"consumed_hi_ns\":null,\"sample_shift\":4,\"interval\":5}\n"
        );
    }

    #[test]
    fn a_full_disk_is_told_at_the_end() {
        let mut samples = samples(Written(None));
        samples.push(&resolved());
        samples.push(&resolved());
        let message = samples.finish().expect_err("nothing could be written").to_string();
        assert!(message.contains("samples.jsonl") && message.contains("not complete"), "{message}");
    }
}
