//! `carbontracker export`: each format is read back by a parser that shares no code with its writer.
//!
//! CT_EXPORT_PYTHON is a Python with codecarbon, huggingface_hub, tensorboard and opentelemetry-proto. Without them,
//! the checks by these readers are skipped.

use crate::run_files::Folder;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A label with characters that formats escape.
const NAME: &str = "vision|\"50\" `x` =1";

fn export(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carbontracker"));
    command.arg("export").args(arguments).env("TZ", "UTC").output().expect("it starts")
}

#[track_caller]
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn component(kind: &str, device: &str, joules: f64) -> Value {
    json!({"kind": kind, "device": device, "id": device, "source": "nvml", "method": "counter", "energy_j": joules,
        "mean_power_w": joules / 100.0, "coverage": 1.0, "status": "ok", "note": null})
}

/// The report of a run of 100 s and two epochs: 3.6 MJ on two GPUs and a processor, PUE 1.5, 100 g/kWh.
fn report(id: &str, zone: &str) -> Value {
    let epoch =
        |index: u64| json!({"index": index, "count": 1, "duration_s": 49.0, "energy_j": 1.764e6, "co2eq_g": 73.5});
    json!({
        "schema": 1,
        "run": {"id": id, "name": NAME, "host": "node1", "started": "2026-03-02T13:00:00Z", "state": "done", "version": "0.1.0",
            "last_end_unix_s": 1_772_456_500.0, "epochs_planned": 2, "epochs_done": 2, "progress": null},
        "usage": {"duration_s": 100.0, "energy_j": 3.6e6, "energy_kwh": 1.0, "facility_energy_kwh": 1.5, "co2eq_g": 150.0,
            "coverage": 1.0, "between": {"duration_s": 2.0, "energy_j": 72e3}},
        "forecast": null,
        "intensity": {"g_per_kwh": 100.0, "kind": "static", "zone": zone, "year": 2025, "basis": "lifecycle", "source": "Ember"},
        "pue": 1.5,
        "components": [component("cpu", "EPYC", 0.6e6), component("gpu", "H100", 1.5e6), component("gpu", "H100", 1.5e6)],
        "unavailable": [], "epochs": [epoch(0), epoch(1)], "extras": {"water": {"litres": 2.5}}, "notes": [],
    })
}

fn estimated(mut report: Value) -> Value {
    let band = json!({"low": 0.5, "high": 2.0});
    report["components"][0]["method"] = json!("estimate");
    report["components"][0]["error"] = band.clone();
    report["usage"]["error"] = band;
    report
}

fn unknown(mut report: Value) -> Value {
    for field in ["energy_j", "energy_kwh", "facility_energy_kwh", "co2eq_g", "coverage"] {
        report["usage"][field] = Value::Null;
    }
    report["components"] = json!([]);
    report["intensity"]["zone"] = Value::Null;
    report["run"]["name"] = Value::Null;
    report["epochs"] = json!([]);
    report
}

/// The file of a report.
fn file(folder: &Folder, report: &Value) -> String {
    let path = folder.0.join(format!("{}.json", report["run"]["id"].as_str().expect("an id")));
    fs::write(&path, report.to_string()).expect("written");
    path.to_string_lossy().into_owned()
}

