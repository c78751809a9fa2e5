//! `uepoll top`: chooses and attaches as `profile` does, and shows on a terminal
//! what comes. What is shown how is `top`'s.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use uepoll_core::capture::Owner;
use uepoll_core::list::detail_text;
use uepoll_core::render::escaped;

use super::select::Selection;
use super::target;
use crate::exit::{self, Usage};
use crate::file::{Recording, RunName};
use crate::options::{Color, WatchOptions};
use crate::output;
use crate::snapshot;
use crate::top::{self, Look, Recorded, Watch};

/// How often figures are shown, unless -i says otherwise.
const INTERVAL: Duration = Duration::from_secs(1);

/// Options of `uepoll top`
#[derive(clap::Args, Clone, Debug)]
#[command(
    after_help = "Figures are those of the last second, or of the last -i TIME. Keys: press `?` while it runs.",
    // Of the options of all verbs that watch: what `check` refuses is not offered,
    // and what means another thing here is told so.
    mut_arg("json", |option| option.hide(true)),
    mut_arg("verbose", |option| option.hide(true)),
    mut_arg("duration", |option| {
        option.help("For how long: 5, 5s, 500ms, 5m; without it, until `q` or Ctrl-C")
    }),
    mut_arg("interval", |option| {
        option.help("How often figures are shown, from 100ms on [default: 1s]")
    }),
)]
pub struct Args {
    #[command(flatten)]
    watch: WatchOptions,

    /// Play a recording; FILE#2 its second run, FILE#KEY=VALUE the last one so
    /// labelled
    #[arg(long, value_name = "FILE",
          conflicts_with_all = ["target", "consumers", "probe_kind", "duration", "interval",
                                "frequency", "strict"])]
    from: Option<OsString>,
}

impl Args {
    /// Checks what concerns several options at once.
    fn check(&self) -> Result<(), Usage> {
        for (given, option) in [(self.watch.json, "--json"), (self.watch.verbose, "-v")] {
            if given {
                return Err(Usage(format!(
                    "{option} is for reports that are printed, and top draws on the terminal: \
                     `uepoll profile -i 1 {option}` prints a report each second"
                )));
            }
        }
        self.watch.check()
    }
}

/// Runs it. Returns the exit code.
///
/// # Errors
/// [`crate::exit::CannotRun`] if the host is not fit, [`Usage`] if there is no
/// terminal or what was chosen is not there, any other if the terminal, the
/// recording, or reading what was counted fails.
pub fn run(args: Args) -> anyhow::Result<u8> {
    args.check()?;
    let options = &args.watch;
    let look = look(options.color, args.from.is_some())?;
    if let Some(from) = &args.from {
        return play(from, look);
    }
    let selection = Selection::of(options).map_err(|error| error.with_code())?;
    let Selection { filter, consumers, target, words, notes } = selection;
    let live = super::profile::attach(options, filter, consumers, false)?;
    let ended = || {
        let target = target.as_ref().filter(|target| target.has_ended())?;
        Some(format!("process {} has ended; what is shown is what was", target.pid))
    };
    // What /proc calls a process is what the kernel side calls it.
    let same_numbers = target::in_initial_namespace();
    let look_into = |owner: &Owner| (same_numbers && owner.fd >= 0).then(|| found_in(owner, look));
    let watch = Watch {
        words,
        notes,
        interval: options.interval.unwrap_or(INTERVAL),
        duration: options.duration,
        ended: &ended,
        look_into: &look_into,
    };
    let trusted = top::live(live, watch, look)?;
    Ok(if options.strict && !trusted { exit::UNTRUSTWORTHY } else { exit::FINE })
}

/// What is in a ring now, or why that cannot be told.
fn found_in(owner: &Owner, look: Look) -> String {
    match snapshot::look(owner.pid, owner.fd) {
        Ok(detail) => detail_text(&detail, look.charset),
        // A descriptor's text may be anything.
        Err(error) => escaped(&error.to_string(), look.charset, usize::MAX),
    }
}

/// Plays a run of a file.
fn play(from: &OsStr, look: Look) -> anyhow::Result<u8> {
    let name = RunName::parse(from).map_err(Usage)?;
    let (recording, run) = Recording::open_run(&name)?;
    let words = name.path.file_name().unwrap_or(from).to_string_lossy().into_owned();
    top::play(format!("{words}#{run}"), &Recorded::new(recording, run), look)?;
    Ok(exit::FINE)
}

/// What the terminal can show; without one, what prints the same instead.
fn look(color: Color, recorded: bool) -> Result<Look, Usage> {
    let term = std::env::var_os("TERM").unwrap_or_default();
    if !io::stdout().is_terminal() || term.is_empty() || term == "dumb" {
        let instead = match recorded {
            true => {
                "`uepoll report FILE` prints a recording, `uepoll report FILE -f json` for programs"
            }
            false => {
                "`uepoll profile -i 1` prints a report each second, `uepoll profile -i 1 --json` \
                 for programs"
            }
        };
        return Err(Usage(format!(
            "top draws on a terminal, and stdout is none that it could draw on: {instead}"
        )));
    }
    let color = match color {
        // Asks NO_COLOR, CLICOLOR and TERM.
        Color::Auto => AutoStream::choice(&io::stdout()) != ColorChoice::Never,
        Color::Always => true,
        Color::Never => false,
    };
    Ok(Look { charset: output::charset(), color })
}
