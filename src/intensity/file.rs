//! Figures by the hour from a CSV file: `time,g_per_kwh`, and `kind` where a row is `actual` or `forecast`.

use super::curve::Curve;
use super::service::instant;
use super::slot::{DIRTIEST, Slot, Standing};
use super::{Hourly, Intensity};
use crate::clean;
use crate::error::{Error, Result};
use crate::host::{self, unix_s};
use crate::memory;
use crate::units;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

/// A file larger than this, bytes, is none of intensities: five minutes for ten years take 40 MB.
const MOST_BYTES: u64 = 64 << 20;
/// A file that ended so long ago, s, is old: figures of an hour come late by one or two.
const STALE_S: f64 = 3.0 * 3600.0;
/// How long the last figure holds where there is no step to see, s.
const STEP_S: f64 = 3600.0;

/// What a file says.
#[derive(Debug, Default)]
pub struct Contents {
    slots: Vec<Slot>,
    basis: Option<&'static str>,
    source: Option<String>,
    zone: Option<String>,
}

/// Reads a file of figures for a zone.
pub fn open(path: &Path, zone: Option<&str>) -> Result<Hourly> {
    let contents = read(path).map_err(|why| Error::invalid(format!("intensity='{}': {why}", path.display())))?;
    let Contents { slots, basis, source, zone: said } = contents;
    let mut curve = Curve::default();
    curve.take(slots);
    let source = source.unwrap_or_else(|| clean::text(path.file_name().unwrap_or_default().to_string_lossy()));
    let caveat =
        said.as_deref().zip(zone).filter(|(said, asked)| !said.eq_ignore_ascii_case(asked)).map(|(said, asked)| {
            format!(
                "intensity='{}' says that it is of {said}, not of location={asked}: it counts all the same",
                path.display()
            )
        });
    let zone = said.or(zone.map(str::to_owned));
    let about = Intensity { g_per_kwh: f64::NAN, kind: "file", zone, year: None, basis, scope: None, source, caveat };
    let failure = curve.known_to().and_then(|to| stale(path, to, unix_s()));
    Ok(Hourly { about, curve, failure })
}

/// What to say of a file whose last figure holds no longer than `to`, s since 1970: whoever writes it may have stopped.
fn stale(path: &Path, to: f64, now: f64) -> Option<String> {
    let end = units::instant(to).unwrap_or_default();
    (to + STALE_S < now)
        .then(|| format!("intensity='{}' ends at {end}, before now: is it still written?", path.display()))
}

/// What tells whether a file has changed: its number, when it was written, its length.
pub type Stamp = (u64, SystemTime, u64);

/// The stamp a file has now.
pub fn stamp(path: &Path) -> Option<Stamp> {
    let about = std::fs::metadata(path).ok()?;
    Some((about.ino(), about.modified().ok()?, about.len()))
}

/// The slots of a file, read again, and what to say of them if they are old.
pub fn reread(path: &Path) -> std::result::Result<(Vec<Slot>, Option<String>), String> {
    let slots = read(path)?.slots;
    let to = slots.iter().map(|slot| slot.to).fold(f64::NEG_INFINITY, f64::max);
    let stale = stale(path, to, unix_s());
    Ok((slots, stale))
}

fn read(path: &Path) -> std::result::Result<Contents, String> {
    let told = |error: std::io::Error| format!("{error}; expected a CSV file of time,g_per_kwh");
    // A line of some 30 bytes becomes a row, a slot and a piece of the curve.
    const TIMES: u64 = 8;
    let length = std::fs::metadata(path).map_err(told)?.len().min(MOST_BYTES);
    memory::check((length * TIMES) as usize, "its contents").map_err(|error| error.message)?;
    let bytes = host::text::bytes(path, MOST_BYTES).map_err(told)?;
    parse(&bytes, unix_s())
}