/// Runs a Python script of tests/carbontracker/exports.py on a file. None: Python lacks the package.
fn python(format: &str, package: &str, path: &Path) -> Option<Value> {
    let python = std::env::var_os("CT_EXPORT_PYTHON").unwrap_or("python3".into());
    let has = Command::new(&python).args(["-c", &format!("import {package}")]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        println!("skipped: Python has no package {package}; pip install it, and name its Python in CT_EXPORT_PYTHON");
        return None;
    }
    let script = Path::new(crate::ROOT).join("tests/carbontracker/exports.py");
    let output = Command::new(&python).arg(script).arg(format).arg(path).output().expect("Python");
    assert!(output.status.success(), "{format}: {output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(serde_json::from_str(text.lines().last().expect("a line")).expect("JSON"))
}

#[test]
fn codecarbon_rows_are_appended_and_read_back() {
    let folder = Folder::new("codecarbon");
    let (first, second) = (file(&folder, &report("a", "US-CA")), file(&folder, &unknown(report("b", "DK"))));
    let csv = folder.0.join("emissions.csv");
    let to = |run: &str| export(&["--to", "codecarbon", run, "-o", csv.to_str().expect("a path")]);
    assert!(to(&first).status.success() && to(&second).status.success());
    let again = to(&first);
    assert!(again.status.success() && complaint(&again).contains("run a is in this file already"), "{again:?}");
    let rows: Vec<HashMap<String, String>> =
        csv::Reader::from_path(&csv).unwrap().deserialize().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2);
    let number = |row: usize, column: &str| rows[row][column].parse::<f64>().ok();
    for (column, value) in [
        ("duration", 100.0),
        ("emissions", 0.15),
        ("emissions_rate", 0.0015),
        ("cpu_power", 9000.0),
        ("gpu_energy", 1.25),
        ("energy_consumed", 1.5),
        ("water_consumed", 2.5),
        ("gpu_count", 2.0),
        ("pue", 1.5),
    ] {
        assert!(number(0, column).is_some_and(|is| (is - value).abs() < 1e-9), "{column}: {:?}", rows[0][column]);
    }
    let words =
        ["timestamp", "project_name", "country_iso_code", "region", "gpu_model", "on_cloud"].map(|c| &rows[0][c]);
    assert_eq!(words, ["2026-03-02T13:01:40", NAME, "USA", "California", "2 x H100", "N"]);
    for column in ["emissions", "energy_consumed", "cpu_energy", "gpu_count", "country_name", "os", "longitude"] {
        assert_eq!(rows[1][column], "", "{column} is unknown");
    }
    if let Some(read) = python("codecarbon", "codecarbon", &csv) {
        assert_eq!(read, json!({"has_valid_headers": true, "rows": 3, "emissions": [0.15, null, 0.0]}));
    }
    let other = folder.0.join("other.csv");
    fs::write(&other, "a,b\n1,2\n").unwrap();
    let refused = export(&["--to", "codecarbon", &first, "-o", other.to_str().unwrap()]);
    assert_eq!((refused.status.code(), fs::read_to_string(&other).unwrap()), (Some(1), "a,b\n1,2\n".into()));
    assert!(complaint(&refused).contains("columns are not those of CodeCarbon"), "{refused:?}");
}

#[test]
fn jobs_append_at_once_and_the_header_is_written_once() {
    let folder = Folder::new("at-once");
    let csv = folder.0.join("emissions.csv");
    let runs: Vec<String> = (0..8).map(|n| file(&folder, &report(&format!("r{n}"), "DK"))).collect();
    let started = runs.iter().map(|run| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_carbontracker"));
        command.args(["export", "--to", "codecarbon", run, "-o"]).arg(&csv).spawn().unwrap()
    });
    let started: Vec<_> = started.collect();
    started.into_iter().for_each(|mut child| assert!(child.wait().unwrap().success()));
    assert_eq!(fs::read_to_string(&csv).unwrap().matches("timestamp").count(), 1);
    assert_eq!(csv::Reader::from_path(&csv).unwrap().records().filter(|row| row.is_ok()).count(), 8);
}

