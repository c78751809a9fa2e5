//! The options that every verb that watches takes, defined once, and what their
//! words mean. What they ask for is done elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};

use crate::duration;
use crate::exit::Usage;
use crate::number;
use crate::source::live::{Pace, ProbeKind};

/// More snapshots a second than this and the sampler is what is measured.
const MOST_HZ: u32 = 10_000;

/// Shortest interval: reading what was counted takes a part of it.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// Largest process number: PID_MAX_LIMIT of the kernel is 2^22, and what is
/// larger but fits its type is for the kernel to refuse.
pub const MOST_PID: u32 = i32::MAX as u32;

/// Bytes of a process's name that the kernel keeps (TASK_COMM_LEN less its NUL).
const COMM_BYTES: usize = 15;

/// Which rings, for how long, how often looked at, and in what form told.
#[derive(Args, Clone, Debug)]
// One of the four ways to choose rings at a time: together they would have to
// mean "and" to some and "or" to others.
#[command(group = ArgGroup::new("target").multiple(false))]
pub struct WatchOptions {
    /// Rings of this process and of its children alone
    #[arg(short, long, value_name = "PID", group = "target",
          value_parser = number::within("a process number", 1..=MOST_PID))]
    pub pid: Option<u32>,

    /// The one ring behind this descriptor of this process: 4242:7
    #[arg(short, long, value_name = "PID:FD", group = "target", value_parser = RingName::parse)]
    pub ring: Option<RingName>,

    /// Rings of processes of this name alone, as in /proc/PID/comm
    #[arg(long, value_name = "NAME", group = "target", value_parser = Comm::parse)]
    pub comm: Option<Comm>,

    /// Rings of processes in this cgroup (v2), or below it, alone
    #[arg(long, value_name = "PATH", group = "target")]
    pub cgroup: Option<PathBuf>,

    /// This thread consumes, though it may never wait; may be given repeatedly
    #[arg(long = "consumer", value_name = "TID",
          value_parser = number::within("a thread number", 1..=MOST_PID))]
    pub consumers: Vec<u32>,

    /// How functions are probed
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    pub probe_kind: ProbeKind,

    /// For how long: 5, 5s, 500ms, 5m; without it, until Ctrl-C
    #[arg(short, long, value_name = "TIME", value_parser = duration::parse_some)]
    pub duration: Option<Duration>,

    /// A report each so often, from 100ms on; the last may be of less
    #[arg(short, long, value_name = "TIME", value_parser = parse_interval)]
    pub interval: Option<Duration>,

    /// Snapshots of head and tail a second and CPU: more make bounds narrower;
    /// `max`, with -r: that ring's head is watched without a pause by a thread
    /// of ours, which takes a CPU and holds the ring's file open [default: 199,
    /// or as many as take less than 1 % of one CPU]
    #[arg(short = 'F', long = "frequency", value_name = "HZ|max",
          value_parser = Frequency::parse)]
    pub frequency: Option<Frequency>,

    /// The report as JSON (schema uepoll.report/1); with -i a line for each
    #[arg(long)]
    pub json: bool,

    /// Every count, the books, the probe plan and the price of each probe too
    #[arg(short, long)]
    pub verbose: bool,

    /// Exit with 4 if anything was lost or the books do not balance
    #[arg(long)]
    pub strict: bool,

    /// Mark what is wrong; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub color: Color,
}

/// Whether a run is kept, and how it is called.
#[derive(Args, Clone, Debug, Default)]
pub struct RecordOptions {
    /// Keep the run in this file, beside others if it is there: `uepoll report
    /// FILE` tells it again
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// What the run is called by in its file: commit=abc; may be given repeatedly
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label,
          requires = "output")]
    pub labels: Vec<(String, String)>,
}

impl WatchOptions {
    /// Checks what concerns several options at once.
    ///
    /// # Errors
    /// A sentence that names both and says what would have been right.
    pub fn check(&self) -> Result<(), Usage> {
        if self.watches_head() && self.ring.is_none() {
            return Err(Usage(
                "-F max watches the head of one ring: name that ring with -r PID:FD, or give a \
                 number of snapshots a second, as -F 999"
                    .into(),
            ));
        }
        Ok(())
    }

    /// How often the sampler looks.
    pub fn pace(&self) -> Pace {
        match self.frequency {
            Some(Frequency::Hz(hz)) => Pace::Hz(hz),
            Some(Frequency::Max) | None => Pace::Affordable,
        }
    }

    /// Whether one ring's head is watched without a pause.
    pub fn watches_head(&self) -> bool {
        self.frequency == Some(Frequency::Max)
    }
}

/// How often head and tail are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frequency {
    /// So many times a second on each CPU.
    Hz(u32),
    /// As often as a CPU can read them, beside the usual snapshots.
    Max,
}

impl Frequency {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let hz = number::within("a number of snapshots a second", 1..=MOST_HZ)(text);
        hz.map(Self::Hz).map_err(|message| format!("{message}, or `max` with -r PID:FD"))
    }
}

/// A ring as people name it: a descriptor of a process, whose number is that of
/// the caller's pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingName {
    /// Process.
    pub pid: u32,
    /// Its descriptor.
    pub fd: i32,
}

impl RingName {
    /// A ring as it is written: 4242:7.
    ///
    /// # Errors
    /// A sentence that says how it is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number =
            |text: &str, least: u32| number::within("a number", least..=MOST_PID)(text).ok();
        text.split_once(':')
            .and_then(|(pid, fd)| {
                let fd = i32::try_from(number(fd, 0)?).ok()?;
                Some(Self { pid: number(pid, 1)?, fd })
            })
            .ok_or_else(|| {
                format!(
                    "`{text}` is not the name of a ring: write the process and its descriptor, \
                     as 4242:7"
                )
            })
    }
}

