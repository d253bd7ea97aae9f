//! The options by name: one table says each key's name, what it may be and where it goes.

pub mod environment;

use crate::carbon::facility::ByRegion;
use crate::carbon::http::request::Secret;
use crate::carbon::impacts::{Price, Rates};
use crate::carbon::intensity::slot::MAX_G_PER_KWH;
use crate::carbon::intensity::zones;
use crate::carbon::provider::registry;

use crate::error::{Error, Result, Status};
use crate::measurement::channel::DeviceKind;
use crate::measurement::gpu_selection::Gpus;
use crate::sanitize;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What the host asked for, checked.
#[derive(Clone)]
pub struct Options {
    /// Epochs planned; 0 = unknown, so no forecast.
    pub epochs: u64,
    /// Which kinds of component to measure.
    pub components: Vec<DeviceKind>,
    /// Time between background samples.
    pub interval: Duration,
    /// Which GPUs, as written.
    pub devices: String,
    /// Which GPUs, by it and the environment; all where none is measured.
    pub gpus: Gpus,
    /// Zone whose grid feeds the run.
    pub location: Option<String>,
    /// Where the carbon intensity comes from, if not from the zone.
    pub intensity: Option<IntensityOption>,
    /// Key for a live intensity service.
    pub api_key: Option<Secret>,
    /// What stands in for the scheme and host of live services.
    pub intensity_url: Option<String>,
    /// A service of marginal figures, and its region.
    pub marginal: Option<(String, String)>,
    /// Account for it.
    pub marginal_key: Option<Secret>,
    /// Facility energy over IT energy; until the region's is known where that is asked for.
    pub pue: f64,
    /// Which rates are those of the cloud region.
    pub by_region: ByRegion,
    /// The run's label.
    pub name: Option<String>,
    /// Folder for the run's files.
    pub log_dir: Option<PathBuf>,
    /// How the names of the run's files begin.
    pub log_prefix: Option<String>,
    /// Journal of the run to continue, or a folder of them.
    pub resume: Option<PathBuf>,
    /// Prometheus' text file.
    pub prometheus: Option<PathBuf>,
    /// Epochs before the first forecast message.
    pub forecast_after: u64,
    /// Stop measuring after so many epochs.
    pub monitor_epochs: Option<u64>,
    /// Coverage of the forecast interval.
    pub level: f64,
    /// Budget of facility energy, kWh.
    pub budget_kwh: Option<f64>,
    /// Budget of emissions, grams of CO2e.
    pub budget_g: Option<f64>,
    /// Budget of time, hours.
    pub budget_h: Option<f64>,
    /// Where else the run is thought to be.
    pub what_if: WhatIfOption,
    /// What the run costs beside its emissions.
    pub rates: Rates,
    /// A simulated CPU in place of the real ones.
    pub sim_cpu: Option<SimulatedDevice>,
    /// A simulated GPU in place of the real ones.
    pub sim_gpu: Option<SimulatedDevice>,
    /// Where /sys and /proc live.
    pub sysroot: PathBuf,
    /// Which NVML library to load.
    pub nvml: Option<String>,
    /// The job whose processes count each device once, as the user names it.
    pub job: Option<String>,
    /// The keys whose values came from the environment.
    pub by_variable: Vec<&'static str>,
    /// Where relative paths start.
    pub folder: Folder,
}

/// `intensity`: a figure, or a source of figures by hour.
#[derive(Clone, Debug, PartialEq)]
pub enum IntensityOption {
    /// gCO2e/kWh, all the time.
    Constant(f64),
    /// A CSV file.
    File(PathBuf),
    /// A live service, by its name.
    Service(String),
}

/// `what_if`: other places for the same run.
#[derive(Clone, Debug, PartialEq)]
pub enum WhatIfOption {
    /// Nothing is thought of.
    Off,
    /// The run's own zone and a few that differ widely.
    Usual,
    /// These zones.
    Zones(Vec<String>),
}

/// `sim_cpu`, `sim_gpu`: a device of constant power.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulatedDevice {
    /// What the report calls it.
    pub name: String,
    /// Full power, W.
    pub watts: f64,
    /// Share of it in use, 0 to 1.
    pub utilisation: f64,
}

/// The folder that relative paths start from: the application may change it later.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    here: Option<PathBuf>,
    /// Why it is not known,
    why: String,
    /// though a path needs it.
    is_missed: bool,
}