#[test]
fn model_card_has_grams_and_the_source() {
    let folder = Folder::new("huggingface");
    let (one, two) = (file(&folder, &report("a", "DK")), file(&folder, &estimated(report("b", "DK"))));
    let yaml = printed(&export(&["--to", "huggingface", "--training-type", "fine-tuning", &one]));
    let block = |yaml: &str| {
        let mut lines = yaml.lines();
        assert_eq!(lines.next(), Some("co2_eq_emissions:"));
        let field = |line: &str| {
            let (key, value) = line.strip_prefix("  ").expect("two spaces").split_once(": ").expect("a value");
            (key.to_owned(), serde_json::from_str(value).unwrap_or_else(|error| panic!("{line}: {error}")))
        };
        lines.map(field).collect::<HashMap<String, Value>>()
    };
    let card = block(&yaml);
    assert_eq!(
        ["emissions", "training_type", "geographical_location", "hardware_used"].map(|key| card[key].clone()),
        [json!(150.0), json!("fine-tuning"), json!("Denmark"), json!("2 x H100, 1 x EPYC")]
    );
    assert!(card["source"].as_str().is_some_and(|source| source.contains("measured") && source.contains("Ember")));
    let both = printed(&export(&["--to", "huggingface", &one, &two]));
    assert!(block(&both)["source"].as_str().is_some_and(|source| source.contains("estimated")), "{both}");
    assert!(both.contains("emissions: 300\n") && !both.contains("training_type"), "{both}");
    let card = folder.0.join("README.md");
    fs::write(&card, format!("---\nlicense: mit\n{yaml}---\n")).unwrap();
    if let Some(read) = python("huggingface", "huggingface_hub", &card) {
        assert_eq!((&read["emissions"], &read["geographical_location"]), (&json!(150.0), &json!("Denmark")));
    }
    let unknown = export(&["--to", "huggingface", &one, &file(&folder, &unknown(report("c", "DK")))]);
    assert!(unknown.status.code() == Some(1) && complaint(&unknown).contains("emissions of 1 of 2 runs are unknown"));
}

#[test]
fn markdown_table_keeps_its_columns() {
    let folder = Folder::new("markdown");
    let (one, two) = (file(&folder, &report("a", "DK")), file(&folder, &unknown(report("b", "DK"))));
    let text = printed(&export(&["--to", "markdown", &one, &two]));
    let rows: Vec<Vec<String>> = text
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect();
    assert!(rows.len() == 5 && rows.iter().all(|row| row.len() == 5), "{text}");
    let name = "<code>vision&#124;&#34;50&#34; &#96;x&#96; &#61;1</code>";
    assert_eq!((rows[2][0].as_str(), rows[2][4].as_str()), (name, "measured"));
    assert_eq!(rows[3][1..], ["unknown", "unknown", rows[2][3].as_str(), "unknown"].map(String::from));
    assert!(rows[4][0] == "all 2 runs" && rows[4][1].ends_with("without 1 of 2 runs"), "{text}");
    assert!(!printed(&export(&["--to", "markdown", &one])).contains("all "));
}

