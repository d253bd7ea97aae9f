//! Grams of CO2e a kilowatt-hour, and where the figure comes from: given by the user, the zone's yearly average in the
//! table built in, or figures by the hour from a file or a live service.

#[cfg(feature = "live")]
pub mod cache;
pub mod carbonintensity_gb;
pub mod cloud;
pub mod curve;
pub mod electricitymaps;
pub mod energidataservice;
pub mod energycharts;
#[cfg(feature = "live")]
pub mod fetcher;
pub mod file;
#[cfg(feature = "live")]
pub mod http;
#[cfg(feature = "live")]
pub mod proxy;
pub mod service;
pub mod slot;
#[cfg(feature = "live")]
pub mod trouble;
pub mod watttime;
pub mod whereabouts;
pub mod zones;

use crate::bill::Pricing;
use crate::calendar::Calendar;
use crate::error::Result;
use crate::options::{IntensityOption, Options};
use curve::Curve;
use service::{Place, Secret, Service};
use std::borrow::Cow;
use std::path::PathBuf;

/// A carbon intensity and its provenance.
#[derive(Clone, Debug, PartialEq)]
pub struct Intensity {
    /// gCO2e/kWh.
    pub g_per_kwh: f64,
    /// "constant" (given by the user), "static" (a year's average), "file" or "live" (by the hour).
    pub kind: &'static str,
    /// The zone it holds for; None where the user gave the figure.
    pub zone: Option<String>,
    /// The year it was measured.
    pub year: Option<u32>,
    /// "lifecycle" (with building the plants and their fuel) or "direct" (what leaves the stack).
    pub basis: Option<&'static str>,
    /// Who says so.
    pub source: String,
    /// What the user should know about the choice.
    pub caveat: Option<String>,
}

impl Intensity {
    /// Whether each hour has a figure of its own.
    pub fn is_by_hour(&self) -> bool {
        ["file", "live"].contains(&self.kind)
    }
}

/// The grid that feeds the run, as far as it is known.
#[derive(Clone, Debug)]
pub struct Grid {
    /// One figure for all time: the user's, or the zone's yearly average, which counts until there are better ones.
    pub flat: Intensity,
    /// Figures by the hour, if they were asked for.
    pub hourly: Option<Hourly>,
}

/// Figures by the hour.
#[derive(Clone, Debug)]
pub struct Hourly {
    /// Whose they are; its figure is not used.
    pub about: Intensity,
    /// The figures.
    pub curve: Curve,
    /// Why there are no newer ones.
    pub failure: Option<String>,
}

impl Grid {
    /// What turns energy into emissions, given the hours and the PUE.
    pub fn pricing<'a>(&'a self, calendar: &'a Calendar, pue: f64) -> Pricing<'a> {
        let curve = self.hourly.as_ref().map(|hourly| &hourly.curve);
        Pricing { flat: self.flat.g_per_kwh, curve, calendar, pue }
    }

    /// What the user should know of the choice.
    pub fn caveats(&self) -> impl Iterator<Item = String> {
        let about = self.hourly.as_ref().map_or(&self.flat, |hourly| &hourly.about);
        about.caveat.iter().cloned()
    }
}

/// What the options ask for.
pub struct Choice {
    /// The grid as far as it is known now.
    pub grid: Grid,
    /// What one kWh more would emit, if that was asked for.
    pub marginal: Option<Hourly>,
    /// What tells more while the run lasts.
    pub feeds: Vec<Feed>,
}

/// What tells more of the grid while a run lasts.
pub enum Feed {
    /// A file, read again when it is another than this.
    File(PathBuf, Option<file::Stamp>),
    /// A live service.
    Service(Box<dyn Service>, Account),
    /// Where this machine is, and then the live service of this name, if one was asked for.
    Place(Seek, Option<String>, Account),
    /// A service of marginal figures.
    Marginal(Box<dyn Service>, Account),
}

/// How a live service is reached.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// The user's key.
    pub key: Option<Secret>,
    /// What stands in for its scheme and host.
    pub url: Option<String>,
}

/// How to find out where this machine is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Seek {
    /// By its public address.
    Address,
    /// By the cloud's own metadata.
    Cloud(cloud::Provider),
}