impl Folder {
    fn here() -> Folder {
        let here = std::env::current_dir();
        let why = here.as_ref().err().map(ToString::to_string).unwrap_or_default();
        Folder { here: here.ok(), why, is_missed: false }
    }

    /// A path from the root on. A slash at its end stays: it names a folder.
    fn path(&mut self, value: &str) -> Option<PathBuf> {
        let path = PathBuf::from(some_text(value)?);
        self.is_missed |= path.is_relative() && self.here.is_none();
        let whole = self.here.iter().next().map_or(path.clone(), |here| here.join(&path));
        let whole = std::path::absolute(&whole).unwrap_or(whole);
        Some(if value.ends_with('/') { whole.join("") } else { whole })
    }

    fn check(&self) -> Result<()> {
        if !self.is_missed {
            return Ok(());
        }
        let words = format!("the working directory is unknown ({}): give paths from the root on (/…)", self.why);
        Err(Error::new(Status::CT_EIO, words))
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            epochs: 0,
            components: DeviceKind::ALL.to_vec(),
            interval: Duration::from_secs(1),
            devices: "visible".into(),
            gpus: Gpus::default(),
            location: None,
            intensity: None,
            api_key: None,
            intensity_url: None,
            marginal: None,
            marginal_key: None,
            pue: 1.0,
            by_region: ByRegion::default(),
            name: None,
            log_dir: None,
            log_prefix: None,
            resume: None,
            prometheus: None,
            forecast_after: 1,
            monitor_epochs: None,
            level: 0.9,
            budget_kwh: None,
            budget_g: None,
            budget_h: None,
            what_if: WhatIfOption::Usual,
            rates: Rates::default(),
            sim_cpu: None,
            sim_gpu: None,
            sysroot: "/".into(),
            nvml: None,
            job: None,
            by_variable: Vec::new(),
            folder: Folder::default(),
        }
    }
}

/// One key: its name, what its value may be, and where it goes (None: not an allowed value).
struct Key {
    name: &'static str,
    allowed: &'static str,
    set: fn(&mut Options, &str) -> Option<()>,
}

