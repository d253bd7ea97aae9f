//! Metrics of all kinds of runs in one folder, read by promtool and node_exporter, and the dashboard that shows them.

use crate::fake_machine::Machine;
use crate::retry::{say, wait_until};
use crate::run_files::Folder;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_carbontracker");
const CODE: &str = include_str!("../../src/report/prometheus.rs");
const PAGE: &str = include_str!("../../docs/src/how-to/prometheus.md");
const DASHBOARD: &str = include_str!("../../packaging/grafana/carbontracker.json");
/// Metrics of all runs whose program has ended.
const OF_ALL: [&str; 4] = ["epochs_total", "duration_seconds_total", "state", "updated_timestamp_seconds"];

/// One metric in one file: its help and type, and its values.
type Family = (String, String, Vec<String>);

/// The metrics of a file, by name.
fn families(text: &str) -> BTreeMap<String, Family> {
    let mut all: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "HELP", name, help] => all.entry((*name).into()).or_default().0 = (*help).into(),
            ["#", "TYPE", name, kind] => all.entry((*name).into()).or_default().1 = (*kind).into(),
            _ => all.get_mut(line.split('{').next().unwrap()).expect(line).2.push(line.into()),
        }
    }
    all
}

/// The names of the labels of a value.
fn labels(sample: &str) -> Vec<&str> {
    let inside = sample.split_once('{').unwrap().1;
    inside.split("\",").map(|pair| pair.split('=').next().unwrap()).collect()
}

fn command(folder: &Folder, options: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["run", "-q", "-o", &format!("components=cpu job=off {options}")]).arg("--log-dir").arg(&folder.0);
    command
}

/// Runs of all kinds, whose files are in one folder.
fn runs(folder: &Folder) {
    let short = |options: &str| {
        let done = command(folder, options).args(["--", "sleep", "0.3"]).status().unwrap();
        assert!(done.success(), "{options}");
    };
    short("name=static sim_cpu=A:50 location=DK");
    let grid = folder.0.join("grid.csv");
    fs::write(&grid, "time,g_per_kwh\n2020-01-01T00:00:00Z,100\n2020-01-01T01:00:00Z,100\n").unwrap();
    short(&format!("name=file sim_cpu=A:50 price=0.3 wue=1 intensity='{}'", grid.display()));
    short("name=priced sim_cpu=A:50 location=DK price=0.3EUR wue_grid=2 embodied_kg=100 budget_g=5");
    let machine = Machine::new("estimate", &[]);
    short(&format!("name=estimate location=SE sysroot='{}'", machine.root.display()));
    let mut rank = command(folder, "name=rank sim_cpu=A:50 job=prometheus-test location=NO");
    rank.envs([("PMI_RANK", "1"), ("PMI_SIZE", "2")]).args(["--", "sleep", "0.3"]);
    assert!(rank.status().unwrap().success());
    let mut killed = command(folder, "name=killed sim_cpu=A:50 location=FR").stdout(Stdio::null()).spawn_marked();
    let has_metrics = || folder.files(".prom").iter().any(|file| fs::read_to_string(file).unwrap().contains("killed"));
    wait_until("the killed run has metrics", has_metrics);
    killed.kill().unwrap();
    killed.wait().unwrap();
}

trait SpawnMarked {
    fn spawn_marked(&mut self) -> Child;
}

impl SpawnMarked for Command {
    /// Starts a program of three epochs, which ends by itself.
    fn spawn_marked(&mut self) -> Child {
        let script = "for i in 1 2 3; do echo epoch; sleep 0.2; done; sleep 5";
        self.args(["--mark", "epoch", "--epochs", "9", "--", "sh", "-c", script]).spawn().unwrap()
    }
}

#[test]
fn all_kinds_of_runs_share_one_folder() {
    let folder = Folder::new("kinds");
    runs(&folder);
    let files = folder.files(".prom");
    assert_eq!(files.len(), 6, "{files:?}");
    let mut all: BTreeMap<String, Family> = BTreeMap::new();
    for file in &files {
        for (name, (help, kind, samples)) in families(&fs::read_to_string(file).unwrap()) {
            let joined = all.entry(name.clone()).or_insert_with(|| (help.clone(), kind.clone(), Vec::new()));
            assert_eq!((&joined.0, &joined.1), (&help, &kind), "{name} in {}", file.display());
            joined.2.extend(samples);
            let keys: BTreeSet<Vec<&str>> = joined.2.iter().map(|sample| labels(sample)).collect();
            assert_eq!(keys.len(), 1, "{name}: {keys:?}");
        }
    }
    assert_eq!(all["carbontracker_co2eq_grams"].1, "gauge");
    let states = &all["carbontracker_state"].2;
    let has_state = |name: &str, state: &str| {
        let [name, state] = [format!("name=\"{name}\""), format!("state=\"{state}\"")];
        states.iter().any(|one| one.contains(&name) && one.contains(&state) && one.ends_with(" 1"))
    };
    assert!(has_state("static", "done") && !has_state("killed", "done"), "{states:?}");
    let progress = &all["carbontracker_progress_ratio"].2;
    assert!(progress.iter().any(|one| one.contains("name=\"killed\"")), "{progress:?}");
    let text = |(name, (help, kind, samples)): (&String, &Family)| {
        format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{}\n", samples.join("\n"))
    };
    promtool(&["check", "metrics"], &all.iter().map(text).collect::<String>());
    scrape(&folder, files.len());
}

