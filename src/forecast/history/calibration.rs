//! The scale of the interval, from the errors of earlier runs. Pure.
//!
//! Each earlier run of one level is forecast by the others, after as many epochs. A share `level` of them does not
//! exceed some error, in half widths: that is the scale. This is the jackknife of Barber, Candès, Ramdas and Tibshirani
//! (Ann. Stat. 49, 2021). Unlike their jackknife+, it has no guarantee. It is right as far as runs are exchangeable.

use super::profile::Profile;
use super::weigh::{Comparison, Seen, Template, of_profiles};
use super::{ALIKE, History, Metric};
use crate::forecast::alone::{self, First};
use crate::forecast::mixture::{self, Interval};
use crate::forecast::trend::EpochCost;

/// Least number of earlier runs of one level.
const MIN_RUNS: usize = 10;
/// Least and largest scale.
const MIN_SCALE: f64 = 0.4;
const MAX_SCALE: f64 = 2.0;
/// Most epochs after which the earlier runs are forecast. More of them change the scale little.
const MAX_EPOCHS: usize = 16;

/// The interval, scaled by the errors of earlier runs.
pub fn calibrated(
    interval: Interval,
    level: f64,
    history: &History,
    metric: Metric,
    templates: &[Template],
    seen: &Seen,
) -> Interval {
    let Some(scale) = scale(level, history, metric, templates, seen) else { return interval };
    interval.scaled(scale)
}

/// The scale; None: too few earlier runs are of one level.
fn scale(level: f64, history: &History, metric: Metric, templates: &[Template], seen: &Seen) -> Option<f64> {
    let most = templates.iter().max_by_key(|one| one.alike).filter(|one| one.alike >= MIN_RUNS)?;
    let alike: Vec<&Profile> =
        templates.iter().filter(|one| (one.level - most.level).abs() < ALIKE).map(|one| one.profile).collect();
    let entries = seen.entries.get(..seen.entries.len().min(MAX_EPOCHS))?;
    let miss = |(n, one): (usize, &&Profile)| {
        let others: Vec<&Profile> =
            alike.iter().enumerate().filter(|(other, _)| *other != n).map(|(_, other)| *other).collect();
        let templates = of_profiles(&others, &history.tuning(), metric, seen.planned);
        missed(level, one, &templates, entries, seen, history)
    };
    let mut misses: Vec<f64> = alike.iter().enumerate().filter_map(miss).collect();
    misses.sort_by(f64::total_cmp);
    let rank = (level * (misses.len() + 1) as f64).ceil() as usize;
    misses.get(rank.min(misses.len()).checked_sub(1)?).map(|miss| miss.clamp(MIN_SCALE, MAX_SCALE))
}

/// The error of the forecast of an earlier run by others after these epochs, in half widths.
fn missed(
    level: f64,
    run: &Profile,
    others: &[Template],
    entries: &[(f64, EpochCost)],
    seen: &Seen,
    history: &History,
) -> Option<f64> {
    let planned = seen.planned;
    let own = |&(from, cost): &(f64, EpochCost)| {
        let amount = run.before(from + cost.count, planned) - run.before(from, planned);
        (from, EpochCost { each: amount / cost.count, ..cost })
    };
    let entries: Vec<(f64, EpochCost)> = entries.iter().map(own).collect();
    let done = entries.last().map_or(0.0, |(from, cost)| from + cost.count);
    let left = planned - done;
    let (_, cost) = entries.first().copied().unzip();
    let first = seen.first.and_then(|first| Some(First { cost: cost?, ..first }));
    let later: Vec<EpochCost> = entries.iter().skip(usize::from(first.is_some())).map(|(_, cost)| *cost).collect();
    let alone = alone::rest(first, &later, left);
    let seen = Seen { first, entries: &entries, done, planned, left };
    let parts = Comparison::of(others, &seen, &history.tuning(), alone).parts(None);
    let Interval { low, middle, high } = mixture::interval(&parts, level)?;
    let rest = run.before(planned, planned) - run.before(done, planned);
    let end = if rest > middle { high } else { low };
    Some((rest / middle).ln() / (end / middle).ln())
}