#[rustfmt::skip]
const KEYS: &[Key] = &[
    Key { name: "epochs", allowed: "a whole number of epochs, 0 = unknown", set: |o, v| put(&mut o.epochs, whole(v)) },
    Key { name: "components", allowed: "all, or some of cpu, gpu, dram, node with commas between", set: |o, v| put(&mut o.components, kinds(v)) },
    Key { name: "interval", allowed: "seconds from 0.001 to 3600", set: |o, v| put(&mut o.interval, number(v, 0.001, 3600.0).map(Duration::from_secs_f64)) },
    Key { name: "devices", allowed: "visible, all, process, or a list of GPUs", set: |o, v| put(&mut o.devices, some_text(v)) },
    Key { name: "location", allowed: "a zone such as DK, Denmark, US-CA, NO-NO1, aws:eu-north-1 or WORLD; or ip, or cloud, to find it out", set: |o, v| put_some(&mut o.location, some_text(v)) },
    Key {
        name: "intensity",
        allowed: "gCO2e/kWh from 0 to 10000, a CSV file (its name ends in .csv or holds a /), or electricitymaps, carbonintensity_gb, energidataservice, energycharts",
        set: |o, v| put_some(&mut o.intensity, intensity(v, &mut o.folder)),
    },
    Key { name: "api_key", allowed: "the live service's key", set: |o, v| put_some(&mut o.api_key, secret(v)) },
    Key { name: "intensity_url", allowed: "https://HOST[:PORT][/PATH] of a mirror of the live services, or http:// of this machine; no name or password in it", set: |o, v| put_some(&mut o.intensity_url, url(v)) },
    Key { name: "marginal", allowed: "watttime:REGION, such as watttime:CAISO_NORTH", set: |o, v| put_some(&mut o.marginal, marginal(v)) },
    Key { name: "marginal_key", allowed: "USER:PASSWORD of that service", set: |o, v| put_some(&mut o.marginal_key, secret(v)) },
    Key { name: "pue", allowed: "facility energy over IT energy, from 1 to 10, or region for what the cloud region's provider publishes", set: |o, v| put(&mut o.pue, by_region(v, &mut o.by_region.pue, |v| number(v, 1.0, 10.0)).map(|pue| pue.unwrap_or(1.0))) },
    Key { name: "name", allowed: "a label", set: |o, v| put_some(&mut o.name, some_text(v).map(sanitize::text)) },
    Key { name: "log_dir", allowed: "a folder", set: |o, v| put_some(&mut o.log_dir, o.folder.path(v)) },
    Key { name: "log_prefix", allowed: "how file names begin", set: |o, v| put_some(&mut o.log_prefix, some_text(v)) },
    Key { name: "resume", allowed: "a journal (NAME.jsonl), or a folder of them", set: |o, v| put_some(&mut o.resume, o.folder.path(v)) },
    Key { name: "prometheus", allowed: "a file (NAME.prom), or a folder for it", set: |o, v| put_some(&mut o.prometheus, o.folder.path(v)) },
    Key { name: "forecast_after", allowed: "a whole number of epochs, 1 or more", set: |o, v| put(&mut o.forecast_after, positive(v)) },
    Key {
        name: "monitor_epochs",
        allowed: "all, or a whole number of epochs, 1 or more",
        set: |o, v| put(&mut o.monitor_epochs, if v == "all" { Some(None) } else { positive(v).map(Some) }),
    },
    Key { name: "level", allowed: "a share from 0.5 to 0.999", set: |o, v| put(&mut o.level, number(v, 0.5, 0.999)) },
    Key { name: "budget_kwh", allowed: "kWh above 0", set: |o, v| put_some(&mut o.budget_kwh, number(v, f64::MIN_POSITIVE, f64::MAX)) },
    Key { name: "budget_g", allowed: "grams of CO2e above 0", set: |o, v| put_some(&mut o.budget_g, number(v, f64::MIN_POSITIVE, f64::MAX)) },
    Key { name: "budget_h", allowed: "hours above 0", set: |o, v| put_some(&mut o.budget_h, number(v, f64::MIN_POSITIVE, f64::MAX)) },
    Key { name: "what_if", allowed: "off, or zones as location takes them, with commas between", set: |o, v| put(&mut o.what_if, what_if(v)) },
    Key { name: "price", allowed: "the price of a kWh from 0 to 1000000, such as 0.32EUR", set: |o, v| put_some(&mut o.rates.price, Price::parse(v)) },
    Key { name: "wue", allowed: "litres per kWh on site, from 0 to 1000, or region for what the cloud region's provider publishes", set: |o, v| put(&mut o.rates.wue, by_region(v, &mut o.by_region.wue, |v| number(v, 0.0, 1000.0))) },
    Key { name: "wue_grid", allowed: "litres per kWh at the power plants, from 0 to 1000", set: |o, v| put_some(&mut o.rates.wue_grid, number(v, 0.0, 1000.0)) },
    Key { name: "embodied_kg", allowed: "kg of CO2e from 0 to 1000000000", set: |o, v| put_some(&mut o.rates.embodied_kg, number(v, 0.0, 1e9)) },
    Key { name: "life_years", allowed: "years from 0.1 to 50", set: |o, v| put(&mut o.rates.life_years, number(v, 0.1, 50.0)) },
    Key {
        name: "sim_cpu",
        allowed: "NAME:WATTS or NAME:WATTS:UTIL, watts from 0 to 100000, util from 0 to 1",
        set: |o, v| put_some(&mut o.sim_cpu, simulated(v)),
    },
    Key {
        name: "sim_gpu",
        allowed: "NAME:WATTS or NAME:WATTS:UTIL, watts from 0 to 100000, util from 0 to 1",
        set: |o, v| put_some(&mut o.sim_gpu, simulated(v)),
    },
    Key { name: "sysroot", allowed: "the folder that holds sys and proc", set: |o, v| put(&mut o.sysroot, o.folder.path(v)) },
    Key { name: "job", allowed: "off, or a name that the ranks of one job share", set: |o, v| put_some(&mut o.job, some_text(v)) },
    Key { name: "nvml", allowed: "the NVML library's path", set: |o, v| put_some(&mut o.nvml, library(v, &mut o.folder)) },
];

/// The options' names.
pub fn keys() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.name)
}

