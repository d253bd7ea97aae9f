//! A chart's axes: positions and labels of the ticks. Pure.

use crate::units::instant;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// The kind of value on an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Amounts.
    Amount,
    /// Whole numbers.
    Count,
    /// Whole numbers from 1, on a logarithmic scale.
    Magnitude,
    /// The time of day, s since 1970 UTC.
    Clock,
}

/// An axis, with its range and the step of its ticks.
#[derive(Clone, Debug)]
pub struct Axis {
    scale: Scale,
    from: f64,
    to: f64,
    step: f64,
}

/// A minute, s.
const MINUTE: f64 = 60.0;
/// An hour, s.
const HOUR: f64 = 3600.0;
/// A day, s.
const DAY: f64 = 86400.0;
/// Steps of a time axis, s.
const CLOCK_STEPS_S: [f64; 22] = [
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
    /// An axis from one value to another with at most `most` ticks.
    pub fn new(scale: Scale, from: f64, to: f64, most: usize) -> Axis {
        let to = if to > from { to } else { from + from.abs().max(1.0) * 1e-3 };
        let least = (to - from) / most.max(1) as f64;
        let clock = || CLOCK_STEPS_S.into_iter().find(|step| *step >= least).filter(|_| least > 0.5);
        let step = match scale {
            Scale::Clock => clock().unwrap_or_else(|| round(least)),
            Scale::Count => round(least).max(1.0),
            Scale::Amount | Scale::Magnitude => round(least),
        };
        Axis { scale, from, to, step }
    }

    /// This axis, widened so that its ends are at ticks.
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

    /// The label of a tick.
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
                    step if step >= MINUTE && at(11..19) == "00:00:00" => at(5..10), // a new day
                    step if step >= MINUTE => at(11..16),
                    step if step >= 1.0 => at(11..19),
                    _ => format!("{}{}", at(14..19), fraction(tick, decimals)),
                }
            }
        }
    }
}

/// The fraction of a second, as ".25".
fn fraction(tick: f64, decimals: usize) -> String {
    let part = format!("{:.decimals$}", tick.rem_euclid(1.0));
    part.get(1..).unwrap_or_default().to_owned()
}

/// The smallest value of 1, 2 or 5 times a power of ten that is at least `least`.
fn round(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-12).log10().floor());
    [1.0, 2.0, 5.0].map(|times| times * power).into_iter().find(|step| *step >= least).unwrap_or(10.0 * power)
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let position = |x: f64| if self.scale == Scale::Magnitude { x.max(1.0).ln() } else { x };
        let share = (position(*value) - position(self.from)) / (position(self.to) - position(self.from));
        // A value far outside is drawn just outside.
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
    fn time_axes_have_natural_steps() {
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
    fn values_in_range_are_drawn_in_range() {
        let axis = Axis::new(Scale::Amount, 0.0, 412.0, 5).rounded();
        assert_eq!((axis.range(), axis.map(&250.0, (0, 1000))), (0.0..500.0, 500));
        let axis = Axis::new(Scale::Magnitude, 1.0, 100.0, 5);
        assert_eq!([1.0, 10.0, 100.0].map(|x| axis.map(&x, (0, 1000))), [0, 500, 1000]);
    }
}
