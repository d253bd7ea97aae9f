use super::*;
use crate::carbon::intensity::slot::IntensityQuality;
use proptest::prelude::*;

mod exports;
mod forms;
mod places;
mod words;

const NOON: f64 = 1_772_452_800.0; // 2026-03-02T12:00Z
const HOUR: f64 = 3600.0;

fn parsed(text: &str) -> Vec<IntensitySlot> {
    parse(text.as_bytes(), None, NOON + 1.5 * HOUR).unwrap_or_else(|why| panic!("{text}: {why}")).slots
}

fn refused(text: &str) -> String {
    parse(text.as_bytes(), None, NOON).expect_err(text)
}

/// The figure at a time.
fn at(slots: &[IntensitySlot], time: &str) -> Option<f64> {
    let mut curve = Curve::default();
    curve.take(slots.iter().copied());
    let stamp = times::TimeFormat::default().stamp(time).unwrap();
    let from = stamp.civil_s - stamp.offset_s.unwrap();
    curve.slots_within(from, from + 1.0).first().map(|slot| slot.g_per_kwh)
}

#[test]
fn figure_holds_until_the_next_and_is_a_forecast_after_now() {
    let slots = parsed("time,g_per_kwh\n2026-03-02T12:00Z,100\n2026-03-02T13:00Z,200\n2026-03-02T14:00Z,300\n");
    let slots_seen: Vec<_> = slots.iter().map(|s| (s.from - NOON, s.to - NOON, s.g_per_kwh, s.quality)).collect();
    assert!(slots_seen.contains(&(0.0, 3600.0, 100.0, IntensityQuality::Actual)), "{slots_seen:?}");
    assert!(slots_seen.contains(&(3600.0, 7200.0, 200.0, IntensityQuality::Actual)));
    assert!(slots_seen.contains(&(7200.0, 10800.0, 300.0, IntensityQuality::Forecast)));
}

#[test]
fn estimated_figure_ends_the_actual_one_before_it() {
    let slots = parsed(
        "time,g_per_kwh,kind\n2026-03-02T12:00Z,100,actual\n2026-03-02T13:00Z,200,estimated\n\
         2026-03-02T14:00Z,300,actual\n2026-03-02T15:00Z,400,estimated\n2026-03-02T13:00Z,1,forecast\n",
    );
    let hours = ["2026-03-02T12:30Z", "2026-03-02T13:30Z", "2026-03-02T14:30Z", "2026-03-02T15:30Z"];
    assert_eq!(hours.map(|hour| at(&slots, hour)), [100.0, 200.0, 300.0, 400.0].map(Some));
}

#[test]
fn columns_may_have_any_order_and_remarks_are_read() {
    let text = "\u{feff}# source: Energinet\r\n# basis: Direct\r\n# zone: DK1\r\n# made by hand\r\nkind,g_per_kwh,time\r\n\
        actual,50,2026-03-02T12:00Z\r\nactual,,2026-03-02T12:30Z\r\nactual,70,2026-03-02T13:00Z\r\n\
        forecast,90,2026-03-02T12:00Z\r\nforecast,95,2026-03-02T14:00Z\r\n";
    let contents = parse(text.as_bytes(), None, NOON).unwrap();
    let expected =
        Remarks { basis: Some(EmissionsBasis::Direct), source: Some("Energinet".into()), zone: Some("DK1".into()) };
    assert_eq!(contents.remarks, expected);
    let mut curve = Curve::default();
    curve.take(contents.slots);
    let mean = |from: f64, to: f64| curve.mean(NOON + from, NOON + to).unwrap();
    assert_eq!(
        [mean(0.0, 1800.0), mean(1800.0, 3600.0), mean(3600.0, 7200.0), mean(7200.0, 9000.0)],
        [50.0, 90.0, 70.0, 95.0]
    );
    assert_eq!(parsed("1772452800,100\n1772452810,200\n").len(), 2, "no heading");
}

/// ct_create reads the file, so the time for a row must not depend on its position.
#[test]
fn large_file_is_read_to_its_end() {
    use std::fmt::Write;
    let mut both = String::from("time,g_per_kwh,kind\n");
    (0..5_000).for_each(|n| writeln!(both, "{},1,forecast", 1_500_000_000 + n * 3600).unwrap());
    (0..60_000).for_each(|n| writeln!(both, "{},2,actual", 1_500_000_000 + n * 300).unwrap());
    let again = "1500000000,3\n".repeat(40_000);
    for (text, g_per_kwh) in [(both, 2.0), (again, 3.0)] {
        let mut curve = Curve::default();
        curve.take(parsed(&text));
        assert!(curve.slots().iter().all(|slot| slot.g_per_kwh == g_per_kwh));
    }
}

