//! The layout of a file: its delimiter, its headings, its columns, and how it writes numbers and times. Pure.

use super::exports;
use super::headings::{CsvColumns, EXAMPLE, Wanted};
use super::hours::{self, Hours};
use super::numbers::{self, Decimal};
use super::table::{CsvRecord, CsvTable, DELIMITERS, shown};
use super::times;
use super::units::{self, IntensityUnit};
use crate::carbon::intensity::EmissionsBasis;
use crate::carbon::intensity::slot::MAX_G_PER_KWH;

/// Largest number of records before the headings. Exports begin with a title and a few remarks at most.
const MAX_LINES_BEFORE: usize = 50;
/// Largest number of zones of a file that are recorded.
const MAX_ZONES: usize = 1000;

/// The bases of average figures, the preferred one first.
pub const BASES: [EmissionsBasis; 2] = [EmissionsBasis::Lifecycle, EmissionsBasis::Direct];

/// The basis that a cell names.
pub fn basis(cell: &str) -> Option<EmissionsBasis> {
    let name = cell.replace([' ', '-', '_'], "");
    name.parse().ok().filter(|basis| BASES.contains(basis))
}

/// The layout of a file.
#[derive(Clone, Debug)]
pub struct Layout<'a> {
    /// The text and its delimiter.
    pub table: CsvTable<'a>,
    /// The number of records before the first row.
    pub skipped: usize,
    /// The columns.
    pub columns: CsvColumns,
    /// How numbers are written.
    pub decimal: Decimal,
    /// How times are written.
    pub time_format: times::TimeFormat,
    /// How a separate column of hours is numbered.
    pub hours: Hours,
    /// The basis whose rows are used, if the file has a column of bases.
    pub basis: Option<EmissionsBasis>,
    /// The zone whose rows are used, if the file has a column of zones.
    pub zone: Option<String>,
    /// True if the rows name at most one zone.
    pub has_one_zone: bool,
}

impl<'a> Layout<'a> {
    /// The layout of a text. Errors: it has no intensities, or it is ambiguous.
    pub fn of(text: &'a str, wanted: Wanted) -> Result<Layout<'a>, String> {
        let (table, skipped, columns) = headings(text, wanted)?;
        let seen = Seen::of(table, skipped, &columns)?;
        Ok(Layout {
            basis: seen.basis(wanted),
            hours: seen.hours.numbering(columns.time.is_hour_end)?,
            has_one_zone: seen.zones.len() < 2,
            zone: seen.zone(&columns, wanted).map_err(|why| format!("line {}: {why}", columns.line))?,
            decimal: seen.numbers.decimal(table.delimiter)?,
            time_format: seen.times.format()?,
            table,
            skipped,
            columns,
        })
    }

    /// The records that are rows.
    pub fn rows(&self) -> impl Iterator<Item = CsvRecord> {
        rows(self.table, self.skipped, &self.columns)
    }
}

fn rows(table: CsvTable, skipped: usize, columns: &CsvColumns) -> impl Iterator<Item = CsvRecord> {
    let is_heading = |record: &CsvRecord| record.cells().eq(columns.headings.iter().map(String::as_str));
    table.records().skip(skipped).filter(move |record| !is_heading(record))
}

/// Finds the headings. Each delimiter is tried; the first that gives headings is used.
fn headings<'a>(text: &'a str, wanted: Wanted) -> Result<(CsvTable<'a>, usize, CsvColumns), String> {
    let tables = DELIMITERS.map(|delimiter| CsvTable::new(text, delimiter));
    let mut refused = None;
    for table in tables {
        match headings_of(table, wanted) {
            Ok(Some((skipped, columns))) => return Ok((table, skipped, columns)),
            Ok(None) => (),
            Err(why) => refused = refused.or(Some(why)),
        }
    }
    if let Some(why) = refused {
        return Err(why);
    }
    if let Some(found) = tables.into_iter().find_map(|table| headings_in_remark(text, table, wanted).transpose()) {
        return found;
    }
    if let Some(table) = tables.into_iter().find(|table| table.records().next().is_some_and(|first| is_row(&first))) {
        return Ok((table, 0, CsvColumns::without_headings()));
    }
    let [table, ..] = tables;
    Err(match table.records().next() {
        Some(first) => {
            format!("line {}: no headings name a time and an intensity: {}; {EXAMPLE}", first.line, list(&first))
        }
        None => format!("has no figures; {EXAMPLE}"),
    })
}

