//! The application of a simulated process: it calls the library in any order and notes what is true.

use crate::kernel::Kernel;
use crate::phases::{PhaseCalls, PhasePlan, PhaseTruth};
use carbontracker::error::Status;
use carbontracker::tracker::Tracker;
use std::cell::RefCell;
use std::rc::Rc;

/// What an application does in one process.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Option string of the tracker.
    pub options: String,
    /// Time before the tracker is made, ns.
    pub delay_ns: u64,
    /// Number of epochs.
    pub epochs: u64,
    /// The shortest and the longest time of an epoch, ns.
    pub epoch_ns: (u64, u64),
    /// The longest time between two epochs, ns.
    pub gap_ns: u64,
    /// One call of so many is a wrong or a rare one. 0: none is.
    pub oddity: u32,
    /// How the process ends.
    pub end: End,
    /// How it marks phases; None: it marks none.
    pub phases: Option<PhasePlan>,
}

/// How a process ends the tracker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// It destroys the tracker.
    Destroys,
    /// It exits with a live tracker.
    Exits,
}

/// What is true of one process.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    pub process: u32,
    /// The program that the process ran.
    pub program: u64,
    /// A journal has its first line when the process starts.
    pub finds_journal: bool,
    /// The ended epochs: begin and end, ns since boot.
    pub epochs: Vec<(u64, u64)>,
    /// The begin of the first epoch that was begun.
    pub first_begin: Option<u64>,
    /// An epoch was cancelled.
    pub has_cancelled: bool,
    /// The last report, as JSON, and when it was made.
    pub report: Option<(u64, serde_json::Value)>,
    /// The phases at that report.
    pub phases: PhaseTruth,
    /// The first and the last mark of an epoch or a phase.
    pub marks: Option<(u64, u64)>,
    /// The application has made its last report and begins to end the tracker.
    pub has_reported: bool,
    /// The process was killed at this instant, unless a write or a power cut ended it. After an exec: other ranks
    /// notice by then that the program is gone.
    pub killed_at: Option<u64>,
    /// The process has come to its end.
    pub has_ended: bool,
    /// The tracker could not be made.
    pub refused: Option<String>,
    /// Messages of the library.
    pub messages: Vec<String>,
    /// The longest call at a mark, the longest other call, and the tracker's end, ns.
    pub longest_ns: [u64; 3],
}

/// The truth of one process, shared with the checks.
pub type Noted = Rc<RefCell<Truth>>;

/// Where an application finds a fault of the library, it reports it here.
pub type Complain<'a> = &'a dyn Fn(String);

/// Runs the application. `create` makes the tracker.
pub fn run(kernel: &Kernel, plan: &Plan, create: impl FnOnce(&str) -> Result<Tracker, String>, noted: &Noted) {
    kernel.sleep(plan.delay_ns);
    (noted.borrow_mut().process, noted.borrow_mut().program) = (kernel.process(), kernel.program());
    let tracker = match create(&plan.options) {
        Ok(tracker) => tracker,
        Err(why) => {
            noted.borrow_mut().refused = Some(why);
            return;
        }
    };
    let phases = PhaseCalls::new(plan.phases.clone(), kernel.process());
    let mut application = Application { kernel, plan, tracker, noted, open: None, phases };
    for _ in 0..plan.epochs {
        application.epoch();
        let gap_ns = kernel.rng.borrow_mut().u64(0..=plan.gap_ns);
        application.work(gap_ns);
    }
    application.finish();
}

fn note_time(kernel: &Kernel, noted: &Noted, kind: usize, since: u64) {
    let took = kernel.now() - since;
    let mut noted = noted.borrow_mut();
    noted.longest_ns.get_mut(kind).into_iter().for_each(|most| *most = took.max(*most));
    if kind == 0 {
        noted.marks = Some((noted.marks.map_or(since, |(first, _)| first), since));
    }
}

struct Application<'a> {
    kernel: &'a Kernel,
    plan: &'a Plan,
    tracker: Tracker,
    noted: &'a Noted,
    /// The begin of the open epoch.
    open: Option<u64>,
    phases: PhaseCalls,
}

