//! The words of a heading, and their meaning. Pure.

use super::units::{IntensityUnit, unit};
use super::zone_names;
use crate::carbon::intensity::EmissionsBasis;
use crate::carbon::intensity::slot::IntensityQuality;

/// A heading.
#[derive(Clone, Debug)]
pub struct Name {
    /// The heading in the file.
    pub heading: String,
    /// Its plain form: letters and digits in lower case, without the name of a clock.
    pub plain: String,
    /// Its words, in lower case.
    words: Vec<String>,
    /// The unit that it names.
    pub unit: IntensityUnit,
    /// The clock that it names.
    pub zone: TimeZone,
}

/// The clock of a column of times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TimeZone {
    /// The heading names no clock.
    NotGiven,
    /// UTC.
    Utc,
    /// A fixed offset from UTC, s.
    Offset(f64),
    /// Local time, whose offset changes with the season.
    Local,
}

#[rustfmt::skip]
const TIMES: &[&str] = &[
    "time", "timestamp", "datetime", "date", "datum", "dato", "tid", "tidspunkt", "zeit", "zeitpunkt", "zeitstempel", "pointtime",
    "periodstart", "from", "start", "starttime", "startdatetime", "startdate", "datefrom", "datumvon", "timefrom", "validfrom",
    "von", "fra", "begin", "hour", "minutes5", "minutes15", "dateheure", "datetimestart", "datumuhrzeit", "datumzeit",
    "horodatage", "fecha", "fechahora", "dataora", "mtu", "unix", "unixtime", "unixseconds", "unixtimestamp", "epoch", "ts", "dt",
    "timestampms", "settlementdatetime", "hourending", "hourend", "intervalstart", "periodbegin", "zeitvon",
];
#[rustfmt::skip]
const ENDS: &[&str] = &[
    "to", "end", "endtime", "enddatetime", "enddate", "dateto", "datumbis", "timeto", "validto", "bis", "til", "until", "periodend",
    "datetimeend", "zeitbis", "intervalend",
];
#[rustfmt::skip]
const HOURS: &[&str] = &[
    "time", "hour", "hours", "uhrzeit", "tid", "zeit", "heure", "heures", "hora", "ora", "starttime", "interval", "from", "start",
    "von", "hourending", "hourend", "he", "hourofday", "stunde",
];
#[rustfmt::skip]
const INTENSITIES: &[&str] = &[
    "carbonintensity", "co2intensity", "co2intensit", "intensitécarbone", "emissionfactor", "emissionsfactor", "emissionsfaktor",
    "emissionfaktor", "emissionsintensity", "emissionintensity", "emissionrate", "co2emission", "co2emis", "tauxdeco2", "tauxco2",
    "carbonfactor",
];
/// Parts of headings of marginal figures.
const MARGINALS: [&str; 4] = ["marginal", "moer", "lrmer", "srmer"];
/// Words of columns of other quantities.
#[rustfmt::skip]
const OTHERS: &[&str] = &[
    "percent", "percentage", "perc", "pct", "share", "index", "price", "preis", "pris", "cost", "eur", "dkk", "usd", "gbp",
    "renewable", "source", "method", "version", "rank", "error", "allowances", "certificates", "saved", "savings", "nox", "so2",
    "sox", "ch4", "n2o", "type", "unit", "units", "avoided", "avoidance", "reduced", "reduction", "offset", "coal", "oil", "lignite",
    "biomass", "nuclear", "solar", "wind", "hydro", "geothermal", "peat", "kohle", "braunkohle", "steinkohle", "erdgas",
];
/// Words of columns of a part of the grid, or of the limits of a range.
#[rustfmt::skip]
const SECONDS: &[&str] = &[
    "production", "import", "imports", "export", "exports", "min", "max", "minimum", "maximum", "low", "high", "std", "median", "residual", "change",
    "delta",
];

impl Name {
    /// Parses a heading.
    pub fn of(heading: &str) -> Name {
        let heading = heading.trim();
        let (outer, inners) = brackets(heading);
        let whole = squashed(heading);
        let (named, timed) = match inners.iter().find_map(|inner| clock(inner)) {
            Some(zone) => (Some(zone), squashed(outer)),
            None if is_of_time(&whole) || !is_of_time(&squashed(outer)) => clock_at_end(&whole),
            None => (None, squashed(outer)),
        };
        let plain = if is_of_time(&timed) { timed } else { whole };
        let zone = named.unwrap_or(TimeZone::NotGiven);
        Name { heading: heading.to_owned(), plain, words: words(heading), unit: unit(heading), zone }
    }

