//! Many processes of one job on one node: what their reports add up to is what the node used in the union of their
//! epochs, whoever ends when, in order or killed.
//!
//! CT_WIDE=1 runs every combination; CT_SHOW=1 prints each figure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod ranks;
mod served;
mod steady;

use ranks::{Folder, Part, Start, counted_once, part, together};
use serde_json::{Value, json};
use served::{Counter, Tree};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Condvar, Mutex};

/// So many processes at once, over all cases.
const AT_ONCE: usize = 96;
/// A machine that runs other things too may hold up the thread that counts at will.
const TRIES: usize = 3;

/// Not a test but the program of a job's process, when it is one.
#[test]
fn a_process() {
    ranks::play();
}

/// Numbers that look random, the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn shuffled<T>(&mut self, mut all: Vec<T>) -> Vec<T> {
        for n in (1..all.len()).rev() {
            all.swap(n, self.below(n as u64 + 1) as usize);
        }
        all
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    Together,
    /// So many ms apart.
    Apart(u64),
    /// In any order, within so many ms.
    Random(u64),
}

#[derive(Clone, Debug)]
struct Case {
    processes: usize,
    ends: Ends,
    interval: &'static str,
    /// Killed in the run; one that lives to the end is left.
    kills: usize,
    is_served: bool,
}

impl Case {
    fn parts(&self) -> Vec<Part> {
        const LONG: u64 = 1000;
        let mut dice = Dice(self.processes as u64 * 31 + self.kills as u64 * 7 + self.interval.len() as u64);
        let n = self.processes as u64;
        let end = |number: u64, dice: &mut Dice| match self.ends {
            Ends::Together => LONG,
            Ends::Apart(ms) => LONG + number * ms,
            Ends::Random(ms) if number + 1 == n => LONG + ms,
            Ends::Random(ms) => LONG + dice.below(ms),
        };
        let mut parts: Vec<Part> = (0..n).map(|number| part(0, end(number, &mut dice))).collect();
        let last = parts.iter().map(|part| part.to).max().unwrap();
        let mut victims = dice.shuffled((0..self.processes - 1).collect());
        victims.truncate(self.kills);
        for victim in victims {
            let at = 100 + dice.below(last.min(parts[victim].to) - 200);
            parts[victim].killed = Some(at);
        }
        dice.shuffled(parts)
    }

    /// Runs it; what is wrong, if anything.
    fn run(&self, tree: Option<&Tree>) -> Result<(), String> {
        let parts = self.parts();
        let folder = Folder::new("many");
        folder.give(&parts, Start::Ready, &serves(tree));
        let killed: Vec<bool> = parts.iter().map(|part| part.killed.is_some()).collect();
        let commands = job(&folder, parts.len(), tree);
        let with_interval = |mut command: Command| {
            command.env("CARBONTRACKER_INTERVAL", self.interval);
            command
        };
        together(commands.into_iter().map(with_interval).collect(), &killed);
        counted_once(&folder.records(), &format!("{self:?}"))
    }
}

/// What the processes serve, for their parts.
fn serves(tree: Option<&Tree>) -> Value {
    tree.map_or(Value::Null, |tree| json!({"born": tree.born(), "watts": [ranks::WATTS]}))
}

/// The processes of one job, each with a number, on a simulated processor or a served tree.
fn job(folder: &Folder, processes: usize, tree: Option<&Tree>) -> Vec<Command> {
    let job = job_name();
    let command = |number: usize| {
        let mut command = ranks::process(&folder.part(number));
        command.env("SLURM_JOB_ID", &job).env("SLURM_PROCID", number.to_string());
        match tree {
            Some(tree) => command.env("CARBONTRACKER_SYSROOT", tree.root()),
            None => command.env("CARBONTRACKER_SIM_CPU", "X:100:1"),
        };
        command
    };
    (0..processes).map(command).collect()
}

fn job_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{}{:03}", std::process::id(), NUMBER.fetch_add(1, Relaxed))
}

fn tree() -> Tree {
    Tree::new(&[("intel-rapl:0", "package-0", Counter::constant(ranks::WATTS))])
}

/// Leaves room for so many processes at a time.
struct Room(Mutex<usize>, Condvar);

static ROOM: Room = Room(Mutex::new(AT_ONCE), Condvar::new());

impl Room {
    fn with<T>(&self, processes: usize, run: impl FnOnce() -> T) -> T {
        let processes = processes.min(AT_ONCE);
        let left = self.0.lock().unwrap();
        *self.1.wait_while(left, |left| *left < processes).unwrap() -= processes;
        let result = run();
        *self.0.lock().unwrap() += processes;
        self.1.notify_all();
        result
    }
}

/// Tries until it is right; what is wrong still, if anything.
fn tried(processes: usize, run: impl Fn() -> Result<(), String>) -> Option<String> {
    let mut last = Ok(());
    for _ in 0..TRIES {
        last = ROOM.with(processes, &run);
        if last.is_ok() {
            break;
        }
    }
    last.err()
}

fn check(cases: &[Case]) {
    let tree = tree();
    let run = |case: &Case| tried(case.processes, || case.run(case.is_served.then_some(&tree)));
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = cases.iter().map(|case| scope.spawn(move || run(case))).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn is_wide() -> bool {
    std::env::var_os("CT_WIDE").is_some()
}

const INTERVALS: [&str; 3] = ["0.1", "1", "30"];

/// Each way to end with each number of processes; the rest in turn, or all of it where it is to be wide.
fn cases(processes: &[usize], kills: impl Fn(usize) -> Vec<usize>) -> Vec<Case> {
    let mut all = Vec::new();
    for &processes in processes {
        let longest = if processes <= 8 { 500 } else { 50 };
        let mut ends = vec![Ends::Together, Ends::Apart(20), Ends::Apart(longest), Ends::Random(1500)];
        ends.retain(|ends| processes <= 64 || *ends != Ends::Apart(longest));
        for ends in ends {
            for kills in kills(processes) {
                for (n, interval) in INTERVALS.into_iter().enumerate() {
                    for is_served in [false, true] {
                        let turn = all.len();
                        all.push((turn, n, Case { processes, ends, interval, kills, is_served }));
                    }
                }
            }
        }
    }
    // Of each six, which differ in interval and devices alone, another one each time.
    all.into_iter().filter(|(turn, ..)| is_wide() || turn % 6 == turn / 6 * 5 % 6).map(|(.., case)| case).collect()
}

#[test]
fn all_end_in_order() {
    check(&cases(&[2, 8, 16], |_| vec![0]));
}

#[test]
fn some_or_all_but_one_are_killed() {
    check(&cases(&[2, 8, 16], |n| if n == 2 { vec![1] } else { vec![1, n / 2, n - 1] }));
}

#[test]
fn a_crowd() {
    check(&cases(&[64], |n| if is_wide() { vec![0, 1, n / 2, n - 1] } else { vec![0] }));
}
