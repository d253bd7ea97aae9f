//! What the options ask for: which grid, as far as it is known at once, and what tells more of it while the run lasts.

use super::config::{CarbonConfig, IntensityOption};
use super::facility::{At, Facility};
use super::http::request::Secret;
use super::intensity::{GridIntensity, Hourly, Intensity, csv_file, zones};
use super::location::cloud;
use super::provider::registry;
use super::provider::{Provider, ProviderLocation};
use crate::error::Result;
use crate::os;
use crate::sanitize;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// What the options ask for.
pub struct IntensityChoice {
    /// The grid as far as it is known now.
    pub grid: GridIntensity,
    /// What one kWh more would emit, if that was asked for.
    pub marginal: Option<Hourly>,
    /// What tells more while the run lasts.
    pub feeds: Vec<Feed>,
    /// The rates of the halls it runs in, where they are those of a cloud region.
    pub facility: Facility,
}

/// What tells more of the grid while a run lasts.
pub enum Feed {
    /// A file, read again for this zone when it is another than this.
    File(PathBuf, Option<csv_file::FileStamp>, Option<String>),
    /// A live service.
    Service(Box<dyn Provider>, ApiCredentials),
    /// Where this machine is, and then the live service of this name, if one was asked for.
    Place(Seek, Option<String>, ApiCredentials),
    /// A service of marginal figures.
    Marginal(Box<dyn Provider>, ApiCredentials),
}

/// How a live service is reached.
#[derive(Clone, Debug, Default)]
pub struct ApiCredentials {
    /// The user's key.
    pub key: Option<Secret>,
    /// What stands in for its scheme and host.
    pub url: Option<String>,
}

impl ApiCredentials {
    /// The key, for whoever is to put it into a request.
    pub fn key(&self) -> Option<&str> {
        self.key.as_ref().map(|key| key.0.as_str())
    }
}

/// How to find out where this machine is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Seek {
    /// By its public address.
    Address,
    /// By the cloud's own metadata.
    Cloud(cloud::CloudProvider),
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
    fn of(options: &CarbonConfig, variable: impl Fn(&str) -> Option<String>) -> Location<'_> {
        let Some(asked) = options.location.as_deref() else { return Location::Unsaid };
        if asked.eq_ignore_ascii_case("ip") {
            return Location::Sought(Seek::Address);
        }
        if !asked.eq_ignore_ascii_case("cloud") {
            return Location::Zone(asked.into());
        }
        let firmware = |name: &str| {
            let path = options.sysroot.join("sys/class/dmi/id").join(name);
            os::text::read(&path, os::text::MAX_SYS_BYTES).unwrap_or_default()
        };
        let provider = cloud::CloudProvider::by_firmware(
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

    fn sought(&self) -> Option<Seek> {
        if let Location::Sought(seek) = self { Some(*seek) } else { None }
    }
}

/// Selects the grid and the feeds that update it. An unknown zone is refused, with the zones it may mean. A failure begins
/// with `KEY=` where one option is wrong. `variable` looks up an environment variable.
pub fn choose(options: &CarbonConfig, variable: impl Fn(&str) -> Option<String>) -> Result<IntensityChoice> {
    let location = Location::of(options, variable);
    let account = ApiCredentials { key: options.api_key.clone(), url: options.intensity_url.clone() };
    let mut choice = match &options.intensity {
        Some(IntensityOption::Constant(g_per_kwh)) => constant(*g_per_kwh, &location)?,
        Some(IntensityOption::File(path)) => from_file(path, &location)?,
        Some(IntensityOption::Service(name)) => from_service(name, &location, account)?,
        None => average(&location, account)?,
    };
    choice.add_marginal(options)?;
    choice.without_network();
    choice.facility = Facility::new(options.by_region, choice.at(&location));
    Ok(choice)
}

/// The user's figure.
fn constant(g_per_kwh: f64, location: &Location) -> Result<IntensityChoice> {
    let zone = location.zone().map(zones::yearly).transpose()?.and_then(|table| table.zone);
    let source = "given by the user".into();
    let flat =
        Intensity { g_per_kwh, kind: "constant", zone, year: None, basis: None, scope: None, source, caveat: None };
    Ok(IntensityChoice::of(flat, None, None))
}

/// The yearly average of a place, which may have to be found out.
fn average(location: &Location, account: ApiCredentials) -> Result<IntensityChoice> {
    let feed = location.sought().map(|seek| Feed::Place(seek, None, account));
    Ok(IntensityChoice::of(yearly(location)?, None, feed))
}