    fn has(&self, words: &[&str]) -> bool {
        self.words.iter().any(|word| words.contains(&word.as_str()))
    }

    /// The clock of a column of times. None: it is not such a column.
    pub fn time_zone(&self) -> Option<TimeZone> {
        TIMES.contains(&self.plain.as_str()).then_some(self.zone)
    }

    /// True for a column of the ends of rows.
    pub fn is_end(&self) -> bool {
        ENDS.contains(&self.plain.as_str())
    }

    /// True for a column that may be a time of day beside a date.
    pub fn is_hours(&self) -> bool {
        HOURS.contains(&self.plain.as_str())
    }

    /// True for a column of another quantity.
    pub fn is_other(&self) -> bool {
        self.has(OTHERS)
            || (self.has(&["gas"]) && !self.has(&["greenhouse"]))
            || self.plain.contains("carbonfree")
            || self.plain.starts_with("dataestimat")
            || self.plain.ends_with("type")
    }

    /// True for an intensity, by its words.
    pub fn is_intensity(&self) -> bool {
        let gas =
            ["forecast", "actual", "prognosis"].iter().fold(self.plain.clone(), |gas, kind| gas.replace(kind, ""));
        let is_gas = ["co2", "co2e", "co2eq", "gco2", "gco2eq", "gco2e", "ci"].contains(&gas.as_str());
        let is_worded = || INTENSITIES.iter().any(|words| self.plain.contains(words)) || self.has(&["intensity"]);
        !self.is_other() && (is_gas || is_worded())
    }

    /// True for marginal figures.
    pub fn is_marginal(&self) -> bool {
        let is_named = MARGINALS.iter().any(|word| self.plain.contains(word));
        // "MOER version 2.0" is a heading of figures, "MOER version" one of their method.
        let is_version = self.has(&["version"]) && !self.plain.contains("moerversion");
        is_named && !is_version && !self.plain.ends_with("version")
    }

    /// True for the end of a row's hour.
    pub fn is_hour_end(&self) -> bool {
        let plain = squashed(&self.heading);
        plain == "he" || ["hourend", "hoursend"].iter().any(|words| plain.contains(words))
    }

    /// True for a part of the grid, or the limit of a range.
    pub fn is_second(&self) -> bool {
        self.has(SECONDS)
    }

    /// True for a flag of estimated figures.
    pub fn is_estimated_flag(&self) -> bool {
        ["dataestimated", "estimated", "isestimated"].contains(&self.plain.as_str())
    }

    /// The basis, by its words.
    pub fn basis(&self) -> Option<EmissionsBasis> {
        if self.plain.contains("lifecycle") || self.has(&["lca"]) {
            return Some(EmissionsBasis::Lifecycle);
        }
        self.has(&["direct"]).then_some(EmissionsBasis::Direct)
    }

    /// The quality of the figures, by its words.
    pub fn quality(&self) -> Option<IntensityQuality> {
        let begins = |starts: &[&str]| self.words.iter().any(|word| starts.iter().any(|start| word.starts_with(start)));
        if begins(&["forecast", "prognos", "predict", "vorhersage"]) {
            return Some(IntensityQuality::Forecast);
        }
        begins(&["actual", "measured", "observed"]).then_some(IntensityQuality::Actual)
    }
}

/// A heading without the brackets at its end, and the texts in these, the last first.
fn brackets(heading: &str) -> (&str, Vec<&str>) {
    let mut outer = heading;
    let mut inners = Vec::new();
    while let Some((before, inner)) = outer.strip_suffix([')', ']']).and_then(|text| text.rsplit_once(['(', '['])) {
        // Nested brackets, and cells of a table read with a wrong delimiter, do not count.
        if inner.contains([')', ']', ';', '\t', '|']) {
            break;
        }
        inners.push(inner);
        outer = before.trim_end();
    }
    (outer, inners)
}

/// The words of a heading, in lower case. A word such as carbonIntensityForecast is also split into its parts.
fn words(heading: &str) -> Vec<String> {
    let heading = heading.replace('₂', "2");
    let mut words = Vec::new();
    for word in heading.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        words.push(word.to_lowercase());
        let mut part = String::new();
        let mut was_small = false;
        for letter in word.chars() {
            if was_small && letter.is_uppercase() {
                words.push(std::mem::take(&mut part));
            }
            part.extend(letter.to_lowercase());
            was_small = !letter.is_uppercase();
        }
        words.push(part);
    }
    words
}

/// The clock that a text in brackets names: "UTC", and "hour ending, UTC".
fn clock(inner: &str) -> Option<TimeZone> {
    inner.split([',', ';']).find_map(|part| clock_of(part.trim()))
}

