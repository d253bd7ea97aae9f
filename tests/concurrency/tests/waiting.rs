//! Waiting threads: none sleeps past its wake-up.

use carbontracker_concurrency::explore::{finds, holds};
use carbontracker_concurrency::faults::Fault;
use carbontracker_concurrency::os::worker::{Stop, Worker, WorkerExit};
use carbontracker_concurrency::os::{LOCK_WAIT, Promise, lock_within};
use carbontracker_concurrency::shim::atomic::step;
use carbontracker_concurrency::sync::{Arc, Mutex};
use carbontracker_concurrency::thread;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

fn a_promise_reaches_its_waiter() {
    let promise = Arc::new(Promise::default());
    let keeper = Arc::clone(&promise);
    let keeper = thread::spawn(move || keeper.keep(7));
    assert_eq!(promise.wait(LONG), Some(7));
    assert!(!promise.is_kept());
    keeper.join().expect("the keeper ends");
}

#[test]
fn promise_is_seen_by_a_waiting_thread() {
    holds(a_promise_reaches_its_waiter);
    finds(Fault::LostNotify, a_promise_reaches_its_waiter);
}

/// Two results of two threads, and two threads that take one each.
fn each_result_is_taken_once() {
    let promises: Arc<[Promise<u32>; 2]> = Arc::default();
    let threads: Vec<_> = [0, 1]
        .map(|number| {
            let (ours, theirs) = (Arc::clone(&promises), Arc::clone(&promises));
            let keeper = thread::spawn(move || ours[number].keep(number as u32));
            let taker = thread::spawn(move || assert_eq!(theirs[number].take(), number as u32));
            [keeper, taker]
        })
        .into_iter()
        .flatten()
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
    assert!(promises.iter().all(|promise| !promise.is_kept()));
}

#[test]
fn promises_are_independent() {
    holds(each_result_is_taken_once);
    finds(Fault::LostNotify, each_result_is_taken_once);
}

fn a_resting_worker_ends_on_request() {
    let body = |stop: Stop| {
        while !stop.is_set() {
            stop.rest(LONG);
        }
    };
    let worker = Worker::start("ct-check", WorkerExit::Awaited, body, || panic!("the body panicked"));
    assert!(worker.expect("a thread").end_within(LONG));
}

#[test]
fn worker_does_not_rest_past_a_request_to_end() {
    holds(a_resting_worker_ends_on_request);
    finds(Fault::LostUnpark, a_resting_worker_ends_on_request);
}

fn short_holders_share_a_lock() {
    let count = Arc::new(Mutex::new(0));
    let threads = [(); 3].map(|()| {
        let count = Arc::clone(&count);
        thread::spawn(move || {
            let mut count = lock_within(&count, LOCK_WAIT).expect("it is never held for long");
            let before = *count;
            step();
            *count = before + 1;
        })
    });
    threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
    assert_eq!(*lock_within(&count, LOCK_WAIT).expect("it is free"), 3);
}

#[test]
fn lock_within_gets_a_lock_that_is_held_briefly() {
    holds(short_holders_share_a_lock);
    finds(Fault::DeniedTryLock, short_holders_share_a_lock);
}

/// A forked child has the lock of a thread that it does not have.
fn a_lock_that_stays_held_is_given_up() {
    let lock = Arc::new(Mutex::new(()));
    let held = lock.lock().expect("it is free");
    let other = Arc::clone(&lock);
    let waiter = thread::spawn(move || assert!(lock_within(&other, Duration::from_millis(1)).is_none()));
    waiter.join().expect("it gives up");
    drop(held);
}

#[test]
fn lock_within_gives_up_a_lock_that_stays_held() {
    holds(a_lock_that_stays_held_is_given_up);
}
