//! A chart's axes: where the ticks stand and what they say. Pure.

use crate::units::instant;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// What an axis counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Amounts.
    Amount,
    /// Whole things.
    Count,
    /// Whole things by their order of magnitude, from 1.
    Magnitude,
    /// The time of day, s since 1970 UTC.
    Clock,
}

/// An axis.
#[derive(Clone, Debug)]
pub struct Axis {
    scale: Scale,
    from: f64,
    to: f64,
    step: f64,
}

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;
const DAY: f64 = 86400.0;
/// Steps of a clock that a reader finds natural, s.
const CLOCK: [f64; 22] = [
    1.0,
    2.0,
    5.0,
    10.0,
    15.0,
    30.0,
    MINUTE,
    2.0 * MINUTE,
    5.0 * MINUTE,
    10.0 * MINUTE,
    15.0 * MINUTE,
    30.0 * MINUTE,
    HOUR,
    2.0 * HOUR,
    3.0 * HOUR,
    6.0 * HOUR,
    12.0 * HOUR,
    DAY,
    2.0 * DAY,
    7.0 * DAY,
    14.0 * DAY,
    28.0 * DAY,
];

impl Axis {
    /// An axis from one value to another with `most` ticks or fewer.
    pub fn new(scale: Scale, from: f64, to: f64, most: usize) -> Axis {
        let to = if to > from { to } else { from + from.abs().max(1.0) * 1e-3 };
        let least = (to - from) / most.max(1) as f64;
        let clock = || CLOCK.into_iter().find(|step| *step >= least).filter(|_| least > 0.5);
        let step = match scale {
            Scale::Clock => clock().unwrap_or_else(|| round(least)),
            Scale::Count => round(least).max(1.0),
            Scale::Amount | Scale::Magnitude => round(least),
        };
        Axis { scale, from, to, step }
    }

    /// The same with its ends at ticks.
    pub fn rounded(self) -> Axis {
        let (from, to) = ((self.from / self.step).floor() * self.step, (self.to / self.step).ceil() * self.step);
        Axis { from, to, ..self }
    }

    fn ticks(&self) -> Vec<f64> {
        if self.scale == Scale::Magnitude {
            let powers = (0..=18).map(|n| 10f64.powi(n)).filter(|tick| (self.from..=self.to).contains(tick));
            return powers.collect();
        }
        let (first, last) = ((self.from / self.step - 1e-6).ceil(), (self.to / self.step + 1e-6).floor());
        (0..=(last - first).clamp(0.0, 50.0) as u32).map(|n| (first + f64::from(n)) * self.step).collect()
    }

    /// What stands at a tick.
    fn label(&self, tick: f64) -> String {
        let decimals = (-self.step.log10()).ceil().clamp(0.0, 9.0) as usize;
        match self.scale {
            Scale::Amount => format!("{tick:.decimals$}"),
            Scale::Count | Scale::Magnitude => format!("{tick:.0}"),
            Scale::Clock => {
                let Some(stamp) = instant(tick + 1e-6) else { return String::new() };
                let at = |range: Range<usize>| stamp.get(range).unwrap_or_default().to_owned();
                match self.step {
                    step if step >= DAY => at(5..10),
                    step if step >= MINUTE && at(11..19) == "00:00:00" => at(5..10), // another day begins
                    step if step >= MINUTE => at(11..16),
                    step if step >= 1.0 => at(11..19),
                    _ => format!("{}{}", at(14..19), fraction(tick, decimals)),
                }
            }
        }
    }
}

/// The part of a second, as ".25".
fn fraction(tick: f64, decimals: usize) -> String {
    let part = format!("{:.decimals$}", tick.rem_euclid(1.0));
    part.get(1..).unwrap_or_default().to_owned()
}

/// The least of 1, 2 and 5 times a power of ten that is no less.
fn round(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-12).log10().floor());
    [1.0, 2.0, 5.0].map(|times| times * power).into_iter().find(|step| *step >= least).unwrap_or(10.0 * power)
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let place = |x: f64| if self.scale == Scale::Magnitude { x.max(1.0).ln() } else { x };
        let share = (place(*value) - place(self.from)) / (place(self.to) - place(self.from));
        // What lies far outside is drawn just outside.
        let share = share.clamp(-1.0, 2.0);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks()
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        self.label(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(scale: Scale, from: f64, to: f64, most: usize) -> Vec<String> {
        let axis = Axis::new(scale, from, to, most);
        axis.ticks().iter().map(|tick| axis.label(*tick)).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(shown(Scale::Amount, 0.0, 412.0, 5), ["0", "100", "200", "300", "400"]);
        assert_eq!(shown(Scale::Amount, 0.0, 0.61, 5), ["0.0", "0.2", "0.4", "0.6"]);
        assert_eq!(shown(Scale::Count, 0.8, 3.2, 8), ["1", "2", "3"]);
        assert_eq!(shown(Scale::Magnitude, 1.0, 5300.0, 8), ["1", "10", "100", "1000"]);
        assert_eq!(shown(Scale::Amount, 0.0, 0.0, 5).first().map(String::as_str), Some("0.0000"));
    }

    #[test]
    fn a_clock_has_the_steps_of_clocks() {
        const NOON: f64 = 1_772_452_800.0;
        let clock = |from: f64, to: f64| shown(Scale::Clock, NOON + from, NOON + to, 4);
        assert_eq!(clock(0.0, 0.05), ["00:00.00", "00:00.02", "00:00.04"]);
        assert_eq!(clock(1.0, 75.0), ["12:00:30", "12:01:00"]);
        assert_eq!(clock(0.0, 3600.0), ["12:00", "12:15", "12:30", "12:45", "13:00"]);
        assert_eq!(clock(0.0, 40.0 * HOUR), ["12:00", "03-03", "12:00", "03-04"]);
        assert_eq!(clock(0.0, 5.0 * DAY), ["03-04", "03-06"]);
        assert!(clock(0.0, 800.0 * DAY).len() < 8);
    }

    #[test]
    fn what_lies_between_the_ends_is_drawn_between_them() {
        let axis = Axis::new(Scale::Amount, 0.0, 412.0, 5).rounded();
        assert_eq!((axis.range(), axis.map(&250.0, (0, 1000))), (0.0..500.0, 500));
        let axis = Axis::new(Scale::Magnitude, 1.0, 100.0, 5);
        assert_eq!([1.0, 10.0, 100.0].map(|x| axis.map(&x, (0, 1000))), [0, 500, 1000]);
    }
}
