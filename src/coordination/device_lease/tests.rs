use super::packed_owner::LeaseOwner;
use super::participant::{DeviceTurn, Participant};
use super::record::{LeaseRecord, Member, MemberState, NUMBERS};
use super::{LeasePoll, LeaseState};
use crate::clock::MonoNs;
use crate::measurement::source_name::SourceName;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

const MS: u64 = 1_000_000;
const START: MonoNs = MonoNs(1 << 60);

fn memory() -> Vec<AtomicU64> {
    (0..NUMBERS).map(|_| AtomicU64::new(0)).collect()
}

/// Processes with different versions of the library find the same devices by the hashes of these names.
#[test]
fn names_of_devices_stay() {
    use crate::measurement::channel::{Channel, DeviceKind, MeasuringMethod, Quantity};
    let job = crate::coordination::job::Job { key: "a".into(), words: String::new(), is_named: true, node: None };
    let names = [
        (DeviceKind::Cpu, MeasuringMethod::Power, "the processors"),
        (DeviceKind::Dram, MeasuringMethod::Power, "the memory"),
        (DeviceKind::Node, MeasuringMethod::Power, "the node"),
        (DeviceKind::Gpu, MeasuringMethod::Power, "GPU id"),
        (DeviceKind::Cpu, MeasuringMethod::Estimate, "id"),
    ];
    for (kind, method, name) in names {
        let channel =
            Channel::new((kind, SourceName::Rapl), "device", "id", method, Quantity::Power { max_watts: 1.0 });
        assert_eq!(super::device(&channel, &job).as_deref(), Some(name));
    }
}

/// A tracker takes the device and is stopped before it keeps the begin of its turn. Another tracker of the process
/// settles the turn meanwhile.
#[test]
fn turn_begins_where_it_was_taken_if_another_tracker_settles_it() {
    let memory = memory();
    let record = LeaseRecord(&memory);
    assert!(record.is_of(7, START));
    let before = LeaseOwner { member: Some(0), turn: 1, settled: 4 * MS };
    let taken = before.next(Some(1), 12 * MS);
    let no_owner = record.owner(0);
    assert!(record.replace(0, no_owner, before));
    // The owner changes without a note of the begin.
    let owner = memory.iter().find(|number| number.load(SeqCst) == before.pack()).expect("the owner");
    owner.store(taken.pack(), SeqCst);
    let settled = LeaseOwner { settled: 40 * MS, ..taken };
    assert!(record.replace(0, taken, settled));
    assert_eq!(record.begun(0, settled), Some(START + 12 * MS));
    assert_eq!(record.lost_at(0, before, settled), START + 12 * MS, "the process before counts no longer than that");
}

/// A simulated process.
#[derive(Clone, Debug)]
struct Process {
    rank: u64,
    /// It runs epochs from `from` to `to`, each of length `epoch`, with a `pause` after each; ms.
    from: u64,
    to: u64,
    epoch: u64,
    pause: u64,
    /// Time between two polls, ms.
    interval: u64,
    /// It is killed at this time, ms.
    killed: Option<u64>,
    /// Its journal has each epoch.
    journal: bool,
}

struct Running {
    process: Process,
    index: usize,
    turn: DeviceTurn,
    state: MemberState,
    ended: Option<MonoNs>,
    next_poll: MonoNs,
    /// The turns in which it counted.
    turns: Vec<(MonoNs, MonoNs)>,
    /// Its journal reaches up to here.
    journaled_until: Option<MonoNs>,
    has_begun: bool,
    lives: bool,
}

/// All processes of a job on one record, simulated in steps of a millisecond.
struct World {
    memory: Vec<AtomicU64>,
    running: Vec<Running>,
    dead: Vec<u32>,
}

