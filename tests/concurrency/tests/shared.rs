//! The state that the application's threads and the sampling thread share: each request is answered.

use carbontracker::attribution::ledger::Ledger;
use carbontracker::carbon::select;
use carbontracker::coordination::standby_ledger::StandbyLedger;
use carbontracker::forecast::first_epoch::PackedMark;
use carbontracker::forecast::history::History;
use carbontracker::options::Options;
use carbontracker_concurrency::explore::{finds, holds};
use carbontracker_concurrency::faults::Fault;
use carbontracker_concurrency::os::{self, Instant, JoinHandle, monotonic_ns};
use carbontracker_concurrency::state::shared::SharedState;
use carbontracker_concurrency::state::{EarlierRuns, RunState};
use carbontracker_concurrency::sync::Arc;
use carbontracker_concurrency::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

fn new_shared() -> Arc<SharedState> {
    let options = Options::parse("intensity=200", |_| None).expect("options");
    let grid = select::choose(&options.carbon, |_| None).expect("a grid").grid;
    Arc::new(SharedState::new(RunState::new(grid, 1.0)))
}

fn start(shared: &Arc<SharedState>, body: impl FnOnce(&SharedState) + Send + 'static) -> JoinHandle {
    let shared = Arc::clone(shared);
    os::spawn_quiet("", move || body(&shared)).expect("a thread")
}

fn end(threads: impl IntoIterator<Item = JoinHandle>) {
    assert!(threads.into_iter().all(|thread| os::join_within(thread, LONG)));
}

/// The end of the sampling thread, in the order of `Sampler::run`.
fn finish(shared: &SharedState) {
    shared.state().lifecycle.finished = true;
    shared.notify();
}

fn reports_get_settled_epochs() {
    let shared = new_shared();
    let reports = [1, 2, 9].map(|epochs| {
        start(&shared, move |shared| {
            let (state, is_whole) = shared.settled_state(epochs, LONG);
            assert!(is_whole && (state.attribution.settled >= epochs || state.lifecycle.finished));
        })
    });
    let sampler = start(&shared, |shared| {
        for settled in 1..=2 {
            shared.state().attribution.settled = settled;
            shared.notify();
        }
        finish(shared);
    });
    end(reports.into_iter().chain([sampler]));
}

#[test]
fn report_sees_that_its_epochs_are_settled() {
    holds(reports_get_settled_epochs);
    finds(Fault::LostNotify, reports_get_settled_epochs);
}

/// `Writer::run` beside `RunFiles::stop`.
fn the_log_ends_on_request() {
    let (shared, stop) = (new_shared(), Arc::new(AtomicBool::new(false)));
    let asked = Arc::clone(&stop);
    let log = start(&shared, move |shared| {
        while !asked.load(Ordering::SeqCst) {
            shared.await_epochs(0, LONG, || asked.load(Ordering::SeqCst));
        }
    });
    stop.store(true, Ordering::SeqCst);
    shared.wake_waiting();
    end([log]);
}

/// Without the lock the wake-up may come between the log's look and its sleep.
#[test]
fn log_does_not_sleep_past_its_end() {
    holds(the_log_ends_on_request);
    finds(Fault::LostNotify, the_log_ends_on_request);
    finds(Fault::DeniedTryLock, the_log_ends_on_request);
}

/// The sampling thread: it sleeps until it is woken, and answers what was requested before a pass. The order is that of
/// `Sampler::run` and `Sampler::pass`.
fn sample(shared: &SharedState) {
    while !shared.is_stopping() {
        let is_requested = shared.is_forecast_requested();
        let takeovers = shared.takeovers.requested();
        if !is_requested && takeovers <= shared.takeovers.done() {
            os::park_timeout(LONG);
            continue;
        }
        let state = shared.state();
        if is_requested {
            shared.finish_forecast_request();
        }
        if takeovers > shared.takeovers.done() {
            shared.finish_takeovers(takeovers, monotonic_ns());
        }
        drop(state);
    }
    finish(shared);
}

fn requests_are_answered() {
    let shared = new_shared();
    let standby = StandbyLedger::new("the node".into(), "the node".into(), &Ledger::default());
    shared.state().metering.standby.push(standby);
    shared.set_progress(PackedMark::new(1, 2, monotonic_ns()));
    let sampler = start(&shared, sample);
    let requests = [false, true, true].map(|is_takeover| {
        let thread = sampler.thread();
        start(&shared, move |shared| {
            if is_takeover {
                shared.await_takeover(&thread, 1, Instant::now() + LONG);
            } else {
                shared.await_first_forecast(&thread, LONG);
            }
        })
    });
    end(requests);
    assert!(!shared.is_forecast_requested() && !shared.takeovers.is_any_open());
    shared.stop(&sampler.thread());
    end([sampler]);
}

