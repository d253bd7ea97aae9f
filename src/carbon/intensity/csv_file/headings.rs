//! Assigns the columns of a file by their headings. Pure.

use super::exports::{self, Export};
use super::figure::FigureColumn;
use super::hours;
use super::names::{Name, TimeZone};
use super::table::shown;
use super::times;
use super::units::IntensityUnit;
use crate::carbon::intensity::EmissionsBasis;
use crate::carbon::intensity::slot::IntensityQuality;

/// The example that messages give.
pub const EXAMPLE: &str = "expected headings such as time,g_per_kwh above rows such as 2026-03-02T13:00Z,123.4";

/// The columns of a file.
#[derive(Clone, Debug)]
pub struct CsvColumns {
    /// The line of the headings. 0: there are none.
    pub line: u64,
    /// The number of columns.
    pub count: usize,
    /// The start of a row's interval.
    pub time: TimeColumn,
    /// The end of a row's interval.
    pub end: Option<usize>,
    /// The figures: two columns, if the file has actual figures and forecasts.
    pub figures: Vec<FigureColumn>,
    /// The quality of each row: `actual`, `estimated` or `forecast`.
    pub kind: Option<usize>,
    /// A flag in each row: the provider has estimated the figure.
    pub estimated: Option<usize>,
    /// The zone of each row.
    pub zone: Option<usize>,
    /// The basis of each row: `lifecycle` or `direct`.
    pub basis: Option<usize>,
    /// The headings. In concatenated files they also occur between rows.
    pub headings: Vec<String>,
    /// The provider's export, if the headings show it.
    pub export: Option<&'static Export>,
}

/// The columns of a row's time.
#[derive(Clone, Debug)]
pub struct TimeColumn {
    /// The column of the time or date.
    pub index: usize,
    /// The column of the time of day, if it is separate.
    pub hours: Option<usize>,
    /// The clock that the heading names.
    pub zone: TimeZone,
    /// The heading.
    pub name: String,
    /// True if it is the end of a row's hour.
    pub is_hour_end: bool,
}

/// What the caller needs from a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// The zone of the run.
    pub zone: Option<&'a str>,
    /// The basis. None: lifecycle, if the file has both.
    pub basis: Option<EmissionsBasis>,
}

impl CsvColumns {
    /// The columns of a file without headings: time, g/kWh, and optionally the quality.
    pub fn without_headings() -> CsvColumns {
        let time =
            TimeColumn { index: 0, hours: None, zone: TimeZone::NotGiven, name: String::new(), is_hour_end: false };
        let figures = vec![FigureColumn { has_unit: false, ..FigureColumn::plain(1, "") }];
        let headings = Vec::new();
        CsvColumns {
            line: 0,
            count: 3,
            time,
            end: None,
            figures,
            kind: Some(2),
            estimated: None,
            zone: None,
            basis: None,
            headings,
            export: None,
        }
    }

    /// The columns that a row of headings names, given the first row below it. None: the row is not headings of such a
    /// file. Errors: it is, but the file cannot be used.
    pub fn of(headings: &[String], below: &[String], wanted: Wanted) -> Result<Option<CsvColumns>, String> {
        let names: Vec<Name> = headings.iter().map(|heading| Name::of(heading)).collect();
        let Some(mut time) = time(&names, below) else { return Ok(None) };
        let export = exports::of(&names);
        if time.zone == TimeZone::NotGiven && export.is_some_and(|export| export.is_utc) {
            time.zone = TimeZone::Utc;
        }
        let figures = match export.and_then(|export| export.regions) {
            Some(regions) => vec![exports::region(&names, regions, wanted.zone)?],
            None => figures(&names, export, wanted)?,
        };
        if figures.is_empty() {
            return Ok(None);
        }
        let index = |is: fn(&Name) -> bool| names.iter().position(is);
        Ok(Some(CsvColumns {
            line: 0,
            count: headings.len(),
            end: end(&names, &time),
            time,
            figures,
            kind: index(|name| name.plain == "kind"),
            estimated: index(Name::is_estimated_flag),
            basis: index(|name| ["emissionfactortype", "basis"].contains(&name.plain.as_str())),
            headings: headings.to_vec(),
            zone: exports::zone_column(&names).filter(|_| export.is_none_or(|export| export.regions.is_none())),
            export,
        }))
    }
}

impl CsvColumns {
    /// The full name of a row's zone: DK-DK1 for DK1 in an export, US-CA for CA in a column of states.
    pub fn zone_name(&self, zone: &str) -> String {
        let heading = self.zone.and_then(|index| self.headings.get(index));
        let is_state = zone.len() == 2 && heading.is_some_and(|heading| Name::of(heading).plain == "state");
        let prefix = if is_state { "US-" } else { self.export.map_or("", |export| export.zone_prefix) };
        format!("{prefix}{zone}")
    }
}