impl World {
    fn record(&self) -> LeaseRecord<'_> {
        LeaseRecord(&self.memory)
    }

    fn start(&mut self, process: &Process, now: MonoNs) {
        let number = self.running.len() as u32 + 1;
        let member = Member { process: number, rank: Some(process.rank), since: now, ..Member::default() };
        let record = self.record();
        assert!(record.is_of(7, now));
        let (index, device) = (record.join(&member, &|_| true).expect("room"), record.device(9).expect("room"));
        let (process, turn) = (process.clone(), DeviceTurn::new(device));
        let (state, turns) = (MemberState::Ended(None), Vec::new());
        self.running.push(Running {
            process,
            index,
            turn,
            state,
            ended: None,
            next_poll: now,
            turns,
            journaled_until: None,
            has_begun: false,
            lives: true,
        });
    }

    fn poll(&mut self, number: usize, now: MonoNs, is_requested: bool) -> LeaseState {
        let World { memory, running, dead } = self;
        let one = &mut running[number];
        let is_alive = |member: &Member| !dead.contains(&member.process);
        let process = number as u32 + 1;
        let participant =
            Participant { record: LeaseRecord(memory), index: one.index, process, namespace: 0, is_alive: &is_alive };
        let poll = LeasePoll { now, ended: one.ended, is_requested, read_since: Some(START) };
        let lease = participant.poll(&mut one.turn, one.ended, poll);
        if let Some(at) = lease.lost_at {
            one.turns.last_mut().expect("it had a turn").1 = at;
        }
        let has_turn = one.turns.last().is_some_and(|(_, to)| *to == MonoNs::NEVER);
        if lease.is_ours && !has_turn {
            one.turns.push((lease.reported_until.unwrap_or_default(), MonoNs::NEVER));
        }
        one.next_poll = now + one.process.interval.min(1000) * MS;
        lease
    }

    fn mark(&mut self, number: usize, state: MemberState) {
        let one = &mut self.running[number];
        one.state = state;
        let index = one.index;
        let is_first = !std::mem::replace(&mut one.has_begun, true);
        match state {
            MemberState::Ended(at) => one.ended = at,
            MemberState::Open(at) if is_first => self.record().begin(index, at),
            MemberState::Open(_) => (),
        }
        if let Some(there) = self.record().state(index) {
            there.store(state.pack(), SeqCst);
        }
    }

    /// One step of a process: marks, polls, the end.
    fn step(&mut self, number: usize, ms: u64) {
        let now = START + ms * MS;
        let (process, state) = (self.running[number].process.clone(), self.running[number].state);
        if process.killed.is_some_and(|at| at <= ms) {
            self.running[number].lives = false;
            self.dead.push(number as u32 + 1);
            return;
        }
        let round = process.epoch + process.pause;
        let is_in = ms >= process.from && ms < process.to && (ms - process.from) % round < process.epoch;
        let is_marked = match state {
            MemberState::Ended(_) if is_in => {
                self.mark(number, MemberState::Open(now));
                true
            }
            MemberState::Open(_) if !is_in || (ms - process.from) % round == 0 => {
                self.mark(number, MemberState::Ended(Some(now)));
                if is_in {
                    self.mark(number, MemberState::Open(now));
                }
                true
            }
            _ => false,
        };
        let is_over = ms >= process.to;
        // A sampler polls some ms after a mark.
        if is_marked {
            let late = now + (number as u64 % 4) * MS;
            self.running[number].next_poll = self.running[number].next_poll.min(late);
        }
        if is_over || now >= self.running[number].next_poll {
            let lease = self.poll(number, now, is_over);
            if process.journal && lease.is_ours {
                let one = &mut self.running[number];
                one.journaled_until = one.ended;
                let (index, until) = (one.index, one.journaled_until);
                until.into_iter().for_each(|until| self.record().journal(index, until));
            }
        }
        if is_over {
            let World { memory, running, dead } = self;
            let one = &mut running[number];
            let is_alive = |member: &Member| !dead.contains(&member.process);
            let process = number as u32 + 1;
            let participant = Participant {
                record: LeaseRecord(memory),
                index: one.index,
                process,
                namespace: 0,
                is_alive: &is_alive,
            };
            participant.release();
            one.lives = false;
            LeaseRecord(memory).release(one.index, &is_alive);
        }
    }
}

