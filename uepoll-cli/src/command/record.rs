//! `-o FILE` of the verbs that watch: a file is prepared before anything is
//! attached, and what comes goes into it. How it is written is `file`'s.

use uepoll_common::record::Record;
use uepoll_core::capture::Capture;
use uepoll_core::run::{RunInfo, Told};

use super::watch::Witness;
use crate::file::{Prepared, Recorder, run_info};
use crate::options::{RecordOptions, WatchOptions};
use crate::output::Reader;
use crate::source::live::Live;

/// Keeps what it is told in a file.
pub struct RecordWitness {
    recorder: Option<Recorder>,
}

impl RecordWitness {
    /// Opens the file, if one was named.
    ///
    /// # Errors
    /// If it cannot be written to.
    pub fn prepare(options: &RecordOptions) -> anyhow::Result<Option<Prepared>> {
        Ok(options.output.as_deref().map(Recorder::prepare).transpose()?)
    }

    /// Begins the run, now that everything is attached.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn begin(
        prepared: Option<Prepared>,
        options: &RecordOptions,
        watch: &WatchOptions,
        live: &mut Live,
    ) -> anyhow::Result<Option<Self>> {
        let Some(prepared) = prepared else { return Ok(None) };
        let info = RunInfo {
            started_unix_ns: live.start_unix_ns(),
            started_mono_ns: live.start_ns(),
            ..run_info(&options.labels, watch.interval.is_some())
        };
        Ok(Some(Self { recorder: Some(prepared.begin(&info, &live.peek()?)?) }))
    }
}

impl Witness for RecordWitness {
    fn record(&mut self, record: &Record) {
        if let Some(recorder) = &mut self.recorder {
            recorder.record(record);
        }
    }

    fn wants_checkpoints(&self) -> bool {
        true
    }

    fn checkpoint(&mut self, so_far: &Capture) {
        if let Some(recorder) = &mut self.recorder {
            recorder.checkpoint(so_far);
        }
    }

    fn interval(&mut self, told: &Told) -> anyhow::Result<Reader> {
        if let Some(recorder) = &mut self.recorder {
            recorder.interval(told);
        }
        Ok(Reader::There)
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        Ok(self.recorder.take().map_or(Ok(()), Recorder::finish)?)
    }
}
