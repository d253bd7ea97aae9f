//! The file `emissions.csv`: rows are appended under a lock, so that many jobs may write one file.

use super::codecarbon::{COLUMNS, RUN_ID};
use crate::console::complain;
use carbontracker::os;
use carbontracker::run_files::atomic_replace::{followed, in_words, is_regular};
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// Longest file that is appended to, bytes. A longer one is something else.
const MAX_BYTES: u64 = 1 << 30;

type CsvRow = [String; COLUMNS.len()];

/// The header and rows as CSV.
pub fn text(rows: &[CsvRow]) -> Result<String, String> {
    encoded(true, &in_order(), rows.iter())
}

/// The columns in CodeCarbon's own order, by their places in `COLUMNS`.
fn in_order() -> Vec<usize> {
    (0..COLUMNS.len()).collect()
}

/// Rows whose cells are in the order of these places in `COLUMNS`.
fn encoded<'a>(
    has_header: bool,
    places: &[usize],
    mut rows: impl Iterator<Item = &'a CsvRow>,
) -> Result<String, String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = if has_header { writer.write_record(COLUMNS) } else { Ok(()) };
    let ordered = |row: &'a CsvRow| places.iter().filter_map(|place| row.get(*place));
    let written = header.and_then(|()| rows.try_for_each(|row| writer.write_record(ordered(row))));
    let bytes = written
        .map_err(|error| error.to_string())
        .and_then(|()| writer.into_inner().map_err(|error| error.to_string()));
    String::from_utf8(bytes?).map_err(|error| error.to_string())
}

/// Appends rows to a file, and makes it if it is missing. A run whose id is in the file already is left out.
pub fn append(path: &Path, rows: &[CsvRow]) -> Result<(), String> {
    let failed = |error: io::Error| in_words(path, &error);
    let mut file = opened(path).map_err(failed)?;
    // Until the file is closed. Other programs of this kind wait.
    os::wait_for_lock(&file).map_err(failed)?;
    let mut before = Vec::new();
    (&file).take(MAX_BYTES + 1).read_to_end(&mut before).map_err(failed)?;
    let known = KnownRows::of(path, &before)?;
    let is_new = |row: &&CsvRow| row.get(RUN_ID).is_none_or(|id| !known.ids.contains(id));
    for row in rows.iter().filter(|row| !is_new(row)) {
        let id = row.get(RUN_ID).map(String::as_str).unwrap_or_default();
        complain(&format!(
            "{}: run {id} is in this file already; it is left out; to export it again, remove its row",
            path.display()
        ));
    }
    let text = encoded(before.is_empty(), &known.places, rows.iter().filter(is_new))?;
    // One write, so that a reader without the lock sees whole rows.
    let text = format!("{}{text}", end_of_row(&before));
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

/// What ends the last row, which a full disk or a kill may have cut off, also within a quoted cell.
fn end_of_row(before: &[u8]) -> &'static str {
    let quotes = before.iter().filter(|byte| **byte == b'"').count();
    match before.last() {
        Some(_) if quotes % 2 == 1 => "\"\n",
        Some(b'\n') | None => "",
        Some(_) => "\n",
    }
}

/// Opens the file. A pipe or device is refused.
fn opened(path: &Path) -> io::Result<File> {
    let path = followed(path)?;
    if let Ok(metadata) = path.metadata() {
        is_regular(&metadata)?;
    }
    OpenOptions::new().read(true).append(true).create(true).open(path)
}

/// What a file has already.
struct KnownRows {
    /// Its columns, by their places in `COLUMNS`.
    places: Vec<usize>,
    /// The ids of its runs.
    ids: HashSet<String>,
}

