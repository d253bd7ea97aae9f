//! Error interval of the run's energy, from its measured and its estimated parts.

use super::{Metered, RunState};
use crate::forecast::uncertainty::Uncertainty;
use crate::measurement::channel::MeasuringMethod;
use crate::units::ErrorBand;

impl RunState {
    /// The error interval of the run's energy.
    pub fn uncertainty(&self) -> Uncertainty {
        let ended = |n: usize| self.attribution.ledger.channel(n).joules;
        let own_part = |(n, metered): (usize, &Metered)| {
            let carried_over = metered.carried_over.sum().joules.unwrap_or(0.0);
            Some((ended(n)? - carried_over, metered.channel.error))
        };
        let open_part =
            |(n, metered): (usize, &Metered)| Some((self.attribution.ledger.recent_j(n)?, metered.channel.error));
        let is_used = |parts: &Vec<(f64, Option<ErrorBand>)>| parts.iter().any(|(joules, _)| *joules > 0.0);
        let own: Vec<_> = self.ours().filter_map(own_part).collect();
        let open: Vec<_> = self.ours().filter_map(open_part).collect();
        let now = [own, open].into_iter().find(is_used).map(ErrorBand::of_sum);
        let all = self.ours().filter_map(|(n, metered)| Some((ended(n)?, metered.error(ended(n)))));
        let carried_over =
            self.carried_components().filter_map(|left| Some((left.used.sum().joules?, left.channel.error)));
        let all: Vec<_> = all.chain(carried_over).collect();
        let used = is_used(&all).then(|| ErrorBand::of_sum(all));
        // Before any energy is used, one estimate may turn out to be all of it.
        let widest = || self.ours().filter_map(|(_, metered)| metered.channel.error).reduce(ErrorBand::with);
        let now = now.or(used).unwrap_or_else(widest);
        Uncertainty { used: used.unwrap_or(now), to_come: now }
    }
}

impl Metered {
    /// The error interval of the channel's energy `joules`, J, with the part of earlier attempts.
    pub fn error(&self, joules: Option<f64>) -> Option<ErrorBand> {
        let error = self.channel.error;
        let is_estimate = self.channel.method == MeasuringMethod::Estimate;
        let carried_over = self.carried_over.sum().joules.unwrap_or(0.0);
        let carried_over_error = self.carried_over_error.or(error.filter(|_| is_estimate));
        let rest = joules.map_or(0.0, |all| all - carried_over);
        if carried_over > 0.0 { ErrorBand::of_sum([(carried_over, carried_over_error), (rest, error)]) } else { error }
    }
}
