//! `uepoll top`: rings on a terminal, live or from a recording. State is in
//! `model`, pictures in `view`, the terminal in `terminal`; here they are run.

mod action;
mod column;
mod frame;
mod keys;
mod model;
mod recording;
mod reel;
mod terminal;
mod view;

#[cfg(test)]
mod fixture;

use std::time::{Duration, Instant};

use anyhow::Context;
use uepoll_core::capture::Owner;
use uepoll_core::correlate::Correlator;
use uepoll_core::run::Told;

use crate::source::live::Live;
use action::Effect;
use frame::Frame;
use model::Model;
use terminal::{Happened, Screen};

pub use recording::Recorded;
pub use view::Look;

/// How often the ring buffer is drained and the terminal's size looked at.
const TICK: Duration = Duration::from_millis(50);

/// How a live view is run.
pub struct Watch<'a> {
    /// What is watched, in words.
    pub words: String,
    /// What is to be said of that.
    pub notes: Vec<String>,
    /// A frame each so often.
    pub interval: Duration,
    /// For so long; until somebody ends it, without.
    pub duration: Option<Duration>,
    /// Whether the process that is watched, if it is one, has ended; in words.
    pub ended: &'a dyn Fn() -> Option<String>,
    /// What is in a ring now, in lines; `None` if it cannot be named to us.
    pub look_into: &'a dyn Fn(&Owner) -> Option<String>,
}

/// Shows what the kernel tells, until somebody ends it. Whether every frame
/// could be trusted.
///
/// # Errors
/// If the terminal cannot be used, or what was counted not read.
pub fn live(mut live: Live, watch: Watch<'_>, look: Look) -> anyhow::Result<bool> {
    let mut model = Model::live(watch.words, watch.notes);
    let mut correlator = Correlator::default();
    let mut trusted = true;
    let mut ended = false;
    let started = Instant::now();
    let over = watch.duration.and_then(|duration| started.checked_add(duration));
    let mut due = started + watch.interval;
    run(&mut model, look, |model, _| {
        live.poll(&mut |record| correlator.push(&record));
        let now = Instant::now();
        let mut shows_more = false;
        if now >= due {
            let capture = live.roll(&mut |record| correlator.push(&record));
            let capture = capture.context("cannot read what was counted in this interval")?;
            let told = Told::of_interval(capture, &mut correlator, true);
            trusted &= told.report.trustworthy();
            model.push(Frame::of(&told));
            shows_more = true;
            // An interval that was missed, as while we were stopped, is a part
            // of the next one.
            due = Instant::now().max(due) + watch.interval;
        }
        if let Some(ring) = model.looked_into()
            && (shows_more || model.found().is_none())
            && let Some(found) = ring.owner.as_ref().and_then(watch.look_into)
        {
            let number = ring.number;
            model.put_found(number, found);
            shows_more = true;
        }
        if !ended && let Some(words) = (watch.ended)() {
            ended = true;
            model.note(words);
            shows_more = true;
        }
        Ok(if over.is_some_and(|over| now >= over) { Next::End } else { Next::of(shows_more) })
    })?;
    Ok(trusted)
}

/// Plays a recording, until somebody ends it.
///
/// # Errors
/// If the terminal cannot be used, or the recording not read.
pub fn play(name: String, recorded: &Recorded, look: Look) -> anyhow::Result<()> {
    let mut model = Model::recording(name, recorded.frames_around(0)?);
    run(&mut model, look, |model, passed| {
        let moved = model.tick(passed);
        if let Some(wanted) = model.wanted() {
            model.put(recorded.frames_around(wanted)?);
        }
        Ok(Next::of(moved))
    })
}

/// What is next after a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// There is something new to see.
    Draw,
    /// There is nothing new.
    Wait,
    /// It is over.
    End,
}

impl Next {
    fn of(new: bool) -> Self {
        if new { Self::Draw } else { Self::Wait }
    }
}

/// Takes the terminal, and until it is over draws, waits for keys, ticks.
fn run(
    model: &mut Model,
    look: Look,
    mut tick: impl FnMut(&mut Model, Duration) -> anyhow::Result<Next>,
) -> anyhow::Result<()> {
    let mut screen = Screen::take()?;
    let mut ticked = Instant::now();
    let mut draw = true;
    loop {
        if screen.resized() {
            screen.forget()?;
            draw = true;
        }
        if draw {
            let mut beyond = 0;
            screen.draw(|frame| beyond = view::draw(model, look, frame))?;
            model.limit_scroll(beyond);
            draw = false;
        }
        match screen.wait(TICK)? {
            Happened::EndAsked => return Ok(()),
            Happened::StopAsked => screen.stop()?,
            Happened::Continued => screen.take_again()?,
            Happened::Events(events) => {
                for event in events {
                    let Some(action) = keys::action(&event, model.filter().1) else { continue };
                    draw = true;
                    match model.apply(action) {
                        Effect::Draw => {}
                        Effect::Redraw => screen.forget()?,
                        Effect::Suspend => screen.stop()?,
                        Effect::Quit => return Ok(()),
                    }
                }
            }
        }
        let passed = ticked.elapsed();
        ticked = Instant::now();
        match tick(model, passed)? {
            Next::Draw => draw = true,
            Next::Wait => {}
            Next::End => return Ok(()),
        }
    }
}
