//! Claims about whole runs, with the ordinary epoll that every host has.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::config::{Config, Mode, SourceKind};
use super::record::Record;
use super::run;

static NEVER: AtomicBool = AtomicBool::new(false);

fn delivers_everything(config: &Config) -> Record {
    let outcome = run(config, &NEVER).unwrap();
    let lost: Vec<_> = outcome.mismatches().collect();
    assert!(lost.is_empty(), "{config:?}: {lost:?}");
    let record = outcome.record();
    assert_eq!(record.events_written, config.events, "{config:?}");
    assert_eq!(record.events_read, config.events, "{config:?}");
    assert!(record.deliveries <= record.events_written + record.empty_deliveries);
    assert!(record.lost_none && !record.interrupted);
    record
}

#[test]
fn every_source_delivers_everything_in_both_ordinary_modes() {
    for mode in [Mode::Epoll, Mode::EpollEt] {
        for source in [
            SourceKind::Eventfd,
            SourceKind::Pipe,
            SourceKind::Socketpair,
            SourceKind::Timerfd,
            SourceKind::Inotify,
        ] {
            delivers_everything(&Config::for_test(mode, source));
        }
    }
}

#[test]
fn pinned_threads_deliver_everything() {
    let config = Config { pin: true, ..Config::for_test(Mode::EpollEt, SourceKind::Eventfd) };
    delivers_everything(&config);
}

#[test]
fn a_source_that_is_full_waits_for_the_consumer() {
    let mut config = Config::for_test(Mode::EpollEt, SourceKind::Socketpair);
    config.think = Duration::from_millis(1);
    (config.items, config.events) = (2, 4_000);
    delivers_everything(&config);
}

#[test]
fn a_paced_run_delivers_everything() {
    let mut config = Config::for_test(Mode::EpollEt, SourceKind::Eventfd);
    (config.events, config.rate_per_s) = (200, NonZeroU64::new(1_000));
    delivers_everything(&config);
}

#[test]
fn a_run_without_events_ends_at_once() {
    delivers_everything(&Config { events: 0, ..Config::for_test(Mode::Epoll, SourceKind::Pipe) });
}

#[test]
fn a_stopped_run_reports_what_was_seen() {
    let mut config = Config::for_test(Mode::Epoll, SourceKind::Eventfd);
    (config.events, config.rate_per_s) = (u64::MAX, NonZeroU64::new(1_000));
    let stop = AtomicBool::new(false);
    let record = thread::scope(|scope| {
        let running = scope.spawn(|| run(&config, &stop).unwrap().record());
        thread::sleep(Duration::from_millis(50));
        stop.store(true, Ordering::Relaxed);
        running.join().unwrap()
    });
    assert!(record.interrupted && record.lost_none);
    assert_eq!(record.events_read, record.events_written);
}

#[test]
#[ignore = "needs a kernel with the series"]
fn every_source_delivers_everything_through_a_ring() {
    for source in [
        SourceKind::Eventfd,
        SourceKind::Pipe,
        SourceKind::Socketpair,
        SourceKind::Timerfd,
        SourceKind::Inotify,
    ] {
        let record = delivers_everything(&Config::for_test(Mode::Ring, source));
        assert_eq!(record.consumed_positions, record.deliveries, "nothing was removed");
    }
}

#[test]
#[ignore = "needs a kernel with the series"]
fn a_ring_as_large_as_its_items_delivers_everything() {
    let mut config = Config::for_test(Mode::Ring, SourceKind::Eventfd);
    (config.items, config.events) = (1024, 200_000);
    delivers_everything(&config);
}

#[test]
#[ignore = "needs a kernel with the series"]
fn the_truth_of_every_position_is_logged_and_every_poll_of_the_empty_ring_counted() {
    let mut config = Config::for_test(Mode::Ring, SourceKind::Eventfd);
    (config.events, config.rate_per_s, config.truth) = (2_000, NonZeroU64::new(2_000), true);
    config.spin = 1_000;
    let outcome = run(&config, &NEVER).unwrap();
    let record = outcome.record();
    let truth = outcome.truth().unwrap();
    assert_eq!(truth.stores.len() as u64, record.consumed_positions);
    assert_eq!(truth.not_logged, 0);
    assert_eq!(Some(truth.spin.spin_iterations), record.empty_polls);
    assert_eq!(Some(truth.spin.spin_episodes), record.spin_episodes);
    assert!(truth.spin.spin_polled_ns <= truth.spin.spin_elapsed_ns);
    let in_order = |pair: &[super::truth::Store]| pair[0].after_ns <= pair[1].before_ns;
    assert!(truth.stores.windows(2).all(in_order));
}
