//! Baselines: other ways to forecast a run's total from its first epochs.

use statrs::statistics::{Data, OrderStatistics};

/// Forecasts a total from the cost of the first epochs and the number of planned epochs.
pub type Formula = fn(&[f64], f64) -> f64;

/// Names and formulas of the baselines.
pub const BASELINES: [(&str, Formula); 4] = [
    ("carbontracker", carbontracker),
    ("last", last),
    ("mean_2..k", mean_after_first),
    ("median_2..k", median_after_first),
];

/// The formula of Python's Carbontracker (predictor.py): the mean of the epochs seen times the planned number.
fn carbontracker(seen: &[f64], planned: f64) -> f64 {
    mean(seen) * planned
}

/// Takes each further epoch as the last one.
fn last(seen: &[f64], planned: f64) -> f64 {
    with_rest(seen, planned, seen.last().copied().unwrap_or_default())
}

/// Takes each further epoch as the mean of all but the first; if there is only one, as that.
fn mean_after_first(seen: &[f64], planned: f64) -> f64 {
    with_rest(seen, planned, mean(after_first(seen)))
}

/// Takes each further epoch as the median of all but the first; if there is only one, as that.
fn median_after_first(seen: &[f64], planned: f64) -> f64 {
    with_rest(seen, planned, Data::new(after_first(seen).to_vec()).median())
}

fn with_rest(seen: &[f64], planned: f64, each: f64) -> f64 {
    seen.iter().sum::<f64>() + (planned - seen.len() as f64) * each
}

fn after_first(seen: &[f64]) -> &[f64] {
    match seen {
        [_, rest @ ..] if !rest.is_empty() => rest,
        _ => seen,
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn baselines_follow_their_formulas() {
        let forecasts = |seen: &[f64]| BASELINES.map(|(_, formula)| formula(seen, 10.0));
        assert_eq!(forecasts(&[4.0]), [40.0, 40.0, 40.0, 40.0]);
        assert_eq!(forecasts(&[4.0, 1.0, 3.0, 2.0]), [25.0, 22.0, 22.0, 22.0]);
        assert_eq!(forecasts(&[4.0, 1.0, 2.0, 2.0, 7.0]), [32.0, 51.0, 31.0, 26.0]);
    }
}
