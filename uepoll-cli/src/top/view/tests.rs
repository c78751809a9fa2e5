//! The screens as people see them, compared with the files in
//! `src/top/expected`. After a wanted change: `UEPOLL_BLESS=1 cargo test`, and
//! read the difference.

use std::path::Path;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::super::action::Action;
use super::super::fixture;
use super::super::model::Model;
use super::super::reel::Reel;
use super::*;

const UTF8: Look = Look { charset: Charset::Utf8, color: true };
const ASCII: Look = Look { charset: Charset::Ascii, color: false };

/// A live run that has gone on for twelve intervals.
fn live() -> Model {
    let mut model = Model::live("every user-polled ring".into(), Vec::new());
    (0..12).for_each(|number| model.push(fixture::frame(number)));
    model
}

fn screen(model: &Model, look: Look, (width, height): (u16, u16)) -> String {
    let backend = TestBackend::new(width, height);
    let mut terminal = Terminal::new(backend).expect("a test backend takes everything");
    terminal.draw(|frame| _ = draw(model, look, frame)).expect("it draws");
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(usize::from(width.max(1)));
    let text: String = lines
        .map(|cells| {
            let line: String = cells.iter().map(|cell| cell.symbol()).collect();
            format!("{}\n", line.trim_end())
        })
        .collect();
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "control character: {text:?}");
    assert!(look.charset == Charset::Utf8 || text.is_ascii(), "not ASCII: {text}");
    text
}

fn expect(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/top/expected").join(name);
    if std::env::var_os("UEPOLL_BLESS").is_some() {
        std::fs::write(&path, text).expect("the folder is there");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{} is not what is drawn:\n{text}", path.display());
}

/// Draws it at a usual size.
fn usual(model: &Model) -> String {
    screen(model, UTF8, (80, 24))
}

#[test]
fn rings_at_a_usual_size() {
    let text = usual(&live());
    expect("rings-80x24.txt", &text);
    let last = text.lines().last().expect("never empty");
    assert!(last.starts_with("cost") && last.contains("books") && last.contains("loss"), "{last}");
}

#[test]
fn rings_on_a_small_terminal() {
    expect("rings-40x10.txt", &screen(&live(), UTF8, (40, 10)));
}

#[test]
fn rings_on_a_wide_terminal_have_every_column() {
    expect("rings-200x50.txt", &screen(&live(), UTF8, (200, 50)));
}

#[test]
fn ascii_readers_get_ascii() {
    expect("rings-ascii.txt", &screen(&live(), ASCII, (120, 24)));
}

#[test]
fn hostile_names_are_escaped() {
    let mut model = Model::live("every user-polled ring".into(), vec!["\u{1b}[2J".into()]);
    let hostile = fixture::with_hostile_names(fixture::capture(0));
    model.push(fixture::frame_of(hostile));
    expect("hostile.txt", &usual(&model));
    model.apply(Action::Open);
    usual(&model);
}

#[test]
fn what_is_wrong_is_told_in_the_last_line() {
    let mut model = Model::live("every user-polled ring".into(), Vec::new());
    model.push(fixture::frame_of(fixture::with_loss(fixture::capture(0))));
    let text = usual(&model);
    assert!(text.lines().last().is_some_and(|last| last.contains("loss 1 219")), "{text}");
}

#[test]
fn before_the_first_figures_it_says_what_is_watched() {
    let model = Model::live("process 4242".into(), Vec::new());
    let text = usual(&model);
    assert!(text.contains("watching process 4242; the first figures come soon"), "{text}");
}

#[test]
fn no_ring_is_one_helpful_sentence() {
    let mut model = live();
    let mut empty = fixture::capture(12);
    empty.rings.clear();
    model.push(fixture::frame_of(empty));
    expect("no-rings.txt", &usual(&model));
}

#[test]
fn a_pause_tells_how_far_back_it_is() {
    let mut model = live();
    model.apply(Action::Pause);
    model.push(fixture::frame(12));
    model.push(fixture::frame(13));
    expect("paused.txt", &usual(&model));
    assert!(usual(&model).contains("PAUSED, 20.0 s back"));
}

#[test]
fn a_filter_is_shown_while_it_is_typed() {
    let mut model = live();
    model.apply(Action::Filter);
    "gat".chars().for_each(|letter| _ = model.apply(Action::Type(letter)));
    expect("filter.txt", &usual(&model));
}

#[test]
fn one_ring_shows_its_report_and_its_histograms() {
    let mut model = live();
    model.apply(Action::Open);
    expect("ring-80x24.txt", &usual(&model));
    expect("ring-100x70.txt", &screen(&model, UTF8, (100, 70)));
    expect("ring-ascii-40x60.txt", &screen(&model, ASCII, (40, 60)));
}

#[test]
fn what_is_in_a_ring_stands_at_the_end_of_its_page() {
    let mut model = live();
    model.apply(Action::Open);
    model.put_found(0, "4242:7  two items\n  ITEM FD".into());
    let text = screen(&model, UTF8, (80, 80));
    assert!(text.contains("now\n4242:7  two items\n  ITEM FD\n"), "{text}");
}

#[test]
fn help_names_every_key() {
    let mut model = live();
    model.apply(Action::Help);
    expect("help.txt", &usual(&model));
}

#[test]
fn a_player_shows_where_it_is() {
    let frames = (0..12).map(fixture::frame).collect();
    let mut model =
        Model::recording("run.uepoll#2".into(), Reel::of_part(0, frames, fixture::run_of(12)));
    model.apply(Action::Faster);
    model.tick(Duration::from_secs(21));
    expect("player.txt", &usual(&model));
    model.apply(Action::Last);
    model.apply(Action::Pause);
    assert!(screen(&model, UTF8, (40, 10)).contains("END x2 1:50.0 of 2:00.0"));
}

#[test]
fn a_terminal_that_is_too_small_is_told_so() {
    let text = screen(&live(), UTF8, (30, 5));
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.starts_with("top needs 40 columns and 8 rows"), "{text}");
}

#[test]
fn no_size_is_too_odd_to_draw() {
    let mut model = live();
    for page in [Action::Redraw, Action::Open, Action::Help] {
        model.apply(page);
        for width in [1, 2, 39, 40, 41, 79, 80, 81, 133, 250] {
            for height in [1, 2, 7, 8, 9, 14, 17, 18, 19, 60] {
                screen(&model, UTF8, (width, height));
            }
        }
    }
}