/// The figures in a file's bytes. Each holds until the next time there is, the last for as long as the one before. An
/// empty one is a hole. A row without `kind` is a forecast if its time is after `now`, s since 1970.
pub fn parse(bytes: &[u8], now: f64) -> std::result::Result<Contents, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8 text")?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut contents = Contents::default();
    let mut columns: Option<Columns> = None;
    let mut rows: Vec<Row> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = clean::text(line);
        let line = line.trim();
        if let Some(remark) = line.strip_prefix('#') {
            contents.remark(remark).map_err(|why| format!("line {number}: {why}"))?;
        } else if !line.is_empty() {
            let cells: Vec<&str> = line.split(',').map(|cell| cell.trim().trim_matches('"').trim()).collect();
            match &columns {
                None if Columns::is_heading(&cells) => columns = Some(Columns::of(&cells)?),
                _ => {
                    let columns = columns.get_or_insert(Columns { time: 0, figure: 1, kind: Some(2) });
                    rows.push(columns.row(&cells, now).map_err(|why| format!("line {number}: {why}"))?);
                }
            }
        }
    }
    contents.slots = slots(rows)?;
    Ok(contents)
}

/// A row of the file; None: a hole.
struct Row {
    at: f64,
    g_per_kwh: Option<f64>,
    standing: Standing,
}

/// Which column is which.
struct Columns {
    time: usize,
    figure: usize,
    kind: Option<usize>,
}

impl Columns {
    /// Names, and neither times nor figures.
    fn is_heading(cells: &[&str]) -> bool {
        cells.iter().all(|cell| time(cell).is_none() && cell.parse::<f64>().is_err())
            && cells.iter().any(|cell| cell.chars().any(char::is_alphabetic))
            && cells.first().is_some_and(|first| !first.starts_with(|c: char| c.is_ascii_digit()))
    }

    fn of(names: &[&str]) -> std::result::Result<Columns, String> {
        let place = |wanted: &str| names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
        let needed = |wanted: &str| {
            place(wanted).ok_or_else(|| {
                format!("its first line names no column {wanted}; expected time,g_per_kwh, with commas between")
            })
        };
        Ok(Columns { time: needed("time")?, figure: needed("g_per_kwh")?, kind: place("kind") })
    }

    fn row(&self, cells: &[&str], now: f64) -> std::result::Result<Row, String> {
        let cell = |place: usize| cells.get(place).copied().unwrap_or_default();
        let at = time(cell(self.time)).ok_or_else(|| {
            format!(
                "'{}' is no time; expected 2026-03-02T13:00Z, with an offset or in UTC, or seconds since 1970",
                cell(self.time)
            )
        })?;
        let figure = cell(self.figure);
        let g_per_kwh = match figure.parse::<f64>() {
            Ok(g) if (0.0..=DIRTIEST).contains(&g) => Some(g),
            _ if figure.is_empty() || figure.eq_ignore_ascii_case("nan") => None,
            _ => return Err(format!("'{figure}' is no intensity; expected 0 to 10000 g/kWh, or nothing")),
        };
        let standing = match self.kind.map(cell).unwrap_or_default().to_ascii_lowercase().as_str() {
            "actual" => Standing::Actual,
            "estimated" => Standing::Estimated,
            "forecast" => Standing::Forecast,
            "" if at <= now => Standing::Actual,
            "" => Standing::Forecast,
            other => return Err(format!("kind '{other}': expected actual, estimated or forecast")),
        };
        Ok(Row { at, g_per_kwh, standing })
    }
}

impl Contents {
    /// "# basis: direct", "# source: …", "# zone: …"; other remarks say nothing to us.
    fn remark(&mut self, remark: &str) -> std::result::Result<(), String> {
        let Some((name, value)) = remark.split_once(':').map(|(name, value)| (name.trim(), value.trim())) else {
            return Ok(());
        };
        let text = Some(value.to_owned()).filter(|value| !value.is_empty());
        match name.to_ascii_lowercase().as_str() {
            "source" => self.source = text,
            "zone" => self.zone = text,
            "basis" => {
                let known = ["lifecycle", "direct"].into_iter().find(|basis| basis.eq_ignore_ascii_case(value));
                self.basis = Some(known.ok_or_else(|| format!("basis '{value}': expected lifecycle or direct"))?);
            }
            _ => (),
        }
        Ok(())
    }
}