fn clock_of(inner: &str) -> Option<TimeZone> {
    if zone_names::is_local(inner) {
        return Some(TimeZone::Local);
    }
    zone_names::offset(inner).map(|offset_s| {
        let is_utc = offset_s == 0.0;
        if is_utc { TimeZone::Utc } else { TimeZone::Offset(offset_s) }
    })
}

/// The clock at the beginning or end of a heading, as in HourUTC and zone_datetime, and the rest of it.
fn clock_at_end(plain: &str) -> (Option<TimeZone>, String) {
    for (name, zone) in [
        ("utc", TimeZone::Utc),
        ("gmt", TimeZone::Utc),
        ("dk", TimeZone::Local),
        ("local", TimeZone::Local),
        ("zone", TimeZone::Local),
        ("cet", TimeZone::Offset(3600.0)),
        ("mez", TimeZone::Offset(3600.0)),
        ("cest", TimeZone::Offset(7200.0)),
        ("mesz", TimeZone::Offset(7200.0)),
    ] {
        let rest = plain.strip_suffix(name).or_else(|| plain.strip_prefix(name));
        if let Some(rest) = rest.filter(|rest| is_of_time(rest)) {
            return (Some(zone), rest.to_owned());
        }
    }
    (None, plain.to_owned())
}

fn is_of_time(plain: &str) -> bool {
    TIMES.contains(&plain) || ENDS.contains(&plain)
}

/// Letters and digits only, in lower case.
pub fn squashed(text: &str) -> String {
    let plain = text.to_lowercase().replace('₂', "2");
    plain.chars().filter(|c| c.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_of_times_name_their_clock() {
        for (heading, zone) in [
            ("time", TimeZone::NotGiven),
            ("Datetime (UTC)", TimeZone::Utc),
            ("DATETIME", TimeZone::NotGiven),
            ("datetime_utc", TimeZone::Utc),
            ("UTC time", TimeZone::Utc),
            ("HourUTC", TimeZone::Utc),
            ("HourDK", TimeZone::Local),
            ("Minutes5UTC", TimeZone::Utc),
            ("Minutes5DK", TimeZone::Local),
            ("Date (GMT+1)", TimeZone::Offset(3600.0)),
            ("Datum (MEZ)", TimeZone::Offset(3600.0)),
            ("Datum (MESZ)", TimeZone::Offset(7200.0)),
            ("MTU (CET/CEST)", TimeZone::Local),
            ("zone_datetime", TimeZone::Local),
            ("Local time", TimeZone::Local),
            ("time [Europe/Berlin]", TimeZone::Local),
            ("timestamp (ISO 8601)", TimeZone::NotGiven),
        ] {
            assert_eq!(Name::of(heading).time_zone(), Some(zone), "{heading}");
        }
        for heading in ["creation_time (UTC)", "Zone name", "GAS", "to", "updatedAt", ""] {
            assert_eq!(Name::of(heading).time_zone(), None, "{heading}");
        }
    }

    #[test]
    fn headings_of_figures_name_basis_and_quality() {
        let name = Name::of("Carbon intensity gCO₂eq/kWh (Life cycle)");
        assert!(name.is_intensity() && name.basis() == Some(EmissionsBasis::Lifecycle));
        assert_eq!(Name::of("Carbon Intensity gCO₂eq/kWh (LCA)").basis(), Some(EmissionsBasis::Lifecycle));
        assert_eq!(Name::of("carbon_intensity_avg_direct").basis(), Some(EmissionsBasis::Direct));
        assert_eq!(Name::of("Forecast Carbon Intensity (gCO2/kWh)").quality(), Some(IntensityQuality::Forecast));
        assert_eq!(Name::of("Actual Carbon Intensity (gCO2/kWh)").quality(), Some(IntensityQuality::Actual));
        for heading in [
            "Carbon-free energy percentage (CFE%)",
            "Data estimated",
            "CO2 price (EUR/tCO2)",
            "intensity.index",
            "emissionFactorType",
        ] {
            assert!(!Name::of(heading).is_intensity(), "{heading}");
        }
        for heading in [
            "CO2-Emissionsfaktor",
            "Taux de CO2",
            "co2",
            "CO2Emission",
            "CARBON_INTENSITY",
            "intensity.forecast",
            "co2eq_forecast",
        ] {
            assert!(Name::of(heading).is_intensity(), "{heading}");
        }
        for (heading, is_marginal) in
            [("MOER", true), ("MOER version", false), ("MOER version 2.0", true), ("marginal_emissions_kgCO2kWh", true)]
        {
            assert_eq!(Name::of(heading).is_marginal(), is_marginal, "{heading}");
        }
    }
}
