//! A world that runs: its processes start, end and start again, and its events happen.

use super::{Event, S, Scenario};
use crate::application::{self, Noted};
use crate::disk::Disk;
use crate::grid::Web;
use crate::kernel::Kernel;
use carbontracker::options::Options;
use carbontracker::tracker::Tracker;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// After an exec, other ranks notice within this time that the program is gone, ns: no poll for 5 s, and the next poll.
const TAKEOVER_NS: u64 = 12 * S;

/// A world that runs.
pub struct Running {
    pub scenario: Scenario,
    pub kernel: Rc<Kernel>,
    pub disk: Rc<Disk>,
    pub web: Rc<Web>,
    /// The lives of each rank, in order.
    pub lives: RefCell<Vec<(usize, Noted)>>,
}

impl Running {
    /// The program of a rank, and the notes about its life, which begins.
    fn program(self: &Rc<Self>, rank: usize) -> Option<(impl FnOnce() + 'static, Noted)> {
        let plan = self.scenario.plans.get(rank)?;
        let noted = Noted::default();
        noted.borrow_mut().finds_journal = self.disk.has_journal();
        self.lives.borrow_mut().push((rank, Rc::clone(&noted)));
        let mut plan = plan.clone();
        plan.options = plan.options.replace("FOLDER", &self.disk.folder.display().to_string());
        let (world, of_program) = (Rc::clone(self), Rc::clone(&noted));
        let main = move || {
            application::run(&world.kernel, &plan, |options| world.create(options), &of_program);
            world.kernel.exit(world.kernel.process());
        };
        Some((main, noted))
    }

    /// Starts the process of a rank.
    pub(super) fn start(self: &Rc<Self>, rank: usize) {
        let Some((main, noted)) = self.program(rank) else { return };
        let ranks = self.scenario.traits.ranks;
        let mut variables = Vec::new();
        if ranks > 1 {
            let number = rank.to_string();
            let of_job = [
                ("SLURM_JOB_ID", self.scenario.seed.to_string()),
                ("SLURM_PROCID", number.clone()),
                ("SLURM_LOCALID", number),
                ("SLURM_STEP_NUM_TASKS", ranks.to_string()),
            ];
            variables.extend(of_job.map(|(name, value)| (name.to_owned(), value)));
        }
        let process = self.kernel.start(variables, main);
        noted.borrow_mut().process = process;
    }

    fn create(&self, options: &str) -> Result<Tracker, String> {
        let variable = |name: &str| self.kernel.variable(name);
        let options = Options::parse(options, variable).map_err(|error| error.to_string())?;
        let machine = Arc::new(self.scenario.machine(&self.kernel));
        Tracker::start_on(Some(machine), options).map_err(|error| error.to_string())
    }

    /// The process of a rank's last life.
    fn process(&self, rank: usize) -> Option<u32> {
        self.lives.borrow().iter().rev().find(|(of, _)| *of == rank).map(|(_, noted)| noted.borrow().process)
    }

    /// Makes the events happen.
    pub(super) fn supervise(self: &Rc<Self>) {
        let begin = self.kernel.now();
        for (at, event) in self.scenario.events.clone() {
            self.kernel.sleep_until(begin + at);
            self.happen(&event);
            self.restart_dead();
        }
        // A kill in the middle of a write may come later than all events.
        while self.lives.borrow().iter().any(|(_, noted)| self.kernel.process_start(noted.borrow().process).is_some()) {
            self.kernel.sleep(600 * S);
            self.restart_dead();
        }
    }

    fn happen(self: &Rc<Self>, event: &Event) {
        match *event {
            Event::Kill(rank) => self.kill(rank),
            Event::Exec(rank, tracks) => self.exec(rank, tracks),
            Event::Stop(rank, ns) => {
                self.process(rank).into_iter().for_each(|process| self.kernel.stop(process, ns));
            }
            Event::SetDate(by_s) => self.kernel.set_date(by_s),
            Event::Suspend(ns) => self.kernel.suspend_machine(ns),
            Event::Fill => self.disk.room.set(0),
            Event::Free => self.disk.room.set(u64::MAX),
            Event::Fail(fails) => self.disk.has_failed.set(fails),
            Event::CutPower => {
                self.kernel.reboot();
                if let Err(error) = self.disk.cut_power(&self.kernel) {
                    self.kernel.fail(format!("power cut: {error}"));
                }
            }
            Event::Refuse(error) => self.kernel.refused.set(error),
            Event::CutFile if self.is_at_work() => self.disk.cut_journal(&self.kernel),
            Event::CutFile => (),
            Event::Rival => self.start(0),
            Event::LoseLocks => self.kernel.lose_locks(),
        }
    }

    fn kill(&self, rank: usize) {
        let Some(process) = self.process(rank) else { return };
        if self.kernel.process_start(process).is_some() {
            self.note_end(rank, self.kernel.now());
        }
        self.kernel.kill(process);
    }

    /// The process of a rank runs another program. Without a tracker, it only waits for a while.
    fn exec(self: &Rc<Self>, rank: usize, tracks: bool) {
        let process = self.process(rank).filter(|process| self.kernel.process_start(*process).is_some());
        let Some(process) = process else { return };
        self.note_end(rank, self.kernel.now() + TAKEOVER_NS);
        if !tracks {
            let kernel = Rc::clone(&self.kernel);
            return self.kernel.exec(process, move || {
                let ns = kernel.rng.borrow_mut().u64(0..60 * S);
                kernel.sleep(ns);
                kernel.exit(process);
            });
        }
        if let Some((main, noted)) = self.program(rank) {
            noted.borrow_mut().process = process;
            self.kernel.exec(process, main);
        }
    }

    /// Notes that the last life of a rank was cut off, as other ranks see it.
    fn note_end(&self, rank: usize, at: u64) {
        if let Some((_, noted)) = self.lives.borrow().iter().rev().find(|(of, _)| *of == rank) {
            noted.borrow_mut().killed_at = Some(at);
        }
    }

    /// Whether a life was cut off by a kill or an exec.
    pub fn has_deaths(&self) -> bool {
        let is_cut_off = |(_, noted): &(usize, Noted)| noted.borrow().killed_at.is_some();
        self.scenario.traits.has_kills || self.lives.borrow().iter().any(is_cut_off)
    }

    /// Whether the last process will still end its run's files.
    fn is_at_work(&self) -> bool {
        self.lives.borrow().last().is_some_and(|(_, noted)| !noted.borrow().has_reported)
    }

    /// Starts a run again that was killed, if it resumes.
    fn restart_dead(self: &Rc<Self>) {
        if !self.scenario.traits.resumes || self.scenario.traits.has_rival || self.lives.borrow().len() >= 5 {
            return;
        }
        let is_over = self.lives.borrow().last().is_some_and(|(_, noted)| {
            let noted = noted.borrow();
            !noted.has_ended && self.kernel.process_start(noted.process).is_none()
        });
        if is_over {
            self.start(0);
        }
    }

    /// Whether the run writes files.
    pub fn has_files(&self) -> bool {
        self.scenario.has_files
    }
}
