//! Leases: processes of a job take, settle and leave a device, and no moment is counted twice.

use crate::marks::new_marker;
use carbontracker::clock::MonoNs;
use carbontracker::coordination::job::{Job, Rank};
use carbontracker::measurement::channel::{Channel, DeviceKind, MeasuringMethod, Quantity};
use carbontracker::measurement::source_name::SourceName;
use carbontracker_concurrency::coordination::device_lease::{LeaseManager, LeasePoll};
use carbontracker_concurrency::explore::{finds, holds};
use carbontracker_concurrency::faults::Fault;
use carbontracker_concurrency::os::monotonic_ns;
use carbontracker_concurrency::shim::{process, segment};
use carbontracker_concurrency::sync::atomic::{AtomicUsize, Ordering};
use carbontracker_concurrency::sync::{Arc, Mutex};
use carbontracker_concurrency::thread;
use std::path::Path;

fn channel() -> Channel {
    let kind = (DeviceKind::Cpu, SourceName::Rapl);
    Channel::new(kind, "device", "id", MeasuringMethod::Power, Quantity::Power { max_watts: 1e4 })
}

/// A tracker of the process of a rank.
struct Tracker {
    leases: LeaseManager,
    read_since: [Option<MonoNs>; 1],
    /// The turns in which it counts the device.
    turns: Vec<(MonoNs, MonoNs)>,
}

/// What the application's thread has passed to the sampling thread.
#[derive(Clone, Copy, Default)]
struct Marks {
    first_begin: Option<MonoNs>,
    ended: Option<MonoNs>,
    is_over: bool,
}

impl Tracker {
    fn start(rank: u64) -> Tracker {
        let job = Job { key: "a".into(), words: "job a".into(), is_named: true, node: None };
        let rank = Rank { number: Some(rank), of: None, local: None };
        let mut leases = LeaseManager::new(Some(job), rank, Path::new("/"));
        assert_eq!(leases.claim(&channel(), |message| panic!("{message}")), Some(0));
        Tracker { leases, read_since: [Some(monotonic_ns())], turns: Vec::new() }
    }

    fn poll(&mut self, marks: Marks) {
        let (now, ended, is_requested) = (monotonic_ns(), marks.ended, marks.is_over);
        let poll = LeasePoll { now, ended, is_requested, read_since: None };
        let lease = self.leases.poll(poll, &self.read_since).into_iter().next().expect("a lease");
        assert!(!lease.is_apart);
        let last = self.turns.last_mut().filter(|(_, to)| *to == MonoNs::NEVER);
        if let (Some(at), Some(last)) = (lease.lost_at, last) {
            last.1 = at;
        }
        self.turns.extend(lease.passed);
        if lease.is_ours && self.turns.last().is_none_or(|(_, to)| *to != MonoNs::NEVER) {
            self.turns.push((lease.reported_until.unwrap_or_default(), MonoNs::NEVER));
        }
    }

    /// Runs epochs on a thread of the application and polls on this one, as the sampling thread. Returns the moments
    /// that its report has.
    fn run(mut self, epochs: usize) -> Vec<(MonoNs, MonoNs)> {
        let state = self.leases.state().expect("a record");
        let marks = Arc::new(Mutex::new(Marks::default()));
        let of_application = Arc::clone(&marks);
        let application = thread::spawn(move || {
            let marks = || of_application.lock().expect("the marks");
            for _ in 0..epochs {
                let begin = monotonic_ns();
                state.begin(begin);
                marks().first_begin.get_or_insert(begin);
                let end = Some(monotonic_ns());
                state.end(end);
                marks().ended = end;
            }
            marks().is_over = true;
        });
        let mut known = Marks::default();
        while !known.is_over {
            known = *marks.lock().expect("the marks");
            self.poll(known);
            thread::yield_now();
        }
        self.leases.release();
        application.join().expect("it ends");
        let (since, until) = (known.first_begin.unwrap_or_default(), known.ended.unwrap_or_default());
        let counted = self.turns.into_iter().map(|(from, to)| (from.max(since), to.min(until)));
        counted.filter(|(from, to)| from < to).collect()
    }
}

/// Checks that the reports of different processes have no moment in common.
fn assert_counted_once(reports: &[(u32, Vec<(MonoNs, MonoNs)>)]) {
    for (n, (process, turns)) in reports.iter().enumerate() {
        for (other, others) in reports[n + 1..].iter().filter(|(other, _)| other != process) {
            for (from, to) in turns {
                let twice = others.iter().find(|(begin, end)| begin < to && from < end);
                assert!(twice.is_none(), "{process} counts {from:?} to {to:?}, and {other} counts {twice:?}");
            }
        }
    }
}

