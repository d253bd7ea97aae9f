//! Text and environment variables become the configuration of each stage.
//!
//! In: the option string (`epochs=10 location=DK`), the `CARBONTRACKER_*` variables and the configuration files. Out:
//! [`Options`], with one configuration for each stage. Never: it opens no device, no file of a run and no connection.

mod carbon;
pub mod config_file;
mod devices;
pub mod environment;
mod files;
mod key;
mod run;
mod syntax;
mod value;
mod working_folder;

pub use config_file::ConfigFiles;
pub use key::OptionKey;

use crate::carbon::config::{CarbonConfig, WhatIfOption};
use crate::carbon::intensity::zones;
use crate::carbon::select::IntensityChoice;
use crate::error::{Error, Result};
use crate::measurement::channel::DeviceKind;
use crate::measurement::config::MeasurementConfig;
use crate::measurement::gpu_selection::Gpus;
use crate::run_files::config::RunFilesConfig;
use crate::run_files::state_folder;
use crate::sanitize;
use crate::state::config::AlertConfig;
use std::ffi::OsString;
use std::time::Duration;
use working_folder::WorkingFolder;

/// The options of one run, checked.
#[derive(Clone)]
pub struct Options {
    /// Epochs planned; 0: unknown, and there is no forecast.
    pub epochs: u64,
    /// Time between two background samples.
    pub interval: Duration,
    /// Number of epochs to measure; None: all.
    pub monitor_epochs: Option<u64>,
    /// The job whose processes count each device once, as the user names it; `off`: this process shares no device.
    pub job: Option<String>,
    /// Devices and where to find them.
    pub measurement: MeasurementConfig,
    /// Carbon intensity and the rates of the facility.
    pub carbon: CarbonConfig,
    /// The run's label and its files.
    pub files: RunFilesConfig,
    /// Forecast message and budgets.
    pub alerts: AlertConfig,
    /// The configuration files, with messages on what has no effect.
    pub config: ConfigFiles,
    /// The keys whose values came from a file or the environment, each with the place: file and line, or variable.
    set_as: Vec<(&'static str, String)>,
    folder: WorkingFolder,
}

/// The keys, stage by stage, each with a heading.
pub const TABLES: [(&str, &[OptionKey]); 4] =
    [("Run and budgets", run::KEYS), ("Devices", devices::KEYS), ("Carbon", carbon::KEYS), ("Files", files::KEYS)];

fn table() -> impl Iterator<Item = &'static OptionKey> {
    TABLES.into_iter().flat_map(|(_, keys)| keys)
}

/// The options' names.
pub fn keys() -> impl Iterator<Item = &'static str> {
    table().map(|key| key.name)
}

impl Options {
    /// Reads the configuration files, then the environment, then the text; the last value of a key counts.
    /// `environment` looks up a variable.
    pub fn load(text: &str, environment: impl Fn(&str) -> Option<OsString>) -> Result<Options> {
        let paths = ConfigFiles::paths(&environment, WorkingFolder::current().folder());
        Options::parse_over(&ConfigFiles::read(&paths), text, environment)
    }

    /// Reads the environment, then the text; the text overrides the environment. It reads no file. `environment` looks
    /// up a variable.
    pub fn parse(text: &str, environment: impl Fn(&str) -> Option<OsString>) -> Result<Options> {
        Options::parse_over(&ConfigFiles::default(), text, environment)
    }

