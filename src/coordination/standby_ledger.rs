//! What another process of the job counts, read here too and held in trust: should that process be killed, nobody has
//! its report, and the energy is taken over whole. What its reports cover is let go. Pure.

use super::device_lease::LeaseState;
use crate::attribution::ledger::{Ledger, Mark};
use crate::clock::MonoNs;
use crate::measurement::channel::DeviceKind;
use crate::measurement::meter::EnergyInterval;
use std::collections::VecDeque;

/// So many credits of a channel are kept: half a minute at ten readings a second.
const TRAIL: usize = 256;
/// So many turns are kept: a credit may be of a time in which the device changed hands.
const TURNS: usize = 16;

/// The devices of one claim, and what they used that nobody's report covers yet.
#[derive(Clone, Debug)]
pub struct StandbyLedger {
    /// What is claimed.
    pub device: String,
    /// The same, in words, with the job.
    pub what: String,
    /// The channels, by their numbers in the books.
    pub channels: Vec<usize>,
    /// Who counts them.
    pub standing: LeaseState,
    /// Since when, ns; None: nobody did yet.
    pub since: Option<MonoNs>,
    /// What this process took over from others that ended or were killed, J.
    pub handed_over_j: Option<f64>,
    /// What other processes' reports cover is not in this run's account; None: they cover nothing.
    pub others_until: Option<MonoNs>,
    /// That another process counts here was said, and that this one does again.
    pub was_said: [bool; 2],
    /// From when to when, ns, this process counted, the last turn first; the first of them may last.
    turns: VecDeque<(MonoNs, MonoNs)>,
    /// The run's time with their energy in it; empty while they are ours.
    ledger: Ledger,
    /// The newest credits of each, whatever marks divide them; of more the oldest are one.
    trails: Vec<VecDeque<EnergyInterval>>,
}

impl StandbyLedger {
    /// A claim on no channel as yet, that nobody has taken.
    pub fn new(device: String, what: String, run: &Ledger) -> StandbyLedger {
        StandbyLedger {
            device,
            what,
            channels: Vec::new(),
            standing: LeaseState::default(),
            since: None,
            handed_over_j: None,
            others_until: None,
            was_said: [false; 2],
            turns: VecDeque::new(),
            ledger: run.emptied(),
            trails: Vec::new(),
        }
    }

    /// Another channel is in the books.
    pub fn add_channel(&mut self, kind: DeviceKind) {
        if !self.standing.is_ours {
            self.ledger.add_channel(kind);
        }
    }

    /// That one is of this claim.
    pub fn claim(&mut self, channel: usize) {
        self.channels.push(channel);
        self.trails.push(VecDeque::new());
    }

    /// Divides time.
    pub fn mark(&mut self, mark: Mark) {
        if !self.standing.is_ours {
            self.ledger.mark(mark);
        }
    }

    /// Takes a channel's energy: what was used in our turns goes to the run's ledger, and what no report covers is held.
    pub fn credit(&mut self, channel: usize, credit: EnergyInterval, run: &mut Ledger) {
        let mut rest = Some(credit);
        for place in (0..self.turns.len()).rev() {
            let Some((&(from, to), credit)) = self.turns.get(place).zip(rest) else { break };
            let (before, ours) = credit.split(from);
            let (ours, after) = ours.map_or((None, None), |ours| ours.split(to));
            before.into_iter().for_each(|before| self.hold(channel, before));
            ours.into_iter().for_each(|ours| run.credit(channel, ours));
            rest = after;
        }
        rest.into_iter().for_each(|rest| self.hold(channel, rest));
    }

    /// Keeps what no report covers yet.
    fn hold(&mut self, channel: usize, credit: EnergyInterval) {
        let Some(uncovered) =
            credit.split(self.standing.reported_until.unwrap_or_default()).1.filter(|_| !self.standing.is_ours)
        else {
            return;
        };
        self.ledger.credit(channel, uncovered);
        let place = self.channels.iter().position(|&one| one == channel);
        if let Some(trail) = place.and_then(|place| self.trails.get_mut(place)) {
            trail.push_back(uncovered);
            if trail.len() > TRAIL
                && let Some(oldest) = trail.pop_front()
                && let Some(next) = trail.front_mut()
            {
                *next = oldest.joined(*next);
            }
        }
    }