#[test]
fn sampling_thread_answers_each_request() {
    holds(requests_are_answered);
    finds(Fault::LostUnpark, requests_are_answered);
    finds(Fault::LostNotify, requests_are_answered);
}

/// Requests that come while the sampling thread ends.
fn requests_at_the_end_return() {
    let shared = new_shared();
    shared.set_progress(PackedMark::new(1, 2, monotonic_ns()));
    let sampler = start(&shared, sample);
    let thread = sampler.thread();
    let request = start(&shared, move |shared| shared.await_first_forecast(&thread, LONG));
    shared.stop(&sampler.thread());
    end([request, sampler]);
}

#[test]
fn request_at_the_end_returns() {
    holds(requests_at_the_end_return);
    finds(Fault::LostNotify, requests_at_the_end_return);
}

/// The reader of earlier runs, then the sampling thread, and reports that wait for the forecast.
fn reports_get_the_history() {
    let shared = new_shared();
    shared.expect_history();
    let reports = [(); 2].map(|()| {
        start(&shared, |shared| {
            shared.await_history(LONG);
            assert!(!shared.has_new_history() && shared.state().forecasting.earlier.is_some());
        })
    });
    let reader = start(&shared, |shared| {
        let earlier = EarlierRuns { name: None, newest: None };
        shared.take_history(Some((History::default(), earlier)));
        let state = shared.state();
        assert!(shared.has_new_history());
        shared.finish_history();
        drop(state);
    });
    end(reports.into_iter().chain([reader]));
}

#[test]
fn report_sees_the_forecast_from_earlier_runs() {
    holds(reports_get_the_history);
}

/// Threads of a run end their shares of its work at the same time. The last progress is the run's end.
fn the_end_of_a_run_is_kept() {
    let shared = new_shared();
    let done = Arc::new(AtomicU64::new(0));
    let workers = [(); 3].map(|()| {
        let done = Arc::clone(&done);
        start(&shared, move |shared| {
            for _ in 0..2 {
                let done = done.fetch_add(1, Ordering::SeqCst) + 1;
                shared.work.store(done as f64, 6.0, monotonic_ns);
            }
        })
    });
    end(workers);
    let (number, work) = shared.work.load().expect("a progress");
    assert!(work.done == 6.0 && number == shared.work.number(), "{work:?}");
}

#[test]
fn last_progress_of_a_run_is_never_lost() {
    holds(the_end_of_a_run_is_kept);
    finds(Fault::SplitChange, the_end_of_a_run_is_kept);
}

/// Two threads store pairs that belong together. The sampling thread reads whole pairs only, and the newest in the end.
fn progress_is_read_whole() {
    let shared = new_shared();
    let writers = [10.0, 20.0].map(|first| {
        start(&shared, move |shared| {
            for done in [first, first + 1.0] {
                shared.work.store(done, done + 100.0, monotonic_ns);
            }
        })
    });
    let reader = start(&shared, |shared| {
        for _ in 0..3 {
            if let Some((_, work)) = shared.work.load() {
                assert_eq!(work.total - work.done, 100.0);
            }
        }
    });
    end(writers.into_iter().chain([reader]));
    let (_, work) = shared.work.load().expect("a progress");
    assert!(work.total - work.done == 100.0 && work.done == 21.0);
}

#[test]
fn progress_of_a_run_is_never_half_read() {
    holds(progress_is_read_whole);
}

/// The looks of `Sampler::new_work` beside two threads that report progress. The last progress completes the run.
fn urgent_progress_is_looked_at_once() {
    let shared = new_shared();
    let store = |from: u32| {
        start(&shared, move |shared| {
            for done in from..from + 2 {
                shared.work.store(f64::from(done), 4.0, monotonic_ns);
            }
        })
    };
    let looks = start(&shared, |shared| {
        let mut known = 0;
        for _ in 0..4 {
            if shared.work.is_urgent_after(known) {
                known = shared.work.load().map_or(known, |(number, _)| number);
            }
        }
        assert!(known <= shared.work.number());
    });
    end([store(1), store(3), looks]);
    let (number, newest) = shared.work.load().expect("progress");
    assert!(shared.work.is_urgent_after(0) && !shared.work.is_urgent_after(number), "{number}");
    assert_eq!(newest.done, 4.0);
}

/// If a late thread asked for a look that was done already, the sampling thread would never rest again.
#[test]
fn a_look_ends_the_urgency_of_all_progress_before_it() {
    holds(urgent_progress_is_looked_at_once);
}

fn needs_of_a_run() {
    let shared = new_shared();
    assert!(shared.needs_history(3, true) && shared.needs_history(0, false) && !shared.needs_history(0, true));
    shared.work.store(1.0, 4.0, monotonic_ns);
    assert!(shared.needs_history(0, true), "progress may be forecast");
}

#[test]
fn only_a_run_that_can_be_forecast_waits_for_earlier_ones() {
    holds(needs_of_a_run);
}
