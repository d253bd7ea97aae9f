//! The country of a zone, for formats that name countries by ISO 3166.

use super::names::find;
use super::tables::{ZONES, row};

/// The country of a zone, and the zone's part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneCountry {
    /// The country's common name.
    pub name: &'static str,
    /// Its code in ISO 3166-1 alpha-3.
    pub alpha3: &'static str,
    /// The name of the part. None: the zone is the whole country.
    pub part: Option<&'static str>,
}

/// The country of a zone, a state or a cloud region. None: no table has the name, or it is no part of one country.
pub fn country(zone: &str) -> Option<ZoneCountry> {
    let spot = find(zone).ok()?.spot;
    let country = row(ZONES, spot.zone().split('-').next()?)?;
    let alpha3 = Some(country.cell(1)).filter(|code| code.len() == 3)?;
    let part = Some(spot.name()).filter(|_| spot.code() != country.cell(0));
    Some(ZoneCountry { name: country.cell(2), alpha3, part })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn country_of_a_zone_has_its_iso_code() {
        let of = |zone: &str| country(zone).map(|found| (found.name, found.alpha3, found.part.is_some()));
        assert_eq!(of("DK"), Some(("Denmark", "DNK", false)));
        assert_eq!(of("dk"), of("DK"));
        assert_eq!(of("CN-YN"), Some(("China", "CHN", true)));
        assert_eq!(of("US-CA"), Some(("United States", "USA", true)));
        assert_eq!(of("aws:eu-west-1").map(|(_, code, _)| code), Some("IRL"));
        assert_eq!(["WORLD", "", "XX", "no such place"].map(of), [None; 4]);
    }
}
