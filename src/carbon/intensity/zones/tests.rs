use super::tables::{GRIDS, NAMES};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn code(asked: &str) -> &'static str {
    find(asked).unwrap_or_else(|why| panic!("{asked}: {why:?}")).spot.code()
}

fn refused(asked: &str) -> String {
    yearly(asked).unwrap_err().message
}

#[test]
fn zones_are_found_by_each_code_in_any_case() {
    for (zone, g_per_kwh) in [
        ("DK", 114.41),
        ("dnk", 114.41),
        ("us-ca", 208.0),
        ("NO-NO1", 24.0),
        ("world", 458.29),
        ("WORLD", 458.29),
        ("au-tas", 69.0),
        ("us_cal_ciso", 208.0),
        ("XK", 605.0),
    ] {
        let found = yearly(zone).unwrap();
        assert!((found.g_per_kwh - g_per_kwh).abs() < 0.5, "{found:?}");
        assert!(found.year.is_some() && found.basis.is_some() && found.source.len() > 10 && found.caveat.is_none());
        assert!([Some(PowerUse::Production), Some(PowerUse::Consumption)].contains(&found.power_use), "{found:?}");
    }
}

#[test]
fn parts_of_countries_use_consumption_figures() {
    for zone in
        ["US-CA", "US-VT", "CA-ON", "SE-SE4", "DK-DK1", "IT-SAR", "JP-KN", "aws:us-east-1", "azure:uksouth", "CN-BJ"]
    {
        assert_eq!(yearly(zone).unwrap().power_use, Some(PowerUse::Consumption), "{zone}");
    }
    for zone in ["US-CA", "CA-ON", "DK-DK1", "aws:us-east-1", "azure:uksouth", "scaleway:it-mil", "ovh:gra"] {
        assert_eq!(yearly(zone).unwrap().basis, Some(EmissionsBasis::Lifecycle), "{zone}");
    }
    assert_eq!(yearly("DK").unwrap().power_use, Some(PowerUse::Production));
}

#[test]
fn a_state_on_several_grids_names_them() {
    let illinois = yearly("US-IL").unwrap();
    assert_eq!((illinois.g_per_kwh, illinois.zone.as_deref()), (418.0, Some("US-IL")));
    assert!(illinois.source.ends_with("(US-MIDA-PJM)"), "{}", illinois.source);
    let caveat = illinois.caveat.unwrap();
    assert!(caveat.contains("US-MIDA-PJM (418 g/kWh)") && caveat.contains("US-MIDW-MISO (501 g/kWh)"), "{caveat}");
    assert_eq!(yearly("US-NJ").unwrap().caveat, None);
}

#[test]
fn grid_has_one_figure_for_all_providers() {
    let mut grids: Vec<(&str, Option<EmissionsBasis>, f64, String)> = Vec::new();
    for region in rows(REGIONS).map(|row| row.cell(0)) {
        let location = locate("location", region).unwrap();
        let Some(grid) = location.grid else { continue };
        let figure = location.yearly.g_per_kwh;
        // One figure of a kind: on a lifecycle basis, or Google's of direct emissions.
        match grids.iter().find(|(one, basis, ..)| (*one, *basis) == (grid, location.yearly.basis)) {
            Some((.., known, first)) => assert_eq!(figure, *known, "{region} and {first} on {grid}"),
            None => grids.push((grid, location.yearly.basis, figure, region.to_owned())),
        }
        assert!(location.by(Some(EmissionsBasis::Lifecycle), Some(PowerUse::Consumption)).is_some(), "{region}");
    }
    let figure = |region: &str| {
        locate("what_if", region)
            .unwrap()
            .by(Some(EmissionsBasis::Lifecycle), Some(PowerUse::Consumption))
            .unwrap()
            .g_per_kwh
    };
    assert_eq!([figure("aws:us-east-1"), figure("azure:eastus"), figure("gcp:us-east4")], [396.25; 3]);
}

