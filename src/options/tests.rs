use super::*;
use crate::carbon::impacts::{Price, Rates};
use crate::carbon::select;
use crate::measurement::config::SimulatedDevice;
use crate::run_files::config::HistoryOption;
use proptest::prelude::*;
use std::path::PathBuf;

fn parse(text: &str) -> Result<Options> {
    Options::parse(text, |_| None)
}

fn refusal(text: &str) -> String {
    parse(text).err().expect(text).message
}

#[test]
fn defaults_are_the_documented_ones() {
    let o = parse("").unwrap();
    assert_eq!(
        (o.epochs, o.interval, o.carbon.pue, o.alerts.level, o.alerts.forecast_after),
        (0, Duration::from_secs(1), 1.0, 0.9, None)
    );
    assert_eq!(o.measurement.components, DeviceKind::ALL);
    assert_eq!(o.measurement.sysroot, PathBuf::from("/"));
}

#[test]
fn text_may_have_quotes_escapes_and_white_space() {
    let o = parse("  epochs = 100\n name='a \\'b\\' \\\\c' location=DK\tlog_prefix=x\\'y").unwrap();
    assert_eq!(o.epochs, 100);
    assert_eq!(o.files.name.as_deref(), Some("a 'b' \\c"));
    assert_eq!(o.carbon.location.as_deref(), Some("DK"));
    assert_eq!(o.files.log_prefix.as_deref(), Some("x'y"));
    assert_eq!(parse("epochs=1 epochs=2").unwrap().epochs, 2);
}

#[test]
fn text_overrides_the_environment() {
    let env = |name: &str| match name {
        "CARBONTRACKER_EPOCHS" => Some("7".into()),
        "CARBONTRACKER_PUE" => Some("1.5".into()),
        "CARBONTRACKER_LEVEL" => Some(OsString::new()),
        _ => None,
    };
    let o = Options::parse("epochs=9", env).unwrap();
    assert_eq!((o.epochs, o.carbon.pue, o.alerts.level), (9, 1.5, 0.9));
    let wrong = |name: &str| (name == "CARBONTRACKER_PUE").then(|| "half".into());
    let message = Options::parse("", wrong).err().unwrap().message;
    assert!(message.contains("CARBONTRACKER_PUE='half'"), "{message}");
}

#[test]
fn error_names_the_key_or_the_variable() {
    let refused = |text: &str, variable: &str, value: &str| {
        let environment = |name: &str| (name == variable).then(|| value.into());
        let options = Options::parse(text, environment);
        let choice = options.and_then(|options| options.choice_as_set(select::choose(&options.carbon, |_| None)));
        choice.err().expect(variable).message
    };
    for (key, value) in [
        ("location", "Atlantis"),
        ("what_if", "SE,Atlantis"),
        ("devices", "some"),
        ("intensity", "/no/such.csv"),
        ("marginal", "watttime:no such region"),
        ("api_key", "two words"),
        ("pue", "half"),
    ] {
        let text = if key == "api_key" { "intensity=electricitymaps location=DK-DK1" } else { "" };
        let variable = environment::variable_of(key);
        let by_variable = refused(text, &variable, value);
        assert!(by_variable.starts_with(&format!("{variable}='")), "{by_variable}");
        let by_key = refused(&format!("{text} {key}='{value}'"), "", "");
        assert!(by_key.starts_with(&format!("{key}='")), "{by_key}");
        // The text overrides the variable, so its key is named.
        let by_key = refused(&format!("{text} {key}='{value}'"), &variable, value);
        assert!(by_key.starts_with(&format!("{key}='")), "{by_key}");
    }
    let service = refused("intensity=carbonintensity_gb", "CARBONTRACKER_LOCATION", "DK");
    assert!(service.starts_with("CARBONTRACKER_LOCATION='DK'"), "{service}");
}

#[test]
fn error_has_key_value_and_allowed_values() {
    let nonsense = [
        "epochs=-1",
        "epochs=1.5",
        "components=cpu,tpu",
        "components=",
        "interval=0",
        "interval=3601",
        "interval=nan",
        "devices=''",
        "location=''",
        "intensity=-3",
        "intensity=coal",
        "api_key=''",
        "pue=0.5",
        "pue=inf",
        "pue=Region",
        "wue=regions",
        "name=''",
        "log_dir=''",
        "log_prefix=''",
        "resume=''",
        "prometheus=''",
        "history=''",
        "forecast_after=0",
        "monitor_epochs=0",
        "level=1",
        "level=0.2",
        "budget_kwh=0",
        "budget_g=-1",
        "budget_h=nan",
        "what_if=''",
        "what_if=SE,,NO",
        "price=EUR",
        "price=-1EUR",
        "price=0.3EUR/kWh",
        "price=nan",
        "wue=-1",
        "wue_grid=1001",
        "embodied_kg=-1",
        "embodied_kg=inf",
        "life_years=0",
        "life_years=51",
        "sim_cpu=x",
        "sim_gpu=x:-5",
        "sim_cpu=x:5:1.5",
        "sysroot=''",
        "scope=all",
        "idle=half",
        "idle_w=-1",
        "nvml=''",
        "job=''",
        "intensity_url=example.org",
        "marginal=watttime",
        "marginal_key=''",
    ];
    for text in nonsense {
        let message = refusal(text);
        let (key, value) = text.split_once('=').unwrap();
        assert!(message.contains(key) && message.contains(value.trim_matches('\'')), "{text}: {message}");
        assert!(message.contains("expected"), "{text}: {message}");
    }
    for key in table() {
        assert!(nonsense.iter().any(|text| text.starts_with(key.name)), "{} is not tried", key.name);
    }
}