#[test]
fn errors_name_line_expectation_and_example() {
    for (text, line, expected, example) in [
        (
            "time,g_per_kwh\n2026-03-02T12:00Z,green\n",
            "line 2: 'green' is not an intensity",
            "0 to 10000 g/kWh",
            "123.4",
        ),
        ("time,g_per_kwh\n2026-03-02T12:00Z,-4\n", "line 2: '-4' is not an intensity", "0 to 10000", "123.4"),
        ("time,g_per_kwh\n\nyesterday,5\n", "line 3: 'yesterday' is not a time", "in UTC", "2026-03-02T13:00Z"),
        ("time,value\n2026-03-02T12:00Z,5\n", "line 1: no headings name", "'value'", "time,g_per_kwh"),
        ("a\nb\n", "line 1: no headings name", "'a'", "2026-03-02T13:00Z,123.4"),
        ("time,g_per_kwh,kind\n2026-03-02T12:00Z,5,guess\n", "line 2: kind 'guess'", "actual, estimated", "forecast"),
        ("time,g_per_kwh\n", "has no figures", "expected headings", "2026-03-02T13:00Z,123.4"),
        ("time,g_per_kwh\n2026-03-02T12:00Z,NA\n", "has no figures", "expected headings", "123.4"),
        ("", "has no figures", "expected headings", "123.4"),
        ("# basis: both\ntime,g_per_kwh\n", "line 1: basis 'both'", "lifecycle", "direct"),
    ] {
        let why = refused(text);
        assert!(why.starts_with(line) && why.contains(expected) && why.contains(example), "{why}");
    }
    let missing = open(Path::new("/nowhere/grid.csv"), None).unwrap_err();
    assert!(missing.message.contains("intensity='/nowhere/grid.csv'") && missing.message.contains("time,g_per_kwh"));
}

#[test]
fn faulty_file_has_no_figures_yet() {
    let path = std::env::temp_dir().join(format!("ct-broken-{}.csv", std::process::id()));
    std::fs::write(&path, "time,g_per_kwh\n2026-03-02T12:00Z,1,234.5\n").unwrap();
    let (hourly, _) = open(&path, Some("DK")).unwrap();
    let failure = hourly.failure.unwrap();
    assert!(hourly.curve.is_empty() && failure.contains("line 2: 3 cells, but 2 columns"), "{failure}");
    std::fs::write(&path, "# source: me\ntime,g_per_kwh\n2026-03-02T12:00Z,\"1,234.5\"\n").unwrap();
    let update = reread(&path, Some("DK")).unwrap();
    assert_eq!((update.slots[0].g_per_kwh, update.about.source.as_str()), (1234.5, "me"));
    std::fs::remove_file(path).unwrap();
}

proptest! {
    #[test]
    fn any_bytes_are_harmless(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        text in "(time,g_per_kwh\n|Date;co2\n|datetime\tactual\tforecast\n|)[0-9T:Z,;.+\\-a-k\"\t/\n# ]{0,120}",
    ) {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            for slot in parse(bytes, Some("GB"), NOON).map(|contents| contents.slots).unwrap_or_default() {
                prop_assert!(slot.to > slot.from && (0.0..=10_000.0).contains(&slot.g_per_kwh));
            }
        }
    }

    /// Digit by digit: an accepted number is the whole cell.
    #[test]
    fn accepted_number_is_the_whole_cell(
        cells in prop::collection::vec("\"?[0-9]{1,5}([.,][0-9]{1,3}){0,2}\"?", 1..5), mark in "[,;\t]",
    ) {
        let mut text = format!("time{mark}g_per_kwh\n");
        for (n, cell) in cells.iter().enumerate() {
            text.push_str(&format!("2026-03-02T0{n}:00Z{mark}{cell}\n"));
        }
        let digits = |text: &str| {
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            digits.trim_matches('0').to_owned()
        };
        if let Ok(contents) = parse(text.as_bytes(), None, NOON) {
            prop_assert_eq!(contents.slots.len(), cells.len());
            for (slot, cell) in contents.slots.iter().zip(&cells) {
                prop_assert_eq!(digits(&slot.g_per_kwh.to_string()), digits(cell), "{}", text);
            }
        }
    }
}

/// One way to write a table.
#[derive(Clone, Debug)]
struct Style {
    mark: char,
    is_quoted: bool,
    decimal: char,
    group: Option<char>,
    decimals: usize,
    date: usize,
    zone: usize,
}

