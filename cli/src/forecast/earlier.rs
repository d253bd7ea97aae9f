//! Earlier runs of recorded runs: from files, or other runs of the same folder.

use super::recording::{RecordedRun, Recording};
use carbontracker::forecast::history::{EarlierRun, History};

/// Which runs of a folder are the earlier ones of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Relation {
    /// Runs of the same configuration
    Same,
    /// Runs of other configurations in the same recording
    Other,
    /// Runs of the other recordings
    Foreign,
}

/// Two runs have one configuration if their names differ only after the last `/`, or else the last `_`.
fn configuration(name: &str) -> &str {
    let cut = name.rfind('/').or_else(|| name.rfind('_'));
    cut.and_then(|at| name.get(..at)).unwrap_or(name)
}

/// The history of earlier runs, oldest first.
pub fn history<'a>(earlier: impl Iterator<Item = &'a RecordedRun>) -> History {
    let run = |run: &RecordedRun| EarlierRun { epochs: run.epochs.clone(), is_whole: true, ..EarlierRun::default() };
    History::new(&earlier.map(run).collect::<Vec<_>>())
}

/// At most `most` earlier runs of a run, oldest first. They are the ones before it, in a circle, or runs spread over
/// the recordings.
pub fn related(sets: &[Recording], set: usize, run: usize, relation: Relation, most: usize) -> Vec<&RecordedRun> {
    let Some(target) = sets.get(set).and_then(|set| set.runs.get(run)) else { return Vec::new() };
    let is_alike = |other: &RecordedRun| configuration(&other.name) == configuration(&target.name);
    let of = |other: usize| sets.get(other).map_or(&[][..], |set| &set.runs);
    let others = || (0..sets.len()).filter(|other| *other != set).flat_map(of);
    let candidates: Vec<&RecordedRun> = match relation {
        Relation::Same => {
            let (before, after) = of(set).split_at(run);
            let circle = after.iter().skip(1).chain(before).filter(|other| is_alike(other)).collect::<Vec<_>>();
            return circle.get(circle.len().saturating_sub(most)..).unwrap_or_default().to_vec();
        }
        Relation::Other => of(set).iter().filter(|other| !is_alike(other)).collect(),
        Relation::Foreign => others().collect(),
    };
    let taken = most.min(candidates.len());
    let step = candidates.len() / taken.max(1);
    // 7 runs further for each run, so that the runs of a recording get different ones.
    (0..taken).filter_map(|n| candidates.get((7 * run + n * step) % candidates.len()).copied()).collect()
}
