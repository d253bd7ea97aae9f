//! Leases: processes of a job take, settle and leave a device, and no moment is counted twice.

use carbontracker::clock::MonoNs;
use carbontracker::coordination::job::{Job, Rank};
use carbontracker::measurement::channel::{Channel, DeviceKind, MeasuringMethod, Quantity};
use carbontracker::measurement::source_name::SourceName;
use carbontracker_concurrency::coordination::device_lease::{EpochState, LeaseManager, LeasePoll};
use carbontracker_concurrency::explore::{finds, holds};
use carbontracker_concurrency::faults::Fault;
use carbontracker_concurrency::os::monotonic_ns;
use carbontracker_concurrency::shim::process;
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
    state: EpochState,
    read_since: [Option<MonoNs>; 1],
    first_begin: Option<MonoNs>,
    ended: Option<MonoNs>,
    /// The turns in which it counts the device.
    turns: Vec<(MonoNs, MonoNs)>,
}

impl Tracker {
    fn start(rank: u64) -> Tracker {
        let job = Job { key: "a".into(), words: "job a".into(), is_named: true };
        let rank = Rank { number: Some(rank), of: None, local: None };
        let mut leases = LeaseManager::new(Some(job), rank, Path::new("/"));
        assert_eq!(leases.claim(&channel(), |message| panic!("{message}")), Some(0));
        let state = leases.state().expect("a record");
        Tracker { leases, state, read_since: [Some(monotonic_ns())], first_begin: None, ended: None, turns: Vec::new() }
    }

    fn poll(&mut self, is_requested: bool) {
        let poll = LeasePoll { now: monotonic_ns(), ended: self.ended, is_requested, read_since: None };
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

    fn run_epoch(&mut self) {
        let begin = monotonic_ns();
        self.first_begin.get_or_insert(begin);
        self.state.begin(begin);
        self.poll(false);
        let end = monotonic_ns();
        self.ended = Some(end);
        self.state.end(self.ended);
        self.poll(false);
    }

    /// Ends the run. Returns the moments that its report has.
    fn end(mut self) -> Vec<(MonoNs, MonoNs)> {
        self.poll(true);
        self.leases.release();
        let (since, until) = (self.first_begin.unwrap_or_default(), self.ended.unwrap_or_default());
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
    let ranks = [2, 3, 4].map(|number| {
        let report = thread::spawn_in(number, move || {
            let mut tracker = Tracker::start(u64::from(number));
            (0..2).for_each(|_| tracker.run_epoch());
            tracker.end()
        });
        (number, report)
    });
    assert_counted_once(&ranks.map(|(number, report)| (number, report.join().expect("it ends"))));
}

#[test]
fn ranks_share_a_device() {
    holds(ranks_count_each_moment_once);
    finds(Fault::SplitChange, ranks_count_each_moment_once);
}

/// Process 3 has two trackers, which poll and settle the same turn. Its rank is lower, so it takes the device from 2.
fn trackers_of_one_process_count_each_moment_once() {
    let trackers = [2, 3, 3].map(|number| {
        let report = thread::spawn_in(number, move || {
            let mut tracker = Tracker::start(u64::from(9 - number));
            tracker.run_epoch();
            tracker.end()
        });
        (number, report)
    });
    assert_counted_once(&trackers.map(|(number, report)| (number, report.join().expect("it ends"))));
}

#[test]
fn trackers_of_one_process_share_its_turn() {
    holds(trackers_of_one_process_count_each_moment_once);
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