fn from_file(path: &Path, location: &Location) -> Result<IntensityChoice> {
    // What is written from here on is news.
    let seen = csv_file::stamp(path);
    let (mut hourly, is_known) = csv_file::open(path, location.zone())?;
    // The host may change its folder while the run lasts.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut flat = match (yearly(location), location.zone()) {
        (Err(_), Some(asked)) if is_known => around(asked, &mut hourly.about)?,
        (flat, _) => flat?,
    };
    if matches!(location, Location::Unsaid) {
        // The file is of some place, and may name it.
        let its_own = hourly.about.zone.as_deref().and_then(|zone| zones::yearly(zone).ok());
        flat = its_own.unwrap_or(Intensity { caveat: None, ..flat });
    }
    let zone = location.zone().map(str::to_owned);
    Ok(IntensityChoice::of(flat, Some(hourly), Some(Feed::File(path, seen, zone))))
}

/// The yearly average around a zone that the file knows and the tables do not, at least by this name: what the file calls
/// it, else its country's, else the world's.
fn around(asked: &str, of_file: &mut Intensity) -> Result<Intensity> {
    let country = |zone: &str| zones::yearly(zone.split_once(['-', '_'])?.0).ok();
    let known = |zone: &str| zones::yearly(zone).ok().or_else(|| country(zone));
    let flat = of_file.zone.as_deref().and_then(known).or_else(|| country(asked));
    let flat = flat.map_or_else(|| zones::yearly("WORLD"), Ok)?;
    let place = flat.zone.as_deref().unwrap_or("WORLD");
    of_file.caveat = Some(sanitize::text(format!(
        "location={asked} is a zone of the file alone: hours without a figure there are priced by the yearly average of {place}"
    )));
    Ok(flat)
}

/// A live service. Where the user does not say where, and it needs to know, the run is measured all the same.
fn from_service(name: &str, location: &Location, account: ApiCredentials) -> Result<IntensityChoice> {
    registry::check_key(name, account.key())?;
    let place = match location {
        Location::Zone(zone) => ProviderLocation::Zone(zone),
        Location::Unsaid => ProviderLocation::Unsaid,
        Location::NoCloud => return average(location, account),
        Location::Sought(seek) => {
            let feed = Feed::Place(*seek, Some(name.to_owned()), account);
            return Ok(IntensityChoice::of(yearly(location)?, Some(Hourly::of_unknown(name)), Some(feed)));
        }
    };
    let service = match (registry::choose(name, place, account.key()), place) {
        (Ok(service), _) => service,
        (Err(error), ProviderLocation::Unsaid) => {
            let flat = Intensity { caveat: None, ..yearly(location)? };
            let hourly = Hourly { failure: Some(error.message), ..Hourly::of_unknown(name) };
            return Ok(IntensityChoice::of(flat, Some(hourly), None));
        }
        (Err(error), _) => return Err(error),
    };
    let hourly = Hourly::of(service.as_ref());
    let flat = zones::yearly(&service.static_zone())?;
    let feed = hourly.failure.is_none().then(|| Feed::Service(service, account));
    Ok(IntensityChoice::of(flat, Some(hourly), feed))
}

impl IntensityChoice {
    fn of(flat: Intensity, hourly: Option<Hourly>, feed: Option<Feed>) -> IntensityChoice {
        IntensityChoice {
            grid: GridIntensity { flat, hourly },
            marginal: None,
            feeds: feed.into_iter().collect(),
            facility: Facility::default(),
        }
    }

    /// Where that is. Only a cloud's metadata finds a region out, and only where it is asked.
    fn at<'a>(&self, location: &'a Location<'_>) -> At<'a> {
        let is_asked = self.feeds.iter().any(|feed| matches!(feed, Feed::Place(Seek::Cloud(_), ..)));
        match location {
            Location::Zone(zone) => At::Named(zone),
            Location::Sought(Seek::Cloud(_)) if is_asked => At::Sought,
            Location::Sought(Seek::Cloud(_)) | Location::NoCloud => At::Named("cloud"),
            Location::Sought(Seek::Address) => At::Named("ip"),
            Location::Unsaid => At::Unsaid,
        }
    }