/// Where the run is, by the options.
enum Location<'a> {
    /// They do not say.
    Unsaid,
    /// A zone, or a cloud region found in the environment.
    Zone(Cow<'a, str>),
    /// To be found out.
    Sought(Seek),
    /// `location=cloud`, but no cloud that is known.
    NoCloud,
}

impl Location<'_> {
    /// `variable` looks one of the environment's up.
    fn of(options: &Options, variable: impl Fn(&str) -> Option<String>) -> Location<'_> {
        let Some(asked) = options.location.as_deref() else { return Location::Unsaid };
        if asked.eq_ignore_ascii_case("ip") {
            return Location::Sought(Seek::Address);
        }
        if !asked.eq_ignore_ascii_case("cloud") {
            return Location::Zone(asked.into());
        }
        let firmware = |name: &str| {
            let path = options.sysroot.join("sys/class/dmi/id").join(name);
            std::fs::read_to_string(path).unwrap_or_default()
        };
        let provider = cloud::Provider::by_firmware(
            &firmware("sys_vendor"),
            &firmware("product_name"),
            &firmware("chassis_asset_tag"),
        );
        match (cloud::by_environment(provider, variable), provider) {
            (Some(region), _) => Location::Zone(region.into()),
            (None, Some(provider)) => Location::Sought(Seek::Cloud(provider)),
            (None, None) => Location::NoCloud,
        }
    }

    fn zone(&self) -> Option<&str> {
        if let Location::Zone(zone) = self { Some(zone) } else { None }
    }
}

/// The grid the options ask for, and what tells more of it. An unknown zone is refused, with those it may have meant.
/// `variable` looks one of the environment's up.
pub fn choose(options: &Options, variable: impl Fn(&str) -> Option<String>) -> Result<Choice> {
    let location = Location::of(options, variable);
    let account = Account { key: options.api_key.clone(), url: options.intensity_url.clone() };
    let (marginal, more) = marginal(options)?.unzip();
    let mut feeds: Vec<Feed> = more.into_iter().flatten().collect();
    let mut hourly = None;
    let mut flat = match &options.intensity {
        Some(IntensityOption::Constant(g_per_kwh)) => {
            let zone = location.zone().map(zones::yearly).transpose()?.and_then(|table| table.zone);
            given(*g_per_kwh, zone)
        }
        Some(IntensityOption::File(path)) => {
            // What is written from here on is news.
            let seen = file::stamp(path);
            hourly = Some(file::open(path, location.zone())?);
            // The host may change its folder while the run lasts.
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            feeds.push(Feed::File(path, seen));
            yearly(&location)?
        }
        Some(IntensityOption::Service(name)) => match (&location, live(name, &location, &account)?) {
            (_, Some(service)) => {
                let flat = zones::yearly(&service.static_zone())?;
                hourly = Some(Hourly::of(service.as_ref()));
                feeds.extend(
                    hourly.as_ref().filter(|hourly| hourly.failure.is_none()).map(|_| Feed::Service(service, account)),
                );
                flat
            }
            (Location::Sought(seek), None) => {
                hourly = Some(Hourly::of_unknown(name));
                feeds.push(Feed::Place(*seek, Some(name.clone()), account));
                yearly(&location)?
            }
            _ => yearly(&location)?,
        },
        None => {
            if let Location::Sought(seek) = location {
                feeds.push(Feed::Place(seek, None, account));
            }
            yearly(&location)?
        }
    };
    if hourly.is_some() && matches!(location, Location::Unsaid) {
        flat.caveat = None; // the file or service knows where it is
    }
    let mut choice = Choice { grid: Grid { flat, hourly }, marginal, feeds };
    choice.without_network();
    Ok(choice)
}

impl Choice {
    /// What the user should know at once.
    pub fn caveats(&self) -> impl Iterator<Item = String> {
        let failures = self.grid.hourly.iter().chain(&self.marginal).filter_map(|hourly| hourly.failure.clone());
        self.grid.caveats().chain(failures)
    }