impl KnownRows {
    /// Reads a file. An error: its columns are others. They may be in another order, as for CodeCarbon.
    fn of(path: &Path, content: &[u8]) -> Result<KnownRows, String> {
        if content.is_empty() {
            return Ok(KnownRows { places: in_order(), ids: HashSet::new() });
        }
        let refused = |what: String| {
            format!("{}: {what}; nothing was written; name another file with -o, or rename this one", path.display())
        };
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(content);
        let header = reader.headers().map_err(|error| refused(format!("it is no CSV file: {error}")))?;
        let places: Option<Vec<usize>> =
            header.iter().map(|name| COLUMNS.iter().position(|known| *known == name)).collect();
        let is_whole = |places: &Vec<usize>| {
            places.len() == COLUMNS.len() && in_order().iter().all(|place| places.contains(place))
        };
        let places = places.filter(|places| content.len() as u64 <= MAX_BYTES && is_whole(places));
        let places = places.ok_or_else(|| refused("its columns are not those of CodeCarbon 3.3.2".into()))?;
        let id = places.iter().position(|place| *place == RUN_ID).unwrap_or(RUN_ID);
        let ids = reader.records().filter_map(|row| row.ok()?.get(id).map(str::to_owned)).collect();
        Ok(KnownRows { places, ids })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str) -> CsvRow {
        let mut row = COLUMNS.map(|_| String::new());
        row[RUN_ID] = id.into();
        row[1] = "a \"name\", with\na line".into();
        row
    }

    fn read(path: &Path) -> Vec<csv::StringRecord> {
        csv::Reader::from_path(path).unwrap().records().map(Result::unwrap).collect()
    }

    #[test]
    fn rows_are_appended_once_and_a_cut_row_stays_apart() {
        let path = std::env::temp_dir().join(format!("carbontracker-emissions-{}.csv", std::process::id()));
        let _ = std::fs::remove_file(&path);
        append(&path, &[row("a")]).unwrap();
        append(&path, &[row("a"), row("b")]).unwrap();
        let ids = |path: &Path| read(path).iter().map(|row| row[RUN_ID].to_owned()).collect::<Vec<_>>();
        assert_eq!(ids(&path), ["a", "b"]);
        assert_eq!(&read(&path)[1][1], "a \"name\", with\na line");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"2026,cut").unwrap();
        append(&path, &[row("c")]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("2026,cut\n,\"a") && text.matches("run_id").count() == 1, "{text}");
        for (cut, end) in [("a,\"b", "\"\n"), ("a,\"b\n", "\"\n"), ("a,b", "\n"), ("a,b\n", ""), ("", "")] {
            assert_eq!(end_of_row(cut.as_bytes()), end, "{cut}");
        }
        std::fs::write(&path, "timestamp,emissions\n1,2\n").unwrap();
        let why = append(&path, &[row("d")]).unwrap_err();
        assert!(why.contains("columns are not those of CodeCarbon") && why.contains("nothing was written"), "{why}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "timestamp,emissions\n1,2\n");
        std::fs::remove_file(&path).unwrap();
        assert!(append(Path::new("/dev/null"), &[row("e")]).is_err());
    }

    #[test]
    fn columns_may_be_in_another_order() {
        let path = std::env::temp_dir().join(format!("carbontracker-emissions-order-{}.csv", std::process::id()));
        let mut columns = COLUMNS;
        columns.reverse();
        std::fs::write(&path, columns.join(",") + "\n").unwrap();
        append(&path, &[row("a")]).unwrap();
        append(&path, &[row("a")]).unwrap();
        let rows = read(&path);
        assert_eq!((rows.len(), &rows[0][COLUMNS.len() - 1 - RUN_ID]), (1, "a"));
        columns[0] = columns[1];
        std::fs::write(&path, columns.join(",") + "\n").unwrap();
        assert!(append(&path, &[row("a")]).is_err(), "a column twice");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn append_waits_for_the_lock_of_another_writer() {
        let path = std::env::temp_dir().join(format!("carbontracker-emissions-lock-{}.csv", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut other = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        other.lock().unwrap();
        std::thread::scope(|scope| {
            let appended = scope.spawn(|| append(&path, &[row("a")]));
            std::thread::sleep(std::time::Duration::from_millis(100));
            assert!(!appended.is_finished() && std::fs::read(&path).unwrap().is_empty(), "it waits");
            other.write_all(text(&[row("b")]).unwrap().as_bytes()).unwrap();
            other.unlock().unwrap();
            appended.join().unwrap().unwrap();
        });
        let ids: Vec<String> = read(&path).iter().map(|row| row[RUN_ID].to_owned()).collect();
        assert_eq!(ids, ["b", "a"], "one header");
        std::fs::remove_file(&path).unwrap();
    }
}
