//! Detects local times without an offset, by the marks that a change of the clocks leaves. Pure.

use super::dates::month_and_day;
use super::headings::TimeColumn;
use super::row::CsvRow;
use super::table::shown;
use super::times::HOUR_S;
use crate::units;

const DAY_S: f64 = 24.0 * HOUR_S;

/// The error for a column of local time without an offset.
pub fn without_offset(cell: &str, name: &str) -> String {
    format!(
        "'{}' in column '{}' is local time without an offset; expected a column in UTC, or times with their offset, such as \
         2026-10-25T02:00+02:00",
        shown(cell),
        shown(name)
    )
}

/// Refuses times without an offset that show a change of the clocks: an hour that occurs twice with two figures in
/// autumn, or is missing in spring.
pub fn check(rows: &[CsvRow], time: &TimeColumn) -> Result<(), String> {
    let mut bare: Vec<&CsvRow> = rows.iter().filter(|row| row.is_bare).collect();
    bare.sort_by(|a, b| a.quality.cmp(&b.quality).then(a.at.total_cmp(&b.at)));
    let offset_s = match time.zone {
        super::names::TimeZone::Offset(offset_s) => offset_s,
        _ => 0.0,
    };
    let civil = |at: f64| units::instant(at + offset_s).unwrap_or_default().replace('T', " ").replace(":00Z", "");
    let pairs = || bare.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?)));
    let twice = pairs().find(|(a, b)| is_twice(a, b, offset_s));
    if !twice.is_some_and(|(a, _)| is_change(a.at + offset_s, false)) {
        check_several(rows, civil)?;
    }
    if let Some((a, b)) = twice {
        return Err(format!(
            "line {}: {} occurs twice, in line {} too, as in local time when the clocks go back; expected times in UTC or \
             with their offset, such as 2026-10-25T02:00+02:00 (or, if one row corrects the other, only one of them)",
            a.line.max(b.line),
            civil(a.at),
            a.line.min(b.line)
        ));
    }
    let threes = bare.windows(3).filter_map(|three| <[&CsvRow; 3]>::try_from(three).ok());
    let hole = threes
        .map(|[before, a, b]| (a, b, a.at - before.at))
        .find(|(a, b, step)| is_spring_hole(a, b, *step, offset_s));
    let Some((a, b, _)) = hole else { return Ok(()) };
    Err(format!(
        "line {}: {} is followed by {}, as in local time when the clocks go forward; expected times in UTC or with their offset, \
         such as 2026-03-29T03:00+02:00",
        b.line,
        civil(a.at),
        civil(b.at)
    ))
}

/// Refuses a file in which many times have two figures of one quality: it has several places, or its hours are in
/// another column. A row may correct another one.
fn check_several(rows: &[CsvRow], civil: impl Fn(f64) -> String) -> Result<(), String> {
    const FEW_TIMES: usize = 2;
    const FEW_SHARE: f64 = 0.05;
    let mut rows: Vec<&CsvRow> = rows.iter().filter(|row| row.g_per_kwh.is_some()).collect();
    rows.sort_by(|a, b| a.quality.cmp(&b.quality).then(a.at.total_cmp(&b.at)));
    let pairs = || rows.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?)));
    let is_again = |a: &CsvRow, b: &CsvRow| a.at == b.at && a.quality == b.quality;
    let twice = || pairs().filter(|(a, b)| is_again(a, b) && a.g_per_kwh != b.g_per_kwh);
    let times = rows.len() - pairs().filter(|(a, b)| is_again(a, b)).count();
    let count = twice().count();
    let is_most = count == FEW_TIMES && count >= times;
    let Some((a, b)) =
        twice().next().filter(|_| is_most || (count > FEW_TIMES && count as f64 > FEW_SHARE * times as f64))
    else {
        return Ok(());
    };
    Err(format!(
        "line {}: {} occurs twice with two figures, in line {} too: the file may have several places, or hours in a separate \
         column; expected one figure of each kind for a time, or a column zone, such as time,zone,g_per_kwh",
        a.line.max(b.line),
        civil(a.at),
        a.line.min(b.line)
    ))
}

/// True for one time with two figures of one quality, or with one figure twice in the night in which the clocks go
/// back.
fn is_twice(a: &CsvRow, b: &CsvRow, offset_s: f64) -> bool {
    if a.at != b.at || a.quality != b.quality {
        return false;
    }
    let (Some(one), Some(other)) = (a.g_per_kwh, b.g_per_kwh) else { return false };
    one != other || (is_change(a.at + offset_s, false) && a.line != b.line)
}

/// True for a step that is an hour longer than the one before, in the night in which the clocks go forward.
fn is_spring_hole(a: &CsvRow, b: &CsvRow, step: f64, offset_s: f64) -> bool {
    let is_step = step > 0.0 && step <= HOUR_S && a.quality == b.quality;
    is_step && (b.at - a.at - step - HOUR_S).abs() < 1.0 && is_change(a.at + step + offset_s, true)
}

/// True if the clocks of some place go forward, or back, at this hour of local time, s since 1970.
fn is_change(civil_s: f64, is_forward: bool) -> bool {
    let days = (civil_s / DAY_S).floor();
    let hour = ((civil_s - days * DAY_S) / HOUR_S).floor();
    // 1970-01-01 was a Thursday.
    let is_sunday = (days + 4.0).rem_euclid(7.0) == 0.0;
    let Some((month, day, length)) = month_and_day(days).filter(|_| is_sunday) else { return false };
    let is_first = day <= 7;
    let is_second = (8..=14).contains(&day);
    let is_last = day + 7 > length;
    match (is_forward, month) {
        (true, 3) => (is_last && (1.0..=3.0).contains(&hour)) || (is_second && hour == 2.0),
        (true, 9) => is_last && hour == 2.0,
        (true, 10) => is_first && hour == 2.0,
        (false, 10) => is_last && (1.0..=3.0).contains(&hour),
        (false, 11) => is_first && hour == 1.0,
        (false, 4) => is_first && hour == 2.0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carbon::intensity::csv_file::dates::days_from_civil;

    #[test]
    fn changes_of_the_clocks_are_recognised() {
        let at = |year, month, day, hour: f64| days_from_civil(year, month, day).unwrap() * DAY_S + hour * HOUR_S;
        for (year, month, day, hour, is_forward) in [
            (2026, 3, 29, 2.0, true),
            (2026, 3, 29, 1.0, true),
            (2026, 3, 8, 2.0, true),
            (2025, 10, 5, 2.0, true),
            (2026, 10, 25, 2.0, false),
            (2026, 10, 25, 1.0, false),
            (2025, 11, 2, 1.0, false),
            (2026, 4, 5, 2.0, false),
        ] {
            assert!(is_change(at(year, month, day, hour), is_forward), "{year}-{month}-{day}");
            assert!(!is_change(at(year, month, day, hour), !is_forward), "{year}-{month}-{day}");
            assert!(!is_change(at(year, month, day, 12.0), is_forward), "{year}-{month}-{day}");
            assert!(!is_change(at(year, month, day - 1, hour), is_forward), "{year}-{month}-{day}");
        }
    }
}