/// Rows of each kind, in time's order, as slots.
fn slots(mut rows: Vec<Row>) -> std::result::Result<Vec<Slot>, String> {
    if !rows.iter().any(|row| row.g_per_kwh.is_some()) {
        return Err("has no figures; expected rows of time,g_per_kwh".into());
    }
    rows.sort_by(|a, b| a.at.total_cmp(&b.at));
    // Beside actual figures a forecast's are told apart, as both may stand for one time.
    let mut slots = Vec::new();
    for standing in Standing::ALL {
        let of_kind: Vec<&Row> = rows.iter().filter(|row| row.standing == standing).collect();
        let mut step = STEP_S;
        for row in &of_kind {
            let next = of_kind.get(of_kind.partition_point(|next| next.at <= row.at));
            // A figure holds no longer than until something else is said, of whatever kind.
            let other = || rows.get(rows.partition_point(|other| other.at <= row.at)..)?.first();
            let end = next.map(|next| next.at).or_else(|| other().map(|other| other.at));
            step = end.map_or(step, |end| end - row.at);
            if let Some(g_per_kwh) = row.g_per_kwh {
                slots.push(Slot { from: row.at, to: row.at + step, g_per_kwh, standing });
            }
        }
    }
    // In time's order, for the curve grows at its end.
    slots.sort_by(|a, b| a.from.total_cmp(&b.from));
    Ok(slots)
}

/// Seconds since 1970 of a time in UTC or with an offset, or given as seconds.
fn time(text: &str) -> Option<f64> {
    const EARLIEST_S: f64 = 1e8; // 1973: smaller numbers are no times
    const LATEST_S: f64 = 7.3e9; // 2201
    let seconds = match text.parse::<f64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let (stamp, offset_s) = without_offset(text)?;
            let stamp = match stamp.len() {
                10 => format!("{stamp}T00:00:00"),
                16 => format!("{stamp}:00"),
                _ => stamp.to_owned(),
            };
            instant(&stamp)? - offset_s
        }
    };
    (EARLIEST_S..LATEST_S).contains(&seconds).then_some(seconds)
}