fn ranks_count_each_moment_once() {
    let ranks =
        [2, 3, 4].map(|number| (number, thread::spawn_in(number, move || Tracker::start(u64::from(number)).run(2))));
    assert_counted_once(&ranks.map(|(number, report)| (number, report.join().expect("it ends"))));
}

#[test]
fn ranks_share_a_device() {
    holds(ranks_count_each_moment_once);
    finds(Fault::SplitChange, ranks_count_each_moment_once);
}

/// Process 3 has two trackers, which poll and settle the same turn. Its rank is lower, so it takes the device from 2.
fn trackers_of_one_process_count_each_moment_once() {
    let trackers = [2, 3, 3]
        .map(|number| (number, thread::spawn_in(number, move || Tracker::start(u64::from(9 - number)).run(1))));
    assert_counted_once(&trackers.map(|(number, report)| (number, report.join().expect("it ends"))));
}

#[test]
fn trackers_of_one_process_share_its_turn() {
    holds(trackers_of_one_process_count_each_moment_once);
}

/// The sampling thread of a process releases its entry, as `Sampler::run`, and another process takes it. No epoch that
/// begins meanwhile is published in it.
fn a_late_epoch_reaches_no_other_process() {
    let [mut leaving, staying] = [2, 4]
        .map(|number| thread::spawn_in(number, move || Tracker::start(u64::from(number))).join().expect("it ends"));
    let marker = Arc::new(Mutex::new(new_marker(leaving.leases.state()).0));
    let of_application = Arc::clone(&marker);
    let application = thread::spawn_in(2, move || {
        [(); 8].map(|()| {
            let (marker, begin) = (of_application.lock().expect("the marker"), monotonic_ns());
            marker.state.iter().for_each(|state| state.begin(begin));
            begin
        })
    });
    let sampler = thread::spawn_in(2, move || {
        marker.lock().expect("the marker").leave(monotonic_ns());
        leaving.leases.release();
        thread::spawn_in(3, || Tracker::start(3)).join().expect("it ends")
    });
    let begins = application.join().expect("it ends");
    let joined = sampler.join().expect("it ends");
    let numbers = segment::numbers();
    assert!(
        !begins.iter().any(|begin| numbers.contains(&(begin.0 | 1))),
        "an entry has an epoch of a process that has left"
    );
    drop((staying, joined));
}

#[test]
fn late_epoch_reaches_no_other_process() {
    holds(a_late_epoch_reaches_no_other_process);
}

const JOULES: [f64; 3] = [1.0, 5.0, 7.0];

/// Two of three processes leave while the third reads the job's total.
fn the_total_has_each_process_once() {
    let (noted, totals) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let processes = [0, 1, 2].map(|number: usize| {
        let (noted, totals) = (Arc::clone(&noted), Arc::clone(&totals));
        thread::spawn_in(number as u32 + 2, move || {
            let mut tracker = Tracker::start(number as u64);
            let on_node = |tracker: &Tracker| tracker.leases.on_node(Some(JOULES[number]), monotonic_ns());
            on_node(&tracker);
            noted.fetch_add(1, Ordering::SeqCst);
            while noted.load(Ordering::SeqCst) < JOULES.len() {
                thread::yield_now();
            }
            if number > 0 {
                tracker.leases.release();
                process::end(number as u32 + 2);
                noted.fetch_add(1, Ordering::SeqCst);
                return;
            }
            let mut is_over = false;
            while !std::mem::replace(&mut is_over, noted.load(Ordering::SeqCst) == 5) {
                let total = on_node(&tracker).and_then(|total| total.energy_j).expect("a total");
                totals.lock().expect("the totals").push(total);
                thread::yield_now();
            }
        })
    });
    processes.into_iter().for_each(|process| process.join().expect("it ends"));
    let (all, totals) = (JOULES.iter().sum(), totals.lock().expect("the totals"));
    assert!(totals.iter().all(|total| *total <= all), "{totals:?} have a process twice");
    assert_eq!(totals.last(), Some(&all));
}

#[test]
fn job_total_has_each_process_once() {
    holds(the_total_has_each_process_once);
    finds(Fault::SplitChange, the_total_has_each_process_once);
}
