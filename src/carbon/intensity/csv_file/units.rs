//! The unit that a heading names, as a factor to g/kWh. Pure.

/// The unit in a heading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum IntensityUnit {
    /// No unit.
    Unnamed,
    /// A mass per energy: its factor to g/kWh.
    PerEnergy(f64),
    /// A mass or an energy alone, such as t or kWh. It is not an intensity.
    Other,
    /// An unknown mass per energy.
    Unknown,
}

const MASSES: [(&[&str], f64); 6] = [
    (&["mg"], 1e-3),
    (&["g", "gr", "gram", "grams", "gramm", "grammes"], 1.0),
    (&["kg", "kgs", "kilogram", "kilograms"], 1e3),
    (&["t", "tonne", "tonnes"], 1e6),
    (&["kt"], 1e9),
    (&["lb", "lbs", "pound", "pounds"], 453.592_37),
];

/// Names of energies, in kWh.
const ENERGIES: [(&str, f64); 6] =
    [("kwh", 1.0), ("mwh", 1e3), ("gwh", 1e6), ("twh", 1e9), ("mj", 1.0 / 3.6), ("gj", 1e3 / 3.6)];

/// Energies that no provider uses. A heading with one is more likely wrong, or of a fuel.
const UNUSUAL_ENERGIES: [&str; 9] = ["wh", "j", "kj", "tj", "btu", "mmbtu", "kcal", "therm", "toe"];

/// The unit in a heading: "gCO₂eq/kWh", "g_per_kwh", "kg/MWh", "(lbs CO2 per MWh)".
pub fn unit(heading: &str) -> IntensityUnit {
    let tokens = tokens(heading);
    let Some(index) = tokens.iter().position(|token| energy(token).is_some()) else {
        // A single letter may have any meaning.
        let is_mass = tokens.iter().any(|token| token.len() > 1 && mass(token).is_some());
        let ends_so = tokens.last().is_some_and(|last| mass(last).is_some());
        let is_unusual = tokens
            .iter()
            .zip(tokens.iter().skip(1))
            .any(|(before, odd)| mass(before).is_some() && UNUSUAL_ENERGIES.contains(&odd.as_str()));
        if is_unusual && is_of_carbon(heading) {
            return IntensityUnit::Unknown;
        }
        return if is_mass || ends_so { IntensityUnit::Other } else { IntensityUnit::Unnamed };
    };
    let previous = index.checked_sub(1).and_then(|index| tokens.get(index));
    match (previous.and_then(|token| mass(token)), tokens.get(index).and_then(|token| energy(token))) {
        (Some(grams), Some(kwh)) => IntensityUnit::PerEnergy(grams / kwh),
        _ if is_of_carbon(heading) => IntensityUnit::Unknown,
        _ => IntensityUnit::Other,
    }
}

fn is_of_carbon(heading: &str) -> bool {
    let plain = heading.to_lowercase().replace('₂', "2");
    ["co2", "carbon", "emission"].iter().any(|word| plain.contains(word))
}

fn mass(token: &str) -> Option<f64> {
    MASSES.iter().find(|(names, _)| names.contains(&token)).map(|(_, grams)| *grams)
}

fn energy(token: &str) -> Option<f64> {
    ENERGIES.iter().find(|(name, _)| *name == token).map(|(_, kwh)| *kwh)
}

/// The words of a heading. Mass and energy are separate words, and names of gases are removed.
fn tokens(heading: &str) -> Vec<String> {
    const GASES: [&str; 8] = ["co2equivalent", "co2eq", "co2e", "co2", "carbon", "eq", "equivalent", "per"];
    let plain = heading.to_lowercase().replace('₂', "2");
    let mut tokens = Vec::new();
    for word in plain.split(|c: char| !c.is_alphanumeric()) {
        let mut word = word.to_owned();
        if word != "co2"
            && (word.starts_with(['g', 'k', 't', 'l', 'm']) || word.contains("kwh") || word.contains("mwh"))
        {
            GASES.iter().take(4).for_each(|gas| word = word.replace(gas, ""));
        }
        let ending = ENERGIES.iter().find(|(name, _)| word.len() > name.len() && word.ends_with(name));
        let (start, energy) = match ending {
            Some((name, _)) => (word.trim_end_matches(name).trim_end_matches("per").to_owned(), Some(*name)),
            None => (word, None),
        };
        if !start.is_empty() && !GASES.contains(&start.as_str()) {
            tokens.push(start);
        }
        tokens.extend(energy.map(str::to_owned));
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_from_headings() {
        for (heading, g_per_kwh) in [
            ("g_per_kwh", 1.0),
            ("Carbon intensity gCO₂eq/kWh (direct)", 1.0),
            ("Actual Carbon Intensity (gCO2/kWh)", 1.0),
            ("carbon_intensity_gCO2_kWh", 1.0),
            ("carbon_intensity_gco2e_kwh", 1.0),
            ("carbon_intensity_kgco2_kwh", 1000.0),
            ("time,carbon kgCO2kWh", 1000.0),
            ("CO2 emission factor (g CO2eq/kWh)", 1.0),
            ("CO2 [kg/MWh]", 1.0),
            ("CO2 (t/MWh)", 1000.0),
            ("carbon_intensity_tonnes_per_mwh", 1000.0),
            ("MOER (lbs CO2/MWh)", 0.453_592_37),
            ("aoer lb/MWh", 0.453_592_37),
            ("grams per kWh", 1.0),
            ("g CO2 / MJ", 3.6),
            ("kg CO2 equivalent per GWh", 1e-3),
        ] {
            let IntensityUnit::PerEnergy(factor) = unit(heading) else { panic!("{heading}: {:?}", unit(heading)) };
            assert!((factor / g_per_kwh - 1.0).abs() < 1e-12, "{heading}: {factor}");
        }
        for heading in ["carbon_intensity", "co2", "CO2Emission", "CARBON_INTENSITY", "actual", "Day-ahead"] {
            assert_eq!(unit(heading), IntensityUnit::Unnamed, "{heading}");
        }
        for heading in ["CO2 emissions (kt)", "co2_kg", "CO2 (t)", "consumption (kWh)", "Price (EUR/MWh)", "load_mwh"] {
            assert_eq!(unit(heading), IntensityUnit::Other, "{heading}");
        }
        // A ton may be a short ton.
        for heading in ["CO2 (oz/kWh)", "carbon_intensity_tons_per_mwh"] {
            assert_eq!(unit(heading), IntensityUnit::Unknown, "{heading}");
        }
    }
}