/// The columns of a file whose headings are the last remark above the first row, as in "# time,kg/kWh".
fn headings_in_remark<'a>(
    text: &str,
    table: CsvTable<'a>,
    wanted: Wanted,
) -> Result<Option<(CsvTable<'a>, usize, CsvColumns)>, String> {
    let Some(first) = table.records().next() else { return Ok(None) };
    let above = CsvTable::remarks(text).take_while(|(line, _)| *line < first.line).last();
    let Some((line, remark)) = above else { return Ok(None) };
    let headings = CsvTable::new(remark.trim_start_matches('#').trim(), table.delimiter).records().next();
    let Some(headings) = headings.filter(|headings| headings.len() > 1 && headings.len() == first.len()) else {
        return Ok(None);
    };
    let cells = |record: &CsvRecord| record.cells().map(str::to_owned).collect::<Vec<_>>();
    let columns =
        CsvColumns::of(&cells(&headings), &cells(&first), wanted).map_err(|why| format!("line {line}: {why}"))?;
    Ok(columns.map(|columns| (table, 0, CsvColumns { line, ..columns })))
}

/// The number of records before the first row, and the columns.
fn headings_of(table: CsvTable, wanted: Wanted) -> Result<Option<(usize, CsvColumns)>, String> {
    let records: Vec<CsvRecord> = table.records().take(MAX_LINES_BEFORE + 2).collect();
    let cells = |record: Option<&CsvRecord>| -> Vec<String> {
        record.map(|record| record.cells().map(str::to_owned).collect()).unwrap_or_default()
    };
    for (index, record) in records.iter().enumerate().take(MAX_LINES_BEFORE) {
        if is_row(record) {
            return Ok(None);
        }
        let below = records.get(index + 1);
        let is_second = below.is_some_and(|below| {
            let has_unit = || below.cells().any(|cell| matches!(units::unit(cell), IntensityUnit::PerEnergy(_)));
            below.len() == record.len() && below.cells().all(is_words) && has_unit()
        });
        let mut headings = cells(Some(record));
        if is_second {
            // A second line of headings gives the units.
            headings.iter_mut().zip(cells(below)).for_each(|(heading, more)| *heading = with_unit(heading, &more));
        }
        let rows = index + 1 + usize::from(is_second);
        let blamed = |why: String| format!("line {}: {why}", record.line);
        match CsvColumns::of(&headings, &cells(records.get(rows)), wanted).map_err(blamed)? {
            Some(columns) => return Ok(Some((rows, CsvColumns { line: record.line, ..columns }))),
            None if is_second => (),
            None => continue,
        }
        if let Some(columns) = CsvColumns::of(&cells(Some(record)), &cells(below), wanted).map_err(blamed)? {
            return Ok(Some((index + 1, CsvColumns { line: record.line, ..columns })));
        }
    }
    Ok(None)
}

/// A heading, and the addition from the line below in brackets.
fn with_unit(heading: &str, more: &str) -> String {
    match more {
        hole if numbers::is_hole(hole) => heading.to_owned(),
        more if more.starts_with(['(', '[']) => format!("{heading} {more}"),
        more => format!("{heading} ({more})"),
    }
}

/// True if a record is a row of a file without headings.
fn is_row(record: &CsvRecord) -> bool {
    let is_figure = |cell: &str| {
        [Decimal::Point, Decimal::Comma].into_iter().any(|decimal| numbers::number(cell, decimal).is_some())
            || numbers::is_hole(cell)
    };
    record.cell(0).is_some_and(times::is_time) && record.cell(1).is_some_and(is_figure)
}

