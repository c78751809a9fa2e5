//! Which key asks for what. A table for people is in `view::help`.

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::action::{Action, LEAP};

/// What an event asks for, while a filter is typed or not; `None` if nothing.
pub fn action(event: &Event, typing: bool) -> Option<Action> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => of_key(key, typing),
        _ => None,
    }
}

fn of_key(key: &KeyEvent, typing: bool) -> Option<Action> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        // The terminal is raw: what it would do by itself is for us to do.
        return match key.code {
            KeyCode::Char('c') => Some(Action::Quit),
            KeyCode::Char('z') => Some(Action::Suspend),
            KeyCode::Char('l') => Some(Action::Redraw),
            _ => None,
        };
    }
    if key.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    if typing { of_typing(key.code) } else { of_command(key.code) }
}

fn of_typing(code: KeyCode) -> Option<Action> {
    match code {
        KeyCode::Char(letter) if !letter.is_control() => Some(Action::Type(letter)),
        KeyCode::Backspace => Some(Action::Erase),
        KeyCode::Enter => Some(Action::Accept),
        KeyCode::Esc => Some(Action::Cancel),
        KeyCode::Up => Some(Action::Up),
        KeyCode::Down => Some(Action::Down),
        _ => None,
    }
}

fn of_command(code: KeyCode) -> Option<Action> {
    match code {
        KeyCode::Char('q') => Some(Action::Quit),
        KeyCode::Up | KeyCode::Char('k') => Some(Action::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(Action::Down),
        KeyCode::Enter => Some(Action::Open),
        KeyCode::Esc | KeyCode::Backspace => Some(Action::Back),
        KeyCode::Char('?' | 'h') | KeyCode::F(1) => Some(Action::Help),
        KeyCode::Char('s' | '>') => Some(Action::SortNext),
        KeyCode::Char('S' | '<') => Some(Action::SortBefore),
        KeyCode::Char('r') => Some(Action::Reverse),
        KeyCode::Char('/') => Some(Action::Filter),
        KeyCode::Char(' ' | 'p') => Some(Action::Pause),
        KeyCode::Left => Some(Action::Earlier(1)),
        KeyCode::Right => Some(Action::Later(1)),
        KeyCode::PageUp => Some(Action::Earlier(LEAP)),
        KeyCode::PageDown => Some(Action::Later(LEAP)),
        KeyCode::Home => Some(Action::First),
        KeyCode::End => Some(Action::Last),
        KeyCode::Char('+' | '=') => Some(Action::Faster),
        KeyCode::Char('-') => Some(Action::Slower),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: KeyCode) -> Event {
        Event::Key(KeyEvent::from(code))
    }

    #[test]
    fn each_key_asks_for_one_thing() {
        for (code, wanted) in [
            (KeyCode::Char('q'), Action::Quit),
            (KeyCode::Up, Action::Up),
            (KeyCode::Char('j'), Action::Down),
            (KeyCode::Enter, Action::Open),
            (KeyCode::Esc, Action::Back),
            (KeyCode::Char('?'), Action::Help),
            (KeyCode::Char('h'), Action::Help),
            (KeyCode::Char('s'), Action::SortNext),
            (KeyCode::Char('<'), Action::SortBefore),
            (KeyCode::Char('r'), Action::Reverse),
            (KeyCode::Char('/'), Action::Filter),
            (KeyCode::Char(' '), Action::Pause),
            (KeyCode::Left, Action::Earlier(1)),
            (KeyCode::PageDown, Action::Later(10)),
            (KeyCode::Home, Action::First),
            (KeyCode::End, Action::Last),
            (KeyCode::Char('+'), Action::Faster),
            (KeyCode::Char('-'), Action::Slower),
        ] {
            assert_eq!(action(&key(code), false), Some(wanted), "{code:?}");
        }
        assert_eq!(action(&key(KeyCode::Char('x')), false), None);
    }

    #[test]
    fn letters_are_of_the_filter_while_it_is_typed() {
        for letter in ['q', 's', ' ', '?', 'ä'] {
            assert_eq!(action(&key(KeyCode::Char(letter)), true), Some(Action::Type(letter)));
        }
        assert_eq!(action(&key(KeyCode::Esc), true), Some(Action::Cancel));
        assert_eq!(action(&key(KeyCode::Enter), true), Some(Action::Accept));
        assert_eq!(action(&key(KeyCode::Backspace), true), Some(Action::Erase));
    }

    #[test]
    fn control_keys_work_whatever_is_typed() {
        for typing in [false, true] {
            for (letter, wanted) in
                [('c', Action::Quit), ('z', Action::Suspend), ('l', Action::Redraw)]
            {
                let event = Event::Key(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL));
                assert_eq!(action(&event, typing), Some(wanted));
            }
        }
    }
}
