//! What keys and time do to the state.

use super::super::fixture;
use super::super::reel::Run;
use super::*;

fn live(frames: u32) -> Model {
    let mut model = Model::live("every user-polled ring".into(), Vec::new());
    (0..frames).for_each(|number| model.push(fixture::frame(number)));
    model
}

/// A recording of ten-second frames, all at hand.
fn recording(frames: u32) -> Model {
    let reel = Reel::of_part(0, (0..frames).map(fixture::frame).collect(), fixture::run_of(frames));
    Model::recording("run.uepoll".into(), reel)
}

fn names(model: &Model) -> Vec<String> {
    model.rows().into_iter().map(text::ring_name).collect()
}

fn type_filter(model: &mut Model, filter: &str) {
    model.apply(Action::Filter);
    filter.chars().for_each(|letter| _ = model.apply(Action::Type(letter)));
    model.apply(Action::Accept);
}

#[test]
fn the_busiest_ring_is_first_until_another_order_is_asked_for() {
    let mut model = live(1);
    assert_eq!(names(&model), ["4242:7", "31337:12", "977:3"]);
    model.apply(Action::Reverse);
    assert_eq!(names(&model), ["977:3", "31337:12", "4242:7"]);
    model.apply(Action::Reverse);
    // From published on to merged: most merging first, unknown last.
    model.apply(Action::SortNext);
    assert_eq!(model.sort().0, Column::Merged);
    assert_eq!(names(&model), ["31337:12", "4242:7", "977:3"]);
}

#[test]
fn every_column_that_orders_can_be_reached_either_way() {
    let mut model = live(1);
    for action in [Action::SortNext, Action::SortBefore] {
        let mut seen = Vec::new();
        for _ in 0..Column::ALL.len() {
            seen.push(model.sort().0);
            model.apply(action);
        }
        let all = Column::ALL.into_iter().filter(|column| column.orders());
        assert!(all.clone().all(|column| seen.contains(&column)), "{seen:?}");
        assert!(!seen.contains(&Column::DepthBefore));
    }
}

#[test]
fn a_filter_finds_names_and_numbers_whatever_their_case() {
    for (filter, found) in [
        ("NGI", vec!["4242:7"]),
        ("977", vec!["977:3"]),
        (":12", vec!["31337:12"]),
        ("nobody", vec![]),
        ("", vec!["4242:7", "31337:12", "977:3"]),
    ] {
        let mut model = live(1);
        type_filter(&mut model, filter);
        assert_eq!(names(&model), found, "{filter}");
        model.apply(Action::Back);
        assert_eq!(names(&model).len(), 3, "Esc clears {filter}");
    }
}

#[test]
fn a_filter_can_be_corrected_and_does_not_grow_for_ever() {
    let mut model = live(1);
    model.apply(Action::Filter);
    (0..1000).for_each(|_| _ = model.apply(Action::Type('x')));
    assert_eq!(model.filter(), ("x".repeat(FILTER_LENGTH).as_str(), true));
    model.apply(Action::Erase);
    assert_eq!(model.filter().0.len(), FILTER_LENGTH - 1);
    model.apply(Action::Cancel);
    assert_eq!(model.filter(), ("", false));
}

#[test]
fn the_chosen_ring_stays_chosen_when_the_order_changes() {
    let mut model = live(1);
    model.apply(Action::Down);
    let chosen = |model: &Model| text::ring_name(model.rows()[model.chosen_row(&model.rows())]);
    assert_eq!(chosen(&model), "31337:12");
    model.apply(Action::Reverse);
    model.apply(Action::SortNext);
    model.push(fixture::frame(1));
    assert_eq!(chosen(&model), "31337:12");
    // One that is gone leaves the first row chosen.
    type_filter(&mut model, "idler");
    assert_eq!(chosen(&model), "977:3");
}

#[test]
fn choosing_stops_at_both_ends() {
    let mut model = live(1);
    (0..9).for_each(|_| _ = model.apply(Action::Down));
    assert_eq!(model.chosen_row(&model.rows()), 2);
    (0..9).for_each(|_| _ = model.apply(Action::Up));
    assert_eq!(model.chosen_row(&model.rows()), 0);
    let mut empty = live(0);
    empty.apply(Action::Down);
    empty.apply(Action::Open);
    assert_eq!(empty.page(), Page::Rings);
}

