//! Keeps each run once. A log of Carbontracker 1.x also holds all later runs of its process, and files may be copies.
//! Two runs are the same if their epochs have the same times, durations and powers. Pure.

use super::pairs::{LogFile, LoggedRun};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Each run once, sorted by name, and a message if some were found several times.
pub fn once(runs: Vec<LoggedRun>, logs: &[LogFile]) -> (Vec<LoggedRun>, Option<String>) {
    let mut buckets: BTreeMap<String, Vec<Vec<LoggedRun>>> = BTreeMap::new();
    for run in sorted(without_begun(runs)) {
        let classes = buckets.entry(bucket(&run)).or_default();
        match classes.iter_mut().find(|class| class.first().is_some_and(|best| is_same(best, &run, logs))) {
            Some(class) => class.push(run),
            None => classes.push(vec![run]),
        }
    }
    let mut kept: Vec<LoggedRun> = buckets.into_values().flatten().flat_map(|class| of_class(class, logs)).collect();
    let repeated = kept.iter().filter(|run| !run.copies.is_empty()).count();
    let all = kept.len();
    let message = (repeated > 0).then(|| {
        format!(
            "{repeated} of {all} runs were found more than once: files are copies, or Carbontracker 1.x wrote later runs of a \
             process into its earlier logs. Each run counts once"
        )
    });
    kept.sort_by(|a, b| (&a.stem, a.place).cmp(&(&b.stem, b.place)));
    (named(kept), message)
}

/// Sorts complete runs before incomplete ones, runs with a head before those without, and a run's own file before
/// others.
fn sorted(mut runs: Vec<LoggedRun>) -> Vec<LoggedRun> {
    runs.sort_by_cached_key(|run| {
        let standard = run.standard.as_ref();
        let has = |is: fn(&super::runs::StandardRun) -> bool| Reverse(standard.is_some_and(is));
        (
            Reverse(standard.map_or(0, |standard| standard.epochs.len())),
            has(|standard| standard.is_ended),
            Reverse(run.output.as_ref().is_some_and(|output| output.actual.is_some())),
            has(|standard| standard.has_head),
            run.started().map(str::to_owned),
            run.place,
            run.file,
        )
    });
    runs
}

/// Removes logs that end before their first epoch, if another file has the complete run.
fn without_begun(runs: Vec<LoggedRun>) -> Vec<LoggedRun> {
    type Head<'a> = (Option<&'a str>, Option<&'a str>);
    fn head(run: &LoggedRun) -> Head<'_> {
        (run.started(), run.standard.as_ref().and_then(|standard| standard.version.as_deref()))
    }
    let has_epochs = |run: &&LoggedRun| run.standard.as_ref().is_some_and(|standard| !standard.epochs.is_empty());
    let mut whole: BTreeMap<Head, Vec<&LoggedRun>> = BTreeMap::new();
    runs.iter().filter(has_epochs).for_each(|run| whole.entry(head(run)).or_default().push(run));
    let is_elsewhere = |run: &LoggedRun| {
        let is_begun = run.standard.as_ref().is_some_and(|standard| standard.epochs.is_empty());
        let others = whole.get(&head(run)).into_iter().flatten();
        is_begun && others.into_iter().any(|other| other.file != run.file && other.may_be_of_process_of(run))
    };
    let is_kept: Vec<bool> = runs.iter().map(|run| !is_elsewhere(run)).collect();
    runs.into_iter().zip(is_kept).filter(|(_, is_kept)| *is_kept).map(|(run, _)| run).collect()
}

/// A key for runs that may be the same. Runs with different keys never are.
fn bucket(run: &LoggedRun) -> String {
    match (&run.standard, &run.output) {
        (Some(standard), _) if standard.epochs.is_empty() => format!("{:?}{:?}", standard.started, standard.version),
        (Some(standard), _) => format!("{:?}", standard.epochs.first()),
        (None, output) => format!("{:?}", output.as_ref().map(|output| &output.actual)),
    }
}

