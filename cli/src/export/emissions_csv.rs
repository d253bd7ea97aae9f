//! The file `emissions.csv`: rows are appended under a lock, so that many jobs may write one file.

use super::codecarbon::{COLUMNS, RUN_ID};
use crate::console::complain;
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
    encoded(true, rows.iter())
}

fn encoded<'a>(has_header: bool, rows: impl Iterator<Item = &'a CsvRow>) -> Result<String, String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = if has_header { writer.write_record(COLUMNS) } else { Ok(()) };
    let mut rows = rows;
    let written = header.and_then(|()| rows.try_for_each(|row| writer.write_record(row)));
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
    file.lock().map_err(failed)?;
    let mut before = Vec::new();
    (&file).take(MAX_BYTES + 1).read_to_end(&mut before).map_err(failed)?;
    let known = ids(path, &before)?;
    let is_new = |row: &&CsvRow| row.get(RUN_ID).is_none_or(|id| !known.contains(id));
    for row in rows.iter().filter(|row| !is_new(row)) {
        let id = row.get(RUN_ID).map(String::as_str).unwrap_or_default();
        complain(&format!(
            "{}: run {id} is in this file already; it is left out; to export it again, remove its row",
            path.display()
        ));
    }
    let text = encoded(before.is_empty(), rows.iter().filter(is_new))?;
    // The last row may have been cut off by a full disk or a kill.
    let begin = if before.last().is_some_and(|end| *end != b'\n') { "\n" } else { "" };
    // One write, so that a reader without the lock sees whole rows.
    file.write_all(format!("{begin}{text}").as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

/// Opens the file. A pipe or device is refused.
fn opened(path: &Path) -> io::Result<File> {
    let path = followed(path)?;
    if let Ok(metadata) = path.metadata() {
        is_regular(&metadata)?;
    }
    OpenOptions::new().read(true).append(true).create(true).open(path)
}

/// The ids of the runs in a file. An error: its columns are others.
fn ids(path: &Path, content: &[u8]) -> Result<HashSet<String>, String> {
    if content.is_empty() {
        return Ok(HashSet::new());
    }
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(content);
    let refused = |what: String| {
        format!("{}: {what}; nothing was written; name another file with -o, or rename this one", path.display())
    };
    let is_long = content.len() as u64 > MAX_BYTES;
    let header = reader.headers().map_err(|error| refused(format!("it is no CSV file: {error}")))?;
    if is_long || !header.iter().eq(COLUMNS) {
        return Err(refused("its columns are not those of CodeCarbon 3.3.2".into()));
    }
    let ids = reader.records().filter_map(|row| row.ok()?.get(RUN_ID).map(str::to_owned));
    Ok(ids.collect())
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
        std::fs::write(&path, "timestamp,emissions\n1,2\n").unwrap();
        let why = append(&path, &[row("d")]).unwrap_err();
        assert!(why.contains("columns are not those of CodeCarbon") && why.contains("nothing was written"), "{why}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "timestamp,emissions\n1,2\n");
        std::fs::remove_file(&path).unwrap();
        assert!(append(Path::new("/dev/null"), &[row("e")]).is_err());
    }

    #[test]
    fn many_writers_lose_no_row() {
        let path = std::env::temp_dir().join(format!("carbontracker-emissions-many-{}.csv", std::process::id()));
        let _ = std::fs::remove_file(&path);
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let path = &path;
                scope.spawn(move || (0..10).for_each(|n| append(path, &[row(&format!("{writer}-{n}"))]).unwrap()));
            }
        });
        assert_eq!(read(&path).len(), 80);
        assert_eq!(std::fs::read_to_string(&path).unwrap().matches("run_id").count(), 1);
        std::fs::remove_file(&path).unwrap();
    }
}
