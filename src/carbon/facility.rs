//! PUE and WUE of a cloud region, for `pue=region` and `wue=region`. Pure.

use super::intensity::zones::RegionFacility;
use crate::sanitize;

/// The rates that the options take from the region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByRegion {
    /// `pue=region`.
    pub pue: bool,
    /// `wue=region`.
    pub wue: bool,
}

/// The location of the run, as far as its data centre matters.
#[derive(Clone, Copy, Debug)]
pub enum FacilityLocation<'a> {
    /// The options give no location.
    NotGiven,
    /// The location in the options, or the one found.
    Named(&'a str),
    /// The look-up has not answered yet.
    LookedUp,
}

/// The rates of the region's data centres that the options ask for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facility {
    asked: ByRegion,
    published: Option<RegionFacility>,
    lacks: Vec<String>,
}

impl Facility {
    /// The rates at this location.
    pub fn new(asked: ByRegion, at: FacilityLocation<'_>) -> Facility {
        let named = if let FacilityLocation::Named(location) = at { RegionFacility::of(location) } else { None };
        let published = named.filter(|_| asked != ByRegion::default());
        let pue = lack("pue", asked.pue, at, published.as_ref(), |published| published.pue);
        let wue = lack("wue", asked.wue, at, published.as_ref(), |published| published.wue);
        Facility { asked, lacks: pue.into_iter().chain(wue).collect(), published }
    }

    /// The rates at the location that a look-up found.
    pub fn found(&self, location: &str) -> Facility {
        Facility::new(self.asked, FacilityLocation::Named(location))
    }

    /// PUE (facility energy over IT energy), and its year.
    pub fn pue(&self) -> Option<(f64, u32)> {
        self.published.as_ref().filter(|_| self.asked.pue)?.pue
    }

    /// WUE (water used on site, L per kWh of IT energy), and its year.
    pub fn wue(&self) -> Option<(f64, u32)> {
        self.published.as_ref().filter(|_| self.asked.wue)?.wue
    }

    /// The region of the rates.
    pub fn region(&self) -> Option<&'static str> {
        Some(self.published.as_ref()?.region)
    }

    /// A message for each rate that was asked for and is unknown: what is missing, what it means, what to do.
    pub fn lacks(&self) -> &[String] {
        &self.lacks
    }
}

fn lack(
    key: &str,
    is_requested: bool,
    at: FacilityLocation<'_>,
    published: Option<&RegionFacility>,
    of: fn(&RegionFacility) -> Option<(f64, u32)>,
) -> Option<String> {
    if !is_requested || published.and_then(of).is_some() {
        return None;
    }
    let why = match (at, published) {
        (_, Some(published)) => format!("no figure is published for {}", published.region),
        (FacilityLocation::NotGiven, None) => "the location is not known".into(),
        (FacilityLocation::Named(location), None) => {
            format!("location={} is not a cloud region", sanitize::text(location))
        }
        (FacilityLocation::LookedUp, None) => "the region is not found yet".into(),
    };
    Some(match key {
        "pue" => format!(
            "pue=region: {why}; PUE is 1.0, without cooling and power conversion; set pue= to the facility's own (the \
             world's data centres had a mean of 1.54 in 2025), or location= to a cloud region"
        ),
        _ => format!(
            "wue=region: {why}; water used on site is unknown; set wue= in L/kWh, or location= to a cloud region"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: ByRegion = ByRegion { pue: true, wue: true };

    #[test]
    fn a_regions_halls_give_both_rates() {
        let ashburn = Facility::new(BOTH, FacilityLocation::Named("us-east-1a"));
        assert_eq!((ashburn.pue(), ashburn.wue()), (Some((1.15, 2024)), Some((0.12, 2024))));
        assert_eq!((ashburn.region(), ashburn.lacks()), (Some("aws:us-east-1"), &[][..]));
        let pue = Facility::new(ByRegion { wue: false, ..BOTH }, FacilityLocation::Named("us-east-1"));
        assert_eq!((pue.pue(), pue.wue()), (Some((1.15, 2024)), None));
    }

    #[test]
    fn missing_rates_are_reported_with_a_fix() {
        let lacks = |at: FacilityLocation| Facility::new(BOTH, at).lacks().join("\n");
        let google = lacks(FacilityLocation::Named("gcp:us-east4"));
        assert!(google.starts_with("wue=region: no figure is published for gcp:us-east4; water"), "{google}");
        let denmark = lacks(FacilityLocation::Named("DK"));
        assert!(denmark.contains("pue=region: location=DK is not a cloud region; PUE is 1.0"), "{denmark}");
        assert!(denmark.contains("set pue=") && denmark.contains("set wue="), "{denmark}");
        assert!(lacks(FacilityLocation::NotGiven).contains("the location is not known"));
        let sought = Facility::new(BOTH, FacilityLocation::LookedUp);
        assert!(sought.lacks()[0].contains("not found yet") && sought.pue().is_none());
        let found = sought.found("azure:eastus");
        assert_eq!((found.pue(), found.lacks().len()), (Some((1.14, 2023)), 0));
        assert_eq!(Facility::new(ByRegion::default(), FacilityLocation::Named("us-east-1")), Facility::default());
    }
}