/// A stamp without its "Z" or "+01:00", and what that is in seconds.
fn without_offset(text: &str) -> Option<(&str, f64)> {
    if let Some(utc) = text.strip_suffix(['Z', 'z']) {
        return Some((utc, 0.0));
    }
    let Some(sign) = text.rfind(['+', '-']).filter(|&place| place > 10) else { return Some((text, 0.0)) };
    let digits: String = text.get(sign + 1..)?.chars().filter(|c| *c != ':').collect();
    let number = |range: std::ops::Range<usize>| digits.get(range)?.parse::<u32>().ok();
    let (hours, minutes) = match digits.len() {
        2 => (number(0..2)?, 0),
        4 => (number(0..2)?, number(2..4)?),
        _ => return None,
    };
    let seconds = f64::from(hours * 3600 + minutes * 60);
    Some((text.get(..sign)?, if text.get(sign..)?.starts_with('-') { -seconds } else { seconds }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const NOON: f64 = 1_772_452_800.0; // 2026-03-02T12:00Z

    fn parsed(text: &str) -> Vec<Slot> {
        parse(text.as_bytes(), NOON + 1.5 * 3600.0).unwrap().slots
    }

    fn refused(text: &str) -> String {
        parse(text.as_bytes(), NOON).unwrap_err()
    }

    #[test]
    fn times_as_people_write_them() {
        for text in [
            "2026-03-02T12:00Z",
            "2026-03-02T12:00:00Z",
            "2026-03-02T12:00:00.000Z",
            "2026-03-02 12:00",
            "2026-03-02 12:00:00",
            "2026-03-02T13:00+01:00",
            "2026-03-02 13:00:00+0100",
            "2026-03-02T07:00:00-05",
            "1772452800",
            "1772452800.0",
        ] {
            assert_eq!(time(text), Some(NOON), "{text}");
        }
        assert_eq!(time("2026-03-02"), Some(NOON - 12.0 * 3600.0));
        for text in ["", "noon", "12", "2026-13-02T12:00Z", "2026-03-02T12:00+1", "nan", "inf", "-1772452800"] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn a_figure_holds_until_the_next_and_after_now_it_is_a_forecast() {
        let slots = parsed("time,g_per_kwh\n2026-03-02T12:00Z,100\n2026-03-02T13:00Z,200\n2026-03-02T14:00Z,300\n");
        let told: Vec<_> = slots.iter().map(|s| (s.from - NOON, s.to - NOON, s.g_per_kwh, s.standing)).collect();
        assert!(told.contains(&(0.0, 3600.0, 100.0, Standing::Actual)), "{told:?}");
        assert!(told.contains(&(3600.0, 7200.0, 200.0, Standing::Actual)));
        assert!(told.contains(&(7200.0, 10800.0, 300.0, Standing::Forecast)));
    }

    #[test]
    fn kinds_remarks_holes_and_any_order_of_columns() {
        let text = "\u{feff}# source: Energinet\r\n# basis: Direct\r\n# zone: DK1\r\n# made by hand\r\nkind,g_per_kwh,time\r\n\
            actual,50,2026-03-02T12:00Z\r\nactual,,2026-03-02T12:30Z\r\nactual,70,2026-03-02T13:00Z\r\n\
            forecast,90,2026-03-02T12:00Z\r\nforecast,95,2026-03-02T14:00Z\r\n";
        let contents = parse(text.as_bytes(), NOON).unwrap();
        assert_eq!(
            (contents.basis, contents.source.as_deref(), contents.zone.as_deref()),
            (Some("direct"), Some("Energinet"), Some("DK1"))
        );
        let mut curve = Curve::default();
        curve.take(contents.slots);
        let mean = |from: f64, to: f64| curve.mean(NOON + from, NOON + to).unwrap();
        assert_eq!(
            [mean(0.0, 1800.0), mean(1800.0, 3600.0), mean(3600.0, 7200.0), mean(7200.0, 9000.0)],
            [50.0, 90.0, 70.0, 95.0]
        );
        assert_eq!(parsed("1772452800,100\n1772452810,200\n").len(), 2, "no heading");
    }

    /// ct_create reads it, so it is not to take minutes whatever is in it.
    #[test]
    fn a_large_file_is_read_in_no_time() {
        use std::fmt::Write;
        let began = std::time::Instant::now();
        let mut both = String::from("time,g_per_kwh,kind\n");
        (0..40_000).for_each(|n| writeln!(both, "{},1,forecast", 1_500_000_000 + n * 3600).unwrap());
        (0..480_000).for_each(|n| writeln!(both, "{},2,actual", 1_500_000_000 + n * 300).unwrap());
        let again = "1500000000,3\n".repeat(300_000);
        for (text, g_per_kwh) in [(both, 2.0), (again, 3.0)] {
            let mut curve = Curve::default();
            curve.take(parsed(&text));
            assert!(curve.slots().iter().all(|slot| slot.g_per_kwh == g_per_kwh));
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        assert!(refused("time,g_per_kwh\n2026-03-02T12:00Z,green\n").starts_with("line 2: 'green' is no intensity"));
        assert!(refused("time,g_per_kwh\nyesterday,5\n").contains("line 2: 'yesterday' is no time"));
        assert!(refused("time,value\n2026-03-02T12:00Z,5\n").contains("no column g_per_kwh"));
        assert!(refused("time,g_per_kwh,kind\n2026-03-02T12:00Z,5,guess\n").contains("kind 'guess'"));
        assert!(refused("time,g_per_kwh\n").contains("no figures") && refused("").contains("no figures"));
        assert!(refused("time,g_per_kwh\n2026-03-02T12:00Z,-4\n").contains("0 to 10000"));
        assert!(parse(b"\xff\xfe", NOON).unwrap_err().contains("UTF-8"));
        let missing = open(Path::new("/nowhere/grid.csv"), None).unwrap_err();
        assert!(
            missing.message.contains("intensity='/nowhere/grid.csv'") && missing.message.contains("time,g_per_kwh")
        );
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[0-9T:Z,.+\\-a-k\n# ]{0,120}") {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                for slot in parse(bytes, NOON).map(|contents| contents.slots).unwrap_or_default() {
                    prop_assert!(slot.to > slot.from && (0.0..=10_000.0).contains(&slot.g_per_kwh));
                }
            }
        }
    }
}
