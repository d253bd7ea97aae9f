//! Meters that show no sign of life, and the channels that replace them.

use super::{Metered, RunState, events};
use crate::clock::MonoNs;
use crate::measurement::channel::DeviceKind;
use std::ops::Range;

impl RunState {
    /// Makes the channel `by` count in place of channels that show no sign of life.
    pub fn replace(&mut self, by: usize, stalled: &[usize]) {
        let Some(source) = self.metering.channels.get(by).map(|metered| metered.channel.source) else { return };
        for &number in stalled {
            let has_counted = self.attribution.ledger.channel(number).joules.is_some();
            let Some(metered) = self.metering.channels.get_mut(number) else { continue };
            (metered.replaced_by, metered.stand_in) = (Some(source), Some(by));
            if !has_counted {
                self.metering.unavailable.push(events::replaced(&metered.channel, &metered.meter, source));
            }
            self.attribution.ledger.replace(number, true);
        }
        self.counts_again(by);
        self.add_group(by, stalled);
    }

    /// Makes replaced channels count again, if all channels of one group show signs of life again. Their replacement
    /// counts no more. Returns a message; None: there is no such group.
    pub fn restore(&mut self) -> Option<String> {
        let is_alive = |number: &usize| self.metering.channels.get(*number).is_some_and(|one| !one.meter.is_missing());
        let is_back = |(_, numbers): &(usize, Vec<usize>)| !numbers.is_empty() && numbers.iter().all(is_alive);
        let all = 0..self.metering.channels.len();
        let (by, numbers) = all.map(|by| (by, self.replaced_by(by))).find(is_back)?;
        let first = self.metering.channels.get(*numbers.first()?)?.channel.clone();
        for &number in &numbers {
            let replaced = self.metering.channels.get(number).and_then(|one| Some((one, one.replaced_by?)));
            if let Some((one, source)) = replaced {
                let reported = events::replaced(&one.channel, &one.meter, source);
                self.metering.unavailable.retain(|other| *other != reported);
            }
            self.counts_again(number);
            self.add_group(number, &[by]);
        }
        let stand_in = self.metering.channels.get_mut(by)?;
        stand_in.replaced_by = Some(first.source);
        stand_in.others.retain(|group| *group != numbers);
        self.attribution.ledger.replace(by, true);
        let (source, device) = (first.source, first.device);
        Some(format!("{source} {device} shows signs of life again and counts from now on; its replacement does not"))
    }

    /// The channels that the channel `by` replaces now.
    fn replaced_by(&self, by: usize) -> Vec<usize> {
        let is_replaced = |one: &Metered| one.replaced_by.is_some() && one.stand_in == Some(by);
        let channels = self.metering.channels.iter().enumerate();
        channels.filter(|(_, one)| is_replaced(one)).map(|(number, _)| number).collect()
    }

    /// Makes a channel count that was replaced.
    fn counts_again(&mut self, number: usize) {
        self.metering.channels.get_mut(number).into_iter().for_each(|one| one.replaced_by = None);
        self.attribution.ledger.replace(number, false);
    }

    /// Notes channels that have counted in place of a channel, or that it has replaced.
    fn add_group(&mut self, number: usize, group: &[usize]) {
        if let Some(one) =
            self.metering.channels.get_mut(number).filter(|one| !one.others.iter().any(|other| other == group))
        {
            one.others.push(group.to_vec());
        }
    }

    /// Whether all these channels still show no sign of life and are not replaced.
    pub fn are_stalled(&self, channels: &[usize]) -> bool {
        let is_stalled = |one: &Metered| one.meter.is_stalled() && one.replaced_by.is_none();
        channels.iter().all(|&number| self.metering.channels.get(number).is_some_and(is_stalled))
    }

    /// The channel that replaced all these channels earlier.
    pub fn stood_in(&self, stalled: &[usize]) -> Option<usize> {
        let of = |number: &usize| self.metering.channels.get(*number).and_then(|one| one.stand_in);
        let by = of(stalled.first()?)?;
        stalled.iter().all(|number| of(number) == Some(by)).then_some(by)
    }

    /// The kinds of device of which no channel of a source shows a sign of life, with these channels. Kinds with a
    /// replaced channel are left out.
    pub fn stalled(&self, channels: Range<usize>) -> Vec<(DeviceKind, Vec<usize>)> {
        let of_kind = |kind: DeviceKind| {
            let is_it =
                |&number: &usize| self.metering.channels.get(number).is_some_and(|one| one.channel.kind == kind);
            (kind, channels.clone().filter(is_it).collect::<Vec<usize>>())
        };
        let is_stalled = |number: &usize| {
            self.metering.channels.get(*number).is_some_and(|one| one.meter.is_stalled() && one.replaced_by.is_none())
        };
        let all_stalled =
            |(_, numbers): &(DeviceKind, Vec<usize>)| !numbers.is_empty() && numbers.iter().all(is_stalled);
        DeviceKind::ALL.into_iter().map(of_kind).filter(all_stalled).collect()
    }

    /// The earliest of the channels' last signs of life. A replacement that has counted nothing has the sign of life of
    /// the channels that it replaced.
    pub fn alive_at(&self, channels: &[usize]) -> Option<MonoNs> {
        let of = |number: usize| {
            let metered = self.metering.channels.get(number)?;
            let has_counted = self.attribution.ledger.channel(number).joules.is_some();
            let stalled = metered.others.first().filter(|_| !has_counted);
            stalled.and_then(|stalled| self.alive_at(stalled)).or(metered.meter.alive_at())
        };
        channels.iter().filter_map(|&number| of(number)).min()
    }

    /// The time that a channel's readings confirm in this process, ns. Readings of channels that counted in its place
    /// are included.
    pub fn confirmed_ns(&self, number: usize) -> f64 {
        self.confirmed_without(number, &mut vec![number])
    }

    fn confirmed_without(&self, number: usize, seen: &mut Vec<usize>) -> f64 {
        let Some(metered) = self.metering.channels.get(number) else { return 0.0 };
        let own = self.attribution.ledger.channel(number).measured_ns - metered.carried_over.sum().measured_ns;
        let mut others = 0.0;
        for group in &metered.others {
            let new: Vec<usize> = group.iter().copied().filter(|one| !seen.contains(one)).collect();
            seen.extend(&new);
            others += new.iter().map(|&one| self.confirmed_without(one, seen)).reduce(f64::min).unwrap_or(0.0);
        }
        own + others
    }
}