    /// Where the library was built without the network, nothing live is fed, and that is said.
    fn without_network(&mut self) {
        const WITHOUT: &str = "this library was built without live services (see make LIVE=1): nothing is asked for";
        if cfg!(feature = "live") || self.feeds.iter().all(|feed| matches!(feed, Feed::File(..))) {
            return;
        }
        let is_place_sought = self.feeds.iter().any(|feed| matches!(feed, Feed::Place(..)));
        self.feeds.retain(|feed| matches!(feed, Feed::File(..)));
        let hourly = self.grid.hourly.iter_mut().chain(&mut self.marginal).filter(|hourly| hourly.about.kind == "live");
        hourly.for_each(|hourly| hourly.failure = Some(WITHOUT.into()));
        if is_place_sought && self.grid.hourly.is_none() {
            self.grid.flat.caveat = Some(WITHOUT.into());
        }
    }
}

/// The live service for a place; None: the place is to be found out, or is not known.
fn live(name: &str, location: &Location, account: &Account) -> Result<Option<Box<dyn Service>>> {
    let key = account.key.as_ref().map(|key| key.0.as_str());
    match location {
        Location::Unsaid => service::choose(name, Place::Unsaid, key).map(Some),
        Location::Zone(zone) => service::choose(name, Place::Zone(zone), key).map(Some),
        Location::Sought(_) | Location::NoCloud => Ok(None),
    }
}

/// `marginal=watttime:REGION`.
fn marginal(options: &Options) -> Result<Option<(Hourly, Option<Feed>)>> {
    let Some((name, region)) = &options.marginal else { return Ok(None) };
    let key = options.marginal_key.as_ref().map(|key| key.0.as_str());
    let service = service::choose(name, Place::Zone(region), key)?;
    let hourly = Hourly::of(service.as_ref());
    let account = Account { key: options.marginal_key.clone(), url: options.intensity_url.clone() };
    let feed = hourly.failure.is_none().then(|| Feed::Marginal(service, account));
    Ok(Some((hourly, feed)))
}

/// The yearly average of a place.
fn yearly(location: &Location) -> Result<Intensity> {
    let mut table = zones::yearly(location.zone().unwrap_or("WORLD"))?;
    table.caveat = match location {
        Location::Unsaid => Some(NOWHERE.into()),
        Location::Zone(_) => None,
        Location::Sought(_) => Some(SOUGHT.into()),
        Location::NoCloud => Some(NO_CLOUD.into()),
    };
    Ok(table)
}

const NOWHERE: &str = "no location given: CO2 is priced at the world's average; set location= (DK, US-CA, aws:eu-north-1, …) or intensity=";
const SOUGHT: &str = "where this machine is has yet to be found out: until then CO2 is priced at the world's average";
const NO_CLOUD: &str = "location=cloud: neither the firmware nor the environment names AWS, Google Cloud or Azure, so CO2 is priced at the world's average; set location= to the region, as in aws:eu-north-1";

impl Hourly {
    /// Of a service, with no figures as yet.
    pub fn of(service: &dyn Service) -> Hourly {
        let about =
            Intensity { zone: Some(service.zone()), basis: Some(service.basis()), ..live_one(service.source()) };
        Hourly { about, curve: Curve::default(), failure: service.missing().map(str::to_owned) }
    }

    /// Of a service that is chosen once the place is known.
    fn of_unknown(name: &str) -> Hourly {
        Hourly { about: live_one(name), curve: Curve::default(), failure: None }
    }
}

fn live_one(source: &str) -> Intensity {
    let source = source.to_owned();
    Intensity { g_per_kwh: f64::NAN, kind: "live", zone: None, year: None, basis: None, source, caveat: None }
}

