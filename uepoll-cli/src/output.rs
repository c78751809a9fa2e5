//! What is printed on stdout: whole, or to nobody.

use std::io::{self, Write};

use anyhow::Context;

/// Writes to stdout; a reader that has gone away is no fault. `what` names the
/// text in an error.
///
/// # Errors
/// If stdout does not take it.
pub fn print(what: &str, text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.with_context(|| format!("cannot write the {what} on stdout")),
    }
}
