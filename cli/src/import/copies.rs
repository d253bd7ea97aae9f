//! Each run once, whatever files hold it: in Carbontracker 1.x a file also holds all later runs of its process, and files
//! may be copies of files. Two runs are one where their epochs have the same times, durations and powers. Pure.

use super::pairs::{Log, Run};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Each run once, in the order of their names, and a message where some are in several places.
pub fn once(runs: Vec<Run>, logs: &[Log]) -> (Vec<Run>, Option<String>) {
    let mut buckets: BTreeMap<String, Vec<Vec<Run>>> = BTreeMap::new();
    for run in sorted(without_begun(runs)) {
        let classes = buckets.entry(bucket(&run)).or_default();
        match classes.iter_mut().find(|class| class.first().is_some_and(|best| is_same(best, &run, logs))) {
            Some(class) => class.push(run),
            None => classes.push(vec![run]),
        }
    }
    let mut kept: Vec<Run> = buckets.into_values().flatten().flat_map(|class| of_class(class, logs)).collect();
    let is_several = kept.iter().filter(|run| !run.copies.is_empty()).count();
    let all = kept.len();
    let message = (is_several > 0).then(|| {
        format!(
            "{is_several} of {all} runs: found more than once, as copies of files, or because Carbontracker 1.x writes the \
             later runs of a process into its earlier logs too. Each counts once"
        )
    });
    kept.sort_by(|a, b| (&a.stem, a.place).cmp(&(&b.stem, b.place)));
    (named(kept), message)
}

/// The whole run before those that break off, one with a head before those without, and the file that was made for it
/// before others.
fn sorted(mut runs: Vec<Run>) -> Vec<Run> {
    runs.sort_by_cached_key(|run| {
        let standard = run.standard.as_ref();
        let has = |is: fn(&super::runs::Standard) -> bool| Reverse(standard.is_some_and(is));
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

/// Without logs that break off before their first epoch where another file has the run whole.
fn without_begun(runs: Vec<Run>) -> Vec<Run> {
    type Head<'a> = (Option<&'a str>, Option<&'a str>);
    fn head(run: &Run) -> Head<'_> {
        (run.started(), run.standard.as_ref().and_then(|standard| standard.version.as_deref()))
    }
    let has_epochs = |run: &&Run| run.standard.as_ref().is_some_and(|standard| !standard.epochs.is_empty());
    let mut whole: BTreeMap<Head, Vec<&Run>> = BTreeMap::new();
    runs.iter().filter(has_epochs).for_each(|run| whole.entry(head(run)).or_default().push(run));
    let is_elsewhere = |run: &Run| {
        let is_begun = run.standard.as_ref().is_some_and(|standard| standard.epochs.is_empty());
        let others = whole.get(&head(run)).into_iter().flatten();
        is_begun && others.into_iter().any(|other| other.file != run.file && other.may_be_of_process_of(run))
    };
    let is_kept: Vec<bool> = runs.iter().map(|run| !is_elsewhere(run)).collect();
    runs.into_iter().zip(is_kept).filter(|(_, is_kept)| *is_kept).map(|(run, _)| run).collect()
}

/// Runs of different buckets are never the same.
fn bucket(run: &Run) -> String {
    match (&run.standard, &run.output) {
        (Some(standard), _) if standard.epochs.is_empty() => format!("{:?}{:?}", standard.started, standard.version),
        (Some(standard), _) => format!("{:?}", standard.epochs.first()),
        (None, output) => format!("{:?}", output.as_ref().map(|output| &output.actual)),
    }
}

/// Whether a run is one that is at least as long.
fn is_same(best: &Run, run: &Run, logs: &[Log]) -> bool {
    best.may_be_of_process_of(run)
        && match (&best.standard, &run.standard, &best.output, &run.output) {
            (Some(best), Some(run), _, _) => {
                let are_versions = best.version.as_ref().zip(run.version.as_ref()).is_none_or(|(a, b)| a == b);
                are_versions && best.epochs.starts_with(&run.epochs)
            }
            (None, None, Some(best_output), Some(output)) => {
                let is_copied_whole = || {
                    let of = |run: &Run| logs.get(run.file).map(|log| log.outputs.as_slice()).unwrap_or_default();
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

/// The runs of a class of like ones. They are several where one file has them so: as lines in different numbers, or one
/// within the other's lines, which copying does not make.
fn of_class(class: Vec<Run>, logs: &[Log]) -> Vec<Run> {
    let mut by_file: BTreeMap<usize, Vec<Run>> = BTreeMap::new();
    for run in &class {
        by_file.entry(run.file).or_default().push(run.clone());
    }
    let own: Vec<Vec<Run>> = by_file.into_values().map(apart).collect();
    let most = own.into_iter().rev().max_by_key(Vec::len).filter(|own| own.len() > 1);
    let mut kept = most.unwrap_or_else(|| class.first().cloned().into_iter().collect());
    let is_kept = |run: &Run| kept.iter().any(|one| (one.file, one.place) == (run.file, run.place));
    let copies: Vec<&Run> = class.iter().filter(|run| !is_kept(run)).collect();
    let paths = copies.into_iter().filter_map(|run| logs.get(run.file)).map(|log| log.path.clone()).collect();
    if let Some(first) = kept.first_mut() {
        first.copies = paths;
    }
    kept
}

/// Those of like runs of a file that are no copies.
fn apart(mut runs: Vec<Run>) -> Vec<Run> {
    let of = |run: &Run| run.standard.as_ref().map_or((1, (0, 0)), |standard| (standard.times, standard.lines));
    runs.sort_by_key(|run| run.place);
    let mut kept: BTreeMap<(usize, usize), Run> = BTreeMap::new();
    for (place, run) in runs.iter().enumerate() {
        let (times, (first, last)) = of(run);
        let is_within = |other: &&Run| {
            let (others, (from, to)) = of(other);
            run.standard.is_some() && others == times && from <= last && first <= to
        };
        let within = runs.iter().take(place).filter(is_within).count();
        kept.entry((times, within)).or_insert_with(|| run.clone());
    }
    kept.into_values().collect()
}

/// With a name each: the stem, and a number for the others of a file.
fn named(mut runs: Vec<Run>) -> Vec<Run> {
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