#[test]
fn latex_has_the_sentences_of_the_paper() {
    let folder = Folder::new("latex");
    let one = file(&folder, &report("a", "DK"));
    let text = printed(&export(&["--to", "latex", &one]));
    let amounts: Vec<(&str, &str)> = text
        .split("\\SI{")
        .skip(1)
        .filter_map(|rest| rest.split_once("}{").map(|(number, rest)| (number, rest.split('}').next().unwrap())))
        .collect();
    assert_eq!(
        amounts,
        [("1.500", r"\kilo\watt\hour"), ("0.1500", r"\kilo\gram"), ("1.404", r"\kilo\metre")],
        "{text}"
    );
    for words in [
        "The training of models in this work is estimated to use ",
        " of electricity contributing to ",
        "This is equivalent to ",
        " travelled by car",
        r"measured with carbontracker 0.1.0~\cite{anthony2020carbontracker} in Denmark, with a PUE of 1.5",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let rough = printed(&export(&["--to", "latex", &file(&folder, &estimated(report("b", "DK")))]));
    assert!(
        rough.contains(r"\SI{1.5}{\kilo\watt\hour}") && rough.contains("between 0.5000 and 2.000 times"),
        "{rough}"
    );
    let mut simulated = report("d", "DK");
    simulated["components"][1]["status"] = json!("simulated");
    let text = printed(&export(&["--to", "latex", &file(&folder, &simulated)]));
    assert!(text.contains("The energy was simulated, not measured, with carbontracker"), "{text}");
    let unknown = export(&["--to", "latex", &file(&folder, &unknown(report("c", "DK")))]);
    assert!(unknown.status.code() == Some(1) && complaint(&unknown).contains("energy of these runs is unknown"));
}

#[test]
fn boamps_report_takes_what_no_measurement_knows() {
    let folder = Folder::new("boamps");
    let one = file(&folder, &report("a", "US-CA"));
    let bare = export(&["--to", "boamps", &one]);
    assert!(complaint(&bare).contains("lacks /task/taskStage, /task/taskFamily, /task/dataset, which"), "{bare:?}");
    let context = folder.0.join("context.txt");
    let task = json!({"taskStage": "training", "taskFamily": "image classification", "algorithms": [{"algorithmType": "cnn"}],
        "dataset": [{"dataUsage": "input", "dataType": "image"}]});
    fs::write(&context, json!({"task": task, "quality": "low"}).to_string()).unwrap();
    let out = folder.0.join("boamps.json.txt");
    let output = export(&["--to", "boamps", &one, "--context", context.to_str().unwrap(), "-o", out.to_str().unwrap()]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let written: Value = serde_json::from_str(&fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!(written["measures"][0]["powerConsumption"], 1.5);
    assert_eq!(written["task"]["algorithms"], json!([{"epochsNumber": 2, "algorithmType": "cnn"}]));
    assert_eq!(written["infrastructure"]["components"][1]["nbComponent"], 2);
    assert_eq!((&written["environment"]["location"], &written["quality"]), (&json!("California"), &json!("low")));
    assert!(!written.to_string().contains("null"), "unknown is absent: {written}");
    if let Some(read) = python("boamps", "codecarbon", &out) {
        assert_eq!(read, written);
    }
    let several = export(&["--to", "boamps", &one, &file(&folder, &report("b", "DK"))]);
    assert!(several.status.code() == Some(1) && complaint(&several).contains("2 runs were named"), "{several:?}");
}

/// The messages of a TFRecord, with checked checksums.
fn records(mut file: &[u8]) -> Vec<Vec<u8>> {
    let crc = |content: &[u8]| {
        let mut crc = !0u32;
        for byte in content {
            crc ^= u32::from(*byte);
            (0..8).for_each(|_| crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 });
        }
        let crc = !crc;
        crc.rotate_right(15).wrapping_add(0xa282_ead8)
    };
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    let mut all = Vec::new();
    while !file.is_empty() {
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let content = &file[12..12 + length];
        assert_eq!((number(&file[8..12]), number(&file[12 + length..16 + length])), (crc(&file[..8]), crc(content)));
        all.push(content.to_vec());
        file = &file[16 + length..];
    }
    all
}

/// The fields of a message: number and bytes. A variable-length number is given as eight bytes.
fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let varint = |message: &mut &[u8]| {
        let (mut number, mut shift) = (0u64, 0);
        loop {
            let byte = message[0];
            *message = &message[1..];
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return number;
            }
        }
    };
    let mut all = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let length = match key & 7 {
            0 => {
                all.push((key >> 3, varint(&mut message).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut message) as usize,
            5 => 4,
            wire_type => panic!("wire type {wire_type}"),
        };
        all.push((key >> 3, message[..length].to_vec()));
        message = &message[length..];
    }
    all
}

#[test]
fn tensorboard_events_have_a_step_for_each_epoch() {
    let folder = Folder::new("tensorboard");
    let one = file(&folder, &report("a", "DK"));
    let out = folder.0.join("events");
    fs::create_dir(&out).unwrap();
    assert!(export(&["--to", "tensorboard", &one, "-o", out.to_str().unwrap()]).status.success());
    let path: PathBuf = fs::read_dir(&out).unwrap().next().unwrap().unwrap().path();
    assert!(path.to_string_lossy().contains("events.out.tfevents."), "{path:?}");
    let records = records(&fs::read(&path).unwrap());
    assert_eq!((records.len(), fields(&records[0])[1].1.as_slice()), (3, b"brain.Event:2".as_slice()));
    let mut seen = Vec::new();
    for record in &records[1..] {
        let event: HashMap<u64, Vec<u8>> = fields(record).into_iter().collect();
        let wall_time = f64::from_le_bytes(event[&1].clone().try_into().unwrap());
        let step = u64::from_le_bytes(event[&2].clone().try_into().unwrap());
        for (_, value) in fields(&event[&5]) {
            let value: HashMap<u64, Vec<u8>> = fields(&value).into_iter().collect();
            let number = f32::from_le_bytes(value[&2].clone().try_into().unwrap());
            seen.push((wall_time, step, String::from_utf8(value[&1].clone()).unwrap(), number));
        }
    }
    assert_eq!(seen.len(), 8);
    let expected = |name: &str, value: f32| (1_772_456_449.0, 1, format!("carbontracker/{name}"), value);
    assert_eq!(
        seen[..4],
        [
            expected("energy_wh", 490.0),
            expected("co2eq_g", 73.5),
            expected("duration_s", 49.0),
            expected("power_w", 36_000.0)
        ]
    );
    assert_eq!((seen[4].0, seen[4].1), (1_772_456_500.0, 2));
    if let Some(read) = python("tensorboard", "tensorboard", &out) {
        assert_eq!(read["carbontracker/energy_wh"], json!([[1, 490.0], [2, 490.0]]));
    }
    let none =
        export(&["--to", "tensorboard", &file(&folder, &unknown(report("c", "DK"))), "-o", out.to_str().unwrap()]);
    assert!(none.status.code() == Some(1) && complaint(&none).contains("no finished epoch"), "{none:?}");
    assert_eq!(export(&["--to", "tensorboard", &one]).status.code(), Some(2));
}

#[test]
fn metrics_are_written_and_posted() {
    let folder = Folder::new("otlp");
    let runs = [file(&folder, &report("a", "DK")), file(&folder, &estimated(report("b", "DK")))];
    let out = folder.0.join("metrics.txt");
    assert!(export(&["--to", "otlp", &runs[0], &runs[1], "-o", out.to_str().unwrap()]).status.success());
    let request: Value = serde_json::from_str(&fs::read_to_string(&out).unwrap()).unwrap();
    let metrics = |run: usize| {
        let list = request["resourceMetrics"][run]["scopeMetrics"][0]["metrics"].as_array().unwrap();
        list.iter().map(|one| (one["name"].as_str().unwrap(), one.clone())).collect::<HashMap<_, _>>()
    };
    let (measured, rough) = (metrics(0), metrics(1));
    assert_eq!(measured["carbontracker.energy"]["sum"]["dataPoints"].as_array().unwrap().len(), 3);
    let point = &measured["carbontracker.emissions"]["sum"]["dataPoints"][0];
    assert_eq!((&point["asDouble"], &point["timeUnixNano"]), (&json!(150.0), &json!("1772456500000000000")));
    assert!(!measured.contains_key("carbontracker.emissions.low"), "a measurement has no interval");
    assert_eq!(rough["carbontracker.emissions.high"]["gauge"]["dataPoints"][0]["asDouble"], 300.0);
    if let Some(read) = python("otlp", "opentelemetry.proto", &out) {
        assert_eq!(read, json!([7, 9]));
    }
    if cfg!(feature = "live") {
        let (sent, output) = posted("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", &runs[0]);
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
        let (head, body) = sent.split_once("\r\n\r\n").unwrap();
        assert!(head.to_lowercase().contains("\r\nauthorization: bearer t0ken"), "{head}");
        assert!(head.starts_with("POST /v1/metrics HTTP/1.1") && head.contains("application/json"), "{head}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["resourceMetrics"][0], request["resourceMetrics"][0]);
        let (_, failed) = posted("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", &runs[0]);
        assert!(failed.status.code() == Some(1) && complaint(&failed).contains("HTTP 503"), "{failed:?}");
        assert!(!complaint(&failed).contains("t0ken"), "{failed:?}");
        let plain = export(&["--to", "otlp", &runs[0], "--send=http://192.0.2.1/", "--header", "A: t0ken"]);
        assert!(complaint(&plain).contains("headers are sent over https only") && !complaint(&plain).contains("t0ken"));
        let partial =
            "HTTP/1.1 200 OK\r\n\r\n{\"partialSuccess\": {\"rejectedDataPoints\": \"3\", \"errorMessage\": \"old\"}}";
        let (_, partial) = posted(partial, &runs[0]);
        assert!(complaint(&partial).contains("rejected 3 values: old"), "{partial:?}");
    } else {
        let refused = export(&["--to", "otlp", &runs[0], "--send", "http://localhost:1/v1/metrics"]);
        assert!(complaint(&refused).contains("built without the network"), "{refused:?}");
    }
}

/// The request that a collector gets, and how the command ends.
fn posted(answer: &'static str, run: &str) -> (String, Output) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/metrics", listener.local_addr().unwrap());
    let collector = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let count = stream.read(&mut buffer).unwrap();
            request.extend(&buffer[..count]);
            let text = String::from_utf8_lossy(&request).into_owned();
            let length = |head: &str| {
                let lower = head.to_lowercase();
                let length = lower.split("content-length: ").nth(1)?.split("\r\n").next()?.parse::<usize>();
                length.ok()
            };
            if text.split_once("\r\n\r\n").is_some_and(|(head, body)| Some(body.len()) == length(head)) || count == 0 {
                stream.write_all(answer.as_bytes()).unwrap();
                return text;
            }
        }
    });
    let output = export(&["--to", "otlp", run, "--send", &url, "--header", "Authorization: Bearer t0ken"]);
    (collector.join().unwrap(), output)
}

