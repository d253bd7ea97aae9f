//! Text from outside never controls a terminal, reverses a line of text or runs in a spreadsheet.

use crate::run_files::messages;
use carbontracker::tracker::Tracker;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// An escape that names the window, a C1 control, DEL, a right-to-left override and an isolate.
const RUDE: &str = "\u{1b}]0;rude\u{7}\u{9b}31m\u{7f}\u{202e}\u{2066}rude";

fn assert_clean(text: &str, what: &str) {
    let steers = |c: char| {
        c != '\n' && c.is_control() || matches!(c, '\u{202a}'..='\u{202e}') || matches!(c, '\u{2066}'..='\u{2069}')
    };
    assert!(!text.contains(steers), "{what}: {text:?}");
}

/// Every text in a value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().flat_map(texts).collect(),
        Value::Object(map) => map.iter().flat_map(|(key, value)| [vec![key.as_str()], texts(value)].concat()).collect(),
        _ => Vec::new(),
    }
}

/// A folder for one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("escapes-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Folder(dir)
    }

    fn put(&self, file: &str, text: &str) -> String {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A machine whose devices and intensity file have names with control characters.
fn rude_machine(name: &str) -> (Folder, String) {
    let folder = Folder::new(name);
    folder.put("sys/class/powercap/intel-rapl:0/name", &format!("package-0{RUDE}\n"));
    folder.put("sys/class/powercap/intel-rapl:0/energy_uj", "5\n");
    folder.put("sys/class/powercap/intel-rapl:1/name", "package-1\n");
    folder.put(&format!("sys/class/powercap/intel-rapl:2{RUDE}/name"), "package-2\n");
    folder.put(&format!("sys/class/powercap/intel-rapl:2{RUDE}/energy_uj"), "5\n");
    folder.put("sys/class/drm/card0/device/vendor", "0x1002\n");
    folder.put("sys/class/drm/card0/device/product_name", &format!("MI{RUDE}\n"));
    folder.put("sys/class/drm/card0/device/hwmon/hwmon1/name", "amdgpu\n");
    folder.put("sys/class/drm/card0/device/hwmon/hwmon1/power1_average", "5000000\n");
    folder.put("sys/bus/event_source/devices/power/type", &format!("{RUDE}\n"));
    folder.put("proc/cpuinfo", &format!("model name\t: Rude {RUDE} processor\n"));
    folder.put("proc/stat", "cpu  1 1 1 1\ncpu0 1 1 1 1\n");
    let rows = "time,g_per_kwh\n2020-01-01T00:00Z,100\n2150-01-01T00:00Z,200\n";
    let csv = folder.put("grid.csv", &format!("# zone: {RUDE}\n# source: of {RUDE}\n{rows}"));
    let options = format!("sysroot='{}' intensity='{csv}' location=DK name='a {RUDE}' nvml=/no/nvml.so", folder.path());
    (folder, options)
}

#[test]
fn reports_and_messages_are_free_of_control_characters() {
    let (_folder, options) = rude_machine("library");
    let mut devices = String::new();
    for options in [options.clone(), format!("{options} components=gpu,node"), format!("{options} sim_cpu='{RUDE}:5'")]
    {
        let tracker = Tracker::create(&options).unwrap().unwrap();
        tracker.begin().unwrap();
        tracker.end().unwrap();
        let report: Value = serde_json::from_str(&tracker.report("json").unwrap()).unwrap();
        texts(&report).into_iter().for_each(|text| assert_clean(text, "JSON"));
        devices += &report["components"].to_string();
        for format in ["text", "prometheus", "html", "csv"] {
            assert_clean(&tracker.report(format).unwrap(), format);
        }
        assert!(report["run"]["name"].as_str().unwrap().ends_with("rude"), "{report:#}");
        assert!(report["intensity"]["source"].as_str().unwrap().starts_with("of "), "{report:#}");
        messages(&tracker).iter().for_each(|text| assert_clean(text, "message"));
        tracker.destroy();
    }
    assert!(devices.contains("package-0") && devices.contains("MI ") && devices.contains("simulated"), "{devices}");
}

#[test]
fn errors_are_free_of_control_characters() {
    let folder = Folder::new("errors");
    for text in [format!("time,g_per_kwh\n{RUDE},5\n"), format!("# basis: {RUDE}\n"), format!("{RUDE},g_per_kwh\n")] {
        let csv = folder.put(&format!("{RUDE}.csv"), &text);
        let tracker = Tracker::create(&format!("intensity='{csv}'")).unwrap().expect("it is measured");
        let result = messages(&tracker).into_iter().find(|text| text.contains("intensity=")).expect("what is wrong");
        assert_clean(&result, "message");
        assert!(result.contains("rude"), "{result}");
        tracker.destroy();
    }
    for options in [format!("'{RUDE}'=1"), format!("location='{RUDE}'"), format!("epochs='{RUDE}'")] {
        assert_clean(&Tracker::create(&options).err().expect("it is refused").message, &options);
    }
}

fn report(id: &str, name: &str) -> Value {
    json!({
        "schema": 1,
        "run": {"id": id, "name": name, "host": format!("h{RUDE}"), "started": "2026-03-02T13:00:00Z", "state": "done",
            "epochs_planned": 4, "epochs_done": 4},
        "usage": {"duration_s": 100.0, "energy_j": 1e6, "energy_kwh": 0.3, "facility_energy_kwh": 0.3, "co2eq_g": 30.0},
        "intensity": {"g_per_kwh": 100.0, "kind": "static", "zone": RUDE, "year": 2025, "basis": RUDE, "source": RUDE},
        "pue": 1.0,
        "components": [{"kind": "cpu", "device": RUDE, "id": RUDE, "source": "rapl", "method": "counter", "energy_j": 1e6}],
        "epochs": [],
        "notes": [RUDE],
    })
}

fn journal(id: &str) -> String {
    let run = json!({"id": id, "name": format!("j{RUDE}"), "host": RUDE, "started": "2026-03-02T13:00:00Z"});
    let opening = json!({"journal": 1, "life": 1, "before": 0, "schema": 1, "run": run, "pue": 1.0,
        "intensity": {"g_per_kwh": 100.0, "source": RUDE, "zone": RUDE}});
    let components = json!({"components": [{"kind": "cpu", "device": RUDE, "id": RUDE, "source": "rapl",
        "method": "counter", "simulated": false, "status": "ok"}]});
    let so_far = json!({"run": {"epochs_done": 1}, "usage": {"energy_j": 5.0, "duration_s": 1.0},
        "components": [[[5.0, 1.0, 1.0], [null, 0.0, 0.0]]]});
    let epoch = json!({"index": 0, "count": 1, "duration_s": 1.0, "cpu_j": 5.0, "so_far": so_far});
    format!("{opening}\n{components}\n{epoch}\n{RUDE}\n")
}

fn carbontracker(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carbontracker"));
    command.args(arguments).env("TERM", "xterm").output().expect("it starts")
}

/// The output and the messages, both checked.
fn clean(arguments: &[&str]) -> (String, String) {
    let Output { stdout, stderr, .. } = carbontracker(arguments);
    let (printed, complaints) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_clean(&printed, &format!("{arguments:?} prints"));
    assert_clean(&complaints, &format!("{arguments:?} complains"));
    (printed, complaints)
}

#[test]
fn output_on_files_is_free_of_control_characters() {
    let folder = Folder::new("command");
    let runs = |file: &str| format!("runs/{file}");
    let whole = folder.put(&runs("whole.json"), &report("a", &format!("n{RUDE}")).to_string());
    let torn = folder.put(&runs(&format!("torn{RUDE}.json")), "{\"schema\": 1,");
    let journal = folder.put(&runs(&format!("journal{RUDE}.jsonl")), &journal("b"));
    let dir = folder.0.join("runs").display().to_string();
    for by in ["name", "host", "run"] {
        let (printed, complaints) = clean(&["aggregate", &dir, "--by", by]);
        assert!(printed.contains("2 runs") && complaints.contains("torn"), "{printed}{complaints}");
    }
    clean(&["aggregate", &dir, "--csv"]);
    clean(&["report", &dir]);
    for file in [&whole, &torn, &journal] {
        clean(&["report", file]);
        clean(&["watch", "--once", file]);
    }
    assert!(clean(&["watch", "--once", &journal]).0.contains('j'));
    let missing = format!("{dir}/none{RUDE}");
    for command in ["aggregate", "report", "replay", "score", "import"] {
        assert!(clean(&[command, &missing]).1.contains("none"), "{command}");
    }
}

#[test]
fn output_on_recordings_and_logs_is_free_of_control_characters() {
    let folder = Folder::new("logs");
    let head = "run,epoch,duration_s,energy_j\n";
    let rows: String = (1..9).map(|n| format!("{RUDE},{n},1,2\n")).collect();
    let good = folder.put(&format!("sets/{RUDE}.csv"), &format!("{head}{rows}"));
    assert!(clean(&["replay", &good]).0.contains("rude"));
    clean(&["score", &folder.0.join("sets").display().to_string()]);
    for rows in [format!("a,{RUDE},1,2\n"), format!("a,1,{RUDE},2\n"), format!("{RUDE},2,1,2\n")] {
        clean(&["replay", &folder.put(&format!("bad{RUDE}.csv"), &format!("{head}{rows}"))]);
    }
    let log = |lines: &str| lines.lines().map(|line| format!("2026-03-02 13:00:00 - {line}\n")).collect::<String>();
    let begin = format!(
        "carbontracker version 2.4{RUDE}\nThe following components were found: CPU with device(s) Rude{RUDE}.\n\
         Carbon intensities (gCO2/kWh) fetched every 900 s at detected location {RUDE}: [10]\n"
    );
    for duration in ["0:00:01.00", RUDE] {
        let lines =
            format!("{begin}Epoch 1:\nDuration: {duration}\nAverage power usage (W) for cpu: 5\nEpoch 2{RUDE}:\n");
        folder.put(&format!("logs/x{RUDE}_carbontracker.log"), &log(&lines));
        for form in [&["import"][..], &["import", "--csv"]] {
            clean(&[form, &[&folder.0.join("logs").display().to_string()]].concat());
        }
    }
    let lines = format!("{begin}Epoch 1:\nDuration: 0:00:01.00\nAverage power usage (W) for cpu: 5\n");
    folder.put(&format!("logs/x{RUDE}_carbontracker.log"), &log(&lines));
    let (logs, out) = (folder.0.join("logs").display().to_string(), folder.0.join("out").display().to_string());
    assert!(clean(&["import", &logs]).0.contains("2026-03-02"));
    clean(&["import", &logs, "--out", &out]);
    let file = fs::read_dir(&out).unwrap().next().unwrap().unwrap().path();
    let report: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert!(report["components"].to_string().contains("Rude"), "{report:#}");
    texts(&report).into_iter().for_each(|text| assert_clean(text, "report"));
}

#[test]
fn output_of_run_is_free_of_control_characters() {
    let (_folder, options) = rude_machine("run");
    for format in ["brief", "text"] {
        let (_, summary) = clean(&["run", "--log-dir", "off", "-o", &options, "--report", format, "--", "true"]);
        assert!(summary.contains("package-0"), "{summary}");
    }
    let (found, _) = clean(&["doctor", "-o", &options]);
    assert!(found.contains("package-0"), "{found}");
}

/// A spreadsheet takes a cell that begins with one of these as a formula, quoted or not.
#[test]
fn cells_of_csv_are_no_formulas() {
    let folder = Folder::new("csv");
    let formulas = ["=cmd|' /C calc'!A1", "+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1"];
    for (number, name) in formulas.into_iter().enumerate() {
        folder.put(&format!("runs/{number}.json"), &report(&format!("={number}"), name).to_string());
    }
    folder.put("runs/9.json", &report("nine", "-1.5").to_string());
    let dir = folder.0.join("runs").display().to_string();
    let (printed, _) = clean(&["aggregate", &dir, "--csv"]);
    let mut rows = csv::Reader::from_reader(printed.as_bytes());
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    let begins = |cell: &str| cell.trim_start().starts_with(['=', '+', '-', '@']) && cell.parse::<f64>().is_err();
    for row in &rows {
        assert!(!row.iter().any(begins), "{row:?}");
    }
    assert_eq!((&rows[0][0], &rows[0][1], &rows[6][1]), ("'=0", "'=cmd|' /C calc'!A1", "-1.5"));
    let set = folder.put("set.csv", "run,epoch,duration_s,energy_j\n=1+1,1,1,2\n=1+1,2,1,2\n=1+1,3,1,2\n");
    let (printed, _) = clean(&["replay", &set, "--at", "1"]);
    assert!(printed.lines().skip(1).all(|line| line.starts_with("'=1+1,")) && printed.contains("'=1+1"), "{printed}");
}