/// Of the processes that report: the time, ms, that was counted at least once, the time that was counted more than
/// once, and the time from the first begin to the last end of an epoch.
fn run(processes: &[Process]) -> (f64, f64, f64) {
    let mut world = World { memory: memory(), running: Vec::new(), dead: Vec::new() };
    processes.iter().for_each(|process| world.start(process, START));
    let last = processes.iter().map(|process| process.to).max().unwrap_or(0) + 1;
    for ms in 0..=last {
        (0..processes.len()).for_each(|number| {
            if world.running[number].lives {
                world.step(number, ms);
            }
        });
    }
    let mut edges: BTreeMap<MonoNs, i64> = BTreeMap::new();
    let (mut begin, mut end) = (MonoNs::NEVER, MonoNs::ZERO);
    for (number, one) in world.running.iter().enumerate() {
        let is_killed = world.dead.contains(&(number as u32 + 1));
        let first = START + one.process.from * MS;
        // A killed process counts up to the end of its journal.
        let last = if is_killed { one.journaled_until } else { one.ended }.unwrap_or_default();
        if !is_killed {
            (begin, end) = (begin.min(first), end.max(last));
        }
        for (from, to) in &one.turns {
            let (from, to) = ((*from).max(first), (*to).min(last));
            if from < to {
                *edges.entry(from).or_default() += 1;
                *edges.entry(to).or_default() -= 1;
            }
        }
    }
    let (mut once, mut more, mut count, mut before) = (0, 0, 0, MonoNs::ZERO);
    for (at, change) in edges {
        let length = at.ns_since(before);
        once += if count > 0 { length } else { 0 };
        more += if count > 1 { length * (count as u64 - 1) } else { 0 };
        (count, before) = (count + change, at);
    }
    (once as f64 / MS as f64, more as f64 / MS as f64, end.ns_since(begin) as f64 / MS as f64)
}

fn process(rank: u64, from: u64, to: u64) -> Process {
    Process { rank, from, to, epoch: 50, pause: 0, interval: 1000, killed: None, journal: false }
}

#[test]
fn ranks_that_end_one_after_another_count_each_moment_once() {
    let ranks: Vec<Process> = (0..16).map(|n| process(n, 10, 1000 + 50 * n)).collect();
    let (once, more, truth) = run(&ranks);
    assert!(more < 1.0 && (once - truth).abs() < 2.0, "{once} and {more} of {truth}");
}

#[test]
fn lowest_rank_counts_if_it_can() {
    let mut world = World { memory: memory(), running: Vec::new(), dead: Vec::new() };
    let ranks = [process(1, 0, 500), process(0, 100, 500)];
    ranks.iter().for_each(|rank| world.start(rank, START));
    for ms in 0..300 {
        (0..2).for_each(|number| world.step(number, ms));
    }
    assert_eq!(world.running[1].turns.len(), 1);
    assert_eq!(world.running[0].turns[0].1, world.running[1].turns[0].0, "from one to the other");
}

#[test]
fn idle_owner_yields_and_takes_back() {
    let idle = Process { epoch: 100, pause: 3000, ..process(0, 0, 6300) };
    let (once, more, truth) = run(&[idle, process(1, 0, 6300)]);
    assert!(more < 1.0 && (once - truth).abs() < 3.0, "{once} and {more} of {truth}");
}

prop_compose! {
    fn any_process(rank: u64)(
        from in 0u64..40, to in 300u64..3000, epoch in 5u64..200, pause in prop_oneof![Just(0u64), 0u64..300],
        interval in prop_oneof![Just(100u64), Just(1000), Just(30_000)],
        killed in proptest::option::of(50u64..2500), journal: bool,
    ) -> Process {
        Process { rank, from, to, epoch, pause, interval, killed: killed.filter(|at| *at < to), journal }
    }
}