/// Runs promtool with this input, and fails if it has any remark.
fn promtool(arguments: &[&str], input: &str) {
    let promtool = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else { return skipped("promtool") };
    promtool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}\n{input}");
}

fn skipped(program: &str) {
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{program} is missing: tests/tools.sh");
    say(&format!("skipped: {program} is not here"));
}

/// Has node_exporter read the folder: it must have the metrics of all runs, and no error.
fn scrape(folder: &Folder, runs: usize) {
    let exporter = Command::new("prometheus-node-exporter")
        .args(["--collector.disable-defaults", "--collector.textfile", "--web.listen-address=127.0.0.1:0"])
        .arg(format!("--collector.textfile.directory={}", folder.0.display()))
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut exporter) = exporter else { return skipped("prometheus-node-exporter") };
    let mut log = BufReader::new(exporter.stderr.take().unwrap()).lines().map_while(Result::ok);
    let address = log.find_map(|line| {
        let rest = line.split("127.0.0.1:").nth(1).filter(|_| line.contains("istening on"))?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u16>().ok().filter(|port| *port > 0)
    });
    let answer = address.map(|port| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    exporter.kill().unwrap();
    exporter.wait().unwrap();
    let answer = answer.expect("node_exporter listens");
    assert!(answer.starts_with("HTTP/1.0 200") && answer.contains("node_textfile_scrape_error 0"), "{answer}");
    let of = |name: &str| answer.lines().filter(|line| line.starts_with(&format!("carbontracker_{name}{{"))).count();
    for name in OF_ALL {
        assert_eq!(of(name), if name == "state" { 5 * runs } else { runs }, "{name}: {answer}");
    }
    assert!(of("co2eq_grams") == runs && of("energy_joules_total") == runs, "{answer}");
    let errors: Vec<String> = log.filter(|line| line.contains("level=error")).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

/// The names of the metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text.match_indices("carbontracker_").filter_map(|(at, _)| text[at..].split(ends).next()).collect()
}

fn metrics_in_code() -> BTreeSet<&'static str> {
    CODE.split("(\"")
        .chain(CODE.split("    \""))
        .filter_map(|rest| rest.split('"').next())
        .filter(|name| name.starts_with("carbontracker_") && !name.contains(' '))
        .collect()
}

#[test]
fn page_has_all_metrics_with_their_types() {
    let rows: BTreeMap<&str, &str> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("| `carbontracker_")?.split_once("` | "))
        .map(|(name, rest)| (name, rest.split(' ').next().unwrap()))
        .collect();
    let code = metrics_in_code();
    assert!(code.len() > 15, "{code:?}");
    let listed: BTreeSet<String> = rows.keys().map(|name| format!("carbontracker_{name}")).collect();
    assert_eq!(listed, code.iter().map(|name| (*name).to_owned()).collect());
    for (name, kind) in rows {
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
    }
}

/// The fields that Grafana's dashboard schema requires, and queries of metrics that exist.
#[test]
fn dashboard_queries_metrics_that_exist() {
    let board: Value = serde_json::from_str(DASHBOARD).unwrap();
    assert!(board["schemaVersion"].as_u64().is_some_and(|version| version >= 36) && board["id"].is_null());
    for field in ["title", "uid", "refresh", "timezone"] {
        assert!(board[field].as_str().is_some_and(|text| !text.is_empty()), "{field}");
    }
    assert!(board["uid"].as_str().unwrap().len() <= 40 && board["time"]["from"] == "now-6h");
    let variables: Vec<&str> =
        board["templating"]["list"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(variables, ["datasource", "name", "host", "run"]);
    let queries = board["templating"]["list"].as_array().unwrap().iter().filter(|one| one["type"] == "query");
    for from in queries.chain(board["panels"].as_array().unwrap()) {
        assert_eq!(from["datasource"], json!({"type": "prometheus", "uid": "${datasource}"}), "{from}");
    }
    let (mut rules, mut taken, mut ids) =
        ("groups:\n- name: dashboard\n  rules:\n".to_owned(), Vec::new(), BTreeSet::new());
    for panel in board["panels"].as_array().unwrap() {
        let kinds = ["stat", "timeseries", "bargauge", "table"];
        assert!(panel["type"].as_str().is_some_and(|kind| kinds.contains(&kind)), "{panel}");
        assert!(panel["title"].is_string() && panel["fieldConfig"]["defaults"]["unit"].is_string(), "{panel}");
        assert!(panel["id"].as_u64().is_some_and(|id| ids.insert(id)), "{panel}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        let overlaps = |other: &[u64; 4]| {
            x < other[0] + other[2] && other[0] < x + w && y < other[1] + other[3] && other[1] < y + h
        };
        assert!(x + w <= 24 && w > 0 && h > 0 && !taken.iter().any(overlaps), "{panel}");
        taken.push([x, y, w, h]);
        for target in panel["targets"].as_array().unwrap() {
            assert!(target["refId"].is_string() && target["datasource"]["uid"] == "${datasource}", "{target}");
            let query = target["expr"].as_str().unwrap();
            rules += &format!("  - record: panel_{}\n    expr: '{}'\n", ids.len(), query.replace('\'', "''"));
        }
    }
    let known = metrics_in_code();
    let unknown: Vec<&str> = names(DASHBOARD).into_iter().filter(|name| !known.contains(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?} of {known:?}");
    assert!(names(&rules).len() >= 8, "{rules}");
    let folder = Folder::new("rules");
    let file = folder.0.join("rules.yml");
    fs::write(&file, &rules).unwrap();
    promtool(&["check", "rules", "--lint=none", file.to_str().unwrap()], "");
}
