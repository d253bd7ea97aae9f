//! What the halls of a cloud region take beside the computers in them, for `pue=region` and `wue=region`. Pure.

use super::intensity::zones::Halls;
use crate::sanitize;

/// Which rates are to be those of the region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByRegion {
    /// `pue=region`.
    pub pue: bool,
    /// `wue=region`.
    pub wue: bool,
}

/// Where the run is, as far as halls go.
#[derive(Clone, Copy, Debug)]
pub enum At<'a> {
    /// The options do not say.
    Unsaid,
    /// As the options have it, or as it was found out.
    Named(&'a str),
    /// It has yet to be found out.
    Sought,
}

/// The rates of a run's halls, as far as they are asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facility {
    asked: ByRegion,
    halls: Option<Halls>,
    lacks: Vec<String>,
}

impl Facility {
    /// Of the halls at this place.
    pub fn new(asked: ByRegion, at: At<'_>) -> Facility {
        let named = if let At::Named(place) = at { Halls::of(place) } else { None };
        let halls = named.filter(|_| asked != ByRegion::default());
        let pue = lack("pue", asked.pue, at, halls.as_ref(), |halls| halls.pue);
        let wue = lack("wue", asked.wue, at, halls.as_ref(), |halls| halls.wue);
        Facility { asked, lacks: pue.into_iter().chain(wue).collect(), halls }
    }

    /// The same, once the place is found out.
    pub fn found(&self, place: &str) -> Facility {
        Facility::new(self.asked, At::Named(place))
    }

    /// Facility energy over IT energy, and its year.
    pub fn pue(&self) -> Option<(f64, u32)> {
        self.halls.as_ref().filter(|_| self.asked.pue)?.pue
    }

    /// Litres of water used on site a kWh, and its year.
    pub fn wue(&self) -> Option<(f64, u32)> {
        self.halls.as_ref().filter(|_| self.asked.wue)?.wue
    }

    /// The region that they are of.
    pub fn region(&self) -> Option<&'static str> {
        Some(self.halls.as_ref()?.region)
    }

    /// What was asked for and is not known, and what to do.
    pub fn lacks(&self) -> &[String] {
        &self.lacks
    }
}

fn lack(
    key: &str,
    is_asked: bool,
    at: At<'_>,
    halls: Option<&Halls>,
    of: fn(&Halls) -> Option<(f64, u32)>,
) -> Option<String> {
    if !is_asked || halls.and_then(of).is_some() {
        return None;
    }
    let why = match (at, halls) {
        (_, Some(halls)) => format!("no figure is published for {}", halls.region),
        (At::Unsaid, None) => "the location is not known".into(),
        (At::Named(place), None) => format!("location={} is no cloud region", sanitize::text(place)),
        (At::Sought, None) => "the region has yet to be found out".into(),
    };
    Some(match key {
        "pue" => format!(
            "pue=region: {why}, so PUE is 1.0, which leaves out cooling and conversion; set pue= to the facility's own (the \
             mean of the world's data centres was 1.54 in 2025), or location= to a cloud region"
        ),
        _ => format!(
            "wue=region: {why}, so water used on site is not known; set wue= in L/kWh, or location= to a cloud region"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: ByRegion = ByRegion { pue: true, wue: true };

    #[test]
    fn a_regions_halls_give_both_rates() {
        let ashburn = Facility::new(BOTH, At::Named("us-east-1a"));
        assert_eq!((ashburn.pue(), ashburn.wue()), (Some((1.15, 2024)), Some((0.12, 2024))));
        assert_eq!((ashburn.region(), ashburn.lacks()), (Some("aws:us-east-1"), &[][..]));
        let pue = Facility::new(ByRegion { wue: false, ..BOTH }, At::Named("us-east-1"));
        assert_eq!((pue.pue(), pue.wue()), (Some((1.15, 2024)), None));
    }

    #[test]
    fn what_is_not_published_or_not_known_is_said_with_what_to_do() {
        let lacks = |at: At| Facility::new(BOTH, at).lacks().join("\n");
        let google = lacks(At::Named("gcp:us-east4"));
        assert!(google.starts_with("wue=region: no figure is published for gcp:us-east4, so water"), "{google}");
        let denmark = lacks(At::Named("DK"));
        assert!(denmark.contains("pue=region: location=DK is no cloud region, so PUE is 1.0"), "{denmark}");
        assert!(denmark.contains("set pue=") && denmark.contains("set wue="), "{denmark}");
        assert!(lacks(At::Unsaid).contains("the location is not known"));
        let sought = Facility::new(BOTH, At::Sought);
        assert!(sought.lacks()[0].contains("yet to be found out") && sought.pue().is_none());
        let found = sought.found("azure:eastus");
        assert_eq!((found.pue(), found.lacks().len()), (Some((1.14, 2023)), 0));
        assert_eq!(Facility::new(ByRegion::default(), At::Named("us-east-1")), Facility::default());
    }
}
