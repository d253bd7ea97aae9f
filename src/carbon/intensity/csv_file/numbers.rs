//! Numbers in the forms that programs write: with a decimal point or comma, and with separated thousands. An ambiguous
//! number is decided by the rest of the file, or refused. Pure.

use super::table::shown;

/// The decimal separator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decimal {
    /// `1234.5`, and `1,234.5`.
    Point,
    /// `1234,5`, and `1.234,5`.
    Comma,
}

/// Parses a number with this decimal separator. None: the cell is not a number.
pub fn number(cell: &str, decimal: Decimal) -> Option<f64> {
    let (point, group) = match decimal {
        Decimal::Point => ('.', ','),
        Decimal::Comma => (',', '.'),
    };
    let (mantissa, exponent) = cell.split_once(['e', 'E']).map_or((cell, None), |(m, e)| (m, Some(e)));
    if exponent.is_some_and(|exponent| !is_digits(exponent.trim_start_matches(['+', '-']))) {
        return None;
    }
    let (sign, unsigned) = match mantissa.strip_prefix(['-', '+', '−']) {
        Some(rest) => (if mantissa.starts_with('+') { "" } else { "-" }, rest),
        None => ("", mantissa),
    };
    let (whole, decimals) = unsigned.split_once(point).map_or((unsigned, None), |(w, d)| (w, Some(d)));
    let is_bare_point = whole.is_empty() && decimals.is_none_or(str::is_empty);
    if is_bare_point || !decimals.is_none_or(|decimals| decimals.is_empty() || is_digits(decimals)) {
        return None;
    }
    let whole = without_groups(whole, group)?;
    format!("{sign}{whole}.{}e{}", decimals.unwrap_or("0"), exponent.unwrap_or("0")).parse().ok()
}

