//! Exit codes, one table for all verbs (surface.md, "Exit codes").

use std::process::{ExitCode, ExitStatus};

use crate::file::FileError;

/// All went well.
pub const FINE: u8 = 0;
/// A finding: a verdict, a failed check, a degraded host.
pub const FINDING: u8 = 1;
/// The command line asks for something that cannot be: also clap's own code.
pub const USAGE: u8 = 2;
/// Cannot run here: rights or kernel.
pub const CANNOT_RUN: u8 = 3;
/// Figures not trustworthy, under `--strict`.
pub const UNTRUSTWORTHY: u8 = 4;
/// Asked to end before there was anything to report: 128 + SIGINT.
pub const INTERRUPTED: u8 = 130;
/// Any failure of ours while a command was, or should have been, run: the
/// command's own codes keep their meaning.
pub const OURS_BESIDE_COMMAND: u8 = 125;

/// An error whose remedy is outside the program: exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CannotRun(pub String);

/// An error whose remedy is another command line: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Somebody asked for the end before there was anything to report: exit code
/// 130, as a shell tells SIGINT.
#[derive(Debug, thiserror::Error)]
#[error("asked to end while probes were attached: nothing was watched, nothing stays attached")]
pub struct Interrupted;

/// What the process returns for `result`: the command's own code, or for an
/// error, after one line on stderr, 3 if the host is not fit ([`CannotRun`]),
/// 2 if the command line is wrong ([`Usage`]), else 1.
pub fn code_of(result: anyhow::Result<u8>) -> ExitCode {
    ExitCode::from(result.unwrap_or_else(|error| {
        say(&error);
        code_of_error(&error)
    }))
}

/// The same for a verb that ran a command, or should have: any error, after one
/// line on stderr, is 125.
pub fn beside_command(result: anyhow::Result<u8>) -> u8 {
    result.unwrap_or_else(|error| {
        say(&error);
        OURS_BESIDE_COMMAND
    })
}

/// A command's own status as a shell tells it: its code, or 128 + the signal
/// that ended it.
pub fn code_of_command(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        // Both are below 256 by the definition of wait(2).
        (Some(code), _) => code as u8,
        (None, Some(signal)) => (128 + signal) as u8,
        // Stopped or continued: never returned by the wait that is used.
        (None, None) => OURS_BESIDE_COMMAND,
    }
}

fn code_of_error(error: &anyhow::Error) -> u8 {
    if error.is::<CannotRun>() {
        CANNOT_RUN
    } else if error.is::<Usage>()
        || error.downcast_ref::<FileError>().is_some_and(FileError::is_of_the_name)
    {
        USAGE
    } else if error.is::<Interrupted>() {
        INTERRUPTED
    } else {
        FINDING
    }
}

fn say(error: &anyhow::Error) {
    eprintln!("uepoll: {error:#}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn errors_have_the_code_of_their_remedy() {
        assert_eq!(code_of_error(&CannotRun("x".into()).into()), CANNOT_RUN);
        assert_eq!(code_of_error(&Interrupted.into()), INTERRUPTED);
        assert_eq!(code_of_error(&Usage("x".into()).into()), USAGE);
        assert_eq!(code_of_error(&anyhow::anyhow!("x")), FINDING);
    }

    #[test]
    fn context_does_not_hide_the_remedy() {
        let error = anyhow::Error::from(CannotRun("no right".into())).context("cannot profile");
        assert_eq!(code_of_error(&error), CANNOT_RUN);
    }

    #[test]
    fn every_failure_of_ours_beside_a_command_is_125() {
        assert_eq!(beside_command(Err(CannotRun("x".into()).into())), OURS_BESIDE_COMMAND);
        assert_eq!(beside_command(Ok(7)), 7);
    }

    #[test]
    fn a_signalled_command_is_128_and_the_signal() {
        assert_eq!(code_of_command(ExitStatus::from_raw(9)), 137);
        assert_eq!(code_of_command(ExitStatus::from_raw(42 << 8)), 42);
    }
}
