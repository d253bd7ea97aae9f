//! Days of the Gregorian calendar. Pure.

/// Days since 1970 of a date. None: not a valid date from 1970 to 2200.
pub fn days_from_civil(year: u32, month: u32, day: u32) -> Option<f64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = if month == 2 { 28 + u32::from(is_leap) } else { length(month)? };
    if !(1970..=2200).contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    // Counted from March, a leap day is at the end of the year.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    Some(f64::from(days) - 719_468.0)
}

/// The month, the day and the month's length of a day since 1970. The length ignores leap days.
pub fn month_and_day(days: f64) -> Option<(u32, u32, u32)> {
    let year = 1970 + (days / 365.2425).floor() as u32;
    let starts = |year: u32| (1..=12).filter_map(move |month| Some((month, days_from_civil(year, month, 1)?)));
    // The quotient may be one year off at the ends of a year.
    let (month, start) = (year.saturating_sub(1)..=year + 1).flat_map(starts).rfind(|(_, start)| *start <= days)?;
    let day = (days - start) as u32 + 1;
    Some((month, day, length(month)?))
}

/// The days of a month in a common year.
fn length(month: u32) -> Option<u32> {
    match month {
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(28),
        1..=12 => Some(31),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_days_are_inverse() {
        for (days, date, expected) in [
            (0.0, (1970, 1, 1), (1, 1, 31)),
            (20_513.0, (2026, 3, 1), (3, 1, 31)),
            (20_818.0, (2026, 12, 31), (12, 31, 31)),
            (19_782.0, (2024, 2, 29), (2, 29, 28)),
        ] {
            assert_eq!(days_from_civil(date.0, date.1, date.2), Some(days));
            assert_eq!(month_and_day(days), Some(expected));
        }
        for (year, month, day) in
            [(2026, 2, 29), (2026, 4, 31), (2026, 0, 1), (2026, 13, 1), (2026, 1, 0), (1969, 1, 1)]
        {
            assert_eq!(days_from_civil(year, month, day), None);
        }
    }
}