#[test]
fn provider_s_own_figure_states_its_basis() {
    let google = yearly("GCP:us-east4").unwrap();
    assert_eq!((google.g_per_kwh, google.year), (323.05, Some(2024)));
    assert_eq!((google.basis, google.power_use), (Some(EmissionsBasis::Direct), Some(PowerUse::Consumption)));
    assert!(google.source.contains("Google") && google.source.contains("Ashburn"), "{}", google.source);
    let caveat = google.caveat.unwrap();
    assert!(
        caveat.contains("direct emissions (323.05 g/kWh)") && caveat.contains("US-MIDA-PJM, has 396.25"),
        "{caveat}"
    );
    let stockholm = yearly("aws:eu-north-1").unwrap();
    assert_eq!((stockholm.zone.as_deref(), stockholm.caveat), (Some("aws:eu-north-1"), None));
    assert!(stockholm.g_per_kwh < 60.0 && stockholm.source.contains("(SE, for Stockholm)"), "{}", stockholm.source);
    // The source's table has the region on another grid than the provider.
    assert!(yearly("azure:westus").unwrap().caveat.unwrap().contains("location=US-CAL-CISO"));
}

#[test]
fn common_names_are_found() {
    for (asked, expected) in [
        // Availability zones, and regions without their provider.
        ("aws:us-east-1a", "aws:us-east-1"),
        ("gcp:us-central1-a", "gcp:us-central1"),
        ("azure:eastus-1", "azure:eastus"),
        ("fr-par-1", "scaleway:fr-par"),
        ("scaleway:pl-waw-3", "scaleway:pl-waw"),
        ("us-east-1", "aws:us-east-1"),
        ("US-EAST-1B", "aws:us-east-1"),
        ("eastus", "azure:eastus"),
        ("East US 2", "azure:eastus2"),
        ("us-central1", "gcp:us-central1"),
        ("us-east1", "gcp:us-east1"),
        ("GRA11", "ovh:gra"),
        ("ovh:BHS5", "ovh:bhs"),
        ("eu-west-par-b", "ovh:eu-west-par"),
        ("it-mil", "scaleway:it-mil"),
        ("gcp:us-east2", "gcp:us-east2"),
        ("gcp:us-central2", "gcp:us-central2"),
        ("aws:ap-southeast-6", "aws:ap-southeast-6"),
        ("eusc-de-east-1", "aws:eusc-de-east-1"),
        // Electricity Maps' zones.
        ("US-CAL-CISO", "US-CAL-CISO"),
        ("DK-DK1", "DK-DK1"),
        ("AU-NSW", "AU-NSW"),
        ("IT-NO", "IT-NO"),
        ("de-lu", "DE"),
        ("ES-CN-TE", "ES-CN-TE"),
        // Countries and grids by their names.
        ("Denmark", "DK"),
        ("united kingdom", "GB"),
        ("Great Britain", "GB"),
        ("UK", "GB"),
        ("England", "GB"),
        ("EL", "GR"),
        ("USA", "US"),
        ("United States of America", "US"),
        ("Türkiye", "TR"),
        ("turkey", "TR"),
        ("Côte d’Ivoire", "CI"),
        ("South Korea", "KR"),
        ("Bosnia & Herzegovina", "BA"),
        ("Québec", "CA-QC"),
        ("quebec", "CA-QC"),
        ("California", "US-CA"),
        ("New South Wales", "AU-NSW"),
        ("ERCOT", "US-TEX-ERCO"),
        ("CAISO", "US-CAL-CISO"),
        ("PJM", "US-MIDA-PJM"),
        ("Tokyo", "JP-TK"),
        ("Kosovo", "XK"),
        ("XKX", "XK"),
        ("XK", "XK"),
        ("CF", "CF"),
        ("CAF", "CF"),
        ("AX", "AX"),
        // Bidding zones.
        ("NO1", "NO-NO1"),
        ("DK1", "DK-DK1"),
        ("SE3", "SE-SE3"),
        ("IT-NORD", "IT-NO"),
        ("SEM", "IE"),
    ] {
        assert_eq!(code(asked), expected, "{asked}");
        assert_eq!(code(&asked.to_uppercase()), expected, "{asked}");
        assert!(yearly(asked).unwrap().g_per_kwh > 0.0);
    }
}