/// The column of the time. One in UTC is preferred, one in local time is the last choice.
fn time(names: &[Name], below: &[String]) -> Option<TimeColumn> {
    let of = |index: usize, name: &Name, zone| {
        let is_hour_end = name.is_hour_end();
        let name = name.heading.clone();
        TimeColumn { index, hours: None, zone, name, is_hour_end }
    };
    let cell = |index: usize| below.get(index).map_or("", |cell| cell.trim());
    // A column of figures is not a column of times, whatever its heading begins with.
    let may_be = |name: &Name| !matches!(name.unit, IntensityUnit::PerEnergy(_) | IntensityUnit::Unknown);
    let candidates = names.iter().enumerate().filter(|(_, name)| may_be(name));
    let candidates = candidates.filter_map(|(index, name)| Some((index, name, name.time_zone()?)));
    let mut times: Vec<TimeColumn> = candidates.map(|(index, name, zone)| of(index, name, zone)).collect();
    times.sort_by_key(|time| match time.zone {
        _ if times::has_offset(cell(time.index)) => 0,
        TimeZone::Utc => 1,
        TimeZone::Offset(_) | TimeZone::NotGiven => 2,
        TimeZone::Local => 3,
    });
    if times.is_empty() {
        // pandas leaves the heading of an index empty.
        let index = names.first().filter(|name| name.plain.is_empty() && times::is_time(cell(0)))?;
        times.push(of(0, index, TimeZone::NotGiven));
    }
    // A column whose cells are times is preferred to one whose cells are not, such as an hour beside a date.
    let best = times.iter().position(|time| times::is_time(cell(time.index)) && !times::is_date(cell(time.index)));
    let best = best.or_else(|| times.iter().position(|time| times::is_time(cell(time.index)))).unwrap_or(0);
    let mut time = times.get(best)?.clone();
    if times::is_date(cell(time.index)) {
        let hours = names
            .iter()
            .enumerate()
            .find(|(index, name)| *index != time.index && name.is_hours() && is_hours(cell(*index)));
        if let Some((index, name)) = hours {
            time.hours = Some(index);
            time.is_hour_end |= name.is_hour_end();
            time.zone = match name.time_zone() {
                Some(zone) if time.zone == TimeZone::NotGiven => zone,
                _ => time.zone,
            };
        }
    }
    Some(time)
}

/// The column of the ends: on the clock of the starts, else one without a named clock.
fn end(names: &[Name], time: &TimeColumn) -> Option<usize> {
    let start = names.get(time.index).map(|name| name.zone);
    let of = |zone| names.iter().position(|name| name.is_end() && Some(name.zone) == zone);
    of(start).or_else(|| of(Some(TimeZone::NotGiven))).filter(|_| time.hours.is_none() && !time.is_hour_end)
}

fn is_hours(cell: &str) -> bool {
    times::is_hours(cell) || hours::whole(cell).is_some()
}

/// The columns of figures: of one basis, and at most one of each quality. Errors: the choice is ambiguous, or the unit
/// is unknown.
fn figures(names: &[Name], export: Option<&'static Export>, wanted: Wanted) -> Result<Vec<FigureColumn>, String> {
    if let Some(ours) = names.iter().position(|name| name.plain == "gperkwh") {
        let figure = names.get(ours).and_then(|name| figure(ours, name, export));
        return Ok(figure.into_iter().collect());
    }
    let candidates = names.iter().enumerate().filter(|(_, name)| !name.is_marginal());
    let mut figures: Vec<FigureColumn> = candidates.filter_map(|(index, name)| figure(index, name, export)).collect();
    if figures.is_empty() {
        return unusable(names).map_or(Ok(figures), Err);
    }
    let is_wanted = |figure: &FigureColumn| figure.basis == Some(wanted.basis.unwrap_or(EmissionsBasis::Lifecycle));
    keep_if_any(&mut figures, is_wanted);
    keep_if_any(&mut figures, |figure| !figure.is_second);
    if figures.iter().all(|figure| figure.quality.is_none()) {
        keep_if_any(&mut figures, |figure| figure.has_unit);
    }
    for quality in [None, Some(IntensityQuality::Forecast), Some(IntensityQuality::Actual)] {
        let mut same = figures.iter().filter(|figure| figure.quality == quality);
        if let (Some(one), Some(other)) = (same.next(), same.next()) {
            return Err(format!(
                "both columns '{}' and '{}' may hold the intensity; keep one of them, or rename one to g_per_kwh",
                shown(&one.name),
                shown(&other.name)
            ));
        }
    }
    Ok(figures)
}

/// Why there is no column of figures, if a heading shows it.
fn unusable(names: &[Name]) -> Option<String> {
    // WattTime's API names its figures "value".
    let has = |plain: &str| names.iter().any(|name| name.plain == plain);
    if names.iter().any(Name::is_marginal) || (has("pointtime") && has("value")) {
        return Some(MARGINAL.into());
    }
    let has_aoer = names.iter().find(|name| name.plain.contains("aoer"));
    let odd = has_aoer.or_else(|| names.iter().find(|name| name.unit == IntensityUnit::Unknown && !name.is_other()))?;
    Some(format!(
        "column '{}' has an unknown unit, or none; expected g/kWh, kg/MWh, t/MWh or lb/MWh, such as g_per_kwh",
        shown(&odd.heading)
    ))
}

const MARGINAL: &str = "the file holds marginal figures (MOER: the emissions of one more kWh), which do not apply to all energy used; \
    expected average figures, such as a column g_per_kwh. Marginal figures are reported in addition with \
    marginal=watttime:REGION, such as marginal=watttime:CAISO_NORTH";

fn keep_if_any(figures: &mut Vec<FigureColumn>, is_kept: impl Fn(&FigureColumn) -> bool) {
    if figures.iter().any(&is_kept) {
        figures.retain(is_kept);
    }
}

/// A column of figures. None: the column holds no intensity.
fn figure(index: usize, name: &Name, export: Option<&'static Export>) -> Option<FigureColumn> {
    let is_exports = export.is_some_and(|export| export.is_figure(name));
    let (factor, has_unit) = match name.unit {
        IntensityUnit::PerEnergy(factor) if !name.is_other() => (factor, true),
        _ if is_exports => (1.0, true),
        IntensityUnit::Unnamed if name.is_intensity() => (1.0, false),
        _ => return None,
    };
    let basis = name.basis().or_else(|| export?.basis);
    let quality = name.quality();
    let is_second = name.is_second();
    Some(FigureColumn { factor, has_unit, quality, basis, is_second, ..FigureColumn::plain(index, &name.heading) })
}
