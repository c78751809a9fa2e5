//! The terminal: taken when the view begins, given back as it was when it ends,
//! however it ends. Signals that ask for the end, or for a stop, come in here.

use std::fs::File;
use std::io::{self, IsTerminal, Stdout, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use ratatui::layout::{Position, Rect, Size};
use ratatui::{Frame, TerminalOptions, Viewport};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use signal_hook::{flag, low_level};

/// Whether the terminal is ours and has to be given back.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Why the terminal could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// What was tried, and what the system said.
    #[error(
        "the terminal cannot be used: {what} failed ({source}); `uepoll profile -i 1` prints the same figures as lines"
    )]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// What has happened while we waited.
#[derive(Debug, PartialEq, Eq)]
pub enum Happened {
    /// Keys.
    Events(Vec<Event>),
    /// We were asked to stop, as Ctrl-Z does.
    StopAsked,
    /// We go on after a stop: the terminal may be any shell's.
    Continued,
    /// We were asked to end, or the terminal is gone.
    EndAsked,
}

/// A terminal that is ours until this is dropped.
pub struct Screen {
    terminal: ratatui::Terminal<CrosstermBackend<Stdout>>,
    size: Size,
    keyboard: OwnedFd,
    signals: Signals,
}

impl Screen {
    /// Takes it. A panic gives it back before it is told.
    ///
    /// # Errors
    /// If it is none, or the system refuses.
    pub fn take() -> Result<Self, TerminalError> {
        let failed = |what| move |source| TerminalError::System { what, source };
        let keyboard = keyboard().map_err(failed("opening /dev/tty"))?;
        let signals = Signals::take().map_err(failed("taking signals"))?;
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        enter().map_err(failed("switching its mode"))?;
        let blank = blank().inspect_err(|_| give_back());
        let (terminal, size) = blank.map_err(failed("asking its size"))?;
        Ok(Self { terminal, size, keyboard, signals })
    }

    /// Draws a frame; what has not changed is not sent.
    ///
    /// # Errors
    /// If the terminal does not take it.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Result<(), TerminalError> {
        let drawn = self.terminal.draw(draw);
        drawn.map(|_| ()).map_err(|source| TerminalError::System { what: "drawing", source })
    }

    /// Forgets what is on the screen: the next frame is sent whole.
    ///
    /// # Errors
    /// If the terminal does not take it.
    pub fn forget(&mut self) -> Result<(), TerminalError> {
        let failed = |source| TerminalError::System { what: "clearing it", source };
        (self.terminal, self.size) = blank().map_err(failed)?;
        Ok(())
    }

    /// Whether its size is another than when it was drawn last.
    pub fn resized(&self) -> bool {
        terminal::size().is_ok_and(|size| Size::from(size) != self.size)
    }

    /// Waits for something to happen, no longer than `most`.
    ///
    /// # Errors
    /// If keys cannot be read.
    pub fn wait(&mut self, most: Duration) -> Result<Happened, TerminalError> {
        let failed = |source| TerminalError::System { what: "reading keys", source };
        // A signal interrupts the wait, and is looked at after it.
        let there = self.wait_for_keys(most).map_err(failed)?;
        if self.signals.end.load(Ordering::Relaxed) || !there {
            return Ok(Happened::EndAsked);
        }
        if self.signals.stop.swap(false, Ordering::Relaxed) {
            return Ok(Happened::StopAsked);
        }
        if self.signals.goes_on.swap(false, Ordering::Relaxed) {
            return Ok(Happened::Continued);
        }
        let mut events = Vec::new();
        // Asked without new keys too: crossterm may hold some that it has read.
        while event::poll(Duration::ZERO).map_err(failed)? {
            events.push(event::read().map_err(failed)?);
        }
        Ok(Happened::Events(events))
    }

    /// Waits for keys; whether the terminal is still there. Done here rather than
    /// by crossterm, which waits for ever on a terminal that has gone away.
    fn wait_for_keys(&self, most: Duration) -> io::Result<bool> {
        let most = Timespec {
            tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(most.subsec_nanos()),
        };
        let mut fds = [PollFd::new(&self.keyboard, PollFlags::IN)];
        match poll(&mut fds, Some(&most)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        Ok(!fds[0].revents().intersects(gone))
    }

    /// Gives the terminal back, stops as Ctrl-Z does, and takes it again when
    /// somebody lets us go on.
    ///
    /// # Errors
    /// If the terminal cannot be taken again.
    pub fn stop(&mut self) -> Result<(), TerminalError> {
        give_back();
        let stopped = low_level::emulate_default_handler(SIGTSTP);
        stopped.map_err(|source| TerminalError::System { what: "stopping", source })?;
        self.signals.goes_on.store(false, Ordering::Relaxed);
        self.take_again()
    }

    /// Takes the terminal after somebody else may have had it.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn take_again(&mut self) -> Result<(), TerminalError> {
        // What crossterm remembers as the mode to go back to is the shell's.
        give_back();
        enter().map_err(|source| TerminalError::System { what: "switching its mode", source })?;
        self.forget()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// An empty screen of the terminal's size. Not ratatui's own way to get one,
/// which asks the terminal where its cursor is: not all of them answer, and keys
/// that come meanwhile are late.
fn blank() -> io::Result<(ratatui::Terminal<CrosstermBackend<Stdout>>, Size)> {
    execute!(io::stdout(), Clear(ClearType::All))?;
    let size = Size::from(terminal::size()?);
    let viewport = Viewport::Fixed(Rect::from((Position::ORIGIN, size)));
    let backend = CrosstermBackend::new(io::stdout());
    let terminal = ratatui::Terminal::with_options(backend, TerminalOptions { viewport })?;
    Ok((terminal, size))
}

/// Where keys come from, as crossterm chooses it.
fn keyboard() -> io::Result<OwnedFd> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        stdin.as_fd().try_clone_to_owned()
    } else {
        File::options().read(true).write(true).open("/dev/tty").map(OwnedFd::from)
    }
}

fn enter() -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode().inspect_err(|_| give_back())?;
    execute!(io::stdout(), EnterAlternateScreen).inspect_err(|_| give_back())
}

/// Gives the terminal back, if it is ours. It may be gone already: then there
/// is nothing to be done, and nobody to be told.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
        let _ = io::stdout().flush();
    }
}

/// What others ask of us, noted as it comes.
struct Signals {
    end: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    goes_on: Arc<AtomicBool>,
}

impl Signals {
    fn take() -> io::Result<Self> {
        let signals = Self { end: Arc::default(), stop: Arc::default(), goes_on: Arc::default() };
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            flag::register(signal, Arc::clone(&signals.end))?;
        }
        flag::register(SIGTSTP, Arc::clone(&signals.stop))?;
        flag::register(SIGCONT, Arc::clone(&signals.goes_on))?;
        Ok(signals)
    }
}