#[test]
fn errors_of_syntax_have_a_fix() {
    assert!(refusal("epoch=3").contains("did you mean epochs?"));
    assert!(refusal("frobnicate=3").contains("Options are epochs, name"));
    assert!(refusal("epochs").contains("key=value"));
    assert!(refusal("=3").contains("key=value"));
    assert!(refusal("name='open").contains("quote"));
    assert!(!refusal("api_key=''").contains("secret"));
}

#[test]
fn errors_contain_no_secret() {
    for text in [
        "api_key='two words' epochs=x",
        "api_key=two words",
        "api_key=two words=",
        "epochs=3 marginal_key=me:two words=x epochs=4",
        "api_key:words",
        "api_key:words=3",
        "'api_key=words'",
        "api_key='words",
        "api_key='words'x",
        "pue= api_key=words",
        "what_if= api_key=words",
        "location= api_key=words",
        "devices= api_key=words",
        "pue=a=\\ api_key = words",
        "intensity_url=htp://me:words@example.org",
        "intensity_url=https://me:words@example.org",
    ] {
        let message = refusal(text);
        assert!(!message.contains("words"), "{text}: {message}");
    }
    assert!(refusal("api_key=k locaton=DK").contains("unknown option 'locaton': did you mean location?"));
    assert!(refusal("api_key=two words").contains("quotes"));
}

#[test]
fn what_if_is_off_usual_or_a_list() {
    let asked = |text: &str| parse(text).unwrap().carbon.what_if;
    assert_eq!((asked(""), asked("what_if=off")), (WhatIfOption::Usual, WhatIfOption::Off));
    assert_eq!(asked("what_if='SE, aws:eu-north-1'"), WhatIfOption::Zones(vec!["SE".into(), "aws:eu-north-1".into()]));
}

#[test]
fn rates_are_off_by_default() {
    assert_eq!(parse("").unwrap().carbon.rates, Rates::default());
    let rates = parse("price='0.32 EUR' wue=0.5 wue_grid=3.9 embodied_kg=164 life_years=4").unwrap().carbon.rates;
    let price = Price { per_kwh: 0.32, currency: Some("EUR".into()) };
    let (wue, wue_grid, embodied_kg) = (Some(0.5), Some(3.9), Some(164.0));
    assert_eq!(rates, Rates { price: Some(price), wue, wue_grid, embodied_kg, life_years: 4.0 });
}

#[test]
fn simulated_devices_are_read_from_the_right() {
    let device = |text: &str| parse(text).unwrap().measurement.sim_cpu.unwrap();
    assert_eq!(device("sim_cpu=X:100"), SimulatedDevice { name: "X".into(), watts: 100.0, utilisation: 1.0 });
    assert_eq!(
        device("sim_cpu='A B:C:100:0.5'"),
        SimulatedDevice { name: "A B:C".into(), watts: 100.0, utilisation: 0.5 }
    );
}

proptest! {
    #[test]
    fn parse_never_panics_and_quoting_round_trips(text in ".*", value in "[^\0]+") {
        let _ = parse(&text);
        let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
        let options = parse(&format!("name='{quoted}' job='{quoted}'")).unwrap();
        prop_assert_eq!((options.files.name, options.job), (Some(sanitize::text(value.as_str())), Some(value)));
    }
}

#[test]
fn rates_may_come_from_the_region() {
    let of = |text: &str| {
        let carbon = parse(text).unwrap().carbon;
        (carbon.pue, carbon.by_region.pue, carbon.rates.wue, carbon.by_region.wue)
    };
    assert_eq!(of("pue=region wue=region"), (1.0, true, None, true));
    assert_eq!(of("pue=region pue=1.2 wue=region wue=0.3"), (1.2, false, Some(0.3), false), "the last counts");
    assert_eq!(of("pue=1.2 pue=region"), (1.0, true, None, false));
}

#[test]
fn log_dir_is_a_folder_or_off() {
    let of = |text: &str| {
        let files = parse(text).unwrap().files;
        (files.log_dir, files.is_log_off)
    };
    assert_eq!((of(""), of("log_dir=off")), ((None, false), (None, true)));
    assert_eq!(of("log_dir=off log_dir=/a/off"), (Some("/a/off".into()), false), "the last counts");
    assert_eq!(of("log_dir=/a log_dir=off"), (None, true));
    assert!(matches!(of("log_dir=./off").0, Some(folder) if folder.is_absolute()));
}

/// As the XDG Base Directory Specification has it: a relative path is no path.
#[test]
fn state_folder_follows_the_environment() {
    let of = |state: &str, home: &str| {
        let value = |name: &str| match name {
            "XDG_STATE_HOME" => Some(OsString::from(state)),
            "HOME" => Some(OsString::from(home)),
            _ => None,
        };
        Options::parse("", value).unwrap().files.state_folder
    };
    assert_eq!(of("/s", "/h"), Some("/s/carbontracker/runs".into()));
    for state in ["", "relative"] {
        assert_eq!(of(state, "/h"), Some("/h/.local/state/carbontracker/runs".into()), "{state}");
    }
    assert_eq!((of("", ""), of("", "h")), (None, None));
    assert_eq!(Options::parse("", |_| None).unwrap().files.state_folder, None);
}

#[test]
fn history_is_a_folder_or_off() {
    let of = |text: &str| Options::parse(text, |_| None).unwrap().files.history;
    assert_eq!((of(""), of("history=off")), (HistoryOption::OwnFolder, HistoryOption::Off));
    assert_eq!(of("history=/a/b"), HistoryOption::Folder("/a/b".into()));
    assert!(matches!(of("history=./off"), HistoryOption::Folder(folder) if folder.is_absolute()));
}