impl Options {
    /// Takes the environment first and the string over it. `environment` looks a variable up.
    pub fn parse(text: &str, environment: impl Fn(&str) -> Option<OsString>) -> Result<Options> {
        let mut options = Options { folder: Folder::here(), ..Options::default() };
        let pairs = pairs(text)?;
        for key in KEYS.iter().filter(|key| !pairs.iter().any(|(name, _)| name == key.name)) {
            let variable = environment::variable_of(key.name);
            if let Some(value) = environment(&variable).filter(|value| !value.is_empty()) {
                let value = value.to_str().ok_or_else(|| Error::invalid(format!("{variable}: not valid UTF-8")))?;
                key.put(&mut options, &variable, value)?;
                options.by_variable.push(key.name);
            }
        }
        let mut before = "";
        for (name, value) in &pairs {
            let key = KEYS.iter().find(|key| key.name == name).ok_or_else(|| unknown_key(name, before))?;
            key.put(&mut options, key.name, value)?;
            before = key.name;
        }
        options.folder.check()?;
        if options.components.contains(&DeviceKind::Gpu) && options.sim_gpu.is_none() {
            let text = |name: &str| environment(name).map(|value| value.to_string_lossy().into_owned());
            options.gpus = Gpus::new(&options.called("devices"), &options.devices, &text)?;
        }
        if let WhatIfOption::Zones(asked) = &options.what_if {
            let what_if = options.called("what_if");
            asked.iter().try_for_each(|zone| zones::place(&what_if, zone).map(drop))?;
        }
        Ok(options)
    }

    /// The name by which the user set an option: its key, or its variable.
    pub fn called(&self, key: &str) -> String {
        if self.by_variable.contains(&key) { environment::variable_of(key) } else { key.to_owned() }
    }

    /// A text that begins with `key=`, with the name by which the user set that key.
    pub fn as_called(&self, text: String) -> String {
        match text.split_once('=') {
            Some((key, rest)) if self.by_variable.contains(&key) => format!("{}={rest}", self.called(key)),
            _ => text,
        }
    }

    /// A failure whose words begin with `key=`, with the name by which the user set that key.
    pub fn blame(&self, error: Error) -> Error {
        Error { message: self.as_called(error.message), ..error }
    }
}

impl Key {
    /// `called` is the name by which the user set it.
    fn put(&self, options: &mut Options, called: &str, value: &str) -> Result<()> {
        let shown = if is_secret(self.name) || holds_password(value) { "…" } else { value };
        (self.set)(options, value)
            .ok_or_else(|| Error::invalid(format!("{called}='{shown}': expected {}", self.allowed)))
    }
}

/// Whether an option's value is shown nowhere.
fn is_secret(name: &str) -> bool {
    name.ends_with("_key")
}

/// Whether a value has the form of an address with a password in it: https://USER:PASSWORD@HOST.
fn holds_password(value: &str) -> bool {
    value.split_once("//").is_some_and(|(_, rest)| rest.contains('@'))
}

/// What stands where an option's name should, as an error may show it: it may be the rest of a key that holds a space, or
/// hang together with one, as in api_key:… .
fn shown(name: &str, before: &str) -> String {
    if is_secret(before) {
        return "…".into();
    }
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match name.find(|c| !is_of_name(c)) {
        Some(end) if name.len() > end + 1 => format!("{}…", name.get(..=end).unwrap_or_default()),
        _ => name.to_owned(),
    }
}

fn unknown_key(name: &str, before: &str) -> Error {
    let hint = match environment::nearest(name, keys()) {
        Some(key) => format!("did you mean {key}? "),
        None => String::new(),
    };
    let name = if hint.is_empty() { shown(name, before) } else { name.to_owned() };
    let known: Vec<&str> = keys().collect();
    Error::invalid(format!("unknown option '{name}': {hint}Options are {}", known.join(", ")))
}

/// White space as C's isspace has it.
fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}

/// Splits `key=value key='two words'` as libpq's conninfo does: white space between, and allowed
/// around `=`; `\'` and `\\` inside values.
fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let stop = rest.find(|c: char| c == '=' || is_space(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(stop);
        let Some(after) = after.trim_start_matches(is_space).strip_prefix('=').filter(|_| !name.is_empty()) else {
            let before = pairs.last().map_or("", |(before, _): &(String, String)| before);
            let name = shown(name, before);
            return Err(Error::invalid(format!(
                "options: '{name}' has no value; write key=value with white space between pairs, and 'single quotes' around a value that holds some"
            )));
        };
        let (value, after) = take_value(after.trim_start_matches(is_space)).ok_or_else(|| {
            Error::invalid(format!("{name}: the single quote is not closed, or text follows it directly"))
        })?;
        pairs.push((name.to_owned(), value));
        rest = after.trim_start_matches(is_space);
    }
    Ok(pairs)
}

