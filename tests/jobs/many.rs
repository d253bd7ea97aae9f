//! Many processes of one job on one node. The sum of their reports is the energy of the node in the union of their
//! epochs, in any order of ends and kills.
//!
//! CT_WIDE=1 runs every combination; CT_SHOW=1 prints each figure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::fake_rapl::Tree;
use crate::job_processes::launch::{job, serves, together, tree};
use crate::job_processes::{Folder, Part, Start, counted_once, part};

const INTERVALS: [&str; 3] = ["0.1", "1", "30"];
/// Earliest end of a process, ms.
const MIN_END_MS: u64 = 1000;

/// Pseudo-random numbers, the same in each run of the test.
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
    /// This time apart, ms.
    Apart(u64),
    /// In any order, within this time, ms.
    Random(u64),
}

#[derive(Clone, Debug)]
struct Case {
    processes: usize,
    ends: Ends,
    interval: &'static str,
    /// Number of processes that are killed. At least one process is not.
    kills: usize,
    is_served: bool,
}

impl Case {
    fn parts(&self) -> Vec<Part> {
        let mut dice = Dice(self.processes as u64 * 31 + self.kills as u64 * 7 + self.interval.len() as u64);
        let ends: Vec<u64> = (1..=self.processes).map(|number| self.end(number, &mut dice)).collect();
        let last = ends[self.processes - 1];
        let mut parts: Vec<Part> = ends.into_iter().map(|end| part(0, end)).collect();
        let mut victims = dice.shuffled((0..self.processes - 1).collect());
        victims.truncate(self.kills);
        for victim in victims {
            parts[victim].killed = Some(100 + dice.below(last.min(parts[victim].to) - 200));
        }
        dice.shuffled(parts)
    }

    /// When a process ends, ms. The last one ends last.
    fn end(&self, number: usize, dice: &mut Dice) -> u64 {
        match self.ends {
            Ends::Together => MIN_END_MS,
            Ends::Apart(ms) => MIN_END_MS + number as u64 * ms,
            Ends::Random(ms) if number == self.processes => MIN_END_MS + ms,
            Ends::Random(ms) => MIN_END_MS + dice.below(ms),
        }
    }

    fn run(&self, tree: &Tree) -> Result<(), String> {
        let (tree, parts) = (self.is_served.then_some(tree), self.parts());
        let folder = Folder::new("many");
        folder.give(&parts, Start::Ready, &serves(tree));
        let killed: Vec<bool> = parts.iter().map(|part| part.killed.is_some()).collect();
        together(job(&folder, parts.len(), tree, &[("CARBONTRACKER_INTERVAL", self.interval)]), &killed);
        counted_once(&folder.records(), &format!("{self:?}"))
    }
}

fn is_wide() -> bool {
    std::env::var_os("CT_WIDE").is_some()
}

/// Each way to end, with each number of processes and kills. Interval and devices change from case to case; with
/// CT_WIDE each case has all of them.
fn cases(processes: &[usize], kills: impl Fn(usize) -> Vec<usize>) -> Vec<Case> {
    let hows: Vec<_> = INTERVALS.into_iter().flat_map(|interval| [(interval, false), (interval, true)]).collect();
    let mut all = Vec::new();
    for &processes in processes {
        let ends = match processes {
            0..=8 => vec![Ends::Together, Ends::Apart(50), Ends::Apart(500), Ends::Random(1500)],
            9..=64 => vec![Ends::Together, Ends::Apart(20), Ends::Apart(50), Ends::Random(1500)],
            _ => vec![Ends::Together, Ends::Apart(10), Ends::Random(2000)],
        };
        for ends in ends {
            for kills in kills(processes) {
                let turn = all.len() * 5 % hows.len();
                let chosen = if is_wide() { &hows[..] } else { &hows[turn..=turn] };
                all.extend(chosen.iter().map(|&(interval, is_served)| Case {
                    processes,
                    ends,
                    interval,
                    kills,
                    is_served,
                }));
            }
        }
    }
    all
}

fn check(cases: &[Case]) {
    let tree = tree();
    crate::job_processes::launch::check(cases, |case| case.processes, |case| case.run(&tree));
}

#[test]
fn processes_that_end_in_order_count_once() {
    check(&cases(&[2, 8, 16], |_| vec![0]));
}

#[test]
fn killed_processes_are_counted_by_others() {
    check(&cases(&[2, 8, 16], |n| if n == 2 { vec![1] } else { vec![1, n / 2, n - 1] }));
}

#[test]
fn many_processes_count_once() {
    check(&cases(&[64], |n| if is_wide() { vec![0, 1, n / 2, n - 1] } else { vec![0] }));
}

#[test]
fn hundreds_of_processes_count_once() {
    let mut cases = cases(&[256], |n| if is_wide() { vec![0, 1, n / 2, n - 1] } else { vec![0, n / 2] });
    if !is_wide() {
        cases.retain(|case| (case.ends == Ends::Together) == (case.kills == 0));
        cases.truncate(2);
    }
    check(&cases);
}