fn given(g_per_kwh: f64, zone: Option<String>) -> Intensity {
    let source = "given by the user".into();
    Intensity { g_per_kwh, kind: "constant", zone, year: None, basis: None, source, caveat: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(text: &str) -> Intensity {
        choose(&Options::parse(text, |_| None).unwrap(), |_| None).unwrap().grid.flat
    }

    #[test]
    fn no_zone_is_the_world_and_says_so() {
        let world = chosen("");
        assert_eq!((world.g_per_kwh, world.zone.as_deref()), (458.29, Some("WORLD")));
        assert!(world.caveat.unwrap().contains("world's average"));
        let given = chosen("intensity=50.5 location=FR");
        assert_eq!((given.g_per_kwh, given.kind, given.zone.as_deref()), (50.5, "constant", Some("FR")));
        assert_eq!(chosen("intensity=50.5").zone, None);
    }

    #[test]
    fn a_cloud_is_known_by_its_firmware_and_its_region_by_the_environment() {
        let sysroot = std::env::temp_dir().join(format!("carbontracker-dmi-{}", std::process::id()));
        let dmi = sysroot.join("sys/class/dmi/id");
        std::fs::create_dir_all(&dmi).unwrap();
        let options = |more: &str| {
            Options::parse(&format!("location=Cloud sysroot='{}' {more}", sysroot.display()), |_| None).unwrap()
        };
        let nowhere = choose(&options(""), |_| None).unwrap();
        assert!(nowhere.feeds.is_empty() && nowhere.grid.flat.caveat.unwrap().contains("set location= to the region"));
        std::fs::write(dmi.join("sys_vendor"), "Amazon EC2\n").unwrap();
        let region = |name: &str| (name == "AWS_REGION").then(|| "eu-north-1".to_owned());
        let known = choose(&options(""), region).unwrap().grid.flat;
        assert_eq!((known.zone.as_deref(), known.caveat), (Some("aws:eu-north-1"), None));
        let asked = choose(&options(""), |_| None).unwrap();
        let is_asked = matches!(asked.feeds[..], [Feed::Place(Seek::Cloud(cloud::Provider::Aws), None, _)]);
        assert_eq!(is_asked, cfg!(feature = "live"));
        assert!(choose(&options("intensity=50"), |_| None).unwrap().feeds.is_empty(), "nothing to ask for");
        std::fs::remove_dir_all(sysroot).unwrap();
    }

    #[test]
    fn live_figures_need_a_place_and_a_key_and_until_then_the_yearly_average_counts() {
        let chosen = |text: &str| choose(&Options::parse(text, |_| None).unwrap(), |_| None).unwrap();
        let gb = chosen("intensity=carbonintensity_gb");
        assert_eq!((gb.grid.flat.zone.as_deref(), gb.grid.flat.caveat), (Some("GB"), None));
        let feeds = |choice: &Choice| choice.feeds.len();
        let all = usize::from(cfg!(feature = "live"));
        assert_eq!(feeds(&chosen("intensity=electricitymaps location=DK-DK1 api_key=k")), all);
        assert_eq!(feeds(&chosen("intensity=energycharts location=ip")), all);
        let keyless = chosen("intensity=electricitymaps location=DK-DK1");
        assert_eq!((feeds(&keyless), keyless.grid.flat.zone.as_deref()), (0, Some("DK")));
        assert!(keyless.caveats().any(|text| text.contains("CARBONTRACKER_API_KEY")) || all == 0);
        let marginal = chosen("intensity=100 marginal=watttime:caiso_north marginal_key=me:word");
        let said = marginal.caveats().filter(|text| text.contains("without live services")).count();
        assert_eq!(said, 1 - all, "once, where nothing can be asked");
        assert_eq!((feeds(&marginal), marginal.marginal.unwrap().about.basis), (all, Some("marginal")));
        let keyless = chosen("intensity=100 marginal=watttime:CAISO_NORTH");
        assert_eq!(feeds(&keyless), 0);
        assert!(keyless.caveats().any(|text| text.contains("marginal_key=")) || all == 0);
        let refused = |text: &str| choose(&Options::parse(text, |_| None).unwrap(), |_| None).err().unwrap().message;
        assert!(refused("marginal=watttime:x").starts_with("marginal='watttime:x': "));
        assert!(refused("marginal=watttime:CAISO_NORTH marginal_key='a\nb'").starts_with("marginal_key='…': "));
    }

    #[test]
    fn an_unknown_zone_is_refused_whatever_the_intensity() {
        let refused =
            choose(&Options::parse("location=Atlantis intensity=5", |_| None).unwrap(), |_| None).err().unwrap();
        assert!(refused.message.contains("location='Atlantis'"));
    }
}
