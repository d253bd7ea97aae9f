//! The usual time between two epochs. Pure.

use super::trend::EpochCost;
use crate::attribution::ledger::EpochSummary;

/// Usual time between two epochs, s: the mean of the gaps. A single longest gap counts as the second longest. If there
/// is only one gap, it counts as the shorter of the epochs at most: the first one may be mostly warm-up.
pub fn usual_gap_s(epochs: &[EpochSummary]) -> f64 {
    let durations = epochs.iter().filter_map(|epoch| Some(epoch.duration_s? / epoch.count as f64));
    let epoch_s = durations.reduce(f64::min).unwrap_or(0.0);
    let gaps = || gaps(epochs);
    let count: f64 = gaps().map(|gap| gap.count).sum();
    let (_, second) = gaps().fold((0.0_f64, 0.0_f64), |(longest, second), gap| {
        let alike = if gap.count > 1.0 { gap.each } else { longest.min(gap.each) };
        (longest.max(gap.each), second.max(alike))
    });
    let most = if count > 1.0 { second } else { epoch_s };
    let sum: f64 = gaps().map(|gap| gap.count * gap.each.min(most)).sum();
    if count > 0.0 { sum / count } else { 0.0 }
}

/// The gaps between epochs, and between merged ones.
fn gaps(epochs: &[EpochSummary]) -> impl Iterator<Item = EpochCost> {
    epochs.iter().enumerate().filter_map(|(n, epoch)| {
        let count = if n == 0 { epoch.count.saturating_sub(1) } else { epoch.count } as f64;
        (count > 0.0).then(|| EpochCost { count, each: epoch.gap_s / count })
    })
}
