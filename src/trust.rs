//! What another process of the job counts, read here too and held in trust: should that process be killed, nobody has
//! its report, and the energy is taken over whole. Pure.

use crate::account::Account;
use crate::channel::Kind;
use crate::claim::Standing;
use crate::counter::Credit;
use crate::ledger::{Ledger, Mark};

/// The devices of one claim, and what they used that nobody's report covers yet.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The channels, by their numbers in the books.
    pub channels: Vec<usize>,
    /// Who counts them.
    pub standing: Standing,
    /// Another process counted them in this run's time.
    pub was_others: bool,
    /// The run's time with their energy in it; empty while they are ours.
    ledger: Ledger,
    /// The newest credits of each, whatever marks divide them.
    trails: Vec<Account>,
}

impl Trust {
    /// A claim that stands like this, as yet for no channel.
    pub fn new(standing: Standing, run: &Ledger) -> Trust {
        let was_others = !standing.is_ours;
        let ledger = if was_others { run.emptied() } else { Ledger::default() };
        Trust { channels: Vec::new(), standing, was_others, ledger, trails: Vec::new() }
    }

    /// Another channel is in the books.
    pub fn add_channel(&mut self, kind: Kind) {
        if !self.standing.is_ours {
            self.ledger.add_channel(kind);
        }
    }

    /// That one is of this claim.
    pub fn claim(&mut self, channel: usize, kind: Kind) {
        self.channels.push(channel);
        self.trails.push(Account::new(kind));
    }

    /// Divides time.
    pub fn mark(&mut self, mark: Mark) {
        if !self.standing.is_ours {
            self.ledger.mark(mark);
        }
    }

    /// Takes a channel's energy, as far as no report covers it; what counts in this process goes to the run's ledger.
    pub fn credit(&mut self, channel: usize, credit: Credit, run: &mut Ledger) {
        let Some(uncovered) = credit.split(self.standing.covered_to).1 else { return };
        if self.standing.is_ours {
            return run.credit(channel, uncovered);
        }
        self.ledger.credit(channel, uncovered);
        let place = self.channels.iter().position(|&one| one == channel);
        if let Some(trail) = place.and_then(|place| self.trails.get_mut(place)) {
            trail.remember(uncovered);
        }
    }

    /// Places what is held of a channel though no further reading came.
    pub fn release(&mut self, channel: usize) {
        self.ledger.release(channel);
    }

    /// Takes note of how the claim stands now. What others' reports cover is let go; what they do not goes to the run's
    /// own ledger once the claim is ours. True if it has come to us.
    pub fn settle(&mut self, standing: Standing, run: &mut Ledger) -> bool {
        if self.standing.is_ours {
            return false;
        }
        let is_news = standing.covered_to > self.standing.covered_to;
        self.standing = standing;
        if is_news {
            self.restart(run);
        }
        if standing.is_ours {
            self.channels.iter().for_each(|&channel| run.adopt(channel, &mut self.ledger));
            run.add_epochs(&self.ledger);
            self.ledger = Ledger::default();
            self.trails.clear();
        }
        standing.is_ours
    }

    fn restart(&mut self, run: &Ledger) {
        self.ledger = run.emptied();
        for (&channel, trail) in self.channels.iter().zip(&self.trails) {
            let uncovered = trail.recent().filter_map(|credit| credit.split(self.standing.covered_to).1);
            uncovered.for_each(|credit| self.ledger.credit(channel, credit));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const OTHERS: Standing = Standing { is_ours: false, holder: Some(1), covered_to: 0 };
    const OURS: Standing = Standing { is_ours: true, holder: Some(2), covered_to: 0 };

    /// Epochs of a second, back to back, at 10 W, read four times each; the books as another process counts.
    fn run_of(epochs: u64) -> (Ledger, Trust) {
        let mut run = Ledger::default();
        let mut trust = Trust::new(OTHERS, &run);
        run.add_channel(Kind::Cpu);
        trust.add_channel(Kind::Cpu);
        trust.claim(0, Kind::Cpu);
        for quarter in 0..4 * epochs {
            let at = S + quarter * S / 4;
            if quarter % 4 == 0 {
                let marks = [Mark::End(at), Mark::Begin(at)];
                marks.into_iter().skip(usize::from(quarter == 0)).for_each(|mark| {
                    run.mark(mark);
                    trust.mark(mark);
                });
            }
            trust.credit(0, Credit { from: at, to: at + S / 4, joules: 2.5, measured: true }, &mut run);
        }
        let last = Mark::End(S + epochs * S);
        run.mark(last);
        trust.mark(last);
        (run, trust)
    }

    fn energies(run: &Ledger) -> Vec<Option<f64>> {
        run.history().iter().map(|epoch| epoch.energy.total()).collect()
    }

    #[test]
    fn what_a_dead_holder_counted_is_taken_over_whole() {
        let (mut run, mut trust) = run_of(3);
        assert!(!trust.settle(OTHERS, &mut run));
        assert_eq!((run.energy_j(), energies(&run)), (None, vec![None; 3]));
        assert!(trust.settle(OURS, &mut run));
        assert_eq!((run.energy_j(), energies(&run)), (Some(30.0), vec![Some(10.0); 3]));
        assert_eq!(run.observed(3).filter(|epoch| epoch.is_whole).count(), 3);
        assert!(!trust.settle(OURS, &mut run), "once");
    }

    #[test]
    fn what_a_report_covers_is_not_counted_again() {
        let (mut run, mut trust) = run_of(3);
        let ended_in_order = Standing { covered_to: S + 2 * S + S / 8, ..OURS };
        assert!(trust.settle(ended_in_order, &mut run));
        assert!((run.energy_j().unwrap() - 8.75).abs() < 1e-9, "{:?}", run.energy_j());
        assert_eq!(energies(&run)[..2], [None, None]);
    }

    #[test]
    fn covered_first_and_dead_later() {
        let (mut run, mut trust) = run_of(3);
        assert!(!trust.settle(Standing { covered_to: 2 * S, ..OTHERS }, &mut run));
        assert!(trust.settle(Standing { covered_to: 2 * S, ..OURS }, &mut run));
        assert!((run.energy_j().unwrap() - 20.0).abs() < 1e-9, "{:?}", run.energy_j());
    }

    #[test]
    fn a_credit_that_comes_after_the_handover_is_divided() {
        let (mut run, mut trust) = run_of(2);
        let covered_to = 4 * S - S / 4;
        assert!(trust.settle(Standing { covered_to, ..OURS }, &mut run));
        for mark in [Mark::Begin(3 * S), Mark::End(4 * S)] {
            run.mark(mark);
            trust.mark(mark);
        }
        trust.credit(0, Credit { from: 3 * S, to: 4 * S, joules: 10.0, measured: true }, &mut run);
        assert!((run.energy_j().unwrap() - 2.5).abs() < 1e-9, "{:?}", run.energy_j());
    }

    #[test]
    fn long_runs_are_handed_over_exactly() {
        let (mut run, mut trust) = run_of(10_000);
        assert!(trust.settle(OURS, &mut run));
        assert!((run.energy_j().unwrap() - 100_000.0).abs() < 1e-4);
        assert!((run.history().iter().filter_map(|epoch| epoch.energy.total()).sum::<f64>() - 100_000.0).abs() < 1e-4);
    }
}