/// True if `run` is the same as `best`, which is at least as long.
fn is_same(best: &LoggedRun, run: &LoggedRun, logs: &[LogFile]) -> bool {
    best.may_be_of_process_of(run)
        && match (&best.standard, &run.standard, &best.output, &run.output) {
            (Some(best), Some(run), _, _) => {
                let are_versions = best.version.as_ref().zip(run.version.as_ref()).is_none_or(|(a, b)| a == b);
                are_versions && best.epochs.starts_with(&run.epochs)
            }
            (None, None, Some(best_output), Some(output)) => {
                let is_copied_whole = || {
                    let of = |run: &LoggedRun| logs.get(run.file).map(|log| log.outputs.as_slice()).unwrap_or_default();
                    let are_same = of(best).iter().zip(of(run)).all(|(a, b)| a.is_same(b));
                    let (own, others) = (of(best).len(), of(run).len());
                    best.file != run.file && best.place == run.place && own == others && are_same
                };
                let is_then = output.actual_at.is_some() && best_output.actual_at == output.actual_at;
                best_output.actual == output.actual && (is_then || best_output.is_same(output) && is_copied_whole())
            }
            _ => false,
        }
}

/// The runs in a class of equal ones. They are different runs if one file holds them in a way that copying cannot
/// explain: lines repeated a different number of times, or one run within the lines of another.
fn of_class(class: Vec<LoggedRun>, logs: &[LogFile]) -> Vec<LoggedRun> {
    let mut by_file: BTreeMap<usize, Vec<LoggedRun>> = BTreeMap::new();
    for run in &class {
        by_file.entry(run.file).or_default().push(run.clone());
    }
    let own: Vec<Vec<LoggedRun>> = by_file.into_values().map(apart).collect();
    let most = own.into_iter().rev().max_by_key(Vec::len).filter(|own| own.len() > 1);
    let mut kept = most.unwrap_or_else(|| class.first().cloned().into_iter().collect());
    let is_kept = |run: &LoggedRun| kept.iter().any(|one| (one.file, one.place) == (run.file, run.place));
    let copies: Vec<&LoggedRun> = class.iter().filter(|run| !is_kept(run)).collect();
    let paths = copies.into_iter().filter_map(|run| logs.get(run.file)).map(|log| log.path.clone()).collect();
    if let Some(first) = kept.first_mut() {
        first.copies = paths;
    }
    kept
}

/// The runs of one file that are equal but not copies of each other.
fn apart(mut runs: Vec<LoggedRun>) -> Vec<LoggedRun> {
    let of = |run: &LoggedRun| run.standard.as_ref().map_or((1, (0, 0)), |standard| (standard.times, standard.lines));
    runs.sort_by_key(|run| run.place);
    let mut kept: BTreeMap<(usize, usize), LoggedRun> = BTreeMap::new();
    for (place, run) in runs.iter().enumerate() {
        let (times, (first, last)) = of(run);
        let is_within = |other: &&LoggedRun| {
            let (others, (from, to)) = of(other);
            run.standard.is_some() && others == times && from <= last && first <= to
        };
        let within = runs.iter().take(place).filter(is_within).count();
        kept.entry((times, within)).or_insert_with(|| run.clone());
    }
    kept.into_values().collect()
}

/// Gives each run a name: the stem, with a number for further runs of a file.
fn named(mut runs: Vec<LoggedRun>) -> Vec<LoggedRun> {
    let mut taken = BTreeSet::new();
    for run in &mut runs {
        let mut name = if run.place == 0 { run.stem.clone() } else { format!("{}-{}", run.stem, run.place + 1) };
        let mut number = run.place + 1;
        while !taken.insert(name.clone()) {
            number += 1;
            name = format!("{}-{number}", run.stem);
        }
        run.stem = name;
    }
    runs
}
