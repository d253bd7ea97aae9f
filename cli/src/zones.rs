//! The zones that `location=` accepts, with their yearly averages.

use crate::console::{Done, print};
use crate::wrap;
use carbontracker::carbon::intensity::zones::{self, ListedZone};
use serde_json::{Value, json};

const HELP: &str = "\
Each line has the code for location=, the yearly average in grams of CO2e for each kWh, its year, its basis, its use and
the name. Basis: lifecycle counts building the plants and their fuel, direct only the plants in operation. Use:
production is what the zone's plants make, consumption what the zone uses after trade. The report names the source.

  carbontracker zones denmark
  carbontracker zones aws:
  carbontracker zones --json | jq '.zones[] | select(.g_per_kwh < 50) | .zone'

Exit status: 0 done, 1 no zone has the word, 2 wrong arguments.";

/// List the zones of location=: g/kWh, year, basis, name
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub struct ZonesArgs {
    /// Only zones whose code or name has this word
    word: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl ZonesArgs {
    /// Prints the zones.
    pub fn call(self) -> Done {
        let word = self.word.unwrap_or_default();
        let found = having(&word);
        if found.is_empty() {
            // The refusal names similar zones.
            return Err(zones::yearly(&word).err().map_or_else(
                || format!("no zone has the word '{word}'; 'carbontracker zones' lists all"),
                |refusal| {
                    refusal.message.replace("location='", "zone '").replace("; or set intensity= in gCO2e/kWh", "")
                },
            ));
        }
        print(&if self.json { format!("{:#}\n", as_json(&found)) } else { as_text(&found, wrap::columns()) })
    }
}

/// The zones whose code or name has a word; else the one that the word is another name of.
fn having(word: &str) -> Vec<ListedZone> {
    let lower = word.to_lowercase();
    let has_word = |zone: &ListedZone| [zone.code, zone.name].iter().any(|text| text.to_lowercase().contains(&lower));
    let found: Vec<ListedZone> = zones::all().filter(has_word).collect();
    if !found.is_empty() {
        return found;
    }
    let code = zones::find(word).map(|found| found.spot.code()).unwrap_or_default();
    zones::all().filter(|zone| zone.code == code).collect()
}

fn as_json(found: &[ListedZone]) -> Value {
    let row = |zone: &ListedZone| {
        json!({
            "zone": zone.code,
            "name": zone.name,
            "g_per_kwh": zone.yearly.g_per_kwh,
            "year": zone.yearly.year,
            "basis": zone.yearly.basis.map(|basis| basis.as_str()),
            "use": zone.yearly.power_use.map(|power_use| power_use.as_str()),
            "source": zone.yearly.source,
        })
    };
    json!({"schema": 1, "zones": found.iter().map(row).collect::<Value>()})
}

fn as_text(found: &[ListedZone], most: usize) -> String {
    let code_columns = found.iter().map(|zone| zone.code.len()).max().unwrap_or(0).max("zone".len());
    let head =
        format!("{:<code_columns$}  {:>5}  {:<4}  {:<9}  {:<11}  name\n", "zone", "g/kWh", "year", "basis", "use");
    let row = |zone: &ListedZone| {
        let year = zone.yearly.year.map(|year| year.to_string()).unwrap_or_default();
        let basis = zone.yearly.basis.map_or("", |basis| basis.as_str());
        let power_use = zone.yearly.power_use.map_or("", |power_use| power_use.as_str());
        let start = format!(
            "{:<code_columns$}  {:>5.0}  {year:<4}  {basis:<9}  {power_use:<11}  ",
            zone.code, zone.yearly.g_per_kwh
        );
        wrap::filled(&format!("{start}{}", zone.name), most, start.len().min(most / 2)) + "\n"
    };
    head + &found.iter().map(row).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_found_by_code_name_and_other_name() {
        let codes = |word: &str| having(word).iter().map(|zone| zone.code).collect::<Vec<_>>();
        assert!(codes("denm").contains(&"DK") && codes("US-CAL-CISO").contains(&"US-CAL-CISO"));
        assert!(codes("aws:").len() > 20 && codes("aws:").iter().all(|code| code.starts_with("aws:")));
        assert_eq!(codes("DNK"), ["DK"], "by its code of three letters");
        assert!(codes("no such zone").is_empty());
        let all = codes("");
        assert!(all.len() > 600 && ["DK", "US-CA", "NO-NO1", "WORLD"].iter().all(|code| all.contains(code)));
    }

    #[test]
    fn zones_have_units_and_fit() {
        let text = as_text(&having("denmark"), 80);
        assert!(text.starts_with("zone") && text.contains("g/kWh") && text.contains("lifecycle"), "{text}");
        let json = as_json(&having("WORLD"));
        assert_eq!((&json["schema"], &json["zones"][0]["zone"]), (&json!(1), &json!("WORLD")));
        assert!(json["zones"][0]["g_per_kwh"].as_f64().is_some_and(|figure| figure > 300.0), "{json}");
    }
}