/// True if a cell may belong to a second line of headings: it is empty or a dash, or neither a time nor a number.
fn is_words(cell: &str) -> bool {
    let is_number = || [Decimal::Point, Decimal::Comma].into_iter().any(|way| numbers::number(cell, way).is_some());
    numbers::is_hole(cell) || (cell.chars().any(char::is_alphabetic) && !times::is_time(cell) && !is_number())
}

fn list(record: &CsvRecord) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = record.cells().take(SHOWN).map(|cell| format!("'{}'", shown(cell))).collect();
    let more = if record.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// The evidence of all rows.
#[derive(Debug, Default)]
struct Seen {
    numbers: numbers::NumberEvidence,
    times: times::TimeEvidence,
    hours: hours::HourEvidence,
    bases: [bool; BASES.len()],
    zones: Vec<String>,
}

impl Seen {
    fn of(table: CsvTable, skipped: usize, columns: &CsvColumns) -> Result<Seen, String> {
        let mut seen = Seen::default();
        let time = &columns.time;
        for record in rows(table, skipped, columns) {
            let indices = [Some(time.index), columns.end];
            let cells = indices.into_iter().flatten().filter_map(|index| record.cell(index));
            cells.for_each(|cell| seen.times.see(record.line, cell));
            for (index, cell) in record.cells().enumerate() {
                match columns.figures.iter().find(|figure| figure.index == index) {
                    Some(figure) => seen.numbers.see(record.line, cell, MAX_G_PER_KWH / figure.factor),
                    None if index != time.index && Some(index) != time.hours => seen.numbers.see_other(cell),
                    None => (),
                }
            }
            if let Some(cell) = time.hours.and_then(|index| record.cell(index)) {
                seen.hours.see(record.line, cell);
            }
            let basis = columns.basis.and_then(|index| basis(record.cell(index)?));
            BASES.iter().zip(&mut seen.bases).for_each(|(known, is_there)| *is_there |= basis == Some(*known));
            if let Some(zone) = columns.zone.and_then(|index| record.cell(index)) {
                seen.see_zone(zone);
            }
        }
        Ok(seen)
    }

    fn see_zone(&mut self, zone: &str) {
        let is_new = !zone.is_empty() && !self.zones.iter().any(|known| known == zone);
        if is_new && self.zones.len() < MAX_ZONES {
            self.zones.push(zone.to_owned());
        }
    }

    /// The basis whose rows are used: the requested one, else the first that the file has.
    fn basis(&self, wanted: Wanted) -> Option<EmissionsBasis> {
        let there = || BASES.into_iter().zip(self.bases).filter_map(|(basis, is_there)| is_there.then_some(basis));
        there().find(|basis| wanted.basis == Some(*basis)).or_else(|| there().next())
    }

    /// The zone whose rows are used. Errors: the file has several zones, and the run's is none of these.
    fn zone(&self, columns: &CsvColumns, wanted: Wanted) -> Result<Option<String>, String> {
        if let [] | [_] = self.zones.as_slice() {
            return Ok(self.zones.first().cloned());
        }
        let named = |zone: &str| columns.zone_name(zone);
        let meanings = wanted.zone.map(exports::meanings).unwrap_or_default();
        let of = |run: &String| self.zones.iter().find(|zone| exports::is_same(&named(zone), run));
        if let Some(zone) = meanings.iter().find_map(of) {
            return Ok(Some(zone.clone()));
        }
        const SHOWN: usize = 8;
        let list: Vec<String> = self.zones.iter().take(SHOWN).map(|zone| shown(&named(zone))).collect();
        let more = if self.zones.len() > SHOWN { ", …" } else { "" };
        let all = list.join(", ");
        let run = wanted.zone.map(|run| format!(", and none is location={run}"));
        Err(format!(
            "the file holds figures of {} zones ({all}{more}){}; set location= to one of them, such as location={}",
            self.zones.len(),
            run.unwrap_or_default(),
            list.first().map_or("", String::as_str)
        ))
    }
}
