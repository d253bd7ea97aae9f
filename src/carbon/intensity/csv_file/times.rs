//! Times in the forms that programs write: ISO 8601 and others, with an offset, a zone's name or neither, and seconds
//! or milliseconds since 1970. Pure.

use super::dates::days_from_civil;
use super::hours;
use super::table::shown;
use super::zone_names;
use std::collections::BTreeSet;

/// Seconds in an hour.
pub const HOUR_S: f64 = 3600.0;
const DAY_S: f64 = 24.0 * HOUR_S;
/// Range of seconds since 1970, from 1973 to 2201. Other numbers are not times.
const EARLIEST_S: f64 = 1e8;
const LATEST_S: f64 = 7.3e9;

/// A time as a cell states it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeStamp {
    /// Seconds since 1970 on the clock of the cell.
    pub civil_s: f64,
    /// Offset of that clock from UTC, s. None: the cell does not state it.
    pub offset_s: Option<f64>,
    /// The end on the same clock, if the cell is an interval.
    pub end_s: Option<f64>,
}

/// Which number of 03/04/2026 is the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    DayFirst,
    MonthFirst,
}

/// Evidence of how a file writes its times.
#[derive(Debug, Default)]
pub struct TimeEvidence {
    day_first: Option<u64>,
    month_first: Option<u64>,
    two_ways: Option<(u64, String)>,
    /// The ends of cells such as "01:00-02:00", which is an interval or a time with an offset.
    ends: BTreeSet<String>,
}

/// How a file writes its times.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeFormat {
    order: Option<Order>,
    /// True if "01:00-02:00" is an interval and not a time with an offset.
    is_interval: bool,
}

impl TimeEvidence {
    /// Adds a cell to the evidence.
    pub fn see(&mut self, line: u64, cell: &str) {
        if let Some((from, to)) = halves(cell) {
            return self.see_halves(line, from, to);
        }
        let (date, rest) = date_and_rest(cell);
        let clocks =
            rest.rsplit_once('-').filter(|(start, end)| is_clock_of_minutes(start) && is_clock_of_minutes(end));
        if let Some((_, end)) = clocks.filter(|_| self.ends.len() <= MAX_OFFSETS) {
            self.ends.insert(end.to_owned());
        }
        // With dots the day is first.
        let Some(([first, second, _], false)) = fields(date).filter(|_| !date.contains('.')) else { return };
        match (first > 12, second > 12) {
            (true, false) => _ = self.day_first.get_or_insert(line),
            (false, true) => _ = self.month_first.get_or_insert(line),
            _ if first != second => _ = self.two_ways.get_or_insert_with(|| (line, cell.to_owned())),
            _ => (),
        }
    }

    /// Adds both ends of an interval. An order that makes it longer than a day is wrong.
    fn see_halves(&mut self, line: u64, from: &str, to: &str) {
        let is_short = |order| {
            let format = TimeFormat { order: Some(order), is_interval: false };
            let length = format.one(to).zip(format.one(from)).map(|(to, from)| to.civil_s - from.civil_s);
            length.is_some_and(|length| length > 0.0 && length <= DAY_S)
        };
        match (is_short(Order::DayFirst), is_short(Order::MonthFirst)) {
            (true, false) => _ = self.day_first.get_or_insert(line),
            (false, true) => _ = self.month_first.get_or_insert(line),
            _ => [from, to].into_iter().for_each(|half| self.see(line, half)),
        }
    }

    /// How the file writes its times. Errors: the order of day and month is ambiguous or changes.
    pub fn format(&self) -> Result<TimeFormat, String> {
        let order = match (self.day_first, self.month_first, &self.two_ways) {
            (Some(day), Some(month), _) => {
                return Err(format!(
                    "line {month}: the month is first, but in line {day} the day; expected one order in all of the file, \
                     such as 2026-11-29"
                ));
            }
            (Some(_), None, _) => Some(Order::DayFirst),
            (None, Some(_), _) => Some(Order::MonthFirst),
            (None, None, Some((line, cell))) => {
                return Err(format!(
                    "line {line}: '{}' can be read with the day or the month first, and nothing in the file decides; expected \
                     the year first, such as 2026-11-29 17:00Z",
                    shown(cell)
                ));
            }
            (None, None, None) => None,
        };
        Ok(TimeFormat { order, is_interval: self.ends.len() > MAX_OFFSETS })
    }
}

/// Largest number of offsets in a file of one place.
const MAX_OFFSETS: usize = 2;

