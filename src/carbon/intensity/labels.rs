//! The closed sets that describe an intensity, with their names in files and reports. Pure.

use std::str::FromStr;

/// How an intensity was obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntensityKind {
    /// One figure that the user gave.
    Constant,
    /// The average of a year, from the tables built in.
    Yearly,
    /// Figures by the hour, from a file.
    File,
    /// Figures by the hour, from a live provider.
    Live,
}

/// Which emissions an intensity counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmissionsBasis {
    /// Direct emissions, and those of building the plants and of their fuel.
    Lifecycle,
    /// Emissions of the plants in operation.
    Direct,
    /// Emissions of one more kWh. Never mixed with the others.
    Marginal,
}

/// Which power an intensity averages over. The report names it `use`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerUse {
    /// Power that the zone's plants produce.
    Production,
    /// Power that the zone consumes, after trade with its neighbours.
    Consumption,
}

/// How certain a figure is. Of two figures for the same time the more certain one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IntensityQuality {
    /// Forecast.
    Forecast,
    /// Estimated by the provider, because meters are missing or late.
    Estimated,
    /// Measured.
    Actual,
}

/// Gives each set its names: `as_str`, `FromStr` in any case, and `ALL` in the order of the names.
macro_rules! names {
    ($($set:ident { $($value:ident = $name:literal,)+ })+) => {$(
        impl $set {
            /// All values.
            pub const ALL: &[$set] = &[$($set::$value),+];

            /// The name in files and reports.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($set::$value => $name,)+
                }
            }
        }

        impl FromStr for $set {
            type Err = ();

            fn from_str(name: &str) -> Result<$set, ()> {
                $set::ALL.iter().copied().find(|value| value.as_str().eq_ignore_ascii_case(name)).ok_or(())
            }
        }
    )+};
}

names! {
    IntensityKind { Constant = "constant", Yearly = "static", File = "file", Live = "live", }
    EmissionsBasis { Lifecycle = "lifecycle", Direct = "direct", Marginal = "marginal", }
    PowerUse { Production = "production", Consumption = "consumption", }
    IntensityQuality { Forecast = "forecast", Estimated = "estimated", Actual = "actual", }
}

impl IntensityKind {
    /// Whether each hour has a figure of its own.
    pub fn is_by_hour(self) -> bool {
        matches!(self, IntensityKind::File | IntensityKind::Live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case() {
        assert_eq!("Direct".parse(), Ok(EmissionsBasis::Direct));
        assert_eq!("static".parse(), Ok(IntensityKind::Yearly));
        assert_eq!("both".parse::<EmissionsBasis>(), Err(()));
        assert!(IntensityQuality::ALL.is_sorted());
        for kind in IntensityKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
    }
}