impl std::fmt::Display for RingName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.pid, self.fd)
    }
}

/// A process's name, as the kernel keeps it: NUL padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comm(pub [u8; COMM_BYTES + 1]);

impl Comm {
    /// A process's name as it is written.
    ///
    /// # Errors
    /// A sentence that says what the kernel keeps.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bytes = text.as_bytes();
        if bytes.is_empty() {
            return Err("a name is wanted, as /proc/PID/comm shows it".into());
        }
        if bytes.len() > COMM_BYTES {
            // Cut where a character begins, if the name is one that has such.
            let kept = (0..=COMM_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            return Err(format!(
                "`{text}` is longer than any name that the kernel keeps ({COMM_BYTES} bytes): \
                 /proc/PID/comm shows it cut, perhaps as `{}`",
                &text[..kept]
            ));
        }
        let mut comm = [0; COMM_BYTES + 1];
        comm[..bytes.len()].copy_from_slice(bytes);
        Ok(Self(comm))
    }

    /// The name's bytes, without padding.
    pub fn bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        &self.0[..end]
    }
}

/// When what is wrong is marked by colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// If stdout is a terminal that can, and NO_COLOR is not set
    #[default]
    Auto,
    /// Whatever stdout is
    Always,
    /// Never
    Never,
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err(format!("`{text}` is no label: write KEY=VALUE, as commit=abc")),
    }
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = duration::parse(text)?;
    if interval < LEAST_INTERVAL {
        return Err(format!("`{text}` is too short for an interval: write 100ms or longer, as 1s"));
    }
    Ok(interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: WatchOptions,
    }

    fn parse(words: &[&str]) -> Result<WatchOptions, String> {
        Line::try_parse_from([&["x"], words].concat())
            .map(|line| line.options)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_ring_is_named_by_process_and_descriptor() {
        let options = parse(&["-r", "4242:0"]).expect("fine");
        assert_eq!(options.ring, Some(RingName { pid: 4242, fd: 0 }));
        for text in ["4242", "4242:", ":7", "0:7", "4242:-1", "4242:7:8", "a:b", "4242:4294967295"]
        {
            let message = RingName::parse(text).expect_err(text);
            assert!(message.contains("as 4242:7"), "{message}");
        }
    }

    #[test]
    fn rings_are_chosen_in_one_way_at_a_time() {
        let ways = [["-p", "1"], ["-r", "1:2"], ["--comm", "x"], ["--cgroup", "/x"]];
        for (at, one) in ways.iter().enumerate() {
            assert!(parse(one).is_ok(), "{one:?}");
            for other in &ways[at + 1..] {
                let message = parse(&[one, &other[..]].concat()).expect_err("both");
                assert!(message.contains("cannot be used with"), "{message}");
            }
        }
    }

    #[test]
    fn several_threads_may_be_named_as_consumers() {
        let options = parse(&["--consumer", "7", "--consumer", "8"]).expect("fine");
        assert_eq!(options.consumers, [7, 8]);
        assert!(parse(&["--consumer", "0"]).is_err());
    }

    #[test]
    fn max_is_a_frequency_of_one_ring_only() {
        let options = parse(&["-F", "max", "-r", "1:2"]).expect("fine");
        assert!(options.watches_head());
        assert!(options.check().is_ok());
        for words in [&["-F", "max"][..], &["-F", "max", "-p", "1"]] {
            let message = parse(words).expect("each word is fine").check().expect_err("no ring").0;
            assert!(message.contains("-r PID:FD"), "{message}");
        }
        assert_eq!(parse(&["-F", "999"]).expect("fine").pace(), Pace::Hz(999));
        assert_eq!(parse(&[]).expect("fine").pace(), Pace::Affordable);
    }

    #[test]
    fn a_name_that_the_kernel_cannot_keep_is_refused_with_what_it_keeps() {
        let fits = Comm::parse("fifteen-letters").expect("15 bytes");
        assert_eq!(fits.bytes(), b"fifteen-letters");
        assert_eq!(Comm::parse("x").expect("fine").0[1..], [0; COMM_BYTES]);
        let message = Comm::parse("sixteen-letters!").expect_err("16 bytes");
        assert!(message.contains("perhaps as `sixteen-letters`"), "{message}");
        assert!(Comm::parse("").is_err());
        assert!(Comm::parse("fünfzehn-und-meeehr").is_err());
    }

    #[test]
    fn a_label_has_a_key_and_may_have_any_value() {
        assert_eq!(parse_label("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(parse_label("a="), Ok(("a".into(), String::new())));
        for text in ["", "a", "=b"] {
            assert!(parse_label(text).expect_err(text).contains("KEY=VALUE"));
        }
    }

    #[test]
    fn an_interval_is_long_enough_to_be_read() {
        assert_eq!(parse_interval("100ms"), Ok(LEAST_INTERVAL));
        for text in ["99ms", "0", "1us"] {
            assert!(parse_interval(text).expect_err(text).contains("100ms or longer"));
        }
    }

    #[test]
    fn what_is_no_number_is_told_in_words_of_the_option() {
        for (words, said) in [
            (["-p", "x"], "`x` is not a process number: write a whole number from 1"),
            (["-F", "0"], "`0` is not a number of snapshots a second: write"),
            (["-F", "fast"], "or `max` with -r PID:FD"),
            (["-d", "soon"], "`soon` is no length of time"),
        ] {
            let message = parse(&words).expect_err(said);
            let one_line = message.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(one_line.contains(said), "{message}");
        }
    }
}