#[test]
fn options_of_another_format_are_refused() {
    let folder = Folder::new("options");
    let one = file(&folder, &report("a", "DK"));
    for (arguments, words) in [
        (["--to", "latex", "--send", "http://localhost"], "--send is for --to otlp only"),
        (["--to", "otlp", "--training-type", "x"], "--training-type is for --to huggingface only"),
        (["--to", "markdown", "--context", "x"], "--context is for --to boamps only"),
    ] {
        let refused = export(&[&arguments[..], &[&one]].concat());
        assert!(refused.status.code() == Some(2) && complaint(&refused).contains(words), "{refused:?}");
    }
    assert_eq!(export(&["--to", "xml", &one]).status.code(), Some(2));
}

#[test]
fn newest_run_is_the_default() {
    let folder = Folder::new("newest");
    for (id, day) in [("late", "03-02"), ("early", "03-01")] {
        let name = format!("run_node1_7_2026-{day}T130000Z_0000{id}.json");
        fs::write(folder.0.join(name), report(id, "DK").to_string()).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_carbontracker"));
    command.args(["export", "--to", "codecarbon"]).env("CARBONTRACKER_LOG_DIR", &folder.0);
    let text = printed(&command.output().unwrap());
    assert!(text.contains(",late,") && !text.contains("early"), "{text}");
    command = Command::new(env!("CARGO_BIN_EXE_carbontracker"));
    command.args(["totals", "--json"]).env("CARBONTRACKER_LOG_DIR", &folder.0);
    let totals: Value = serde_json::from_str(&printed(&command.output().unwrap())).unwrap();
    assert_eq!(totals["totals"]["runs"], 2, "totals have all runs of the folder");
}

/// The ranks of a job are one run, and its devices one list.
#[test]
fn ranks_are_one_row() {
    let folder = Folder::new("ranks");
    for rank in 0..2 {
        let mut report = report(&format!("r{rank}"), "DK");
        for (name, value) in [("job", json!("slurm:1")), ("rank", json!(rank)), ("ranks", json!(2))] {
            report["run"][name] = value;
        }
        for index in 0..3 {
            report["components"][index]["id"] = json!(format!("{rank}-{index}"));
        }
        file(&folder, &report);
    }
    let text = printed(&export(&["--to", "codecarbon", &folder.shown()]));
    let rows: Vec<csv::StringRecord> =
        csv::Reader::from_reader(text.as_bytes()).records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 1, "{text}");
    assert!(text.contains("slurm:1") && text.contains("4 x H100"), "{text}");
    assert!((rows[0][13].parse::<f64>().unwrap() - 3.0).abs() < 1e-9, "{text}");
}