#[test]
fn country_without_a_figure_uses_its_neighbour_with_a_caveat() {
    for (asked, neighbour) in [
        ("LI", "CH"),
        ("LIE", "CH"),
        ("Andorra", "ES"),
        ("SM", "IT"),
        ("VA", "IT"),
        ("MC", "FR"),
        ("JE", "FR"),
        ("GG", "FR"),
        ("isle of man", "GB"),
    ] {
        let found = yearly(asked).unwrap();
        assert_eq!(found.zone.as_deref(), Some(neighbour), "{asked}");
        assert!(
            found.caveat.unwrap().starts_with(&format!("location={asked} uses the figure of {neighbour} (")),
            "{asked}"
        );
    }
}

#[test]
fn unknown_zones_are_refused_with_similar_ones() {
    assert!(refused("Denmrk").contains("DK (Denmark)"));
    assert!(refused("US-CAL").contains("US-CA (California)"));
    assert!(refused("aws:eu-nort-1").contains("aws:eu-north-1"));
    assert!(refused("us-east-9").contains("similar are aws:us-east-1 (Ashburn)"), "{}", refused("us-east-9"));
    assert!(refused("NO9").contains("NO-NO1"), "{}", refused("NO9"));
    assert!(refused("Frankfurt").contains("(Frankfurt)"));
    for asked in ["", " ", "-", "Atlantis", "us-west-2-lax-1a", "XX", "XYZ", "DK3", "aws:", ":", "aws:us-east"] {
        assert!(refused(asked).contains("no such zone; similar are"), "{asked}");
    }
}

#[test]
fn name_of_two_places_is_refused_with_both() {
    let both = refused("georgia");
    assert!(both.contains("is ambiguous: GE (Georgia) and US-GA (Georgia); set one of their codes"), "{both}");
}

#[test]
fn place_in_no_table_is_refused_with_the_reason() {
    for asked in ["EU", "European Union", "SJ", "Tokelau", "AQ"] {
        let why = refused(asked);
        assert!(why.contains("the tables have no figure for this place") && why.contains("intensity="), "{why}");
    }
}

#[test]
fn refusal_names_its_own_option() {
    assert_eq!(locate("what_if", "se").unwrap().name, "Sweden");
    assert_eq!(locate("what_if", "aws:eu-north-1").unwrap().name, "Stockholm");
    let refused = locate("what_if", "Denmrk").unwrap_err().message;
    assert!(refused.starts_with("what_if='Denmrk'") && refused.contains("DK (Denmark)"), "{refused}");
    assert!(!refused.contains("intensity="), "{refused}");
}

#[test]
fn facility_rates_are_those_of_a_region() {
    let halls = RegionFacility::of("us-east-1").unwrap();
    assert_eq!((halls.region, halls.pue, halls.wue), ("aws:us-east-1", Some((1.15, 2024)), Some((0.12, 2024))));
    let google = RegionFacility::of("gcp:us-east4").unwrap();
    assert_eq!((google.pue, google.wue), (Some((1.09, 2024)), None));
    assert_eq!([RegionFacility::of("DK"), RegionFacility::of("Atlantis")], [None, None]);
}

