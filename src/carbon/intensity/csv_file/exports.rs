//! Recognises a provider's export by its headings, and applies the rules of its format. Pure.

use super::figure::FigureColumn;
use super::names::{Name, squashed};
use super::table::shown;
use crate::carbon::intensity::EmissionsBasis;
use crate::carbon::intensity::zones::{self, Spot};

/// The export format of a provider.
#[derive(Debug)]
pub struct Export {
    /// The data source, for attribution.
    pub source: &'static str,
    /// The zone of all its figures. None: columns or rows name it.
    pub zone: Option<&'static str>,
    /// Prefix of its zone names.
    pub zone_prefix: &'static str,
    /// The basis of its figures, if the headings do not state it.
    pub basis: Option<EmissionsBasis>,
    /// Headings that must all be present, in plain form.
    all: &'static [&'static str],
    /// Headings of which at least one must be present, in plain form. Empty: no condition.
    some: &'static [&'static str],
    /// A text that one heading must contain, in plain form.
    word: &'static str,
    /// Headings of its figures in g/kWh, in plain form.
    figures: &'static [&'static str],
    /// True if the provider documents that times without an offset are in UTC.
    pub is_utc: bool,
    /// Headings of the regions, if each region has a column.
    pub regions: Option<&'static [&'static str]>,
}

const NESO: &str = "National Energy System Operator (NESO)";

/// Regions of Great Britain by their headings at NESO's portal. The position is the region's number in NESO's API, less
/// 1.
const REGIONS: &[&str] = &[
    "North Scotland",
    "South Scotland",
    "North West England",
    "North East England",
    "Yorkshire",
    "North Wales and Merseyside",
    "South Wales",
    "West Midlands",
    "East Midlands",
    "East England",
    "South West England",
    "South England",
    "London",
    "South East England",
    "England",
    "Scotland",
    "Wales",
    "GB",
];

const PLAIN: Export = Export {
    source: "",
    zone: None,
    zone_prefix: "",
    basis: None,
    all: &[],
    some: &[],
    word: "",
    figures: &[],
    is_utc: false,
    regions: None,
};

const EXPORTS: [Export; 11] = [
    // Datetime (UTC),Country,Zone name,Zone id,Carbon intensity gCO₂eq/kWh (direct),… (Life cycle),…; before 2025: Zone
    // Id, (LCA).
    Export { source: "Electricity Maps", all: &["zoneid"], some: &["dataestimated", "datasource", "country"], ..PLAIN },
    // zone,carbonIntensity,datetime,updatedAt,emissionFactorType,isEstimated,estimationMethod: its API's fields, as
    // CSV.
    Export {
        source: "Electricity Maps",
        all: &["zone", "carbonintensity"],
        some: &["isestimated", "estimationmethod", "emissionfactortype"],
        figures: &["carbonintensity"],
        ..PLAIN
    },
    // datetime,timestamp,zone_name,carbon_intensity_avg,carbon_intensity_production_avg,…: its files up to 2021.
    Export {
        source: "Electricity Maps",
        all: &["carbonintensityavg"],
        some: &["zonename", "zonedatetime"],
        basis: Some(EmissionsBasis::Lifecycle),
        figures: &["carbonintensityavg"],
        ..PLAIN
    },
    // Datetime (UTC),Actual Carbon Intensity (gCO2/kWh),Forecast Carbon Intensity (gCO2/kWh),Index:
    // carbonintensity.org.uk.
    Export {
        source: NESO,
        zone: Some("GB"),
        basis: Some(EmissionsBasis::Direct),
        some: &["actualcarbonintensitygco2kwh", "forecastcarbonintensitygco2kwh"],
        ..PLAIN
    },
    // DATETIME,GAS,COAL,…,GENERATION,CARBON_INTENSITY,LOW_CARBON,…: NESO's historic generation mix, in UTC.
    Export {
        source: NESO,
        zone: Some("GB"),
        basis: Some(EmissionsBasis::Direct),
        all: &["datetime", "carbonintensity"],
        some: &["fossil", "windemb", "lowcarbon", "generation"],
        figures: &["carbonintensity"],
        is_utc: true,
        ..PLAIN
    },
    // datetime,North Scotland,South Scotland,…: NESO's regional forecast.
    Export {
        source: NESO,
        basis: Some(EmissionsBasis::Direct),
        all: &["northscotland", "southscotland"],
        regions: Some(REGIONS),
        ..PLAIN
    },
    Export {
        source: NESO,
        basis: Some(EmissionsBasis::Direct),
        all: &["england", "scotland", "wales"],
        regions: Some(REGIONS),
        ..PLAIN
    },
    // from,to,forecast,actual,index and datetime,actual,forecast: its API's fields, as CSV.
    Export {
        source: NESO,
        zone: Some("GB"),
        basis: Some(EmissionsBasis::Direct),
        all: &["forecast"],
        some: &["actual", "index"],
        figures: &["forecast", "actual"],
        ..PLAIN
    },
    Export {
        source: NESO,
        zone: Some("GB"),
        basis: Some(EmissionsBasis::Direct),
        all: &["intensityforecast", "intensityindex"],
        figures: &["intensityforecast", "intensityactual"],
        ..PLAIN
    },
    // Minutes5UTC;Minutes5DK;PriceArea;CO2Emission: Energi Data Service's CO2Emis and CO2EmisProg.
    Export {
        source: "Energinet, Energi Data Service",
        zone_prefix: "DK-",
        basis: Some(EmissionsBasis::Direct),
        all: &["co2emission"],
        some: &["pricearea", "minutes5", "hour"],
        figures: &["co2emission"],
        ..PLAIN
    },
    // Date (GMT+1),CO2 emission factor …, and a second line of headings with the units.
    Export {
        source: "Fraunhofer ISE, Energy-Charts (CC BY 4.0)",
        basis: Some(EmissionsBasis::Lifecycle),
        some: &["dategmt1", "datummez", "datummesz", "dategmt2", "dateutc", "datumutc"],
        word: "co2emission",
        ..PLAIN
    },
];

