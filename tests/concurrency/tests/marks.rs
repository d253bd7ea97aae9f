//! Marks: from the application's thread through the ring to the ledger.

use carbontracker::attribution::ledger::{Ledger, Mark};
use carbontracker::attribution::phases::PhaseStack;
use carbontracker::clock::MonoNs;
use carbontracker::measurement::channel::DeviceKind;
use carbontracker::measurement::meter::EnergyInterval;
use carbontracker_concurrency::coordination::device_lease::EpochState;
use carbontracker_concurrency::explore::{finds, holds};
use carbontracker_concurrency::faults::Fault;
use carbontracker_concurrency::os::{monotonic_ns, pause};
use carbontracker_concurrency::run_files::crash_counter::CrashCounter;
use carbontracker_concurrency::shim::atomic::step;
use carbontracker_concurrency::shim::ring::{Consumer, new_ring};
use carbontracker_concurrency::sync::atomic::{AtomicBool, Ordering};
use carbontracker_concurrency::sync::{Arc, Mutex};
use carbontracker_concurrency::thread;
use carbontracker_concurrency::tracker::marker::{Begun, MarkRecord, Marker};
use std::time::Duration;

/// The power of the only channel, W.
const WATTS: f64 = 100.0;

/// A marker, and a ring that is soon full, so that marks are merged.
pub fn new_marker(state: Option<EpochState>) -> (Marker, Consumer<Mark>) {
    let (marks, ring) = new_ring(3);
    let counter = Arc::new(CrashCounter::open("ab", 1).expect("a page"));
    let record = MarkRecord { counter, epochs_before: 0, first_begin: None, inside: 0 };
    let (open, backlog, last_end) = (None, None, None);
    let (phase_marks, _) = rtrb::RingBuffer::new(1);
    let phases = PhaseStack::new(std::sync::Arc::default(), phase_marks);
    let (ended, monitor_epochs, record) = (0, u64::MAX, Some(record));
    let marker = Marker { marks, phases, open, backlog, ended, monitor_epochs, record, state, last_end };
    (marker, ring)
}

/// Four epochs, the second cancelled, in the order of `Tracker::begin`, `end` and `cancel`.
fn run_epochs(marker: &Mutex<Marker>) -> u64 {
    let mut inside = 0;
    for epoch in 0..4 {
        let mut lock = marker.lock().expect("the marker");
        let begin = monotonic_ns();
        step();
        let queued = lock.begin(begin);
        lock.open = Some(Begun { begin, queued });
        drop(lock);
        let mut lock = marker.lock().expect("the marker");
        let open = lock.take_open("end").expect("an open epoch");
        let now = monotonic_ns();
        step();
        if epoch == 1 {
            if open.queued {
                assert!(lock.push(Mark::Cancel(now)), "the ring has room for the end of an epoch in it");
            }
        } else {
            lock.end(open, now);
            inside += now.ns_since(begin);
        }
    }
    inside
}

/// A pass of the sampling thread: it reads the device, then takes the marks.
struct Sampling {
    ledger: Ledger,
    ring: Consumer<Mark>,
    read_at: MonoNs,
    last_mark: MonoNs,
}

impl Sampling {
    fn pass(&mut self) {
        let now = monotonic_ns();
        for mark in self.ring.take() {
            assert!(mark.at() >= self.last_mark, "marks come in their order");
            self.last_mark = mark.at();
            self.ledger.mark(mark);
        }
        let joules = WATTS * now.s_since(self.read_at);
        self.ledger.credit(0, EnergyInterval { from: self.read_at, to: now, joules, measured: true });
        self.read_at = now;
    }
}

fn each_epoch_and_joule_is_counted_once() {
    let (marker, ring) = new_marker(None);
    let counter = Arc::clone(&marker.record.as_ref().expect("a counter").counter);
    let (marker, is_over) = (Arc::new(Mutex::new(marker)), Arc::new(AtomicBool::new(false)));
    let mut ledger = Ledger::default();
    ledger.add_channel(DeviceKind::Cpu);
    let mut sampling = Sampling { ledger, ring, read_at: monotonic_ns(), last_mark: MonoNs::ZERO };
    let of_application = Arc::clone(&marker);
    let application = thread::spawn(move || run_epochs(&of_application));
    // A report on another thread, as `Tracker::flush_backlog`.
    let (of_report, ends) = (Arc::clone(&marker), Arc::clone(&is_over));
    let report = thread::spawn(move || {
        while !ends.load(Ordering::SeqCst) {
            of_report.lock().expect("the marker").flush();
            pause(Duration::from_millis(1));
        }
    });
    let ends = Arc::clone(&is_over);
    let sampler = thread::spawn(move || {
        while !ends.load(Ordering::SeqCst) {
            sampling.pass();
            pause(Duration::from_millis(1));
        }
        sampling
    });
    let inside = application.join().expect("it ends");
    is_over.store(true, Ordering::SeqCst);
    report.join().expect("it ends");
    let mut sampling = sampler.join().expect("it ends");
    sampling.pass();
    if marker.lock().expect("the marker").flush() {
        sampling.pass();
    }
    sampling.ledger.release_all();
    let Sampling { ledger, .. } = sampling;
    let marker = marker.lock().expect("the marker");
    assert!(marker.backlog.is_none());
    assert_eq!((marker.ended, ledger.epochs(), counter.epochs()), (3, 3, 3));
    assert_eq!(ledger.inside_ns(), inside);
    let run = ledger.last_end().expect("an end").s_since(ledger.first_begin().expect("a begin"));
    let [epochs, between] = [ledger.epochs_j(), ledger.between_j()].map(|joules| joules.unwrap_or(0.0));
    let is_near = |joules: f64, seconds: f64| (joules - WATTS * seconds).abs() < 1e-9 * WATTS;
    assert!(is_near(epochs + between, run), "{epochs} J and {between} J in {run} s");
    assert!(is_near(epochs, inside as f64 * 1e-9), "{epochs} J in {inside} ns");
}

#[test]
fn epochs_and_joules_are_counted_once() {
    holds(each_epoch_and_joule_is_counted_once);
    finds(Fault::OptimisticRing, each_epoch_and_joule_is_counted_once);
}
