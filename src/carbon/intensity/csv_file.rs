//! Figures by the hour from a CSV file: one's own (`time,g_per_kwh`), or a service's export, known by its headings.

mod dates;
mod encoding;
mod exports;
mod figure;
mod headings;
mod hours;
mod layout;
mod local;
mod names;
mod numbers;
mod row;
mod rows;
mod table;
mod times;
mod units;
mod zone_names;

use super::curve::Curve;
use super::slot::IntensitySlot;
use super::{Hourly, Intensity};
use crate::error::{Error, Result};
use crate::os::memory;
use crate::os::{self, unix_s};
use crate::sanitize;
use crate::units::instant;
use headings::Wanted;
use layout::Layout;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;
use table::CsvTable;

/// A file larger than this, bytes, is none of intensities: five minutes for ten years take 40 MB, and NESO's half-hours
/// since 2009 with all kinds of plants 60 MB.
const MOST_BYTES: u64 = 128 << 20;
/// A file that ended so long ago, s, is old: figures of an hour come late by one or two.
const STALE_S: f64 = 3.0 * 3600.0;

/// What a file holds.
#[derive(Debug, Default)]
pub struct Contents {
    slots: Vec<IntensitySlot>,
    remarks: Remarks,
}

/// What a file, by its remarks and headings, states about its figures.
#[derive(Clone, Debug, Default, PartialEq)]
struct Remarks {
    basis: Option<&'static str>,
    source: Option<String>,
    zone: Option<String>,
}

/// What a file that was read again holds.
#[derive(Debug)]
pub struct FileUpdate {
    /// The figures.
    pub slots: Vec<IntensitySlot>,
    /// Whose they are.
    pub about: Intensity,
    /// What to report about old ones.
    pub stale: Option<String>,
    /// Whether the file itself names the run's zone.
    is_known: bool,
}

/// Reads a file of figures for a zone; with it, whether the file itself names that zone. Err: there is no file to read. A
/// file whose contents are wrong has no figures as yet: it may be in the middle of being written, and it is read again once
/// it has changed.
pub fn open(path: &Path, zone: Option<&str>) -> Result<(Hourly, bool)> {
    let bytes = bytes(path).map_err(|why| Error::invalid(told(path, &why)))?;
    let mut curve = Curve::default();
    let (about, failure, is_known) = match contents(path, &bytes, zone) {
        Ok(news) => {
            curve.take(news.slots);
            (news.about, news.stale, news.is_known)
        }
        Err(why) => (about(path, zone, Remarks::default()), Some(told(path, &why)), false),
    };
    Ok((Hourly { about, curve, failure }, is_known))
}

/// A file read again.
pub fn reread(path: &Path, zone: Option<&str>) -> std::result::Result<FileUpdate, String> {
    bytes(path).and_then(|bytes| contents(path, &bytes, zone)).map_err(|why| told(path, &why))
}

fn told(path: &Path, why: &str) -> String {
    sanitize::text(format!("intensity='{}': {why}", path.display()))
}

fn contents(path: &Path, bytes: &[u8], zone: Option<&str>) -> std::result::Result<FileUpdate, String> {
    let now = unix_s().0;
    let Contents { slots, remarks } = parse(bytes, zone, now)?;
    let to = slots.iter().map(|slot| slot.to).fold(f64::NEG_INFINITY, f64::max);
    let is_known = remarks.zone.as_deref().zip(zone).is_some_and(|(said, asked)| exports::is_zone(said, asked));
    Ok(FileUpdate { slots, about: about(path, zone, remarks), stale: stale(path, to, now), is_known })
}

/// Whose the figures are: as the file states it, else the run's zone and the file's name.
fn about(path: &Path, zone: Option<&str>, remarks: Remarks) -> Intensity {
    let Remarks { basis, source, zone: said } = remarks;
    let source = source.unwrap_or_else(|| sanitize::text(path.file_name().unwrap_or_default().to_string_lossy()));
    let other = said.as_deref().zip(zone).filter(|(said, asked)| !exports::is_zone(said, asked));
    let caveat = other.map(|(said, asked)| {
        sanitize::text(format!(
            "intensity='{}' says that it is of {said}, not of location={asked}: it counts all the same",
            path.display()
        ))
    });
    let zone = said.or(zone.map(str::to_owned));
    Intensity { g_per_kwh: f64::NAN, kind: "file", zone, year: None, basis, scope: None, source, caveat }
}

