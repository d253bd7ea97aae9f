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

/// Energy, given in J, in Wh: "1.23 mWh", "12.3 kWh".
pub fn energy(joules: f64) -> String {
    Amount::Energy.exact(joules)
}

/// Mass of CO2e in mg, g, kg or t.
pub fn grams(grams: f64) -> String {
    Amount::Grams.exact(grams)
}

/// A unit: its name, its size in the base unit, and the amount in the base unit from which it is used.
type Unit<'a> = (&'a str, f64, f64);

const ENERGY: [Unit<'static>; 5] = [
    ("mWh", J_PER_KWH * 1e-6, 0.0),
    ("Wh", J_PER_KWH * 1e-3, J_PER_KWH * 1e-3),
    ("kWh", J_PER_KWH, J_PER_KWH),
    ("MWh", J_PER_KWH * 1e3, J_PER_KWH * 1e3),
    ("GWh", J_PER_KWH * 1e6, J_PER_KWH * 1e6),
];
const JOULES: [Unit<'static>; 5] =
    [("mJ", 1e-3, 0.0), ("J", 1.0, 1.0), ("kJ", 1e3, 1e3), ("MJ", 1e6, 1e6), ("GJ", 1e9, 1e9)];
const GRAMS: [Unit<'static>; 4] = [("mg", 1e-3, 0.0), ("g", 1.0, 1.0), ("kg", 1e3, 1e3), ("t", 1e6, 1e6)];
const POWER: [Unit<'static>; 4] = [("mW", 1e-3, 0.0), ("W", 1.0, 1.0), ("kW", 1e3, 1e3), ("MW", 1e6, 1e6)];
const LITRES: [Unit<'static>; 3] = [("mL", 1e-3, 0.0), ("L", 1.0, 1.0), ("m³", 1e3, 1e3)];
const DISTANCE: [Unit<'static>; 2] = [("m", 1e-3, 0.0), ("km", 1.0, 1.0)];
/// People say 90 min and 36 h.
const TIME: [Unit<'static>; 5] =
    [("ms", 1e-3, 0.0), ("s", 1.0, 1.0), ("min", 60.0, 120.0), ("h", 3600.0, 7200.0), ("d", 86400.0, 172_800.0)];

/// The kind of an amount, with the units that people read it in. An estimate is shown with only as many digits as its
/// error band warrants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount<'a> {
    /// Energy, J, shown in Wh.
    Energy,
    /// Energy, J, shown in J.
    Joules,
    /// Mass of CO2e, g.
    Grams,
    /// Power, W.
    Power,
    /// Volume of water, L.
    Litres,
    /// Distance, km.
    Distance,
    /// Time, s.
    Time,
    /// An amount with one fixed unit, which may be empty.
    Of(&'a str),
}

impl<'a> Amount<'a> {
    /// The unit in which an amount is shown, and its size.
    fn unit(self, amount: f64) -> (&'a str, f64) {
        const ROUNDED_UP: f64 = 1.0005;
        let units: &[Unit<'a>] = match self {
            Amount::Energy => &ENERGY,
            Amount::Joules => &JOULES,
            Amount::Grams => &GRAMS,
            Amount::Power => &POWER,
            Amount::Litres => &LITRES,
            Amount::Distance => &DISTANCE,
            Amount::Time => &TIME,
            Amount::Of(unit) => return (unit, 1.0),
        };
        // What is rounded up to the next unit is shown in it. Nothing is shown in the unit after the smallest.
        let none = units.get(1).map_or(0.0, |(.., from)| *from);
        let amount = if amount == 0.0 { none } else { amount.abs() * ROUNDED_UP };
        let fits = units.iter().rev().find(|(.., from)| amount >= *from).or(units.first());
        fits.map_or(("", 1.0), |&(name, size, _)| (name, size))
    }

    /// A measured amount: "12.3 kWh". Time has two units at most: "1 h 3 min".
    pub fn exact(self, amount: f64) -> String {
        if self == Amount::Time {
            return duration(amount);
        }
        self.written(amount, amount, digits)
    }

    /// An amount in the unit of another one.
    fn written(self, amount: f64, unit_of: f64, digits: fn(f64) -> String) -> String {
        let (unit, size) = self.unit(unit_of);
        format!("{} {unit}", digits(amount / size)).trim_end().to_owned()
    }

    /// An estimated amount, with the digits that its band warrants: "12 kWh".
    pub fn rough(self, amount: f64, band: ErrorBand) -> String {
        self.end(amount, amount * band.low, amount * band.high)
    }

    /// "12.3 kWh"; for an estimate "≈ 12 kWh".
    pub fn alone(self, amount: f64, band: Option<ErrorBand>) -> String {
        band.map_or_else(|| self.exact(amount), |band| format!("≈ {}", self.rough(amount, band)))
    }

    /// "12.3 kWh"; for an estimate "≈ 12 kWh (7.0 to 24)".
    pub fn with(self, amount: f64, band: Option<ErrorBand>) -> String {
        self.of("", amount, band)
    }

    /// With the name of the thing: "12.3 g CO2e"; for an estimate "≈ 12 g CO2e (7.0 to 24)".
    pub fn of(self, what: &str, amount: f64, band: Option<ErrorBand>) -> String {
        let what = if what.is_empty() { String::new() } else { format!(" {what}") };
        let ends = band.map(|band| format!(" ({})", self.ends(amount, amount * band.low, amount * band.high)));
        self.alone(amount, band) + &what + &ends.unwrap_or_default()
    }

    /// An amount with its interval, in one unit: "12 kWh (7.0 to 24)".
    pub fn within(self, amount: f64, low: f64, high: f64) -> String {
        format!("{} ({})", self.end(amount, low, high), self.ends(amount, low, high))
    }

    /// The ends of an interval in the unit of an amount in it: "7.0 to 24".
    pub fn ends(self, amount: f64, low: f64, high: f64) -> String {
        let [low, high] = [low, high].map(|end| self.end_in(end, amount, low, high));
        format!("{low} to {high}")
    }

    /// One end of the interval from `low` to `high`, in the unit of an amount in it, without the unit.
    pub fn end_in(self, end: f64, amount: f64, low: f64, high: f64) -> String {
        let (_, size) = self.unit(amount);
        digits_within(low, high)(end / size)
    }

    /// The name of the unit in which an amount is shown.
    pub fn unit_name(self, amount: f64) -> &'a str {
        self.unit(amount).0
    }

    /// The interval of an estimate: "7.0 to 24 kWh".
    pub fn interval(self, amount: f64, band: ErrorBand) -> String {
        self.between(amount * band.low, amount * band.high)
    }

    /// An amount in the interval from `low` to `high`, with the digits that the interval warrants.
    pub fn end(self, amount: f64, low: f64, high: f64) -> String {
        self.written(amount, amount, digits_within(low, high))
    }

    /// The interval between two ends, in the unit of the upper one: "7.0 to 24 kWh".
    pub fn between(self, low: f64, high: f64) -> String {
        let (unit, _) = self.unit(high);
        format!("{} {unit}", self.ends(high, low, high)).trim_end().to_owned()
    }
}

/// Time in two units at most: "350 ms", "12.3 s", "1 min 5 s", "2 h 15 min", "41 d 15 h"; "unknown" for times that are
/// negative or not finite.
pub fn duration(seconds: f64) -> String {
    if !(0.0..1e10).contains(&seconds) {
        return "unknown".into();
    }
    if seconds < 59.95 {
        let unit = DisplayUnit::of(Amount::Time, if seconds == 0.0 { 1.0 } else { seconds });
        return format!("{} {}", digits(unit.amount(seconds)), unit.name);
    }
    let parts = [(86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")];
    let shown = |(size, large, part, small): (u64, &str, u64, &str)| {
        let parts = (seconds / part as f64).round() as u64;
        let (whole, rest) = (parts / (size / part), parts % (size / part));
        let rest = if rest > 0 { format!(" {rest} {small}") } else { String::new() };
        (whole > 0).then(|| format!("{whole} {large}{rest}"))
    };
    parts.into_iter().find_map(shown).unwrap_or_default()
}

/// A ratio in words that stay clear when it is large: "÷ 4.0", "× 2.9"; None: the two are alike.
pub fn ratio(of: f64, to: f64) -> Option<String> {
    const ALIKE: f64 = 1.005;
    const CLOSE: f64 = 1.095;
    let ratio = of / to;
    let shown = |times: f64| if times < CLOSE { digits(times) } else { two_digits(times) };
    match ratio {
        r if !r.is_finite() || (1.0 / ALIKE..=ALIKE).contains(&r) => None,
        r if r <= 0.0 => Some("none".into()),
        r if r < 1.0 => Some(format!("÷ {}", shown(1.0 / r))),
        r => Some(format!("× {}", shown(r))),
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

/// The unit of a column of amounts, or of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DisplayUnit<'a> {
    /// The name of the unit.
    pub name: &'a str,
    size: f64,
}

impl<'a> DisplayUnit<'a> {
    /// For amounts of this kind up to `most`.
    pub fn of(amount: Amount<'a>, most: f64) -> DisplayUnit<'a> {
        let (name, size) = amount.unit(most);
        DisplayUnit { name, size }
    }

    /// Converts an amount from the base unit to this unit.
    pub fn amount(self, amount: f64) -> f64 {
        amount / self.size
    }
}

/// At least three significant digits; digits before the decimal point are never dropped.
pub fn digits(x: f64) -> String {
    if x.abs() >= 999.5 { format!("{x:.0}") } else { rounded(x, 2) }
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
    rounded(x, 1)
}

/// A number with `more` significant digits after the first one.
fn rounded(x: f64, more: i32) -> String {
    if x == 0.0 || !x.is_finite() {
        return format!("{x:.0}");
    }
    // Rounding may give the next power of ten.
    let x: f64 = format!("{x:.*e}", more as usize).parse().unwrap_or(x);
    let decimals = (more - x.abs().log10().floor() as i32).clamp(0, 12) as usize;
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
            [0.0, 0.036, 1.2345, 466.0, 3598.5, 12_345.0, 7.2e6, 5.725e10, 3.6e12].map(energy),
            ["0 Wh", "0.0100 mWh", "0.343 mWh", "129 mWh", "1.00 Wh", "3.43 Wh", "2.00 kWh", "15.9 MWh", "1.00 GWh"]
        );
        assert_eq!(
            [0.0, 0.00123, 0.1, 12.0, 12_345.0, 2e6].map(grams),
            ["0 g", "1.23 mg", "100 mg", "12.0 g", "12.3 kg", "2.00 t"]
        );
        assert_eq!(
            [99.994, 99.996, 999.7, 1234.0, -0.5, f64::NAN].map(digits),
            ["100", "100", "1000", "1234", "-0.500", "NaN"]
        );
        assert_eq!(Amount::Joules.exact(466.0), "466 J");
        assert_eq!(
            (Amount::Distance.exact(0.0262), Amount::Distance.exact(78_593.0)),
            ("26.2 m".into(), "78593 km".into())
        );
        assert_eq!((Amount::Power.exact(1500.0), Amount::Litres.exact(0.0123)), ("1.50 kW".into(), "12.3 mL".into()));
        assert_eq!(Amount::Power.exact(99.996), "100 W");
    }

    #[test]
    fn a_time_has_two_units_at_most() {
        let shown =
            [0.0, 0.5, 59.0, 59.96, 65.0, 3599.7, 3723.4, 8100.0, 86_399.0, 3_596_951.0, f64::INFINITY].map(duration);
        assert_eq!(
            shown,
            [
                "0 s",
                "500 ms",
                "59.0 s",
                "1 min",
                "1 min 5 s",
                "1 h",
                "1 h 2 min",
                "2 h 15 min",
                "1 d",
                "41 d 15 h",
                "unknown"
            ]
        );
        assert_eq!(Amount::Time.within(8100.0, 7500.0, 9000.0), "2.2 h (2.1 to 2.5)");
        assert_eq!(Amount::Time.within(56.3, 54.5, 62.0), "56 s (54 to 62)");
    }

    #[test]
    fn an_estimate_has_two_digits_and_an_interval_in_one_unit() {
        let shown = [0.0, 0.00346, 0.75, 7.04, 9.97, 12.3, 123.0, 1260.0, 99_900.0, f64::NAN].map(two_digits);
        assert_eq!(shown, ["0", "0.0035", "0.75", "7.0", "10", "12", "120", "1300", "100000", "NaN"]);
        let band = Some(ErrorBand { low: 0.5, high: 2.0 });
        assert_eq!(Amount::Energy.with(12_345.0, band), "≈ 3.4 Wh (1.7 to 6.9)");
        let narrow = Some(ErrorBand { low: 0.99, high: 1.02 });
        assert_eq!(Amount::Energy.with(462.0, narrow), "≈ 128 mWh (127 to 131)");
        assert_eq!(Amount::Energy.with(12_345.0, None), "3.43 Wh");
        assert_eq!(Amount::Grams.of("CO2e", 0.0795, band), "≈ 80 mg CO2e (40 to 160)");
        assert_eq!(Amount::Grams.between(0.5, 2.0), "0.50 to 2.0 g");
        assert_eq!(
            (Amount::Power.with(35.0, band), Amount::Of("").exact(2.0)),
            ("≈ 35 W (18 to 70)".into(), "2.00".into())
        );
        assert_eq!([0.5, 1.25, 2.0, 10.0, 0.875].map(times), ["0.5", "1.25", "2", "10", "0.88"]);
        let ratios = [(1.0, 4.0), (2.9, 1.0), (1.0, 1.001), (0.0, 1.0), (1.0, 0.0)].map(|(of, to)| ratio(of, to));
        assert_eq!(ratios, [Some("÷ 4.0".into()), Some("× 2.9".into()), None, Some("none".into()), None]);
    }

    #[test]
    fn a_column_has_one_unit() {
        let names = [9e3, 2e3, 1e7].map(|joules| DisplayUnit::of(Amount::Energy, joules).name);
        assert_eq!(names, ["Wh", "mWh", "kWh"]);
        let times = [0.05, 30.0, 300.0, 9e3, 1e6].map(|seconds| DisplayUnit::of(Amount::Time, seconds).name);
        assert_eq!(times, ["ms", "s", "min", "h", "d"]);
        assert_eq!(DisplayUnit::of(Amount::Energy, 7.2e6).amount(7.2e6), 2.0);
        assert_eq!(DisplayUnit::of(Amount::Power, 0.0).name, "W");
    }
}