    /// Places what is held of a channel though no further reading came.
    pub fn release(&mut self, channel: usize) {
        self.ledger.release(channel);
    }

    /// When, ns, another took the devices over, if the standing that comes says so: what was used later is not ours.
    pub fn lost_at(&self, standing: &LeaseState) -> Option<MonoNs> {
        standing.lost_at.filter(|_| self.standing.is_ours)
    }

    /// Lets another have what was used from `at`, ns, on, which no epoch of the run's ledger has yet.
    pub fn lose(&mut self, at: MonoNs, run: &mut Ledger) {
        if let Some(last) = self.turns.front_mut() {
            last.1 = at;
        }
        self.standing = LeaseState { is_ours: false, holder: None, reported_until: Some(at), ..LeaseState::default() };
        self.ledger = run.emptied();
        let credits: Vec<_> = self.channels.iter().map(|&channel| (channel, run.take_unsettled(channel))).collect();
        self.trails.iter_mut().for_each(VecDeque::clear);
        for (channel, unsettled) in credits {
            unsettled.into_iter().for_each(|credit| self.credit(channel, credit, run));
        }
    }

    /// Takes note of how the claim stands now: what others' reports cover is let go, and once the claim is ours the rest
    /// goes to the run's own ledger.
    pub fn settle(&mut self, standing: LeaseState, run: &mut Ledger) {
        if let Some((from, to)) = standing.passed {
            self.pass(from, to, run);
        }
        let before = std::mem::replace(&mut self.standing, standing);
        if !before.is_ours && standing.reported_until > before.reported_until {
            self.others_until = standing.reported_until;
            self.hold_again(standing.reported_until.unwrap_or_default(), MonoNs::NEVER, run);
        }
        if (before.is_ours, before.holder) != (standing.is_ours, standing.holder) {
            self.since = standing.reported_until.filter(|_| standing.is_ours || standing.holder.is_some());
        }
        if standing.is_ours && !before.is_ours {
            self.turns.push_front((standing.reported_until.unwrap_or_default(), MonoNs::NEVER));
            self.turns.truncate(TURNS);
            let counted =
                |run: &Ledger| self.channels.iter().filter_map(|&channel| run.channel(channel).joules).sum::<f64>();
            let had = counted(run);
            self.hand_over(run);
            let more = counted(run) - had;
            if more > 0.0 && before.holder.is_some() {
                self.handed_over_j = Some(self.handed_over_j.unwrap_or(0.0) + more);
            }
            self.ledger = Ledger::default();
        }
    }

    fn turn(&mut self, from: MonoNs, to: MonoNs) {
        self.turns.push_front((from, to));
        self.turns.truncate(TURNS);
    }

    fn hand_over(&self, run: &mut Ledger) {
        self.channels.iter().for_each(|&channel| run.take_over(channel, &self.ledger));
        run.add_epochs(&self.ledger, self.others_until);
    }

    /// A turn of ours that is over already: what was used in it goes to the run's ledger.
    fn pass(&mut self, from: MonoNs, to: MonoNs, run: &mut Ledger) {
        self.turn(from, to);
        self.others_until = self.others_until.max(Some(from));
        self.hold_again(from, to, run);
        self.hand_over(run);
        self.others_until = Some(to);
        self.standing.reported_until = Some(to);
        self.hold_again(to, MonoNs::NEVER, run);
    }

    /// Whether the last of our turns has ended, and what was used in it is not all read yet.
    pub fn owes(&self, channel: usize, run: &Ledger) -> bool {
        let read_until = run.credited_until(channel).max(self.ledger.credited_until(channel));
        !self.standing.is_ours && self.turns.front().is_some_and(|&(from, to)| from < to && read_until < Some(to))
    }