/// The digits before the decimals, without the separators of thousands.
fn without_groups(whole: &str, group: char) -> Option<String> {
    let is_gap = |c: char| c == group || matches!(c, ' ' | '\u{a0}' | '\u{2009}' | '\u{202f}' | '\'' | '’');
    let Some(gap) = whole.chars().find(|&c| is_gap(c)) else {
        return (whole.is_empty() || is_digits(whole)).then(|| format!("0{whole}"));
    };
    let mut groups = whole.split(gap);
    let first = groups.next().filter(|first| is_digits(first) && first.len() <= 3)?;
    let is_sound = |rest: &&str| is_digits(rest) && rest.len() == 3;
    // "0,123" has no thousands.
    (!first.starts_with('0') && groups.clone().all(|rest| is_sound(&rest)))
        .then(|| groups.fold(first.to_owned(), |whole, group| whole + group))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// True if a cell states that there is no figure.
pub fn is_hole(cell: &str) -> bool {
    const HOLES: [&str; 14] =
        ["", "na", "n/a", "n.a.", "nan", "null", "none", "nil", "-", "--", "–", "—", "#n/a", "missing"];
    HOLES.iter().any(|hole| cell.eq_ignore_ascii_case(hole))
}

/// Evidence of how a file writes its numbers.
#[derive(Debug, Default)]
pub struct NumberEvidence {
    point: Option<Sight>,
    comma: Option<Sight>,
    two_ways: Option<Sight>,
    /// In other columns: whether a cell has a decimal point, and whether one has a decimal comma.
    others: (bool, bool),
    /// The number of cells of other columns seen.
    looked_at: usize,
}

/// Largest number of cells of other columns that are read.
const MAX_OTHER_CELLS: usize = 10_000;

/// A cell and its line.
#[derive(Clone, Debug)]
struct Sight {
    line: u64,
    cell: String,
}

impl NumberEvidence {
    /// Adds a figure to the evidence. `most` is the largest possible figure in its unit.
    pub fn see(&mut self, line: u64, cell: &str, most: f64) {
        let within = |decimal| number(cell, decimal).filter(|number| (0.0..=most).contains(number));
        let seen = match (within(Decimal::Point), within(Decimal::Comma)) {
            (Some(_), None) => &mut self.point,
            (None, Some(_)) => &mut self.comma,
            (Some(a), Some(b)) if a != b => &mut self.two_ways,
            _ => return,
        };
        seen.get_or_insert_with(|| Sight { line, cell: cell.to_owned() });
    }

    /// Adds a cell of another column to the evidence.
    pub fn see_other(&mut self, cell: &str) {
        if self.looked_at >= MAX_OTHER_CELLS || !cell.contains(['.', ',']) {
            return;
        }
        self.looked_at += 1;
        let (point, comma) = (number(cell, Decimal::Point), number(cell, Decimal::Comma));
        self.others.0 |= point.is_some() && comma.is_none();
        self.others.1 |= comma.is_some() && point.is_none();
    }

    /// The decimal separator of the file. Errors: the file uses both, or is ambiguous.
    pub fn decimal(&self, delimiter: u8) -> Result<Decimal, String> {
        match (&self.point, &self.comma, &self.two_ways) {
            (Some(point), Some(comma), _) => Err(format!(
                "line {}: '{}' has a decimal comma, but '{}' in line {} a decimal point; expected one of them in all of the \
                 file, such as 123.4",
                comma.line,
                shown(&comma.cell),
                shown(&point.cell),
                point.line
            )),
            (None, Some(_), _) => Ok(Decimal::Comma),
            (Some(_), None, _) | (None, None, None) => Ok(Decimal::Point),
            (None, None, Some(sight)) => self.by_the_rest(sight, delimiter),
        }
    }

    fn by_the_rest(&self, sight: &Sight, delimiter: u8) -> Result<Decimal, String> {
        match self.others {
            (true, false) => return Ok(Decimal::Point),
            (false, true) => return Ok(Decimal::Comma),
            _ => (),
        }
        // With a comma as delimiter, programs write a decimal point.
        if delimiter == b',' && !sight.cell.contains(',') {
            return Ok(Decimal::Point);
        }
        let read = |decimal| number(&sight.cell, decimal).unwrap_or_default();
        let (a, b) = (read(Decimal::Point), read(Decimal::Comma));
        Err(format!(
            "line {}: '{}' can be read as {a} and as {b}, and nothing in the file decides; expected a number that can be \
             read one way, such as {} or {:.4}",
            sight.line,
            shown(&sight.cell),
            a.max(b),
            a.min(b)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_read_completely_or_not_at_all() {
        use Decimal::{Comma, Point};
        for (cell, decimal, expected) in [
            ("123.4", Point, Some(123.4)),
            ("1,234.5", Point, Some(1234.5)),
            ("1,234,567", Point, Some(1_234_567.0)),
            ("1'234.5", Point, Some(1234.5)),
            ("1 234.5", Point, Some(1234.5)),
            ("123,4", Point, None),
            ("12,34.5", Point, None),
            ("1,2345", Point, None),
            ("0,123", Point, None),
            ("1.234.5", Point, None),
            ("123,4", Comma, Some(123.4)),
            ("1.234,5", Comma, Some(1234.5)),
            ("1 234,5", Comma, Some(1234.5)),
            ("1\u{202f}234,5", Comma, Some(1234.5)),
            ("14,540000", Comma, Some(14.54)),
            ("0,123", Comma, Some(0.123)),
            ("1,234.5", Comma, None),
            (",5", Comma, Some(0.5)),
            (".5", Point, Some(0.5)),
            ("5.", Point, Some(5.0)),
            ("-4", Point, Some(-4.0)),
            ("+4", Point, Some(4.0)),
            ("1.5e2", Point, Some(150.0)),
            ("1e", Point, None),
            ("inf", Point, None),
            ("nan", Point, None),
            ("0x1", Point, None),
            ("", Point, None),
            (".", Point, None),
            ("-", Point, None),
            ("12 g", Point, None),
            ("1 2", Point, None),
        ] {
            assert_eq!(number(cell, decimal), expected, "{cell}");
        }
    }

    fn decided(cells: &[&str], beside: &[&str], delimiter: u8) -> Result<Decimal, String> {
        let mut evidence = NumberEvidence::default();
        for (line, cell) in (2..).zip(cells) {
            evidence.see(line, cell, 10_000.0);
        }
        beside.iter().for_each(|cell| evidence.see_other(cell));
        evidence.decimal(delimiter)
    }

    #[test]
    fn other_cells_decide_an_ambiguous_number() {
        use Decimal::{Comma, Point};
        assert_eq!(decided(&["1,234", "1,250.5"], &[], b','), Ok(Point));
        assert_eq!(decided(&["1,234", "12,5"], &[], b','), Ok(Comma));
        assert_eq!(decided(&["123,456"], &[], b';'), Ok(Comma), "no grid emits 123456 g/kWh");
        assert_eq!(decided(&["123.456"], &[], b';'), Ok(Point));
        assert_eq!(decided(&["1.234"], &[], b','), Ok(Point));
        assert_eq!(decided(&["1,234"], &["70,1"], b';'), Ok(Comma));
        assert_eq!(decided(&["1,234"], &["70.1"], b','), Ok(Point));
        assert_eq!(decided(&["150", "200"], &[], b','), Ok(Point));
        let refused = decided(&["150", "1,234"], &[], b',').unwrap_err();
        assert!(refused.starts_with("line 3: '1,234' can be read as 1234 and as 1.234,"), "{refused}");
        assert!(refused.ends_with("1234 or 1.2340"), "{refused}");
        assert!(decided(&["1.234"], &[], b';').unwrap_err().contains("1.234 and as 1234"));
        let refused = decided(&["123.4", "123,4"], &[], b',').unwrap_err();
        assert!(refused.starts_with("line 3: '123,4' has a decimal comma, but '123.4' in line 2"), "{refused}");
    }

    proptest! {
        #[test]
        fn numbers_keep_all_their_digits(cell in "[0-9]{1,4}([., '][0-9]{1,4}){0,3}") {
            let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
            for decimal in [Decimal::Point, Decimal::Comma] {
                if let Some(number) = number(&cell, decimal) {
                    let (all, read) = (digits(&cell), digits(&number.to_string()));
                    prop_assert!(read.trim_start_matches('0').starts_with(all.trim_start_matches('0').trim_end_matches('0')) , "{} {}", cell, number);
                }
            }
        }
    }
}
