//! Reads the rows of a file and makes slots of them. Pure.

use super::figure::FigureColumn;
use super::headings::{CsvColumns, EXAMPLE};
use super::hours::Hours;
use super::layout::{self, Layout};
use super::local;
use super::names::TimeZone;
use super::numbers;
use super::row::CsvRow;
use super::table::{CsvRecord, shown};
use super::times;
use crate::carbon::intensity::slot::{IntensityQuality, IntensitySlot, MAX_G_PER_KWH};

/// Length of a slot if the file shows no step, s.
const DEFAULT_STEP_S: f64 = 3600.0;

/// All rows of a file. A row without a kind is a forecast if its time is after `now`, s since 1970. Errors: the first
/// fault, with its line.
pub fn read(layout: &Layout, now: f64) -> Result<Vec<CsvRow>, String> {
    let mut rows = Vec::new();
    for record in layout.rows() {
        let line = record.line;
        layout.read(&record, now, &mut rows).map_err(|why| format!("line {line}: {why}"))?;
    }
    if !rows.iter().any(|row| row.g_per_kwh.is_some()) {
        return Err(format!("has no figures; {EXAMPLE}"));
    }
    check_unit(&layout.columns, &rows)?;
    local::check(&rows, &layout.columns.time)?;
    Ok(rows)
}

impl Layout<'_> {
    fn read(&self, record: &CsvRecord, now: f64, rows: &mut Vec<CsvRow>) -> Result<(), String> {
        let columns = &self.columns;
        if record.cells().skip(columns.count).any(|cell| !cell.is_empty()) {
            return Err(format!(
                "{} cells, but {} columns; expected a cell for each heading, with quotes around one that holds the \
                 delimiter, such as \"1,234.5\"",
                record.len(),
                columns.count
            ));
        }
        if record.cells().any(|cell| self.holds_row(cell)) {
            return Err("a quote opens in this row and closes rows later; expected two quotes around a cell".into());
        }
        let zone = columns.zone.and_then(|index| record.cell(index));
        let is_of_all = |zone: &str| zone.is_empty() && self.has_one_zone;
        let basis = columns.basis.and_then(|index| layout::basis(record.cell(index)?));
        if zone.zip(self.zone.as_deref()).is_some_and(|(row, counts)| row != counts && !is_of_all(row))
            || basis.is_some_and(|basis| self.basis != Some(basis))
        {
            return Ok(());
        }
        let (at, end, is_bare) = self.time(record)?;
        let quality = self.quality(record, at, now)?;
        for figure in &columns.figures {
            let g_per_kwh = self.figure(record, figure)?;
            let quality = figure.quality.filter(|_| columns.kind.is_none()).unwrap_or(quality);
            rows.push(CsvRow { at, end, g_per_kwh, quality, line: record.line, is_bare });
        }
        Ok(())
    }

    /// True if a cell holds a row, because a quote is not closed.
    fn holds_row(&self, cell: &str) -> bool {
        let mark = char::from(self.table.delimiter);
        let first_cell =
            |line: &str| line.split(mark).next().is_some_and(|cell| times::is_time(cell.trim_matches('"')));
        cell.contains(['\n', '\r']) && cell.lines().skip(1).any(|line| line.contains(mark) && first_cell(line))
    }

    fn needed<'a>(&self, record: &'a CsvRecord, index: usize, name: &str) -> Result<&'a str, String> {
        record.cell(index).ok_or_else(|| {
            format!(
                "has {} of {} cells, and none for '{}'; expected a cell for each heading",
                record.len(),
                self.columns.count,
                shown(name)
            )
        })
    }

    /// Start and end of a row, s since 1970, and true if these may be local time.
    fn time(&self, record: &CsvRecord) -> Result<(f64, Option<f64>, bool), String> {
        let time = &self.columns.time;
        let cell = self.needed(record, time.index, &time.name)?;
        let hours = time.hours.map(|index| self.needed(record, index, "time of day")).transpose()?;
        let stamp = match hours {
            Some(hours) => self.time_format.stamp_of(cell, hours),
            None => self.time_format.stamp(cell),
        };
        let wrong = |cell: &str| {
            format!(
                "'{}' is not a time; expected 2026-03-02T13:00Z, with an offset or in UTC, or seconds since 1970",
                shown(cell)
            )
        };
        let stamp = stamp.ok_or_else(|| wrong(&hours.map_or(cell.to_owned(), |hours| format!("{cell} {hours}"))))?;
        let offset_s = match (stamp.offset_s, time.zone) {
            (Some(offset_s), _) => offset_s,
            (None, TimeZone::Utc | TimeZone::NotGiven) => 0.0,
            (None, TimeZone::Offset(offset_s)) => offset_s,
            (None, TimeZone::Local) => return Err(local::without_offset(cell, &time.name)),
        };
        let is_bare = stamp.offset_s.is_none() && time.zone != TimeZone::Utc;
        let end = match self.columns.end.map(|index| self.needed(record, index, "the end")).transpose()? {
            Some(cell) if !numbers::is_hole(cell) => {
                let end = self.time_format.stamp(cell).ok_or_else(|| wrong(cell))?;
                Some(end.civil_s - end.offset_s.unwrap_or(offset_s))
            }
            _ => stamp.end_s.map(|end_s| end_s - offset_s),
        };
        let at = stamp.civil_s - offset_s;
        if end.is_none() && (time.is_hour_end || self.hours == Hours::Ends) {
            return Ok((at - times::HOUR_S, Some(at), is_bare));
        }
        match end.filter(|end| *end <= at) {
            Some(_) => Err("the end is not after the start; expected the start first".into()),
            None => Ok((at, end, is_bare)),
        }
    }

    fn quality(&self, record: &CsvRecord, at: f64, now: f64) -> Result<IntensityQuality, String> {
        let by_time = if at <= now { IntensityQuality::Actual } else { IntensityQuality::Forecast };
        let columns = &self.columns;
        let cell = |index: Option<usize>| index.and_then(|index| record.cell(index)).unwrap_or_default().to_lowercase();
        let kind = cell(columns.kind);
        if !kind.is_empty() {
            let expected = |()| format!("kind '{}': expected actual, estimated or forecast", shown(&kind));
            return kind.parse().map_err(expected);
        }
        match cell(columns.estimated).as_str() {
            "true" | "yes" | "1" | "1.0" | "t" | "y" => Ok(by_time.min(IntensityQuality::Estimated)),
            "false" | "no" | "0" | "0.0" | "f" | "n" => Ok(by_time),
            hole if numbers::is_hole(hole) => Ok(by_time),
            other => Err(format!("'{}' in the column of estimates: expected true or false", shown(other))),
        }
    }

    fn figure(&self, record: &CsvRecord, figure: &FigureColumn) -> Result<Option<f64>, String> {
        let cell = self.needed(record, figure.index, &figure.name)?;
        if numbers::is_hole(cell) {
            return Ok(None);
        }
        let g_per_kwh = numbers::number(cell, self.decimal).map(|number| number * figure.factor);
        g_per_kwh.filter(|g_per_kwh| (0.0..=MAX_G_PER_KWH).contains(g_per_kwh)).map(Some).ok_or_else(|| {
            format!("'{}' is not an intensity; expected 0 to 10000 g/kWh, such as 123.4, or nothing", shown(cell))
        })
    }
}