/// True for a time of day such as "17:00".
fn is_clock_of_minutes(text: &str) -> bool {
    text.trim().len() <= 5 && clock(text.trim()).is_some_and(|(_, rest)| rest.is_empty()) && text.contains(':')
}

impl TimeFormat {
    /// The time in a cell. None: it is not a time.
    pub fn stamp(self, cell: &str) -> Option<TimeStamp> {
        let cell = cell.trim();
        if let Some(since_1970_s) = since_1970(cell) {
            return Some(TimeStamp { civil_s: since_1970_s, offset_s: Some(0.0), end_s: None });
        }
        if let Some((from, to)) = halves(cell) {
            let from = self.one(from)?;
            let to = self.one(to).or_else(|| self.on_date(cell, to))?;
            return Some(TimeStamp {
                end_s: Some(to.civil_s).filter(|end| *end > from.civil_s),
                offset_s: from.offset_s.or(to.offset_s),
                ..from
            });
        }
        let (_, rest) = date_and_rest(cell);
        let interval = rest.rsplit_once('-').filter(|(start, _)| self.is_interval && is_clock_of_minutes(start));
        if let Some((start, end)) = interval {
            let from = self.on_date(cell, start.trim())?;
            let end_s = self.on_date(cell, end.trim())?.civil_s;
            let end_s = if end_s > from.civil_s { end_s } else { end_s + DAY_S };
            return Some(TimeStamp { end_s: Some(end_s), ..from });
        }
        self.one(cell)
    }

    /// The time in a cell of a date and a cell of hours: "2026-11-29" and "17:00", "17:00-18:00" or "17".
    pub fn stamp_of(self, date: &str, hours: &str) -> Option<TimeStamp> {
        if let Some(hour) = hours::whole(hours) {
            return self.one(date).map(|day| TimeStamp { civil_s: day.civil_s + f64::from(hour) * HOUR_S, ..day });
        }
        let interval = hours.split_once(['-', '–']).filter(|(from, to)| {
            is_clock_of_minutes(from) && clock(to.trim()).is_some_and(|(_, rest)| rest.is_empty())
        });
        let Some((from, to)) = interval else { return self.one(&format!("{date} {hours}")) };
        self.stamp(&format!("{date} {} - {}", from.trim(), to.trim())).map(|stamp| TimeStamp {
            end_s: stamp.end_s.or_else(|| {
                let midnight = self.one(&format!("{date} {}", to.trim()))?;
                Some(midnight.civil_s + DAY_S)
            }),
            ..stamp
        })
    }

    /// A time of day on the date of another cell.
    fn on_date(self, dated: &str, clock: &str) -> Option<TimeStamp> {
        let (date, _) = date_and_rest(dated);
        self.one(&format!("{date} {clock}"))
    }

    /// A single time.
    fn one(self, cell: &str) -> Option<TimeStamp> {
        let (date, rest) = date_and_rest(cell);
        let days = self.days(date)?;
        let (clock_s, zone) = if rest.is_empty() { (0.0, "") } else { clock(rest)? };
        let zone = zone.split('[').next().unwrap_or_default().trim();
        let offset_s = if zone.is_empty() { None } else { Some(zone_names::offset(zone)?) };
        let civil_s = days * DAY_S + clock_s;
        (EARLIEST_S..LATEST_S).contains(&civil_s).then_some(TimeStamp { civil_s, offset_s, end_s: None })
    }

    /// Days since 1970 of a date.
    fn days(self, date: &str) -> Option<f64> {
        let ([a, b, c], is_year_first) = fields(date)?;
        let (year, month, day) = match self.order {
            _ if is_year_first => (a, b, c),
            _ if date.contains('.') => (c, b, a),
            Some(Order::DayFirst) => (c, b, a),
            Some(Order::MonthFirst) => (c, a, b),
            None if a == b => (c, b, a),
            None => return None,
        };
        days_from_civil(if year < 100 { 2000 + year } else { year }, month, day)
    }
}

/// True if a cell is a date without a time of day.
pub fn is_date(cell: &str) -> bool {
    let (date, rest) = date_and_rest(cell.trim());
    rest.is_empty() && fields(date).is_some()
}

/// True if a cell is a time of day, or an interval of two.
pub fn is_hours(cell: &str) -> bool {
    clock(cell).is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with(['-', '–']))
}

/// True if a cell is a time with an offset, or in seconds since 1970.
pub fn has_offset(cell: &str) -> bool {
    either_way(cell).is_some_and(|stamp| stamp.offset_s.is_some())
}

/// True if a cell is a time in any order of day and month.
pub fn is_time(cell: &str) -> bool {
    either_way(cell).is_some()
}