/// One value and what follows it; None where a quote stays open or runs into more text.
fn take_value(text: &str) -> Option<(String, &str)> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => {
                let after = text.get(at + 1..)?;
                return (after.is_empty() || after.starts_with(is_space)).then_some((value, after));
            }
            c if !quoted && is_space(c) => return Some((value, text.get(at..)?)),
            c => value.push(c),
        }
    }
    (!quoted).then_some((value, ""))
}

fn put<T>(slot: &mut T, value: Option<T>) -> Option<()> {
    *slot = value?;
    Some(())
}

fn put_some<T>(slot: &mut Option<T>, value: Option<T>) -> Option<()> {
    put(slot, value.map(Some))
}

fn some_text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

/// A library's path from the root on, or its name.
fn library(value: &str, folder: &mut Folder) -> Option<String> {
    if value.contains('/') { folder.path(value)?.into_os_string().into_string().ok() } else { some_text(value) }
}

fn whole(value: &str) -> Option<u64> {
    value.parse().ok()
}

fn positive(value: &str) -> Option<u64> {
    whole(value).filter(|&n| n > 0)
}

fn number(value: &str, low: f64, high: f64) -> Option<f64> {
    value.parse().ok().filter(|x| (low..=high).contains(x))
}

/// A number, or none where it is to be the region's, which is noted.
fn by_region(value: &str, is_asked: &mut bool, number: impl Fn(&str) -> Option<f64>) -> Option<Option<f64>> {
    *is_asked = value == "region";
    if *is_asked { Some(None) } else { number(value).map(Some) }
}

fn kinds(value: &str) -> Option<Vec<DeviceKind>> {
    if value == "all" {
        return Some(DeviceKind::ALL.to_vec());
    }
    value
        .split(',')
        .map(|name| DeviceKind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name.trim())))
        .collect()
}

fn intensity(value: &str, folder: &mut Folder) -> Option<IntensityOption> {
    match value.parse::<f64>() {
        Ok(_) => number(value, 0.0, MAX_G_PER_KWH).map(IntensityOption::Constant),
        Err(_) if registry::NAMES.contains(&value) => Some(IntensityOption::Service(value.to_owned())),
        Err(_) if value.contains('/') || is_table(value) => folder.path(value).map(IntensityOption::File),
        Err(_) => None,
    }
}

/// Whether a name is one of a table's file.
fn is_table(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| ["csv", "tsv", "txt", "json"].contains(&ending.as_str()))
}

fn secret(value: &str) -> Option<Secret> {
    some_text(value).map(Secret)
}

fn url(value: &str) -> Option<String> {
    let rest = ["https://", "http://"].iter().find_map(|scheme| value.strip_prefix(scheme))?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    some_text(value).filter(|_| !host.is_empty() && !host.contains('@'))
}

fn marginal(value: &str) -> Option<(String, String)> {
    let (name, region) = value.split_once(':')?;
    (name == registry::MARGINAL && !region.is_empty()).then(|| (name.to_owned(), region.to_owned()))
}

fn what_if(value: &str) -> Option<WhatIfOption> {
    if value == "off" {
        return Some(WhatIfOption::Off);
    }
    value.split(',').map(|zone| some_text(zone.trim())).collect::<Option<_>>().map(WhatIfOption::Zones)
}

/// `NAME:WATTS[:UTIL]`, read from the right: a name may hold colons.
fn simulated(value: &str) -> Option<SimulatedDevice> {
    let (front, last) = value.rsplit_once(':')?;
    let (name, watts, utilisation) = match front.rsplit_once(':') {
        Some((name, watts)) if watts.parse::<f64>().is_ok() => (name, watts, last),
        _ => (front, last, "1"),
    };
    Some(SimulatedDevice {
        name: some_text(name)?,
        watts: number(watts, 0.0, 100_000.0)?,
        utilisation: number(utilisation, 0.0, 1.0)?,
    })
}

#[cfg(test)]
mod tests;