/// What to report about a file whose last figure holds no longer than `to`, s since 1970: its writer may have stopped.
fn stale(path: &Path, to: f64, now: f64) -> Option<String> {
    let end = instant(to).unwrap_or_default();
    let meanwhile = "later hours are priced by its typical day, and from four weeks on by the yearly average";
    let cure = "Cure: a file that goes on, or see whether it is still written";
    (to + STALE_S < now).then(|| {
        sanitize::text(format!("intensity='{}' ends at {end}, before now: {meanwhile}. {cure}", path.display()))
    })
}

/// What tells whether a file has changed: its number, when it was written, its length.
pub type FileStamp = (u64, SystemTime, u64);

/// The stamp a file has now.
pub fn stamp(path: &Path) -> Option<FileStamp> {
    let about = std::fs::metadata(path).ok()?;
    Some((about.ino(), about.modified().ok()?, about.len()))
}

fn bytes(path: &Path) -> std::result::Result<Vec<u8>, String> {
    let told = |error: std::io::Error| format!("{error}; expected a CSV file of time,g_per_kwh");
    // UTF-16 and Latin-1 become UTF-8 beside it.
    const TIMES: u64 = 3;
    let length = std::fs::metadata(path).map_err(told)?.len().min(MOST_BYTES);
    memory::check((length * TIMES) as usize, "its contents").map_err(|error| error.message)?;
    let bytes = os::text::bytes(path, MOST_BYTES).map_err(told)?;
    // A line becomes two rows at most, and each a slot and a piece of the curve.
    const OF_A_LINE: usize = 512;
    let lines = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    memory::check(lines * OF_A_LINE, "its rows").map_err(|error| error.message)?;
    Ok(bytes)
}

/// The figures in a file's bytes. Each holds until the next time there is, the last for as long as the one before. An
/// empty one is a hole. A row without a kind is a forecast if its time is after `now`, s since 1970. Of a file of several
/// zones or regions those of `zone` count.
pub fn parse(bytes: &[u8], zone: Option<&str>, now: f64) -> std::result::Result<Contents, String> {
    let text = encoding::text(bytes)?;
    let mut remarks = Remarks::of(&text)?;
    let layout = Layout::of(&text, Wanted { zone, basis: remarks.basis })?;
    let rows = rows::read(&layout, now)?;
    remarks.complete(&layout);
    Ok(Contents { slots: rows::slots(rows), remarks })
}

impl Remarks {
    /// "# basis: direct", "# source: …", "# zone: …"; other remarks mean nothing here.
    fn of(text: &str) -> std::result::Result<Remarks, String> {
        let mut remarks = Remarks::default();
        for (line, remark) in CsvTable::remarks(text) {
            let Some((name, value)) = remark.split_once(':').map(|(name, value)| (name.trim(), value.trim())) else {
                continue;
            };
            let text = Some(sanitize::text(value)).filter(|value| !value.is_empty());
            match name.to_ascii_lowercase().as_str() {
                "source" => remarks.source = text,
                "zone" => remarks.zone = text,
                "basis" => {
                    let known = ["lifecycle", "direct"].into_iter().find(|basis| basis.eq_ignore_ascii_case(value));
                    let basis = known.ok_or_else(|| {
                        format!("line {line}: basis '{}': expected lifecycle or direct", table::shown(value))
                    })?;
                    remarks.basis = Some(basis);
                }
                _ => (),
            }
        }
        Ok(remarks)
    }

    /// What the headings show, where no remark states it.
    fn complete(&mut self, layout: &Layout) {
        let (columns, zone) = (&layout.columns, layout.zone.as_deref());
        let export = columns.export;
        let basis = columns.figures.first().and_then(|figure| figure.basis);
        self.basis = self.basis.or(basis).or(layout.basis);
        let source = || export.map(|export| export.source.to_owned()).filter(|source| !source.is_empty());
        self.source = self.source.take().or_else(source);
        let of_rows = || zone.map(|zone| sanitize::text(columns.zone_name(zone)));
        let of_export = || export.and_then(|export| export.zone_of(columns.figures.first()?));
        self.zone = self.zone.take().or_else(of_rows).or_else(of_export);
    }
}

#[cfg(test)]
mod tests;