fn either_way(cell: &str) -> Option<TimeStamp> {
    let either = [Order::DayFirst, Order::MonthFirst];
    either.into_iter().find_map(|order| TimeFormat { order: Some(order), is_interval: false }.stamp(cell))
}

/// A number of seconds or milliseconds since 1970, as s.
fn since_1970(cell: &str) -> Option<f64> {
    if !cell.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let number: f64 = cell.parse().ok()?;
    // 2026112917 and 202611291700 are more likely a date without separators.
    let is_compact = cell.len() < 13 && cell.len() > 8 && cell.starts_with("20") && is_compact(cell);
    let milliseconds = Some(number / 1000.0).filter(|_| cell.len() >= 13);
    let mut seconds = [Some(number), milliseconds].into_iter().flatten();
    seconds.find(|seconds| !is_compact && (EARLIEST_S..LATEST_S).contains(seconds))
}

/// True if digits begin with a year, month, day and hour.
fn is_compact(digits: &str) -> bool {
    let number = |range: std::ops::Range<usize>| digits.get(range)?.parse::<u32>().ok();
    let date = number(0..4).zip(number(4..6)).zip(number(6..8));
    let is_date = date.is_some_and(|((year, month), day)| days_from_civil(year, month, day).is_some());
    is_date && number(8..10).is_some_and(|hour| hour < 24)
}

/// The two ends of "01/01/2026 23:00 - 02/01/2026 00:00".
fn halves(cell: &str) -> Option<(&str, &str)> {
    let (from, to) = [" - ", " – ", " to "].iter().find_map(|gap| cell.split_once(gap))?;
    Some((from.trim(), to.trim()))
}

/// The date of a cell, and the rest.
fn date_and_rest(cell: &str) -> (&str, &str) {
    let end = cell.find(|c: char| !(c.is_ascii_digit() || matches!(c, '-' | '/' | '.'))).unwrap_or(cell.len());
    let (date, rest) = cell.split_at_checked(end).unwrap_or((cell, ""));
    let rest = rest.strip_prefix(['T', 't', ',']).unwrap_or(rest);
    (date, rest.trim())
}

/// The three numbers of a date, and true if the year is first.
fn fields(date: &str) -> Option<([u32; 3], bool)> {
    let mark = ['-', '/', '.'].into_iter().find(|mark| date.contains(*mark))?;
    let parts: Vec<&str> = date.split(mark).collect();
    let &[a, b, c] = parts.as_slice() else { return None };
    let number = |text: &str| text.parse::<u32>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let fits = match (a.len(), b.len(), c.len()) {
        (4, 1..=2, 1..=2) | (1..=2, 1..=2, 4) => true,
        // Two digits are a year only with dots, which mean that the day is first.
        (1..=2, 1..=2, 2) => mark == '.',
        _ => false,
    };
    fits.then_some(([number(a)?, number(b)?, number(c)?], a.len() == 4))
}

/// Seconds since midnight of "17:00", "5:00:30.250 pm" or "24:00", and the rest of the text.
fn clock(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.'))).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    // ISO 8601 allows a comma before the decimals of a second.
    let comma = rest.strip_prefix(',').map(|rest| rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()));
    let (decimals, rest) = comma.filter(|(decimals, _)| !decimals.is_empty()).unwrap_or(("0", rest));
    let mut parts = digits.split(':');
    let whole = |part: Option<&str>| part.filter(|text| (1..=2).contains(&text.len()))?.parse::<u32>().ok();
    let (hours, minutes) = (whole(parts.next())?, whole(parts.next())?);
    let seconds: f64 = match parts.next() {
        Some(seconds) if seconds.starts_with(|c: char| c.is_ascii_digit()) => seconds.parse().ok()?,
        Some(_) => return None,
        None => 0.0,
    };
    let seconds = seconds + format!("0.{decimals}").parse::<f64>().ok()?;
    let rest = rest.trim();
    let half = rest.get(..2).unwrap_or_default();
    let (hours, rest) = match (half.eq_ignore_ascii_case("am"), half.eq_ignore_ascii_case("pm")) {
        (false, false) => (hours, rest),
        _ if !(1..=12).contains(&hours) => return None,
        (is_am, _) => (hours % 12 + if is_am { 0 } else { 12 }, rest.get(2..).unwrap_or_default().trim()),
    };
    let clock_s = f64::from(hours * 3600 + minutes * 60) + seconds;
    let is_sound = parts.next().is_none() && minutes < 60 && seconds < 61.0 && clock_s <= DAY_S;
    is_sound.then_some((clock_s, rest))
}

#[cfg(test)]
mod tests;