    /// Takes what the configuration files set, then the environment, then the text; the last value of a key counts.
    pub fn parse_over(
        files: &ConfigFiles,
        text: &str,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Options> {
        let mut options = Options::unset(WorkingFolder::current());
        options.files.state_folder = state_folder::path(&environment);
        let pairs = syntax::pairs(text)?;
        let is_in_text = |key: &str| pairs.iter().any(|(name, _)| name == key);
        options =
            options.with_files(files, |key| !is_in_text(key) && environment(&environment::variable_of(key)).is_none());
        for key in table().filter(|key| !is_in_text(key.name)) {
            let variable = environment::variable_of(key.name);
            if let Some(value) = environment(&variable).filter(|value| !value.is_empty()) {
                let value = value.to_str().ok_or_else(|| Error::invalid(format!("{variable}: not valid UTF-8")))?;
                key.put(&mut options, &variable, value)?;
                options.set_as.push((key.name, variable));
            }
        }
        let mut previous_key = "";
        for (name, value) in &pairs {
            let key = table().find(|key| key.name == name).ok_or_else(|| key::unknown(name, previous_key))?;
            key.put(&mut options, key.name, value)?;
            previous_key = key.name;
        }
        options.folder.check()?;
        options.select_gpus(&environment)?;
        options.check_zones()?;
        Ok(options)
    }

    /// Sets the options of the files that nothing overrides. A value that is not allowed is left out, with a message.
    fn with_files(mut self, files: &ConfigFiles, counts: impl Fn(&str) -> bool) -> Options {
        self.config = ConfigFiles { lines: Vec::new(), ..files.clone() };
        for line in files.lines.iter().filter(|line| counts(&line.key)) {
            let Some(key) = table().find(|key| key.name == line.key) else { continue };
            let place = format!("{}: {}", line.place, key.name);
            let mut changed = self.clone();
            changed.set_as.retain(|(name, _)| *name != key.name);
            let put = key.put(&mut changed, key.name, &line.value);
            match put.and_then(|()| changed.check_zones()) {
                Ok(()) => {
                    changed.set_as.push((key.name, place));
                    self = changed;
                }
                Err(error) => self.config.messages.push(config_file::left_out(&line.place, &error.message)),
            }
        }
        self
    }

    /// Whether a configuration file sets an option that neither the environment nor the text sets.
    pub fn is_set_by_file(&self, key: &str) -> bool {
        self.set_as.iter().any(|(name, place)| *name == key && *place != environment::variable_of(key))
    }

    fn unset(folder: WorkingFolder) -> Options {
        Options {
            epochs: 0,
            interval: Duration::from_secs(1),
            monitor_epochs: None,
            job: None,
            measurement: MeasurementConfig::default(),
            carbon: CarbonConfig::default(),
            files: RunFilesConfig::default(),
            alerts: AlertConfig::default(),
            config: ConfigFiles::default(),
            set_as: Vec::new(),
            folder,
        }
    }

    /// Selects the GPUs by `devices` and the environment, if real GPUs are measured.
    fn select_gpus(&mut self, environment: &impl Fn(&str) -> Option<OsString>) -> Result<()> {
        if self.measurement.components.contains(&DeviceKind::Gpu) && self.measurement.sim_gpu.is_none() {
            let text = |name: &str| environment(name).map(|value| value.to_string_lossy().into_owned());
            self.measurement.gpus = Gpus::new(&self.name_as_set("devices"), &self.measurement.devices, &text)?;
        }
        Ok(())
    }

    /// Refuses unknown zones in `what_if`.
    fn check_zones(&self) -> Result<()> {
        let WhatIfOption::Zones(zones) = &self.carbon.what_if else { return Ok(()) };
        let name = self.name_as_set("what_if");
        zones.iter().try_for_each(|zone| zones::locate(&name, zone).map(drop))
    }

    /// The name that the user set an option by: its key, its variable, or its key with the file and line.
    fn name_as_set(&self, key: &str) -> String {
        self.set_as.iter().find(|(name, _)| *name == key).map_or(key.to_owned(), |(_, place)| place.clone())
    }

    /// Replaces the key in a text that begins with `KEY=` by the name that the user set the option by.
    pub fn text_as_set(&self, text: String) -> String {
        match text.split_once('=') {
            Some((key, rest)) => format!("{}={rest}", self.name_as_set(key)),
            None => text,
        }
    }

    /// Names the options in the failures of an intensity choice as the user set them.
    pub fn choice_as_set(&self, choice: Result<IntensityChoice>) -> Result<IntensityChoice> {
        let mut choice =
            choice.map_err(|error| Error { message: self.text_as_set(error.message), status: error.status })?;
        if let Some(failure) = choice.grid.hourly.as_mut().and_then(|hourly| hourly.failure.as_mut()) {
            *failure = sanitize::text(self.text_as_set(std::mem::take(failure)));
        }
        Ok(choice)
    }
}

#[cfg(test)]
mod tests;