/// The export that has these headings.
pub fn of(names: &[Name]) -> Option<&'static Export> {
    let is_there = |plain: &str| names.iter().any(|name| name.plain == plain || squashed(&name.heading) == plain);
    EXPORTS.iter().find(|export| {
        let is_one = export.some.is_empty() || export.some.iter().any(|plain| is_there(plain));
        let is_worded = export.word.is_empty() || names.iter().any(|name| name.plain.contains(export.word));
        export.all.iter().all(|plain| is_there(plain)) && is_one && is_worded
    })
}

impl Export {
    /// True if a column holds its figures in g/kWh.
    pub fn is_figure(&self, name: &Name) -> bool {
        self.figures.contains(&name.plain.as_str())
    }

    /// The zone of a column of figures, if the rows do not name it.
    pub fn zone_of(&self, figure: &FigureColumn) -> Option<String> {
        let regions = self.regions.unwrap_or_default();
        match regions.iter().position(|region| squashed(region) == squashed(&figure.name)) {
            Some(number) if number + 1 < regions.len() => Some(format!("GB-{}", number + 1)),
            Some(_) => Some("GB".to_owned()),
            None => self.zone.map(str::to_owned),
        }
    }
}

/// The column of zones: by the headings, the one with the shortest codes.
pub fn zone_column(names: &[Name]) -> Option<usize> {
    #[rustfmt::skip]
    const ZONES: [&str; 21] = [
        "zoneid", "zone", "pricearea", "biddingzone", "mapcode", "areacode", "regioncode", "regionid", "region", "area", "ba",
        "balancingauthority", "respondent", "zonename", "biddingzonename", "areaname", "shortname", "state", "countrycode",
        "country", "countryname",
    ];
    ZONES.iter().find_map(|zone| names.iter().position(|name| name.plain == *zone))
}

/// True if a zone of a file is the zone of the run: "DK1" is DK-DK1, "13" and London are GB-13, UK is GB. A cloud
/// region is the grid that feeds it.
pub fn is_zone(of_file: &str, of_run: &str) -> bool {
    meanings(of_run).iter().any(|run| is_same(of_file, run))
}

/// The names that a run's zone may have in a file, the most certain first: as given, its code, its zone, its grid.
pub fn meanings(of_run: &str) -> Vec<String> {
    let found = zones::find(of_run).ok().filter(|found| found.why.is_empty()).map(|found| found.spot);
    let codes = found.map(|spot| [Some(spot.code()), Some(spot.zone()), spot.grid().map(|grid| grid.cell(0))]);
    let mut meanings = vec![of_run.to_owned()];
    for code in codes.into_iter().flatten().flatten() {
        if meanings.iter().all(|known| known != code) {
            meanings.push(code.to_owned());
        }
    }
    meanings
}

/// True if two names are of one zone.
pub fn is_same(of_file: &str, of_run: &str) -> bool {
    let (file, run) = (plain(of_file), plain(of_run));
    // Two letters are a country: CA is Canada, and not a part of US-CA.
    let is_country = |zone: &str| zone.len() == 2 && zone.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_part = |whole: &str, part: &str| {
        let mut ends = whole.match_indices('-').filter_map(|(dash, _)| whole.get(dash + 1..));
        !is_country(part) && ends.any(|end| end == part)
    };
    file == run || is_part(&file, &run) || is_part(&run, &file) || code(of_file).is_some_and(|code| code == run)
}

/// The code of a zone in capitals.
fn plain(zone: &str) -> String {
    let zone = zone.trim();
    match REGIONS.iter().position(|region| squashed(region) == squashed(zone)) {
        Some(number) if number + 1 < REGIONS.len() => return format!("GB-{}", number + 1),
        _ => (),
    }
    let zone = zone.to_uppercase().replace('_', "-");
    if zone == "UK" { "GB".to_owned() } else { zone }
}

/// The code of a zone whose name a file spells out, such as Denmark.
fn code(of_file: &str) -> Option<&'static str> {
    let found = zones::find(of_file).ok().filter(|found| found.why.is_empty())?;
    (!matches!(found.spot, Spot::Region(_))).then(|| found.spot.code())
}

/// The column of the run's region, in a file with a column for each region. Errors: there is none.
pub fn region(names: &[Name], regions: &[&str], zone: Option<&str>) -> Result<FigureColumn, String> {
    let known = |name: &Name| regions.iter().position(|region| squashed(region) == name.plain);
    let there = names.iter().enumerate().filter_map(|(index, name)| Some((index, name, known(name)? + 1)));
    let wanted = zone.unwrap_or("GB");
    let is_wanted = |name: &Name, number: usize| {
        let is_all = number == regions.len() && is_zone("GB", wanted);
        is_all || is_zone(&format!("GB-{number}"), wanted) || squashed(wanted) == name.plain
    };
    let found = there.clone().find(|(_, name, number)| is_wanted(name, *number));
    let (index, name, _) = found.ok_or_else(|| {
        let list: Vec<String> =
            there.map(|(_, name, number)| format!("GB-{number} ({})", shown(&name.heading))).collect();
        format!(
            "the file has a column for each region, and none for {wanted}; set location= to one of {}",
            list.join(", ")
        )
    })?;
    Ok(FigureColumn::of_region(index, &name.heading))
}