    /// Holds what was used from one instant to another, ns, and nothing else.
    fn hold_again(&mut self, from: MonoNs, to: MonoNs, run: &Ledger) {
        self.ledger = run.emptied();
        for (&channel, trail) in self.channels.iter().zip(&self.trails) {
            let within = trail.iter().filter_map(|credit| credit.split(from).1?.split(to).0);
            within.for_each(|credit| self.ledger.credit(channel, credit));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const OTHERS: LeaseState = LeaseState {
        is_ours: false,
        is_apart: false,
        holder: Some(1),
        reported_until: None,
        lost_at: None,
        passed: None,
    };
    const OURS: LeaseState = LeaseState { is_ours: true, holder: None, ..OTHERS };

    /// Epochs of a second, back to back, at 10 W, read four times each; the books as another process counts.
    fn run_of(epochs: u64) -> (Ledger, StandbyLedger) {
        let mut run = Ledger::default();
        let mut trust = StandbyLedger::new("it".into(), "it".into(), &run);
        run.add_channel(DeviceKind::Cpu);
        trust.add_channel(DeviceKind::Cpu);
        trust.claim(0);
        trust.settle(OTHERS, &mut run);
        for quarter in 0..4 * epochs {
            let at = S + quarter * S / 4;
            if quarter % 4 == 0 {
                let marks = [Mark::End(MonoNs(at)), Mark::Begin(MonoNs(at))];
                marks.into_iter().skip(usize::from(quarter == 0)).for_each(|mark| {
                    run.mark(mark);
                    trust.mark(mark);
                });
            }
            trust.credit(
                0,
                EnergyInterval { from: MonoNs(at), to: MonoNs(at + S / 4), joules: 2.5, measured: true },
                &mut run,
            );
        }
        let last = Mark::End(MonoNs(S + epochs * S));
        run.mark(last);
        trust.mark(last);
        (run, trust)
    }

    /// All of it is in the timeline too, and nothing else.
    fn by_time(run: &Ledger) -> f64 {
        run.timeline().steps().filter_map(|step| step.energy.total()).sum()
    }

    fn energies(run: &Ledger) -> Vec<Option<f64>> {
        run.history().iter().map(|epoch| epoch.energy.total()).collect()
    }

    #[test]
    fn what_a_dead_holder_counted_is_taken_over_whole() {
        let (mut run, mut trust) = run_of(3);
        trust.settle(OTHERS, &mut run);
        assert_eq!((run.energy_j(), energies(&run)), (None, vec![None; 3]));
        trust.settle(OURS, &mut run);
        assert_eq!((run.energy_j(), energies(&run)), (Some(30.0), vec![Some(10.0); 3]));
        assert_eq!(run.observed(3).filter(|epoch| epoch.fully_measured).count(), 3);
        trust.settle(OURS, &mut run);
        assert_eq!(run.energy_j(), Some(30.0), "once");
        assert!((by_time(&run) - 30.0).abs() < 1e-9, "{}", by_time(&run));
    }

    #[test]
    fn what_a_report_covers_is_not_counted_again() {
        let (mut run, mut trust) = run_of(3);
        let ended_in_order = LeaseState { reported_until: Some(MonoNs(S + 2 * S + S / 8)), ..OURS };
        trust.settle(ended_in_order, &mut run);
        assert!((run.energy_j().unwrap() - 8.75).abs() < 1e-9, "{:?}", run.energy_j());
        assert_eq!(energies(&run)[..2], [None, None]);
    }

    #[test]
    fn covered_first_and_dead_later() {
        let (mut run, mut trust) = run_of(3);
        trust.settle(LeaseState { reported_until: Some(MonoNs(2 * S)), ..OTHERS }, &mut run);
        trust.settle(LeaseState { reported_until: Some(MonoNs(2 * S)), ..OURS }, &mut run);
        assert!((run.energy_j().unwrap() - 20.0).abs() < 1e-9, "{:?}", run.energy_j());
    }

    #[test]
    fn a_credit_that_comes_after_the_handover_is_divided() {
        let (mut run, mut trust) = run_of(2);
        let reported_until = Some(MonoNs(4 * S - S / 4));
        trust.settle(LeaseState { reported_until, ..OURS }, &mut run);
        for mark in [Mark::Begin(MonoNs(3 * S)), Mark::End(MonoNs(4 * S))] {
            run.mark(mark);
            trust.mark(mark);
        }
        trust.credit(
            0,
            EnergyInterval { from: MonoNs(3 * S), to: MonoNs(4 * S), joules: 10.0, measured: true },
            &mut run,
        );
        assert!((run.energy_j().unwrap() - 2.5).abs() < 1e-9, "{:?}", run.energy_j());
    }

    #[test]
    fn what_is_lent_and_comes_back_unused_is_not_lost() {
        let (mut run, mut trust) = run_of(2);
        trust.settle(OURS, &mut run);
        trust.credit(
            0,
            EnergyInterval { from: MonoNs(3 * S), to: MonoNs(5 * S), joules: 20.0, measured: true },
            &mut run,
        );
        let lent = LeaseState { holder: None, reported_until: Some(MonoNs(3 * S)), ..OTHERS };
        assert!((by_time(&run) - 40.0).abs() < 1e-9, "{}", by_time(&run));
        trust.lose(MonoNs(3 * S), &mut run);
        trust.settle(lent, &mut run);
        assert_eq!(run.energy_j(), Some(20.0), "what it has counted stays");
        assert!((by_time(&run) - 20.0).abs() < 1e-9, "{}", by_time(&run));
        trust.credit(
            0,
            EnergyInterval { from: MonoNs(5 * S), to: MonoNs(6 * S), joules: 10.0, measured: true },
            &mut run,
        );
        let both = |run: &mut Ledger, trust: &mut StandbyLedger, mark| {
            run.mark(mark);
            trust.mark(mark);
        };
        both(&mut run, &mut trust, Mark::Begin(MonoNs(6 * S)));
        trust.settle(LeaseState { reported_until: Some(MonoNs(3 * S)), ..OURS }, &mut run);
        trust.credit(
            0,
            EnergyInterval { from: MonoNs(6 * S), to: MonoNs(7 * S), joules: 10.0, measured: true },
            &mut run,
        );
        both(&mut run, &mut trust, Mark::End(MonoNs(7 * S)));
        assert_eq!((run.epochs_j(), run.between_j()), (Some(30.0), Some(30.0)));
        assert!((by_time(&run) - 60.0).abs() < 1e-9, "{}", by_time(&run));
        assert_eq!(run.observed(3).filter(|epoch| epoch.fully_measured).count(), 3);
    }

    #[test]
    fn what_another_counted_meanwhile_stays_his() {
        let (mut run, mut trust) = run_of(2);
        trust.settle(OURS, &mut run);
        trust.lose(MonoNs(3 * S), &mut run);
        trust.settle(LeaseState { reported_until: Some(MonoNs(3 * S)), ..OTHERS }, &mut run);
        trust.credit(
            0,
            EnergyInterval { from: MonoNs(3 * S), to: MonoNs(6 * S), joules: 30.0, measured: true },
            &mut run,
        );
        trust.settle(LeaseState { reported_until: Some(MonoNs(5 * S)), ..OTHERS }, &mut run);
        for mark in [Mark::Begin(MonoNs(5 * S)), Mark::End(MonoNs(6 * S))] {
            run.mark(mark);
            trust.mark(mark);
        }
        trust.settle(LeaseState { reported_until: Some(MonoNs(5 * S)), ..OURS }, &mut run);
        assert!((run.energy_j().unwrap() - 30.0).abs() < 1e-9, "{:?}", run.energy_j());
        assert!((by_time(&run) - 30.0).abs() < 1e-9, "{}", by_time(&run));
    }

    /// A lower rank takes the device in the middle of an epoch, and this process hears of it later.
    #[test]
    fn what_was_used_before_the_devices_changed_hands_stays() {
        let (mut run, mut trust) = run_of(2);
        trust.settle(OURS, &mut run);
        run.mark(Mark::Begin(MonoNs(4 * S)));
        trust.credit(
            0,
            EnergyInterval { from: MonoNs(3 * S), to: MonoNs(5 * S), joules: 20.0, measured: true },
            &mut run,
        );
        trust.lose(MonoNs(4 * S + S / 2), &mut run);
        trust.settle(LeaseState { reported_until: Some(MonoNs(4 * S + S / 2)), ..OTHERS }, &mut run);
        for mark in [Mark::End(MonoNs(6 * S)), Mark::Begin(MonoNs(6 * S)), Mark::End(MonoNs(7 * S))] {
            run.mark(mark);
            trust.mark(mark);
        }
        trust.credit(
            0,
            EnergyInterval { from: MonoNs(5 * S), to: MonoNs(7 * S), joules: 20.0, measured: true },
            &mut run,
        );
        assert_eq!((run.epochs_j(), run.between_j()), (Some(25.0), Some(10.0)));
        assert!((by_time(&run) - 35.0).abs() < 1e-9, "{}", by_time(&run));
        // It comes back, and what is read now is of both turns.
        trust.settle(LeaseState { reported_until: Some(MonoNs(8 * S)), ..OURS }, &mut run);
        trust.credit(
            0,
            EnergyInterval { from: MonoNs(7 * S), to: MonoNs(9 * S), joules: 20.0, measured: true },
            &mut run,
        );
        run.mark(Mark::Begin(MonoNs(9 * S)));
        run.mark(Mark::End(MonoNs(9 * S)));
        assert_eq!((run.epochs_j(), run.between_j()), (Some(25.0), Some(20.0)));
    }

    /// The device was taken, and another took it within the same look.
    #[test]
    fn a_turn_that_is_over_at_once_counts() {
        let (mut run, mut trust) = run_of(3);
        let passed = Some((MonoNs(2 * S), MonoNs(3 * S + S / 2)));
        trust.settle(LeaseState { reported_until: Some(MonoNs(3 * S + S / 2)), passed, ..OTHERS }, &mut run);
        assert_eq!((run.energy_j(), energies(&run)), (Some(15.0), vec![None, Some(10.0), Some(5.0)]));
        trust.settle(LeaseState { reported_until: Some(MonoNs(3 * S + S / 2)), ..OURS }, &mut run);
        assert_eq!(run.energy_j(), Some(20.0));
        assert!((by_time(&run) - 20.0).abs() < 1e-9, "{}", by_time(&run));
    }

    #[test]
    fn a_gap_before_an_open_epoch_goes_with_it() {
        let (mut run, mut trust) = run_of(2);
        trust.settle(OURS, &mut run);
        trust.credit(
            0,
            EnergyInterval { from: MonoNs(3 * S), to: MonoNs(5 * S), joules: 20.0, measured: true },
            &mut run,
        );
        run.mark(Mark::Begin(MonoNs(5 * S)));
        trust.lose(MonoNs(4 * S), &mut run);
        trust.settle(LeaseState { reported_until: Some(MonoNs(4 * S)), ..OTHERS }, &mut run);
        run.mark(Mark::End(MonoNs(6 * S)));
        trust.mark(Mark::End(MonoNs(6 * S)));
        assert!((run.energy_j().unwrap() - 30.0).abs() < 1e-9, "{:?}", run.energy_j());
        trust.settle(LeaseState { reported_until: Some(MonoNs(4 * S)), ..OURS }, &mut run);
        assert!((run.energy_j().unwrap() - 40.0).abs() < 1e-9, "{:?}", run.energy_j());
        assert!((by_time(&run) - 40.0).abs() < 1e-9, "{}", by_time(&run));
    }

    #[test]
    fn an_epoch_that_another_counted_in_part_tells_no_forecast() {
        let (mut run, mut trust) = run_of(3);
        trust.settle(LeaseState { reported_until: Some(MonoNs(2 * S + S / 2)), ..OURS }, &mut run);
        let known: Vec<Option<f64>> = run.observed(3).map(|epoch| epoch.energy_j).collect();
        assert_eq!(known, [None, None, Some(10.0)]);
    }

    #[test]
    fn long_runs_are_handed_over_exactly() {
        let (mut run, mut trust) = run_of(10_000);
        trust.settle(OURS, &mut run);
        assert!((run.energy_j().unwrap() - 100_000.0).abs() < 1e-4);
        assert!((run.history().iter().filter_map(|epoch| epoch.energy.total()).sum::<f64>() - 100_000.0).abs() < 1e-4);
    }
}
