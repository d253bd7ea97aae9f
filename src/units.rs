//! Sums and mixed bits of numbers, and quantities in text: energy, mass, time, dates and estimates with their error
//! bands. Pure.

/// Joules in one kilowatt-hour.
pub const J_PER_KWH: f64 = 3.6e6;

/// The error band of an estimate: in nine of ten cases the true value is between these multiples of the estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorBand {
    /// The least multiple, above 0 and at most 1.
    pub low: f64,
    /// The largest multiple, at least 1.
    pub high: f64,
}

/// Spreads a number's differences over its upper bits: the product with 2^64 divided by the golden ratio.
pub fn mixed(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The sum of the known parts; None: no part is known.
pub fn sum(parts: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    parts.into_iter().flatten().reduce(|a, b| a + b)
}

/// Energy in J, in kJ from 10 kJ, in kWh from 0.1 kWh.
pub fn energy(joules: f64) -> String {
    Amount::Energy.exact(joules)
}

/// Mass of CO2e in mg, g, kg or t.
pub fn grams(grams: f64) -> String {
    Amount::Grams.exact(grams)
}

/// The kind of an amount. An estimate is shown with only as many digits as its error band warrants.
#[derive(Clone, Copy)]
pub enum Amount<'a> {
    /// Energy, J.
    Energy,
    /// Mass of CO2e, g.
    Grams,
    /// An amount with one fixed unit, which may be empty.
    Of(&'a str),
}

impl Amount<'_> {
    fn written(self, amount: f64, digits: fn(f64) -> String) -> String {
        let (size, unit) = match self {
            Amount::Energy if amount >= 0.1 * J_PER_KWH => (J_PER_KWH, "kWh"),
            Amount::Energy if amount >= 1e4 => (1e3, "kJ"),
            Amount::Energy => (1.0, "J"),
            Amount::Grams if amount >= 1e6 => (1e6, "t"),
            Amount::Grams if amount >= 1e3 => (1e3, "kg"),
            Amount::Grams if amount >= 0.1 || amount == 0.0 => (1.0, "g"),
            Amount::Grams => (1e-3, "mg"),
            Amount::Of(unit) => (1.0, unit),
        };
        format!("{} {unit}", digits(amount / size)).trim_end().to_owned()
    }

    /// A measured amount: "12.3 kJ".
    pub fn exact(self, amount: f64) -> String {
        self.written(amount, digits)
    }

    /// An estimated amount, with the digits that its band warrants: "12 kJ".
    pub fn rough(self, amount: f64, band: ErrorBand) -> String {
        self.end(amount, band.low, band.high)
    }

    /// "12.3 kJ"; for an estimate "about 12 kJ".
    pub fn alone(self, amount: f64, band: Option<ErrorBand>) -> String {
        band.map_or_else(|| self.exact(amount), |band| format!("about {}", self.rough(amount, band)))
    }

    /// "12.3 kJ"; for an estimate "about 12 kJ (7.0 to 24 kJ)".
    pub fn with(self, amount: f64, band: Option<ErrorBand>) -> String {
        self.of("", amount, band)
    }

    /// With the name of the thing: "12.3 g CO2e"; for an estimate "about 12 g CO2e (7.0 to 24 g)".
    pub fn of(self, what: &str, amount: f64, band: Option<ErrorBand>) -> String {
        let what = if what.is_empty() { String::new() } else { format!(" {what}") };
        let interval = band.map(|band| format!(" ({})", self.interval(amount, band)));
        self.alone(amount, band) + &what + &interval.unwrap_or_default()
    }

    /// The interval of an estimate: "7.0 to 24 kJ".
    pub fn interval(self, amount: f64, band: ErrorBand) -> String {
        self.between(amount * band.low, amount * band.high)
    }

    /// An amount in the interval from `low` to `high`, with the digits that the interval warrants.
    pub fn end(self, amount: f64, low: f64, high: f64) -> String {
        self.written(amount, digits_within(low, high))
    }

    /// The interval between two ends. A unit that both ends share is shown once.
    pub fn between(self, low: f64, high: f64) -> String {
        let [low, high] = [low, high].map(|end| self.end(end, low, high));
        let [(number, unit), (_, other)] = [&low, &high].map(|end| end.split_once(' ').unwrap_or((end, "")));
        format!("{} to {high}", if unit == other { number } else { &low })
    }
}

/// Time: "5.00 s" below a minute, then "1h 3m 5s"; "unknown" for times that are negative or not finite.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || !(0.0..1e10).contains(&seconds) {
        return "unknown".into();
    }
    match seconds {
        s if s < 60.0 => format!("{} s", digits(s)),
        s => humantime::format_duration(std::time::Duration::from_secs(s.round() as u64)).to_string(),
    }
}

/// A date, s since 1970, as RFC 3339 in UTC; None: it is before 1970 or after the year 9999.
pub fn instant(unix_s: f64) -> Option<String> {
    const END_OF_9999: f64 = 253_402_300_800.0;
    if !(0.0..END_OF_9999).contains(&unix_s) {
        return None;
    }
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(unix_s as u64);
    Some(humantime::format_rfc3339_seconds(at).to_string())
}

/// The unit of a column of amounts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DisplayUnit {
    /// The name of the unit.
    pub name: &'static str,
    size: f64,
}