    /// `marginal=watttime:REGION`.
    fn add_marginal(&mut self, options: &CarbonConfig) -> Result<()> {
        let Some((name, region)) = &options.marginal else { return Ok(()) };
        let account = ApiCredentials { key: options.marginal_key.clone(), url: options.intensity_url.clone() };
        let service = registry::choose(name, ProviderLocation::Zone(region), account.key())?;
        let hourly = Hourly::of(service.as_ref());
        self.feeds.extend(hourly.failure.is_none().then(|| Feed::Marginal(service, account)));
        self.marginal = Some(hourly);
        Ok(())
    }

    /// What the user should know at once.
    pub fn caveats(&self) -> impl Iterator<Item = String> {
        let failures = self.grid.hourly.iter().chain(&self.marginal).filter_map(|hourly| {
            let failure = hourly.failure.as_ref()?;
            let is_broken = hourly.about.kind == "file" && hourly.curve.is_empty();
            let meanwhile = if is_broken { ". Meanwhile CO2 is priced by the yearly average" } else { "" };
            Some(format!("{failure}{meanwhile}"))
        });
        self.grid.caveats().chain(failures).chain(self.facility.lacks().iter().cloned())
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

/// The yearly average of a place.
fn yearly(location: &Location) -> Result<Intensity> {
    let mut table = zones::yearly(location.zone().unwrap_or("WORLD"))?;
    table.caveat = match location {
        Location::Unsaid => Some(NOWHERE.into()),
        Location::Zone(_) => table.caveat,
        Location::Sought(_) => Some(SOUGHT.into()),
        Location::NoCloud => Some(NO_CLOUD.into()),
    };
    Ok(table)
}

const NOWHERE: &str = "no location given: CO2 is priced at the world's average; set location= (DK, US-CA, aws:eu-north-1, …) or intensity=";
const SOUGHT: &str = "where this machine is has yet to be found out: until then CO2 is priced at the world's average";
const NO_CLOUD: &str = "location=cloud: neither the firmware nor the environment names AWS, Google Cloud or Azure, so CO2 is priced at the world's average; set location= to the region, as in aws:eu-north-1";

#[cfg(test)]
mod tests {
    use super::*;

    fn carbon(text: &str) -> CarbonConfig {
        crate::options::Options::parse(text, |_| None).unwrap().carbon
    }

    fn chosen(text: &str) -> Intensity {
        choose(&carbon(text), |_| None).unwrap().grid.flat
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
        let options = |more: &str| carbon(&format!("location=Cloud sysroot='{}' {more}", sysroot.display()));
        let nowhere = choose(&options(""), |_| None).unwrap();
        assert!(nowhere.feeds.is_empty() && nowhere.grid.flat.caveat.unwrap().contains("set location= to the region"));
        std::fs::write(dmi.join("sys_vendor"), "Amazon EC2\n").unwrap();
        let region = |name: &str| (name == "AWS_REGION").then(|| "eu-north-1".to_owned());
        let known = choose(&options(""), region).unwrap().grid.flat;
        assert_eq!((known.zone.as_deref(), known.caveat), (Some("aws:eu-north-1"), None));
        let halls = choose(&options("pue=region"), region).unwrap();
        assert_eq!((halls.facility.pue(), halls.caveats().count()), (Some((1.1, 2024)), 0));
        let sought = choose(&options("pue=region"), |_| None).unwrap();
        let why = if cfg!(feature = "live") { "has yet to be found out" } else { "location=cloud is no cloud region" };
        assert!(sought.caveats().any(|text| text.contains(why)));
        let asked = choose(&options(""), |_| None).unwrap();
        let is_asked = matches!(asked.feeds[..], [Feed::Place(Seek::Cloud(cloud::CloudProvider::Aws), None, _)]);
        assert_eq!(is_asked, cfg!(feature = "live"));
        assert!(choose(&options("intensity=50"), |_| None).unwrap().feeds.is_empty(), "nothing to ask for");
        std::fs::remove_dir_all(sysroot).unwrap();
    }

    #[test]
    fn live_figures_need_a_place_and_a_key_and_until_then_the_yearly_average_counts() {
        let chosen = |text: &str| choose(&carbon(text), |_| None).unwrap();
        let gb = chosen("intensity=carbonintensity_gb");
        assert_eq!((gb.grid.flat.zone.as_deref(), gb.grid.flat.caveat), (Some("GB"), None));
        let feeds = |choice: &IntensityChoice| choice.feeds.len();
        let all = usize::from(cfg!(feature = "live"));
        assert_eq!(feeds(&chosen("intensity=electricitymaps location=DK-DK1 api_key=k")), all);
        assert_eq!(feeds(&chosen("intensity=energycharts location=ip")), all);
        let keyless = chosen("intensity=electricitymaps location=DK-DK1");
        assert_eq!((feeds(&keyless), keyless.grid.flat.zone.as_deref()), (0, Some("DK-DK1")));
        assert!(keyless.caveats().any(|text| text.contains("CARBONTRACKER_API_KEY")) || all == 0);
        let marginal = chosen("intensity=100 marginal=watttime:caiso_north marginal_key=me:word");
        let said = marginal.caveats().filter(|text| text.contains("without live services")).count();
        assert_eq!(said, 1 - all, "once, where nothing can be asked");
        assert_eq!((feeds(&marginal), marginal.marginal.unwrap().about.basis), (all, Some("marginal")));
        let keyless = chosen("intensity=100 marginal=watttime:CAISO_NORTH");
        assert_eq!(feeds(&keyless), 0);
        assert!(keyless.caveats().any(|text| text.contains("marginal_key=")) || all == 0);
        let refused = |text: &str| choose(&carbon(text), |_| None).err().unwrap().message;
        assert!(refused("marginal=watttime:x").starts_with("marginal='watttime:x': "));
        assert!(refused("marginal=watttime:CAISO_NORTH marginal_key='a\nb'").starts_with("marginal_key='…': "));
    }

    #[test]
    fn a_zone_that_only_the_file_knows_is_taken() {
        let path = std::env::temp_dir().join(format!("ct-zones-{}.csv", std::process::id()));
        let regions = "datetime,North Scotland,South Scotland,London,GB\n2026-03-02T12:00Z,10,20,130,150\n";
        let zones = "time (UTC),region,g_per_kwh\n2026-03-02 12:00,NSW1,500\n2026-03-02 12:00,QLD1,700\n";
        let one = "time (UTC),region,g_per_kwh\n2026-03-02 12:00,NSW1,500\n";
        let try_it = |text: &str, zone: &str| {
            std::fs::write(&path, text).unwrap();
            let options = format!("intensity='{}' location='{zone}'", path.display());
            choose(&carbon(&options), |_| None)
        };
        for (text, zone, flat) in [
            (regions, "GB-13", "GB"),
            (regions, "London", "GB"),
            (regions, "gb-13", "GB"),
            (zones, "NSW1", "WORLD"),
            (one, "NSW1", "WORLD"),
            (&one.replace("NSW1", "IT_Z9"), "IT_Z9", "IT"),
            ("# zone: DK-7\ntime,g_per_kwh\n2026-03-02T12:00Z,500\n", "DK-7", "DK"),
        ] {
            let choice = try_it(text, zone).unwrap_or_else(|error| panic!("{zone}: {error:?}"));
            assert_eq!(choice.grid.flat.zone.as_deref(), Some(flat), "{zone}");
            assert!(!choice.grid.hourly.as_ref().unwrap().curve.is_empty(), "{zone}");
            let expected = format!("location={zone} is a zone of the file alone");
            assert!(choice.caveats().any(|text| text.starts_with(&expected)), "{zone}");
        }
        for (text, zone) in [(one, "QLD1"), (zones, "XYZ1"), ("time,g_per_kwh\n2026-03-02T12:00Z,5\n", "NSW1")] {
            let error = try_it(text, zone).err().unwrap_or_else(|| panic!("{zone}"));
            assert!(error.message.contains(&format!("location='{zone}'")), "{error:?}");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_s_own_zone_counts_where_no_location_is_given() {
        let path = std::env::temp_dir().join(format!("ct-own-zone-{}.csv", std::process::id()));
        for (zone, flat) in [("DK-DK1", "DK-DK1"), ("Atlantis", "WORLD")] {
            std::fs::write(&path, format!("# zone: {zone}\ntime,g_per_kwh\n2026-03-02T12:00Z,500\n")).unwrap();
            let options = carbon(&format!("intensity='{}'", path.display()));
            let choice = choose(&options, |_| None).unwrap();
            assert_eq!(choice.grid.flat.zone.as_deref(), Some(flat));
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn an_unknown_zone_is_refused_whatever_the_intensity() {
        let refused = choose(&carbon("location=Atlantis intensity=5"), |_| None).err().unwrap();
        assert!(refused.message.contains("location='Atlantis'"));
    }
}