impl Application<'_> {
    fn chance(&self, of: u32) -> bool {
        of > 0 && self.kernel.rng.borrow_mut().u32(..of) == 0
    }

    fn fail(&self, words: String) {
        self.kernel.fail(words);
    }

    fn epoch(&mut self) {
        self.begin();
        let (least, most) = self.plan.epoch_ns;
        let ns = self.kernel.rng.borrow_mut().u64(least..=most.max(least));
        let parts = self.kernel.rng.borrow_mut().u64(1..=3);
        for part in 1..=parts {
            self.work(ns / parts);
            if self.chance(4) {
                let _ = self.tracker.progress(part, parts);
            }
            if self.chance(self.plan.oddity) {
                self.odd_call();
            }
        }
        if self.open.is_some() {
            self.end();
        }
    }

    /// Works for a time, with phases.
    fn work(&mut self, ns: u64) {
        let (kernel, noted) = (self.kernel, self.noted);
        let note = |kind: usize, since: u64| note_time(kernel, noted, kind, since);
        self.phases.work(kernel, &self.tracker, (ns, self.open.is_some()), note);
    }

    /// Notes the time of a call that began at `since`. `kind` is that of [`Truth::longest_ns`].
    fn note_time(&self, kind: usize, since: u64) {
        note_time(self.kernel, self.noted, kind, since);
    }

    /// The instant of a call. The library stamps it before any other thread runs.
    fn begin(&mut self) {
        let at = self.kernel.now();
        let begun = self.tracker.begin();
        self.note_time(0, at);
        match begun {
            Ok(_) => {
                if self.open.is_some() {
                    self.fail("an epoch began inside another".into());
                }
                self.open = Some(at);
                self.phases.truth.mark(at);
                self.noted.borrow_mut().first_begin.get_or_insert(at);
            }
            Err(error) if error.status == Status::CT_ESTATE && self.open.is_some() => (),
            Err(error) => self.fail(format!("begin: {error}")),
        }
    }

    fn end(&mut self) {
        let at = self.kernel.now();
        let ended = self.tracker.end();
        self.note_time(0, at);
        match (ended, self.open.take()) {
            (Ok(_), Some(begin)) => {
                self.phases.truth.mark(at);
                self.noted.borrow_mut().epochs.push((begin, at));
            }
            (Err(error), None) if error.status == Status::CT_ESTATE => (),
            (result, open) => self.fail(format!("end of {open:?}: {result:?}")),
        }
    }

    /// A call that is wrong, or rare.
    fn odd_call(&mut self) {
        let kind = self.kernel.rng.borrow_mut().u32(..10);
        let at = self.kernel.now();
        match kind {
            0 => self.begin(),
            1 => {
                self.end();
                self.end();
            }
            2 => {
                let has_open = self.open.take().is_some();
                if self.tracker.cancel().is_ok() != has_open {
                    self.fail("cancel".into());
                }
                if has_open {
                    self.phases.truth.mark(at);
                }
                self.noted.borrow_mut().has_cancelled |= has_open;
            }
            3 => drop(self.tracker.progress(3, 2)),
            4 => drop(self.tracker.value("/forecast/energy_j/value")),
            5 => drop(self.tracker.value("/no/such/field")),
            6 => drop(self.tracker.report("text")),
            7 => drop(self.tracker.report("prometheus")),
            8 => self.look(),
            _ => drop(self.tracker.report("csv")),
        }
        self.note_time(1, at);
    }

    /// Takes a report and the messages.
    fn look(&mut self) {
        let report = match self.tracker.report("json") {
            Ok(report) => report,
            Err(error) => return self.fail(format!("report: {error}")),
        };
        match serde_json::from_str(&report) {
            Ok(value) => {
                let mut noted = self.noted.borrow_mut();
                noted.report = Some((self.kernel.now(), value));
                noted.phases = self.phases.truth.clone();
            }
            Err(error) => self.fail(format!("a report does not parse: {error}")),
        }
        while let Ok(Status::CT_OK) = self.tracker.take_message(|message| {
            self.noted.borrow_mut().messages.push(message.to_owned());
            Ok(Status::CT_OK)
        }) {}
    }

    fn finish(mut self) {
        if self.open.is_some() {
            self.end();
        }
        let at = self.kernel.now();
        self.look();
        self.note_time(1, at);
        self.noted.borrow_mut().has_reported = true;
        let (at, kernel, noted) = (self.kernel.now(), self.kernel, self.noted);
        match self.plan.end {
            End::Destroys => drop(self.tracker.destroy()),
            End::Exits => {
                carbontracker::os::exit::end_process();
                std::mem::forget(self.tracker);
            }
        }
        let mut noted = noted.borrow_mut();
        noted.has_ended = true;
        noted.longest_ns[2] = kernel.now() - at;
    }
}
