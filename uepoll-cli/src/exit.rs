//! Exit codes, one table for all verbs.

use std::process::ExitCode;

/// A finding: a verdict, a failed check, a degraded host.
pub const FINDING: u8 = 1;
/// The command line asks for what cannot be.
pub const USAGE: u8 = 2;
/// Cannot run here: rights or kernel.
pub const CANNOT_RUN: u8 = 3;

/// An error whose remedy is outside the program: exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CannotRun(pub String);

/// What the process returns for `result`: the command's own code, or for an
/// error, after one line on stderr, 3 if the host is not fit ([`CannotRun`]),
/// else 1.
pub fn code_of(result: anyhow::Result<u8>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("uepoll: {error:#}");
            ExitCode::from(if error.is::<CannotRun>() { CANNOT_RUN } else { FINDING })
        }
    }
}
