//! What a reader of a comparison must know: what is unknown, estimated, unfinished or not alike. Pure.

use super::sides::ComparedSide;
use crate::export::exported_run::EnergyOrigin;
use carbontracker::units::times;
use std::collections::BTreeSet;

/// The notes, without repetition.
pub fn notes(sides: &[ComparedSide]) -> Vec<String> {
    let mut notes: Vec<String> = sides.iter().flat_map(of_side).collect();
    let origins: BTreeSet<&str> = sides.iter().filter_map(ComparedSide::origin).map(EnergyOrigin::word).collect();
    if origins.len() > 1 {
        let origins: Vec<&str> = origins.into_iter().collect();
        notes.push(format!("the energy of the sides is {}: a difference may come from that", origins.join(" and ")));
    }
    let devices: BTreeSet<Vec<&str>> = sides.iter().map(ComparedSide::kinds).collect();
    if devices.len() > 1 {
        let devices: Vec<String> = devices.iter().map(|kinds| kinds.join(" and ")).collect();
        notes.push(format!(
            "the sides count different devices: {}; compare runs that count the same",
            devices.join("; ")
        ));
    }
    let epochs: BTreeSet<u64> = sides.iter().flat_map(|side| &side.runs).map(|run| run.entry.epochs).collect();
    if let (Some(least), Some(most)) = (epochs.first(), epochs.last().filter(|_| epochs.len() > 1)) {
        notes.push(format!("the runs have {least} to {most} epochs: compare the energy an epoch"));
    }
    if sides.iter().any(|side| side.runs.len() < 2) {
        notes.push(
            "the noise is known with two or more runs on each side; three or more show smaller differences".into(),
        );
    }
    notes
}

fn of_side(side: &ComparedSide) -> Vec<String> {
    let (label, all) = (&side.label, side.runs.len());
    let count = |is: &dyn Fn(&super::sides::ComparedRun) -> bool| side.runs.iter().filter(|run| is(run)).count();
    let unknown = count(&|run| run.entry.energy_j.is_none());
    let unfinished = count(&|run| run.entry.is_unfinished());
    let error = side.error().map(|band| {
        let (low, high) = (times(band.low), times(band.high));
        format!(
            "{label}: the energy is partly estimated, {low} to {high} times as much is possible; the noise lacks this"
        )
    });
    let counted =
        [(unknown, "have unknown energy, which is in no mean"), (unfinished, "are unfinished: killed, or in progress")];
    let counted = counted.into_iter().filter(|(few, _)| *few > 0);
    let is_simulated = side.origin() == Some(EnergyOrigin::Simulated);
    let simulated = is_simulated.then(|| format!("{label}: a part of the energy is simulated, not measured"));
    counted.map(|(few, what)| format!("{label}: {few} of {all} runs {what}")).chain(simulated).chain(error).collect()
}