fn style() -> impl Strategy<Value = Style> {
    let mark = prop::sample::select(vec![',', ';', '\t', '|']);
    let number = (prop::sample::select(vec!['.', ',']), prop::sample::select(vec![' ', '\u{a0}', '\'']));
    (mark, any::<bool>(), number, prop::option::of(any::<bool>()), 0usize..5, 0usize..6, 0usize..6).prop_map(
        |(mark, is_quoted, (decimal, gap), group, decimals, date, zone)| {
            let other = if decimal == '.' { ',' } else { '.' };
            let group = group.map(|is_gap| if is_gap { gap } else { other });
            Style { mark, is_quoted, decimal, group, decimals, date, zone }
        },
    )
}

impl Style {
    fn number(&self, number: f64) -> String {
        let text = format!("{number:.*}", self.decimals);
        let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
        let mut grouped = String::new();
        for (n, digit) in whole.chars().enumerate() {
            let is_group = n > 0 && (whole.len() - n) % 3 == 0;
            grouped.extend(self.group.filter(|_| is_group));
            grouped.push(digit);
        }
        if decimals.is_empty() { grouped } else { format!("{grouped}{}{decimals}", self.decimal) }
    }

    /// A time by its day in November 2026 and its hour in UTC.
    fn time(&self, day: u32, hour: u32) -> String {
        let (shift, zone) = [(0, ""), (0, "Z"), (0, " UTC"), (1, "+01:00"), (1, " CET"), (2, " +0200")][self.zone];
        let (day, hour) = if hour + shift > 23 { (day + 1, hour + shift - 24) } else { (day, hour + shift) };
        let text = match self.date {
            0 => format!("2026-11-{day:02}T{hour:02}:00"),
            1 => format!("2026-11-{day:02} {hour:02}:00:00"),
            2 => format!("2026/11/{day:02} {hour:02}:00"),
            3 => format!("{day:02}.11.2026 {hour:02}:00"),
            4 => format!("{day:02}/11/2026 {hour:02}:00"),
            _ => format!("11/{day:02}/2026 {}:00 {}", (hour + 11) % 12 + 1, if hour < 12 { "AM" } else { "PM" }),
        };
        text + zone
    }

    fn cell(&self, text: &str) -> String {
        if self.is_quoted || text.contains(self.mark) { format!("\"{text}\"") } else { text.to_owned() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// In any style each figure comes back at its time, or the file is refused.
    #[test]
    fn table_is_read_correctly_or_refused(
        style in style(), figures in prop::collection::vec(0f64..3000.0, 1..8), day in 1u32..29,
    ) {
        // With commas as delimiter "1.234" is not a thousand.
        prop_assume!(style.mark != ',' || style.decimals > 0 || style.group != Some('.'));
        let mut text = format!("time{}g_per_kwh\n", style.mark);
        let shown: Vec<f64> = figures.iter().map(|figure| format!("{figure:.*}", style.decimals).parse().unwrap()).collect();
        for (hour, figure) in (20..).zip(&shown) {
            let (day, hour) = if hour > 23 { (day + 1, hour - 24) } else { (day, hour) };
            let (time, number) = (style.cell(&style.time(day, hour)), style.cell(&style.number(*figure)));
            text.push_str(&format!("{time}{}{number}\n", style.mark));
        }
        match parse(text.as_bytes(), None, NOON) {
            Ok(contents) => {
                let start = dates::days_from_civil(2026, 11, day).unwrap() * 24.0 * HOUR + 20.0 * HOUR;
                let is: Vec<_> = contents.slots.iter().map(|slot| ((slot.from - start) / HOUR, slot.g_per_kwh)).collect();
                let expected: Vec<_> = (0..).map(f64::from).zip(shown).collect();
                prop_assert_eq!(is, expected, "{}", text);
            }
            Err(why) => prop_assert!(why.contains("can be read"), "{}{}", text, why),
        }
    }
}

/// NESO's generation mix since 2009 has as many rows.
#[test]
fn wide_file_of_many_rows_is_read() {
    let head =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/intensity/neso_generation_mix_spring.csv"))
            .lines()
            .next()
            .unwrap();
    let rest = ",1.5".repeat(head.split(',').count() - 14);
    let row = |n: u32| {
        let (day, half) = (n / 48, n % 48);
        format!(
            "2026-{:02}-{:02}T{:02}:{:02}:00,1,1,1,1,1,1,1,1,1,1,1,1,{}{rest}\n",
            day / 28 + 1,
            day % 28 + 1,
            half / 2,
            half % 2 * 30,
            n % 500
        )
    };
    let text: String = [format!("{head}\n")].into_iter().chain((0..10_000).map(row)).collect();
    let slots = parsed(&text);
    assert_eq!((slots.len(), slots[501].g_per_kwh), (10_000, 1.0));
}