fn any_job() -> impl Strategy<Value = Vec<Process>> {
    (2u64..12).prop_flat_map(|ranks| (0..ranks).map(any_process).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// No moment is counted twice, for any processes.
    #[test]
    fn no_moment_is_counted_twice(ranks in any_job()) {
        let (_, more, truth) = run(&ranks);
        prop_assert!(more < 1.0, "{} of {}", more, truth);
    }

    /// Epochs without pauses begin within 40 ms. The counted time is the time from the first begin to the last end,
    /// less the time between the begin of a killed process and that of its successor.
    #[test]
    fn all_is_counted_after_any_kill(ranks in any_job()) {
        let ranks: Vec<Process> =
            ranks.into_iter().enumerate().map(|(n, one)| Process { pause: 0, killed: one.killed.filter(|_| n > 0), ..one }).collect();
        let survivor = Process { to: 3000, ..ranks[0].clone() };
        let ranks = [vec![survivor], ranks[1..].to_vec()].concat();
        let (once, more, truth) = run(&ranks);
        let killed = ranks.iter().filter(|one| one.killed.is_some()).count() as f64;
        prop_assert!(more < 1.0 && truth - once < 2.0 + 2.0 * ranks.len() as f64 + 50.0 * killed, "{} and {} of {}", once, more, truth);
    }
}

/// Two ranks with a GPU each are always in an epoch. The lower rank does not keep the other from counting its own GPU.
#[test]
fn device_of_one_process_alone_is_counted_by_it() {
    let memory = memory();
    let record = LeaseRecord(&memory);
    assert!(record.is_of(7, START));
    let member =
        |process, rank| Member { process, rank: Some(rank), state: MemberState::Open(START + 1), ..Member::default() };
    let indices = [member(1, 0), member(2, 1)].map(|member| record.join(&member, &|_| true).expect("room"));
    for (number, index) in indices.into_iter().enumerate() {
        let device = record.device(20 + number as u64).expect("room");
        let (process, record) = (number as u32 + 1, LeaseRecord(&memory));
        let participant = Participant { record, index, process, namespace: 0, is_alive: &|_| true };
        let poll = LeasePoll { now: START + MS, ended: None, is_requested: false, read_since: Some(START) };
        assert!(participant.poll(&mut DeviceTurn::new(device), None, poll).is_ours, "{number}");
    }
}

#[test]
fn last_member_closes_the_record_and_later_joins_fail() {
    let memory = memory();
    let record = LeaseRecord(&memory);
    assert!(record.is_of(7, START) && !record.close(&|_| true), "it had no member yet");
    let member = |process| Member { process, ..Member::default() };
    let first = record.join(&member(1), &|_| true).expect("room");
    let second = record.join(&member(2), &|_| true).expect("room");
    assert!(!record.release(first, &|_| true) && record.release(second, &|_| true));
    assert_eq!(record.join(&member(3), &|_| true), None);
    assert_eq!(record.members().count(), 0, "its entry is free again");
}

#[test]
fn record_of_random_numbers_does_no_harm() {
    proptest!(|(numbers in proptest::collection::vec(any::<u64>(), 64), now: u64)| {
        let now = MonoNs(now);
        let memory: Vec<AtomicU64> = (0..NUMBERS).map(|n| AtomicU64::new(numbers[n % numbers.len()])).collect();
        let record = LeaseRecord(&memory);
        let _ = record.is_of(1, now);
        let index = record.join(&Member::default(), &|_| false).unwrap_or(0);
        let participant = Participant { record, index, process: 0, namespace: 0, is_alive: &|_| false };
        let mut turn = DeviceTurn::new(participant.record.device(3).unwrap_or(0));
        for is_requested in [false, true] {
            participant.poll(&mut turn, Some(now), LeasePoll { now, ended: Some(now), is_requested, read_since: Some(MonoNs(0)) });
        }
        participant.release();
        participant.record.release(index, &|_| false);
    });
}