#[test]
fn pages_open_and_go_back_to_where_they_came_from() {
    let mut model = live(1);
    model.apply(Action::Open);
    assert_eq!(model.page(), Page::Ring(0));
    model.apply(Action::Down);
    assert_eq!(model.scroll(), 1);
    model.limit_scroll(0);
    assert_eq!(model.scroll(), 0);
    model.apply(Action::Help);
    assert_eq!(model.page(), Page::Help);
    model.apply(Action::Help);
    assert_eq!(model.page(), Page::Ring(0));
    model.apply(Action::Back);
    assert_eq!(model.page(), Page::Rings);
}

#[test]
fn a_pause_keeps_the_frame_and_going_on_shows_the_newest() {
    let mut model = live(3);
    model.apply(Action::Pause);
    model.push(fixture::frame(3));
    assert_eq!((model.position(), model.moving()), ((2, 4), false));
    assert_eq!(model.behind(), Duration::from_secs(10));
    model.apply(Action::Pause);
    assert_eq!((model.position(), model.moving()), ((3, 4), true));
}

#[test]
fn looking_back_pauses_and_the_end_is_live_again() {
    let mut model = live(5);
    model.apply(Action::Earlier(1));
    assert_eq!((model.position().0, model.moving()), (3, false));
    model.apply(Action::First);
    model.push(fixture::frame(5));
    assert_eq!(model.position(), (0, 6));
    model.apply(Action::Later(100));
    assert_eq!((model.position().0, model.moving()), (5, true));
    assert!(!model.tick(Duration::from_secs(100)), "time itself moves nothing that is live");
}

#[test]
fn a_recording_is_played_at_its_speed_and_ends() {
    let mut model = recording(4);
    assert!(!model.tick(Duration::from_secs(9)));
    assert!(model.tick(Duration::from_secs(1)));
    assert_eq!(model.position(), (1, 4));
    model.apply(Action::Faster);
    assert!((model.speed() - 2.0).abs() < f64::EPSILON);
    model.tick(Duration::from_secs(5));
    assert_eq!(model.position().0, 2);
    model.tick(Duration::from_secs(3600));
    assert_eq!((model.position().0, model.moving()), (3, false));
    assert_eq!(model.time(), (Duration::from_secs(40), Duration::from_secs(40)));
    // Played again from its beginning.
    model.apply(Action::Pause);
    assert_eq!((model.position().0, model.moving()), (0, true));
}

#[test]
fn seeking_stays_within_the_recording() {
    let mut model = recording(4);
    model.apply(Action::Later(100));
    assert_eq!(model.position().0, 3);
    model.apply(Action::Earlier(2));
    assert_eq!(model.position().0, 1);
    model.apply(Action::First);
    assert_eq!((model.position().0, model.moving()), (0, true));
    (0..99).for_each(|_| _ = model.apply(Action::Slower));
    assert!((model.speed() - SPEEDS[0]).abs() < f64::EPSILON);
}

#[test]
fn a_frame_that_is_not_at_hand_is_asked_for() {
    let run = Run { frames: 1000, ..fixture::run_of(4) };
    let reel = Reel::of_part(0, (0..4).map(fixture::frame).collect(), run);
    let mut model = Model::recording("run.uepoll".into(), reel);
    assert_eq!(model.wanted(), None);
    model.apply(Action::Last);
    assert_eq!(model.wanted(), Some(999));
    assert!(model.rows().is_empty());
    model.put(Reel::of_part(996, (0..4).map(fixture::frame).collect(), run));
    assert_eq!((model.wanted(), model.position()), (None, (999, 1000)));
}

#[test]
fn a_ring_is_looked_into_only_while_what_is_shown_is_now() {
    let mut model = live(2);
    assert!(model.looked_into().is_none(), "no ring is open");
    model.apply(Action::Open);
    assert_eq!(model.looked_into().map(|ring| ring.number), Some(0));
    model.put_found(0, "two items".into());
    assert_eq!(model.found(), Some("two items"));
    model.apply(Action::Pause);
    assert_eq!(model.found(), None);
    model.apply(Action::Pause);
    model.put_found(1, "another's".into());
    assert_eq!(model.found(), None);
    assert!(recording(2).looked_into().is_none());
}

#[test]
fn depths_are_those_up_to_the_shown_frame() {
    let mut model = live(3);
    let all = model.depths(0, 99);
    assert_eq!(all, [Some(9), Some(16), Some(23)]);
    assert_eq!(model.depths(0, 2), all[1..]);
    assert_eq!(model.depths(77, 2), [None, None]);
    model.apply(Action::Earlier(1));
    assert_eq!(model.depths(0, 99), all[..2]);
}
