//! The phases of a simulated application: it marks them in any order, and notes what is true.

use crate::kernel::Kernel;
use carbontracker::error::Status;
use carbontracker::tracker::Tracker;
use fastrand::Rng;
use std::collections::BTreeMap;

/// Most phases that are open at a time: `MAX_DEPTH` in the library.
const MAX_DEPTH: usize = 64;

/// How an application marks phases.
#[derive(Clone, Debug)]
pub struct PhasePlan {
    /// The seed of the marks.
    pub seed: u64,
    /// Number of names.
    pub names: u32,
    /// Most marks in one piece of work.
    pub most_marks: u32,
    /// It may end phases that it did not begin, and leave phases open.
    pub is_unbalanced: bool,
    /// It marks phases between epochs too.
    pub is_outside: bool,
}

/// What is true of the phases of one process.
#[derive(Clone, Debug, Default)]
pub struct PhaseTruth {
    /// When the first phase began.
    pub first: Option<u64>,
    /// The last mark of a phase, or of an epoch after the first phase.
    pub last: u64,
    /// Time without that of the phases within it, ns, and entries, by path. The time in no phase has an empty path.
    pub own: BTreeMap<String, (u64, u64)>,
    /// The open phases, outermost first.
    open: Vec<String>,
}

impl PhaseTruth {
    /// Phases from one instant to another, without names.
    pub fn of_span(first: Option<u64>, last: u64) -> PhaseTruth {
        PhaseTruth { first, last, ..PhaseTruth::default() }
    }

    /// The time since the last mark belongs to the innermost phase.
    pub fn mark(&mut self, at: u64) {
        if self.first.is_some() {
            self.own.entry(self.open.join("/")).or_default().0 += at - self.last;
            self.last = at;
        }
    }

    fn begin(&mut self, name: &str, at: u64) {
        self.mark(at);
        self.first.get_or_insert(at);
        self.last = at;
        self.open.push(name.to_owned());
        self.own.entry(self.open.join("/")).or_default().1 += 1;
    }

    /// Time from the first phase to the last mark, s.
    pub fn seconds(&self) -> f64 {
        self.first.map_or(0.0, |first| (self.last - first) as f64 * 1e-9)
    }
}

/// The marks of an application.
pub struct PhaseCalls {
    plan: Option<PhasePlan>,
    rng: Rng,
    pub truth: PhaseTruth,
}

fn name(number: u32) -> String {
    match number {
        0 => "solve".into(),
        1 => "halo, \"exchange\"".into(),
        2 => "Kühlung\n".into(),
        number => format!("p{number}"),
    }
}

impl PhaseCalls {
    /// The marks of a process of this number.
    pub fn new(plan: Option<PhasePlan>, process: u32) -> PhaseCalls {
        let seed = plan.as_ref().map_or(0, |plan| plan.seed);
        PhaseCalls { plan, rng: Rng::with_seed(seed ^ u64::from(process)), truth: PhaseTruth::default() }
    }

    /// Works for a time, with marks in between. `note` gets the kind and the instant of each call.
    pub fn work(
        &mut self,
        kernel: &Kernel,
        tracker: &Tracker,
        (ns, inside): (u64, bool),
        mut note: impl FnMut(usize, u64),
    ) {
        let Some(plan) = self.plan.clone().filter(|plan| inside || plan.is_outside) else { return kernel.sleep(ns) };
        let marks = u64::from(self.rng.u32(0..=plan.most_marks));
        let depth = self.truth.open.len();
        for _ in 0..marks {
            kernel.sleep(self.rng.u64(0..=2 * ns / (marks + 1)).min(ns / marks));
            let at = kernel.now();
            let choice = self.rng.u8(..16);
            match choice {
                0..8 => self.begin(kernel, tracker, &plan),
                8..15 if plan.is_unbalanced || self.truth.open.len() > depth => self.end(kernel, tracker),
                15 => drop(tracker.value("/phases/energy_j")),
                _ => (),
            }
            note(usize::from(choice == 15), at);
        }
        kernel.sleep(ns / (marks + 1));
        while !plan.is_unbalanced && self.truth.open.len() > depth {
            let at = kernel.now();
            self.end(kernel, tracker);
            note(0, at);
        }
    }

    fn begin(&mut self, kernel: &Kernel, tracker: &Tracker, plan: &PhasePlan) {
        let (name, at) = (name(self.rng.u32(..plan.names)), kernel.now());
        let is_deep = self.truth.open.len() >= MAX_DEPTH;
        match tracker.phase_begin(&name) {
            Ok(_) if !is_deep => self.truth.begin(&name, at),
            Err(error) if error.status == Status::CT_ESTATE && is_deep => (),
            result => kernel.fail(format!("a phase begins in {} others: {result:?}", self.truth.open.len())),
        }
    }

    fn end(&mut self, kernel: &Kernel, tracker: &Tracker) {
        let at = kernel.now();
        match tracker.phase_end() {
            Ok(_) if !self.truth.open.is_empty() => {
                self.truth.mark(at);
                self.truth.open.pop();
            }
            Err(error) if error.status == Status::CT_ESTATE && self.truth.open.is_empty() => (),
            result => kernel.fail(format!("a phase ends of {} open ones: {result:?}", self.truth.open.len())),
        }
    }
}
