//! The threads that carry what the guest sends: the command's two streams, the
//! status port, the console. Bytes pass unchanged; only the mark that ends a
//! stream is taken off.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

/// The end of the console that is kept: a boot with warnings is far below.
const CONSOLE_KEPT_BYTES: usize = 1 << 20;

/// What a thread tells the run.
#[derive(Debug)]
pub enum Event {
    /// The command is about to start.
    Started,
    /// The command ended with this status.
    Exited(u8),
    /// One of the two streams is complete.
    StreamEnded,
    /// Our own stdout or stderr takes nothing more.
    OutputClosed,
    /// The machine stopped.
    Gone,
    /// The user left the terminal.
    Left,
}

/// Where a stream goes.
#[derive(Clone, Copy, Debug)]
pub enum Sink {
    /// To our stdout.
    Stdout,
    /// To our stderr.
    Stderr,
    /// Into the thread's result.
    Keep,
}

/// Carries one of the command's streams up to `mark`.
pub fn output(
    mut from: UnixStream,
    sink: Sink,
    mark: &[u8],
    events: &Sender<Event>,
) -> JoinHandle<Vec<u8>> {
    let events = events.clone();
    let mut cutter = Cutter::new(mark);
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut chunk = vec![0; 1 << 16];
        // An error of the socket is QEMU's death, which the run notices as well.
        while let Ok(length @ 1..) = from.read(&mut chunk) {
            let ended = cutter.push(&chunk[..length]);
            let written = match sink {
                Sink::Keep => {
                    kept.append(&mut cutter.ready);
                    Ok(())
                }
                Sink::Stdout => forward(&mut std::io::stdout().lock(), &mut cutter.ready),
                Sink::Stderr => forward(&mut std::io::stderr().lock(), &mut cutter.ready),
            };
            // Nobody listens any more if the run is over: not an error.
            if written.is_err() {
                let _ = events.send(Event::OutputClosed);
                return kept;
            }
            if ended {
                let _ = events.send(Event::StreamEnded);
                return kept;
            }
        }
        // Cut off in the middle: what looked like the mark's beginning was not.
        cutter.give_up();
        match sink {
            Sink::Keep => kept.append(&mut cutter.ready),
            Sink::Stdout => drop(forward(&mut std::io::stdout().lock(), &mut cutter.ready)),
            Sink::Stderr => drop(forward(&mut std::io::stderr().lock(), &mut cutter.ready)),
        }
        kept
    })
}

fn forward(to: &mut impl Write, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    to.write_all(bytes)?;
    bytes.clear();
    to.flush()
}

/// Reads the status port: `started`, then `exit N`.
pub fn status(from: UnixStream, events: &Sender<Event>) {
    let events = events.clone();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let event = match line.split_once(' ') {
                Some(("exit", status)) => status.trim().parse().ok().map(Event::Exited),
                _ => (line == "started").then_some(Event::Started),
            };
            if event.is_some_and(|event| events.send(event).is_err()) {
                return;
            }
        }
        // Nobody listens any more if it was the run that ended the machine.
        let _ = events.send(Event::Gone);
    });
}

/// Keeps the console's last part; shows it as it comes if `show`.
pub fn console(mut from: UnixStream, show: bool) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut chunk = vec![0; 1 << 14];
        while let Ok(length @ 1..) = from.read(&mut chunk) {
            kept.extend_from_slice(&chunk[..length]);
            if kept.len() > 2 * CONSOLE_KEPT_BYTES {
                kept.drain(..kept.len() - CONSOLE_KEPT_BYTES);
            }
            if show {
                let mut stdout = std::io::stdout().lock();
                // The terminal is gone: the run ends by its own means.
                let _ = stdout.write_all(&chunk[..length]).and_then(|()| stdout.flush());
            }
        }
        String::from_utf8_lossy(&kept).replace('\r', "")
    })
}

/// Takes the mark off a stream that comes in pieces.
struct Cutter {
    mark: Vec<u8>,
    held: Vec<u8>,
    /// Bytes that belong to the stream for certain.
    ready: Vec<u8>,
}

impl Cutter {
    fn new(mark: &[u8]) -> Self {
        Self { mark: mark.to_vec(), held: Vec::new(), ready: Vec::new() }
    }

    /// Takes a piece; whether the mark was in it.
    fn push(&mut self, piece: &[u8]) -> bool {
        self.held.extend_from_slice(piece);
        let found = self.held.windows(self.mark.len()).position(|part| part == self.mark);
        let certain = found.unwrap_or_else(|| {
            // The mark may have begun in the last bytes.
            let longest = self.mark.len().min(self.held.len());
            let begun = (0..=longest).rev().find(|n| self.held.ends_with(&self.mark[..*n]));
            self.held.len() - begun.unwrap_or(0)
        });
        self.ready.extend(self.held.drain(..certain));
        found.is_some()
    }

    /// The stream ended without its mark.
    fn give_up(&mut self) {
        self.ready.append(&mut self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_found_wherever_the_pieces_are_cut() {
        let whole = b"ab\0MARMARKrest";
        for size in 1..whole.len() {
            let mut cutter = Cutter::new(b"MARK");
            let ended = whole.chunks(size).any(|piece| cutter.push(piece));
            assert!(ended, "pieces of {size}");
            assert_eq!(cutter.ready, b"ab\0MAR", "pieces of {size}");
        }
    }

    #[test]
    fn bytes_that_only_look_like_the_mark_are_kept() {
        let mut cutter = Cutter::new(b"MARK");
        assert!(!cutter.push(b"xMAR"));
        assert_eq!(cutter.ready, b"x");
        cutter.give_up();
        assert_eq!(cutter.ready, b"xMAR");
    }
}
