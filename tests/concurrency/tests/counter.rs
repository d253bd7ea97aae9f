//! The crash counter: a kill leaves a whole count, and one process makes the page of an attempt.

use carbontracker_concurrency::explore::{finds, holds};
use carbontracker_concurrency::faults::Fault;
use carbontracker_concurrency::run_files::crash_counter::{Count, CrashCounter, left};
use carbontracker_concurrency::shim::segment;
use carbontracker_concurrency::thread;
use shuttle::rand::Rng;
use std::io::ErrorKind;

const RUN: &str = "00000000000000ab";

fn count(epochs: u64) -> Count {
    Count { epochs, inside: 10 * epochs, span: 11 * epochs }
}

/// The kill comes after any number of stores.
fn a_kill_leaves_a_whole_count() {
    let stores = shuttle::rand::thread_rng().gen_range(0..25);
    segment::kill_after(stores);
    let counter = CrashCounter::open(RUN, 1).expect("a page");
    (1..=5).for_each(|epochs| counter.note(count(epochs)));
    if let Some(left) = left(RUN, 1).expect("shared memory") {
        assert_eq!(left, count(left.epochs), "after {stores} stores");
    }
}

#[test]
fn count_is_whole_after_a_kill() {
    holds(a_kill_leaves_a_whole_count);
    finds(Fault::LateStore, a_kill_leaves_a_whole_count);
}

fn one_process_makes_the_page() {
    let processes = [2, 3, 4].map(|number| {
        thread::spawn_in(number, move || match CrashCounter::open(RUN, 1) {
            Ok(counter) => {
                counter.note(count(u64::from(number)));
                Some(u64::from(number))
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::AlreadyExists);
                None
            }
        })
    });
    let made: Vec<u64> = processes.into_iter().filter_map(|one| one.join().expect("it ends")).collect();
    assert!(made.len() <= 1, "{made:?} have made a page each");
    if let [number] = made[..] {
        assert_eq!(left(RUN, 1).expect("shared memory"), Some(count(number)));
    }
}

#[test]
fn attempt_has_one_page() {
    holds(one_process_makes_the_page);
    finds(Fault::LateStore, one_process_makes_the_page);
}
