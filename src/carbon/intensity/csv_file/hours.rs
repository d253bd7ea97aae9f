//! Hours in a separate column beside a date, as whole numbers: 0 to 23, or 1 to 24. Pure.

use super::table::shown;

/// How the hours of a day are numbered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hours {
    /// By their start: 0 to 23, or as times of day.
    #[default]
    Starts,
    /// By their end: 1 to 24.
    Ends,
}

/// Evidence of how a file numbers its hours.
#[derive(Debug, Default)]
pub struct HourEvidence {
    has_0: bool,
    has_24: bool,
    first: Option<(u64, String)>,
}

/// A whole hour, 0 to 24: "7", "07", "7.0".
pub fn whole(cell: &str) -> Option<u32> {
    let digits = cell.strip_suffix(".0").unwrap_or(cell);
    let is_short = (1..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|hour| is_short && *hour <= 24)
}

impl HourEvidence {
    /// Adds a cell to the evidence.
    pub fn see(&mut self, line: u64, cell: &str) {
        let Some(hour) = whole(cell) else { return };
        self.has_0 |= hour == 0;
        self.has_24 |= hour == 24;
        self.first.get_or_insert_with(|| (line, cell.to_owned()));
    }

    /// How the file numbers its hours. A heading that names the end of the hour decides. Errors: the file is ambiguous.
    pub fn numbering(&self, is_hour_end: bool) -> Result<Hours, String> {
        let Some((line, cell)) = &self.first else { return Ok(Hours::Starts) };
        match (self.has_0, self.has_24) {
            _ if is_hour_end => Ok(Hours::Starts),
            (true, false) => Ok(Hours::Starts),
            (false, true) => Ok(Hours::Ends),
            (has_both, _) => Err(format!(
                "line {line}: hour '{}' may be the start or the end of the hour: the file has {}; expected \
                 hours 0 to 23, or a time such as 2026-11-29 17:00Z",
                shown(cell),
                if has_both { "both 0 and 24" } else { "neither 0 nor 24" }
            )),
        }
    }
}