/// Each table is sorted by a unique key, and its rows have all their cells.
#[test]
fn tables_are_complete() {
    for (table, cells, least) in
        [(ZONES, 8, 240), (GRIDS, 3, 350), (STATES, 3, 48), (REGIONS, 10, 180), (CLOUD_GRIDS, 3, 30), (NAMES, 3, 120)]
    {
        let all: Vec<TableRow> = rows(table).collect();
        assert!(all.len() >= least, "{} rows", all.len());
        for row in &all {
            assert_eq!((0..cells).map(|n| row.cell(n)).collect::<Vec<_>>().join(","), row.cell_all(), "{row:?}");
        }
        let keys: Vec<&str> = all.iter().map(|row| row.cell(0)).collect();
        assert!(table == NAMES || keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
    }
    assert!(rows(ZONES).all(|row| of_zone(row).is_some_and(|zone| is_sound(&zone))));
    assert!(rows(GRIDS).all(|row| of_grid(row).is_some_and(|zone| is_sound(&zone))));
    assert!(rows(CLOUD_GRIDS).all(|row| of_cloud_grid(row).is_some() && code(row.cell(0)) == row.cell(0)));
    for region in rows(REGIONS) {
        assert!(
            is_sound(&yearly(region.cell(0)).unwrap())
                && row(GRIDS, region.cell(2)).or(row(ZONES, region.cell(2))).is_some()
        );
        let RegionFacility { pue, wue, .. } = RegionFacility::of(region.cell(0)).unwrap();
        assert!(pue.is_none_or(|(pue, year)| (1.0..2.0).contains(&pue) && year > 2020), "{region:?}");
        assert!(wue.is_none_or(|(wue, year)| (0.0..5.0).contains(&wue) && year > 2020), "{region:?}");
    }
    for state in rows(STATES) {
        assert!(state.cell(2).split(' ').all(|zone| row(GRIDS, zone).is_some()), "{state:?}");
    }
}

fn is_sound(zone: &Intensity) -> bool {
    let is_kind = [Some(EmissionsBasis::Lifecycle), Some(EmissionsBasis::Direct)].contains(&zone.basis)
        && [Some(PowerUse::Production), Some(PowerUse::Consumption)].contains(&zone.power_use);
    is_kind && (0.0..1500.0).contains(&zone.g_per_kwh) && zone.year.is_some_and(|year| (2020..2030).contains(&year))
}

/// Each code and each name leads to one row, and that row's code leads to it again.
#[test]
fn codes_and_names_lead_to_rows_with_a_figure() {
    let mut names = BTreeSet::new();
    for (table, columns) in [(ZONES, [0, 1, 2]), (GRIDS, [0, 1, 1]), (STATES, [0, 1, 1]), (REGIONS, [0, 0, 0])] {
        names
            .extend(rows(table).flat_map(|row| columns.map(|column| row.cell(column))).filter(|name| !name.is_empty()));
    }
    for row in rows(NAMES) {
        assert!(row.cell(1).is_empty() || find(row.cell(1)).is_ok_and(|found| found.why.is_empty()), "{row:?}");
        names.extend(row.cell(0).split('|').filter(|_| !row.cell(1).is_empty()));
    }
    for name in names.iter().filter(|name| **name != "Georgia") {
        let found = find(name).unwrap_or_else(|why| panic!("{name}: {why:?}"));
        assert!(is_sound(&yearly(name).unwrap()), "{name}");
        assert_eq!(code(found.spot.code()), found.spot.code(), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_text_has_a_figure_or_is_refused(text in ".{0,40}") {
        match locate("location", &text) {
            Ok(found) => prop_assert!(found.yearly.g_per_kwh > 0.0),
            Err(refused) => prop_assert!(refused.message.starts_with("location='")),
        }
    }

    #[test]
    fn case_changes_nothing(text in "[a-zA-Z]{2}(-[a-zA-Z0-9]{1,4}){0,3}|(aws|GCP|Azure):[a-z]{2}-[a-z]{4}-?[0-9][a-c]?|[a-zA-Z ]{4,12}") {
        let means = |text: &str| find(text).map(|found| found.spot);
        prop_assert_eq!(means(&text), means(&text.to_uppercase()));
        prop_assert_eq!(means(&text), means(&text.to_lowercase()));
    }
}
