//! Our terminal as the guest's console, for `--shell`. Keys pass unchanged
//! (Ctrl-C too); Ctrl-] ends the machine.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;
use std::thread;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::streams::Event;

/// Ctrl-].
const LEAVE: u8 = 0x1d;

/// Our terminal in raw mode, until dropped.
pub struct Terminal {
    before: Option<Termios>,
}

impl Terminal {
    /// Puts the terminal into raw mode and sends its keys to `console`.
    pub fn attach(mut console: UnixStream, events: &Sender<Event>) -> Self {
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(mut raw) = before.clone() {
            raw.make_raw();
            set(&raw);
        }
        let events = events.clone();
        thread::spawn(move || {
            let mut keys = [0; 256];
            while let Ok(length @ 1..) = std::io::stdin().lock().read(&mut keys) {
                let keys = &keys[..length];
                // The run may be over already: then nobody needs to know.
                if keys.contains(&LEAVE) {
                    let _ = events.send(Event::Left);
                    return;
                }
                if console.write_all(keys).is_err() {
                    return;
                }
            }
        });
        Self { before }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            set(before);
        }
    }
}

fn set(state: &Termios) {
    if let Err(error) = tcsetattr(std::io::stdin(), OptionalActions::Drain, state) {
        eprintln!("xtask: cannot set the terminal's mode: {error}; `reset` restores it\r");
    }
}
