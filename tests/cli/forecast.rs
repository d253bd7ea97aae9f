//! `carbontracker replay` and `score`: output, and refused input.
//!
//! CT_DATA is the folder of real recordings ($CT_DATA/epochs/*.csv) that the forecast is scored on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_carbontracker");
const HEADER: &str = "run,epoch,duration_s,energy_j\n";

fn carbontracker(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder with files, for one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Folder {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a folder");
        files.iter().for_each(|(name, content)| fs::write(dir.join(name), content).expect("written"));
        Folder(dir)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The output of `replay` for a recording.
fn replayed(name: &str, recording: &str, more: &[&str]) -> Vec<Vec<String>> {
    let folder = Folder::new(name, &[("a.csv", recording)]);
    let path = folder.path("a.csv");
    let output = carbontracker(&[&["replay", &path], more].concat());
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

fn run(name: &str, epochs: &[(&str, &str)]) -> String {
    let row = |(n, (duration, energy)): (usize, &(&str, &str))| format!("{name},{},{duration},{energy}\n", n + 1);
    epochs.iter().enumerate().map(row).collect()
}

#[test]
fn replay_prints_every_run_longer_than_k() {
    let runs = [HEADER, &run("long", &[("2", "20"); 12]), &run("short", &[("3", "5"); 3])].concat();
    let rows = replayed("longer", &runs, &[]);
    assert_eq!(rows[0].join(","), "run,after_epochs,metric,predicted,lower,upper");
    let keys: Vec<String> = rows[1..].iter().map(|row| row[..3].join(" ")).collect();
    let expected = |run: &str, ks: &[u32]| -> Vec<String> {
        ks.iter().flat_map(|k| ["energy_j", "duration_s"].map(|metric| format!("{run} {k} {metric}"))).collect()
    };
    assert_eq!(keys, [expected("long", &[1, 2, 3, 5, 10]), expected("short", &[1, 2])].concat());
    for row in &rows[1..] {
        let [value, low, high] = [3, 4, 5].map(|n| row[n].parse::<f64>().expect("a number"));
        let truth = match (row[0].as_str(), row[2].as_str()) {
            ("long", "energy_j") => 240.0,
            ("long", _) => 24.0,
            (_, "energy_j") => 15.0,
            _ => 9.0,
        };
        assert!((value / truth - 1.0).abs() < 1e-9 && low < truth && truth < high, "{row:?}");
    }
}

#[test]
fn runs_may_be_interleaved_quoted_and_partly_unknown() {
    let runs = "epoch,run,energy_j,duration_s,loss\n1,\"a,b\",,2,1\n1,c,7,,1\n2,c,7,,1\n2,\"a,b\",,2,1\n3,\"a,b\",,2,1\n3,c,7,,1\n";
    let rows = replayed("interleaved", runs, &["--at", "2"]);
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert_eq!(rows[1][..3].join(" "), "\"a b\" 2");
    assert_eq!((rows[1][3].as_str(), rows[2][2].as_str()), ("duration_s", "energy_j"));
}

/// The library's own CSV.
#[test]
fn report_csv_can_be_replayed() {
    let report = "index,count,duration_s,energy_j,co2eq_g,cpu_j,gpu_j,dram_j,node_j\n0,1,2,20,1,20,,,\n1,1,2,20,1,20,,,\n2,1,2,20,1,20,,,\n";
    let rows = replayed("report", report, &["--at", "2"]);
    assert_eq!((rows[1][..3].join(" "), rows[1][3].as_str()), ("a 2 energy_j".into(), "60"));
    let folder = Folder::new("merged", &[("a.csv", &report.replace("2,1,2", "2,4,8"))]);
    let output = carbontracker(&["replay", &folder.path("a.csv")]);
    assert!(output.status.code() == Some(1) && text(&output.stderr).contains("a.csv:4: count '4'"));
}

#[test]
fn level_sets_the_interval() {
    let runs = [HEADER, &run("a", &[("2", "20"); 12])].concat();
    let width = |level: &str| {
        let rows = replayed(&format!("level-{level}"), &runs, &["--at", "3", "--level", level]);
        rows[1][5].parse::<f64>().unwrap() - rows[1][4].parse::<f64>().unwrap()
    };
    assert!(width("0.5") < width("0.9") && width("0.9") < width("0.99"));
}

/// The columns are the same. A forecast before the first epoch needs earlier runs.
#[test]
fn earlier_runs_are_learned_from() {
    let costs = |slow: &'static str| {
        [("3", "30")].into_iter().chain([("1", "10"); 9]).chain([(slow, "20"); 10]).collect::<Vec<_>>()
    };
    let folder = Folder::new(
        "history",
        &[
            ("new.csv", &[HEADER, &run("new", &costs("2"))].concat()),
            ("old.csv", &[HEADER, &run("old", &costs("2")), &run("older", &costs("2"))].concat()),
            ("self.csv", &[HEADER, &run("new", &[("50", "500"); 20])].concat()),
        ],
    );
    let forecasts = |files: &[&str]| -> Vec<Vec<String>> {
        let (new, earlier) = (folder.path("new.csv"), files.iter().map(|file| folder.path(file)).collect::<Vec<_>>());
        let mut arguments = vec!["replay", &new, "--at", "0,2"];
        earlier.iter().for_each(|file| arguments.extend(["--history", file]));
        let output = carbontracker(&arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
    };
    let total = |row: &[String]| row[3].parse::<f64>().unwrap();
    let (blind, known) = (forecasts(&[]), forecasts(&["old.csv"]));
    assert_eq!((blind[0].join(","), blind.len()), ("run,after_epochs,metric,predicted,lower,upper".into(), 3));
    assert_eq!(known[0], blind[0]);
    let keys: Vec<String> = known[1..].iter().map(|row| row[1..3].join(" ")).collect();
    assert_eq!(keys, ["0 energy_j", "0 duration_s", "2 energy_j", "2 duration_s"]);
    for (row, truth) in known[1..].iter().zip([320.0, 32.0, 320.0, 32.0]) {
        assert!((total(row) / truth - 1.0).abs() < 0.01, "{row:?}");
    }
    assert!(total(&blind[2]) < 25.0, "the step is unknown: {:?}", blind[2]);
    assert_eq!(forecasts(&["self.csv"]), blind, "a run is not its own earlier run");
    assert_eq!(forecasts(&["self.csv", "old.csv"]), known);
}

/// Pairs of one configuration, named a/1 and a/2. Each run has the other as its earlier run.
#[test]
fn scores_with_earlier_runs() {
    let steps: Vec<_> = [("2", "20")].into_iter().chain([("1", "10"); 6]).chain([("2", "20"); 6]).collect();
    let other = [("9", "90"); 6];
    let runs = [HEADER, &run("a/1", &steps), &run("a/2", &steps), &run("b/1", &other)].concat();
    let folder = Folder::new("score-history", &[("set.csv", &runs), ("more.csv", &runs.replace("a/", "c/"))]);
    let table = |more: &[&str]| {
        let dir = folder.0.display().to_string();
        let output = carbontracker(&[&["score", dir.as_str(), "--at", "0,2"], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let same = table(&["--history", "same"]);
    let rows: Vec<Vec<&str>> =
        same.lines().filter(|line| line.starts_with("set  ")).map(|line| line.split_whitespace().collect()).collect();
    let row = |metric: &str, k: &str| rows.iter().find(|row| row[1] == metric && row[2] == k).expect(&same);
    assert_eq!(
        (row("energy_j", "0")[3], row("energy_j", "0")[5]),
        ("2", "-"),
        "a run without an earlier one is skipped"
    );
    assert!(
        row("energy_j", "0")[4].parse::<f64>().unwrap() < 0.1 && row("energy_j", "2")[4].parse::<f64>().unwrap() < 0.1,
        "{same}"
    );
    assert!(!table(&[]).contains(" 0 "), "no forecast before the first epoch without earlier runs");
    for relation in ["other", "foreign"] {
        assert!(table(&["--history", relation, "--earlier", "2"]).contains("every set"), "{relation}");
    }
}

#[test]
fn bad_row_is_named_by_file_and_line() {
    for (bad, line, reason) in [
        ("a,1,1,1\na,2,x,1\n", 3, "duration_s 'x'"),
        ("a,1,1,-5\n", 2, "energy_j '-5'"),
        ("a,1,1,nan\n", 2, "energy_j 'nan'"),
        ("a,1,1,inf\n", 2, "energy_j 'inf'"),
        ("a,1,1e101,1\n", 2, "duration_s '1e101'"),
        ("a,1,1,1\na,3,1,1\n", 3, "expected epoch 2"),
        ("a,1,1,1\na,1,1,1\n", 3, "expected epoch 2"),
        ("a,1.5,1,1\n", 2, "epoch '1.5'"),
        ("a,1,1,1\n\n\na,2,1\n", 5, "3 fields"),
        (",1,1,1\n", 2, "run is blank"),
    ] {
        let folder = Folder::new(&format!("bad-{line}-{}", bad.len()), &[("bad.csv", &[HEADER, bad].concat())]);
        for command in [["replay", &folder.path("bad.csv")], ["score", &folder.0.display().to_string()]] {
            let output = carbontracker(&command);
            let printed = text(&output.stderr);
            assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{bad}");
            assert!(printed.contains(&format!("bad.csv:{line}: ")) && printed.contains(reason), "{bad}: {printed}");
        }
    }
}

#[test]
fn file_without_recording_is_refused() {
    let folder = Folder::new("none", &[("other.csv", "a,b\n1,2\n"), ("empty.csv", HEADER), ("nothing.csv", "")]);
    for (file, reason) in [
        (
            "other.csv",
            "other.csv:1: no column run and epoch and duration_s and energy_j; expected the columns run,epoch",
        ),
        ("empty.csv", "empty.csv: no epochs"),
        ("nothing.csv", "nothing.csv:1: no column run"),
        (".", "a folder, but replay reads one file"),
        ("absent.csv", "absent.csv: No such file"),
    ] {
        let output = carbontracker(&["replay", &folder.path(file)]);
        assert!(output.status.code() == Some(1) && text(&output.stderr).contains(reason), "{}", text(&output.stderr));
    }
    let empty = Folder::new("no-csv", &[]);
    assert!(text(&carbontracker(&["score", &empty.0.display().to_string()]).stderr).contains("no *.csv"));
}

#[test]
fn wrong_arguments_are_refused() {
    for arguments in [
        &["replay"][..],
        &["replay", "a.csv", "--at", "-1"],
        &["replay", "a.csv", "--at", "1,x"],
        &["replay", "a.csv", "--level", "2"],
        &["no-such-task"],
        &[],
    ] {
        let output = carbontracker(arguments);
        assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{arguments:?}");
    }
    assert!(text(&carbontracker(&["replay", "--help"]).stdout).contains("run,epoch,duration_s,energy_j"));
}

/// A line of the table of scores.
struct Row {
    numbers: Vec<f64>,
}

impl Row {
    const COVERED: usize = 7;
    const WIDTH: usize = 8;
    const PLAIN: usize = 9;

    fn find(table: &str, name: &str, metric: &str, k: &str) -> Row {
        let starts =
            |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.split_whitespace().take(2).eq([metric, k]));
        let line = table.lines().find(starts).unwrap_or_else(|| panic!("{name} {metric} {k}: {table}"));
        let numbers = line[name.len()..]
            .split_whitespace()
            .skip(1)
            .map(|cell| if cell == "-" { f64::NAN } else { cell.parse().expect(cell) });
        Row { numbers: numbers.collect() }
    }

    fn ours(&self) -> f64 {
        self.numbers[2]
    }

    fn carbontracker(&self) -> f64 {
        self.numbers[3]
    }
}

#[test]
fn scores_follow_their_definitions() {
    let warm_up = [HEADER, &run("a", &[("3", "30"), ("1", "10"), ("1", "10"), ("1", "10")])].concat();
    let even = [HEADER, &run("b", &[("1", ""); 4])].concat();
    let folder = Folder::new("score", &[("warm.csv", &warm_up), ("even.csv", &even), ("notes.txt", "no recording")]);
    let output = carbontracker(&["score", &folder.0.display().to_string(), "--at", "1,3,7"]);
    let table = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let one = Row::find(&table, "warm", "energy_j", "1");
    assert!((one.carbontracker() - 100.0).abs() < 0.01 && (one.ours() - 100.0).abs() < 0.01, "{table}");
    let three = Row::find(&table, "warm", "energy_j", "3");
    assert!((three.carbontracker() - 11.11).abs() < 0.01 && three.ours() < 0.1, "{table}");
    assert!(!table.contains("even  energy_j") && Row::find(&table, "even", "duration_s", "3").ours() < 1e-9);
    let both = Row::find(&table, "every set", "duration_s", "3");
    assert!((both.carbontracker() - 5.56).abs() < 0.01 && both.numbers[Row::COVERED] == 100.0, "{table}");
    assert!(!table.contains(" 7  "), "no run is that long");
}

/// Scores on real runs. In the bounds all sets have the same weight.
#[test]
fn real_runs_are_forecast_better_than_by_the_mean() {
    let Some(data) = std::env::var_os("CT_DATA") else {
        return eprintln!("skipped: no recordings (CT_DATA is not set)");
    };
    let epochs = Path::new(&data).join("epochs").display().to_string();
    let output = carbontracker(&["score", &epochs]);
    let table = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    println!("{table}");
    for metric in ["energy_j", "duration_s"] {
        for (k, most) in [("1", 1.0), ("2", 0.5), ("3", 0.7), ("5", 0.7), ("10", 1.0)] {
            let sets = Row::find(&table, "every set", metric, k);
            assert!(sets.ours() <= most * sets.carbontracker() + 1e-9, "{metric} {k}: {:?}", sets.numbers);
            let runs = Row::find(&table, "every run", metric, k).numbers;
            // After one epoch, nearly all of it may have been warm-up.
            assert!(
                (86.0..=if k == "1" { 100.0 } else { 97.0 }).contains(&runs[Row::COVERED]),
                "{metric} {k}: {runs:?}"
            );
            assert!(runs[Row::WIDTH] < runs[Row::PLAIN], "{metric} {k}: {runs:?}");
        }
    }
}

/// The plain rule takes the mean of epochs 2 to k for the rest. No set is forecast worse than by it.
#[test]
fn real_runs_are_forecast_no_worse_than_by_the_plain_rule() {
    let Some(data) = std::env::var_os("CT_DATA") else {
        return eprintln!("skipped: no recordings (CT_DATA is not set)");
    };
    let epochs = Path::new(&data).join("epochs").display().to_string();
    let table = text(&carbontracker(&["score", &epochs, "--at", "2,3,5,10"]).stdout);
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let sets: Vec<Vec<&str>> =
        rows.filter(|row| row.get(1).is_some_and(|cell| ["energy_j", "duration_s"].contains(cell))).collect();
    assert!(sets.len() > 40, "{table}");
    for row in sets {
        let [ours, plain] = [4, 7].map(|column| row[column].parse::<f64>().expect(row[column]));
        assert!(ours <= plain, "{row:?}");
    }
}

/// One earlier run of the same configuration, then four: the mean error over sets and quantities, percent.
#[test]
fn real_runs_are_forecast_from_earlier_runs() {
    let Some(data) = std::env::var_os("CT_DATA") else {
        return eprintln!("skipped: no recordings (CT_DATA is not set)");
    };
    let epochs = Path::new(&data).join("epochs").display().to_string();
    let ks = ["0", "1", "2", "3", "5", "10"];
    for (earlier, most) in [("1", [1.5, 1.2, 1.6, 0.8, 1.1, 0.9]), ("4", [1.2, 1.0, 1.0, 0.6, 0.8, 0.8])] {
        let output =
            carbontracker(&["score", &epochs, "--history", "same", "--earlier", earlier, "--at", &ks.join(",")]);
        let table = text(&output.stdout);
        for (k, most) in ks.iter().zip(most) {
            let means = ["energy_j", "duration_s"].map(|metric| Row::find(&table, "every set", metric, k));
            let error = (means[0].ours() + means[1].ours()) / 2.0;
            assert!(error <= most, "{earlier} earlier runs, {k} epochs: {error}");
            assert!(means.iter().all(|row| row.numbers[Row::COVERED] >= 85.0), "{earlier} {k}: {table}");
        }
    }
}

/// Messages without a reader change no exit status.
#[test]
fn errors_may_be_ignored() {
    for (arguments, status) in [
        (&["aggregate", "/no/such/folder"][..], 1),
        (&["import", "/no/such/folder"], 1),
        (&["doctor", "-o", "pue=0"], 2),
        (&["run", "-o", "pue=0", "--", "true"], 2),
        (&["run", "-o", "sim_cpu=X:1 job=off log_dir=off", "--", "no-such-program"], 127),
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ended = Command::new(PROGRAM).args(arguments).stderr(writer).status().expect("it starts");
        assert_eq!(ended.code(), Some(status), "{arguments:?}");
    }
}
