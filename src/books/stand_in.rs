//! Meters that show no sign of life, and the channels that stand in for them.

use super::{Books, Metered, events};
use crate::channel::Kind;
use std::ops::Range;

impl Books {
    /// Has a source's channels, the newest, stand in for channels that show no sign of life.
    pub fn replace(&mut self, by: Range<usize>, stalled: &[usize]) {
        let Some(source) = self.metered.get(by.start).map(|metered| metered.channel.source) else { return };
        for &number in stalled {
            let has_counted = self.ledger.channel(number).joules.is_some();
            let Some(metered) = self.metered.get_mut(number) else { continue };
            metered.replaced_by = Some(source);
            self.ledger.replace(number);
            if !has_counted {
                self.unavailable.push(events::replaced(&metered.channel, &metered.meter, source));
            }
        }
        if let Some(first) = self.metered.get_mut(by.start) {
            first.stands_in_for = stalled.to_vec();
        }
    }

    /// The channels of a source that show no sign of life and that nothing stands in for, where those are all it has of
    /// their kind.
    pub fn stalled(&self, channels: Range<usize>) -> Vec<(Kind, Vec<usize>)> {
        let of_kind = |kind: Kind| {
            let is_it = |&number: &usize| self.metered.get(number).is_some_and(|one| one.channel.kind == kind);
            (kind, channels.clone().filter(is_it).collect::<Vec<usize>>())
        };
        let is_dead = |number: &usize| {
            self.metered.get(*number).is_some_and(|one| one.meter.is_stalled() && one.replaced_by.is_none())
        };
        let all_dead = |(_, numbers): &(Kind, Vec<usize>)| !numbers.is_empty() && numbers.iter().all(is_dead);
        Kind::ALL.into_iter().map(of_kind).filter(all_dead).collect()
    }

    /// The last sign of life of channels, ns: of one that stands in for others and has counted nothing, theirs.
    pub fn alive_at(&self, channels: &[usize]) -> Option<u64> {
        let of = |number: usize| {
            let metered = self.metered.get(number)?;
            let has_counted = self.ledger.channel(number).joules.is_some();
            let before = if has_counted { None } else { self.alive_at(&metered.stands_in_for) };
            before.or(metered.meter.alive_at())
        };
        channels.iter().filter_map(|&number| of(number)).min()
    }

    /// The time of this process that readings of a channel confirm, ns, or of those that it stands in for.
    pub fn confirmed_ns(&self, number: usize, metered: &Metered) -> f64 {
        let own = self.ledger.channel(number).measured_ns - metered.before.sum().measured_ns;
        let replaced =
            metered.stands_in_for.iter().filter_map(|&one| Some(self.confirmed_ns(one, self.metered.get(one)?)));
        own + replaced.reduce(f64::min).unwrap_or(0.0)
    }
}