/// Refuses figures below 2 without a unit: these may be in kg/kWh or in g/kWh.
fn check_unit(columns: &CsvColumns, rows: &[CsvRow]) -> Result<(), String> {
    const SMALL: f64 = 2.0;
    let Some(unnamed) = columns.figures.iter().find(|figure| !figure.has_unit) else { return Ok(()) };
    let most = rows.iter().filter_map(|row| row.g_per_kwh).fold(0.0, f64::max);
    if most > 0.0 && most < SMALL {
        if columns.headings.is_empty() {
            return Err(format!(
                "line 1: no headings name a unit, and figures up to {most} may be g/kWh or kg/kWh; expected a first line such as \
                 time,g_per_kwh or time,kg_per_kwh"
            ));
        }
        return Err(format!(
            "line {}: column '{}' names no unit, and figures up to {most} may be g/kWh or kg/kWh; name it g_per_kwh or kg_per_kwh",
            columns.line,
            shown(&unnamed.name)
        ));
    }
    Ok(())
}

/// The rows as slots, in order of time.
pub fn slots(mut rows: Vec<CsvRow>) -> Vec<IntensitySlot> {
    rows.sort_by(|a, b| a.at.total_cmp(&b.at));
    // Forecasts are separate, because a time may have one beside its figure. Actual and estimated figures are one
    // series.
    let mut slots = Vec::new();
    for is_forecast in [true, false] {
        let is_of_kind = |row: &&CsvRow| (row.quality == IntensityQuality::Forecast) == is_forecast;
        let of_kind: Vec<&CsvRow> = rows.iter().filter(is_of_kind).collect();
        let mut step = DEFAULT_STEP_S;
        for row in &of_kind {
            let next = of_kind.get(of_kind.partition_point(|next| next.at <= row.at));
            // The last figure of a kind ends where one of the other kind begins.
            let other = || rows.get(rows.partition_point(|other| other.at <= row.at)..)?.first();
            let end = row.end.or_else(|| next.map(|next| next.at)).or_else(|| other().map(|other| other.at));
            step = end.map_or(step, |end| end - row.at);
            if let Some(g_per_kwh) = row.g_per_kwh {
                slots.push(IntensitySlot { from: row.at, to: row.at + step, g_per_kwh, quality: row.quality });
            }
        }
    }
    // In order of time, because the curve grows at its end.
    slots.sort_by(|a, b| a.from.total_cmp(&b.from));
    slots
}
