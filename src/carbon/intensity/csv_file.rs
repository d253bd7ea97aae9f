//! Figures by the hour from a CSV file: the user's own (`time,g_per_kwh`) or a provider's export, recognised by its
//! headings.

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
use super::{EmissionsBasis, Hourly, Intensity, IntensityKind};
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

/// Largest file, bytes. Five minutes for ten years take 40 MB. NESO's half-hours since 2009 with all kinds of plants
/// take 60 MB.
const MAX_FILE_BYTES: u64 = 128 << 20;
/// Age of a file's last figure that is reported, s. Figures of an hour come one or two hours late.
const STALE_AFTER_S: f64 = 3.0 * 3600.0;

/// The contents of a file.
#[derive(Debug, Default)]
pub struct Contents {
    /// The figures, in order of time.
    pub slots: Vec<IntensitySlot>,
    remarks: Remarks,
}

/// Provenance of the figures, from the remarks and headings of a file.
#[derive(Clone, Debug, Default, PartialEq)]
struct Remarks {
    basis: Option<EmissionsBasis>,
    source: Option<String>,
    zone: Option<String>,
}

/// The contents of a file that was read again.
#[derive(Debug)]
pub struct FileUpdate {
    /// The figures.
    pub slots: Vec<IntensitySlot>,
    /// The provenance of the figures.
    pub about: Intensity,
    /// A warning about a file that has ended.
    pub stale: Option<String>,
    /// True if the file names the run's zone.
    is_known: bool,
}

/// Reads a file of figures for a zone. The second value is true if the file names that zone. Errors: the file cannot be
/// read. A file with faulty contents has no figures yet: it may be in the middle of a write, and it is read again after
/// a change.
pub fn open(path: &Path, zone: Option<&str>) -> Result<(Hourly, bool)> {
    let bytes = bytes(path).map_err(|why| Error::invalid(message(path, &why)))?;
    let mut curve = Curve::default();
    let (about, failure, is_known) = match contents(path, &bytes, zone) {
        Ok(update) => {
            curve.take(update.slots);
            (update.about, update.stale, update.is_known)
        }
        Err(why) => (about(path, zone, Remarks::default()), Some(message(path, &why)), false),
    };
    Ok((Hourly { about, curve, failure }, is_known))
}

/// Reads a file again. Errors: the message for the user.
pub fn reread(path: &Path, zone: Option<&str>) -> std::result::Result<FileUpdate, String> {
    bytes(path).and_then(|bytes| contents(path, &bytes, zone)).map_err(|why| message(path, &why))
}

fn message(path: &Path, why: &str) -> String {
    sanitize::text(format!("intensity='{}': {why}", path.display()))
}

fn contents(path: &Path, bytes: &[u8], zone: Option<&str>) -> std::result::Result<FileUpdate, String> {
    let now = unix_s().0;
    let Contents { slots, remarks } = parse(bytes, zone, now)?;
    let to = slots.iter().map(|slot| slot.to).fold(f64::NEG_INFINITY, f64::max);
    let is_known = remarks.zone.as_deref().zip(zone).is_some_and(|(named, asked)| exports::is_zone(named, asked));
    Ok(FileUpdate { slots, about: about(path, zone, remarks), stale: stale(path, to, now), is_known })
}

/// The provenance of the figures: as the file states it, else the run's zone and the file's name.
fn about(path: &Path, zone: Option<&str>, remarks: Remarks) -> Intensity {
    let Remarks { basis, source, zone: named } = remarks;
    let source = source.unwrap_or_else(|| sanitize::text(path.file_name().unwrap_or_default().to_string_lossy()));
    let other = named.as_deref().zip(zone).filter(|(named, asked)| !exports::is_zone(named, asked));
    let caveat = other.map(|(named, asked)| {
        sanitize::text(format!(
            "intensity='{}' has figures of {named}, not of location={asked}; they are used all the same; check location=",
            path.display()
        ))
    });
    let zone = named.or(zone.map(str::to_owned));
    Intensity {
        g_per_kwh: f64::NAN,
        kind: IntensityKind::File,
        zone,
        year: None,
        basis,
        power_use: None,
        source,
        caveat,
    }
}

/// A warning about a file whose last figure ends at `to`, s since 1970. Its writer may have stopped.
fn stale(path: &Path, to: f64, now: f64) -> Option<String> {
    let end = instant(to).unwrap_or_default();
    let meanwhile = "later hours use its typical day, and after four weeks the yearly average";
    let fix = "use a file with newer figures, or check its writer";
    (to + STALE_AFTER_S < now).then(|| {
        sanitize::text(format!("intensity='{}' ends at {end}, before now: {meanwhile}; {fix}", path.display()))
    })
}

/// A file's identity: its inode, the time of its last write, its length. It differs after a change.
pub type FileStamp = (u64, SystemTime, u64);

/// The stamp of a file now. None: it cannot be read.
pub fn stamp(path: &Path) -> Option<FileStamp> {
    let about = std::fs::metadata(path).ok()?;
    Some((about.ino(), about.modified().ok()?, about.len()))
}

fn bytes(path: &Path) -> std::result::Result<Vec<u8>, String> {
    let message = |error: std::io::Error| format!("{error}; expected a CSV file of time,g_per_kwh");
    // Copies of the file in memory: UTF-16 and Latin-1 are converted to UTF-8.
    const COPIES: u64 = 3;
    let length = std::fs::metadata(path).map_err(message)?.len().min(MAX_FILE_BYTES);
    memory::check((length * COPIES) as usize, "its contents").map_err(|error| error.message)?;
    let bytes = os::text::bytes(path, MAX_FILE_BYTES).map_err(message)?;
    // Memory for a line, bytes: it becomes two rows at most, and each of these a slot and a piece of the curve.
    const LINE_BYTES: usize = 512;
    let lines = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    memory::check(lines * LINE_BYTES, "its rows").map_err(|error| error.message)?;
    Ok(bytes)
}

/// Parses a file. A figure holds until the next time, the last one for as long as the one before. An empty figure is a
/// gap. A row without a kind is a forecast if its time is after `now`, s since 1970. If a file has several zones or
/// regions, only those of `zone` are used.
pub fn parse(bytes: &[u8], zone: Option<&str>, now: f64) -> std::result::Result<Contents, String> {
    let text = encoding::text(bytes)?;
    let mut remarks = Remarks::of(&text)?;
    let layout = Layout::of(&text, Wanted { zone, basis: remarks.basis })?;
    let rows = rows::read(&layout, now)?;
    remarks.complete(&layout);
    Ok(Contents { slots: rows::slots(rows), remarks })
}

impl Remarks {
    /// Parses "# basis: direct", "# source: …", "# zone: …". Other remarks are ignored.
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
                    let basis = value.parse().ok().filter(|basis| layout::BASES.contains(basis)).ok_or_else(|| {
                        format!("line {line}: basis '{}': expected lifecycle or direct", table::shown(value))
                    })?;
                    remarks.basis = Some(basis);
                }
                _ => (),
            }
        }
        Ok(remarks)
    }

    /// Adds what the headings state and no remark does.
    fn complete(&mut self, layout: &Layout) {
        let columns = &layout.columns;
        let zone = layout.zone.as_deref();
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
