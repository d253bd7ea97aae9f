//! Notes on an imported run: what its logs lack, and known faults of Carbontracker's figures.

use super::epochs::LoggedEpoch;
use super::events::{Consumption, FoundDevices, LoggedPower};
use super::outputs::OutputRun;
use super::report::ReportBuilder;

impl ReportBuilder<'_> {
    /// All notes on the run.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |is_so: bool, text: &str| notes.extend(is_so.then(|| text.to_owned()));
        let (has_standard, has_output) = (self.run.standard.is_some(), self.run.output.is_some());
        let (is_ours, is_foreign) = (has_standard && self.standard.is_ours, has_standard && !self.standard.is_ours);
        note(!has_standard, "no standard log: epochs, components, PUE and an interruption are unknown");
        note(is_ours, "read from its log in Carbontracker's format; its report (.json) or journal (.jsonl) holds more");
        note(
            is_foreign,
            "read from Carbontracker's logs: the time zone is unknown, and time between epochs was not measured",
        );
        let is_empty = self.run.is_output_empty && !has_output;
        note(is_empty, "the output log is empty, as with verbose=0: energy is computed from the epochs' power and PUE");
        note(
            is_foreign && !has_output && !is_empty,
            "no output log: energy is computed from the epochs' power and PUE",
        );
        note(self.standard.is_torn, "the log ends within an epoch, which is left out");
        notes.extend(self.copied());
        notes.extend(self.exceeded());
        if !self.standard.is_ours {
            notes.extend(self.faults());
        }
        notes
    }

    /// Notes on lines that are repeated, or copied in other files.
    fn copied(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let [first, rest @ ..] = self.run.copies.as_slice() {
            let more = if rest.is_empty() { String::new() } else { format!(" and in {} others", rest.len()) };
            notes.push(format!("its lines are also in {first}{more}; it counts once"));
        }
        if self.standard.times > 1 {
            notes.push(format!(
                "each of its lines is repeated {} times, as if several trackers shared a file; it counts once",
                self.standard.times
            ));
        } else if self.output.times > 1 {
            notes.push(format!(
                "its total is repeated {} times in a row; it counts once. Runs with the same energy and time may be missing",
                self.output.times
            ));
        }
        notes
    }

    /// A note if the log has more epochs than planned: the plan was wrong, or lines of other runs are among them.
    fn exceeded(&self) -> Option<String> {
        let (done, planned) = (self.epochs_done(), self.planned());
        (planned > 0 && done > planned).then(|| {
            format!("the log has {done} epochs, but {planned} were planned: check that all belong to this run")
        })
    }

    /// Known faults of Carbontracker's figures that affect this run.
    fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> =
            self.standard.components.iter().filter_map(|found| self.averaged(found)).collect();
        for found in &self.standard.components {
            let unknown = self.standard.epochs.iter().filter(|entry| !entry.is_known(&found.kind)).count();
            if unknown > 0 {
                faults.push(format!(
                    "{}: power unknown in {unknown} epochs; Carbontracker's total uses a neighbouring epoch or 0",
                    found.kind
                ));
            }
            let is_zero = |entry: &&LoggedEpoch| entry.joules_of(&found.kind) == Some(0.0) && entry.duration_s > 0.0;
            let zero = self.standard.epochs.iter().filter(is_zero).count();
            if zero > 0 {
                faults.push(format!(
                    "{}: 0 W in {zero} epochs; Carbontracker also writes 0 if it may not read a counter",
                    found.kind
                ));
            }
        }
        faults.extend(self.disagreement());
        faults.extend(self.aggregated());
        faults
    }

    /// True if every epoch has the power of every component.
    pub fn is_all_known(&self) -> bool {
        let found = &self.standard.components;
        self.standard.epochs.iter().all(|entry| found.iter().all(|found| entry.is_known(&found.kind)))
    }

    /// A note if the energies of the two logs differ.
    fn disagreement(&self) -> Option<String> {
        const MAX_DIFFERENCE: f64 = 0.05;
        let off = self
            .standard
            .off(self.output.actual.as_ref()?)
            .filter(|off| self.is_all_known() && *off > MAX_DIFFERENCE)?;
        Some(format!(
            "the energy of the output log differs by {:.0} % from the epochs' power; the output log counts",
            off * 100.0
        ))
    }

    /// A note on a fault of 2.x, which takes the mean over devices as their sum.
    fn averaged(&self, found: &FoundDevices) -> Option<String> {
        let devices = found.devices.len();
        let is_one = |entry: &LoggedEpoch| matches!(entry.power_of(&found.kind), Some(LoggedPower::One(_)));
        let is_averaged = devices > 1 && self.standard.epochs.iter().any(is_one);
        is_averaged.then(|| {
            format!(
                "{}: {devices} devices but one power. Carbontracker 2.x takes their mean as their sum, so energy may be too \
                 low by a factor of {devices}; it is not corrected",
                found.kind
            )
        })
    }

    /// A note if Carbontracker's own aggregate counts this run differently.
    fn aggregated(&self) -> Option<String> {
        let OutputRun { actual, predicted, .. } = self.output;
        let has_equivalents = |block: &Option<Consumption>| block.as_ref().is_some_and(|block| block.has_equivalents);
        let is_lost =
            (actual.is_some() || predicted.is_some()) && !has_equivalents(actual) && !has_equivalents(predicted);
        let is_several = predicted.as_ref().is_some_and(|predicted| predicted.epochs != Some(1));
        let is_replaced = is_several && (actual.is_none() || !self.standard.is_interrupted);
        let instead = match (is_lost, is_replaced) {
            (true, _) => "leaves this run out, because its log has no equivalents",
            (_, true) => "counts the prediction for this run",
            _ => return None,
        };
        Some(format!("Carbontracker's own aggregate {instead}"))
    }
}