impl DisplayUnit {
    /// The largest of these units, in ascending order, that `most` reaches.
    pub fn of(most: f64, units: &[(&'static str, f64)]) -> DisplayUnit {
        let fits = units.iter().rev().find(|(_, size)| most >= *size).or(units.first());
        fits.map_or(DisplayUnit { name: "", size: 1.0 }, |&(name, size)| DisplayUnit { name, size })
    }

    /// For energies up to `joules`.
    pub fn energy(joules: f64) -> DisplayUnit {
        match joules {
            j if j >= 0.1 * J_PER_KWH => DisplayUnit { name: "kWh", size: J_PER_KWH },
            j if j >= 1e4 => DisplayUnit { name: "kJ", size: 1e3 },
            _ => DisplayUnit { name: "J", size: 1.0 },
        }
    }

    /// For times up to `seconds`.
    pub fn duration(seconds: f64) -> DisplayUnit {
        DisplayUnit::of(seconds / 2.0, &[("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0), ("days", 86400.0)])
    }

    /// For masses of CO2e up to `grams`.
    pub fn grams(grams: f64) -> DisplayUnit {
        DisplayUnit::of(grams, &[("mg", 1e-3), ("g", 1.0), ("kg", 1e3), ("t", 1e6)])
    }

    /// Converts an amount from the base unit to this unit.
    pub fn amount(self, amount: f64) -> f64 {
        amount / self.size
    }
}

/// At least three significant digits; digits before the decimal point are never dropped.
pub fn digits(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return format!("{x:.0}");
    }
    let decimals = (2 - x.abs().log10().floor() as i32).clamp(0, 12);
    format!("{x:.*}", decimals as usize)
}

/// A multiplier without trailing zeros: "0.5", "1.25".
pub fn times(factor: f64) -> String {
    format!("{factor:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The digits for an amount in an interval: two, or three if the interval is narrower than a tenth.
fn digits_within(low: f64, high: f64) -> fn(f64) -> String {
    const MAX_NARROW_RATIO: f64 = 1.1;
    if high < MAX_NARROW_RATIO * low { digits } else { two_digits }
}

/// Two significant digits, for estimates.
pub fn two_digits(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return format!("{x:.0}");
    }
    // Rounding may give the next power of ten.
    let x: f64 = format!("{x:.1e}").parse().unwrap_or(x);
    let decimals = (1 - x.abs().log10().floor() as i32).clamp(0, 12) as usize;
    format!("{x:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_shown_in_utc() {
        assert_eq!(instant(1_772_456_400.9).as_deref(), Some("2026-03-02T13:00:00Z"));
        assert_eq!([-1.0, f64::NAN, f64::INFINITY, 253_402_300_800.0].map(instant), [const { None }; 4]);
        assert!(instant(253_402_300_799.9).is_some_and(|at| at.starts_with("9999-12-31")));
    }

    #[test]
    fn measured_amounts_have_three_digits() {
        assert_eq!(
            [energy(0.0), energy(1.2345), energy(12_345.0), energy(7.2e6)],
            ["0 J", "1.23 J", "12.3 kJ", "2.00 kWh"]
        );
        assert_eq!(
            [grams(0.0), grams(0.00123), grams(12.0), grams(12_345.0), grams(2e6)],
            ["0 g", "1.23 mg", "12.0 g", "12.3 kg", "2.00 t"]
        );
        assert_eq!(
            [duration(0.5), duration(59.0), duration(3723.4), duration(f64::INFINITY)],
            ["0.500 s", "59.0 s", "1h 2m 3s", "unknown"]
        );
        assert_eq!([digits(1234.0), digits(-0.5), digits(f64::NAN)], ["1234", "-0.500", "NaN"]);
    }

    #[test]
    fn an_estimate_has_two_digits_and_an_interval() {
        let shown = [0.0, 0.00346, 0.75, 7.04, 9.97, 12.3, 123.0, 1260.0, 99_900.0, f64::NAN].map(two_digits);
        assert_eq!(shown, ["0", "0.0035", "0.75", "7.0", "10", "12", "120", "1300", "100000", "NaN"]);
        let band = Some(ErrorBand { low: 0.5, high: 2.0 });
        assert_eq!(Amount::Energy.with(12_345.0, band), "about 12 kJ (6200 J to 25 kJ)");
        let narrow = Some(ErrorBand { low: 0.99, high: 1.02 });
        assert_eq!(Amount::Energy.with(462.0, narrow), "about 462 J (457 to 471 J)");
        assert_eq!(Amount::Energy.with(12_345.0, None), "12.3 kJ");
        assert_eq!(Amount::Grams.with(0.3, band), "about 0.30 g (0.15 to 0.60 g)");
        assert_eq!(
            (Amount::Of("W").with(35.0, band), Amount::Of("").exact(2.0)),
            ("about 35 W (18 to 70 W)".into(), "2.00".into())
        );
        assert_eq!([0.5, 1.25, 2.0, 10.0, 0.875].map(times), ["0.5", "1.25", "2", "10", "0.88"]);
    }

    #[test]
    fn a_column_has_one_unit() {
        let names = [
            DisplayUnit::energy(9e3),
            DisplayUnit::energy(5e4),
            DisplayUnit::energy(1e6),
            DisplayUnit::grams(0.5),
            DisplayUnit::grams(2e3),
        ];
        assert_eq!(names.map(|unit| unit.name), ["J", "kJ", "kWh", "mg", "kg"]);
        let times = [0.05, 30.0, 300.0, 9e3, 1e6].map(|seconds| DisplayUnit::duration(seconds).name);
        assert_eq!(times, ["ms", "s", "min", "h", "days"]);
        assert_eq!(DisplayUnit::energy(7.2e6).amount(7.2e6), 2.0);
        assert_eq!(DisplayUnit::of(0.0, &[("W", 1.0), ("kW", 1e3)]).name, "W");
    }
}
