//! The option string, and the environment's variables.
//!
//! The input is the string. A line that begins with `$` is a variable: `$CARBONTRACKER_PUE=1.2`.

use crate::{Target, sound};
use carbontracker::options::Options;
use carbontracker::sanitize;
use std::ffi::OsString;

/// The target.
pub const TARGET: Target = Target {
    name: "options",
    check,
    fixtures: &[],
    tokens: &[
        "epochs=",
        "name='",
        "interval=",
        "pue=region",
        "location=aws:eu-north-1",
        "intensity=a/b.csv",
        "api_key=",
        "marginal=watttime:",
        "marginal_key=",
        "devices=process",
        "sim_cpu=A:1:",
        "what_if=",
        "price=1EUR",
        "\\'",
        "'",
        "=",
        "\n$CARBONTRACKER_",
        "\n$CUDA_VISIBLE_DEVICES=",
        "\n$ROCR_VISIBLE_DEVICES=",
        "\n$ZE_AFFINITY_MASK=",
        "\n$ONEAPI_DEVICE_SELECTOR=level_zero:",
        "GPU-",
        "MIG-",
        "budget_kwh=",
        "components=cpu,",
        "intensity_url=https://",
    ],
    runs: 800,
};

/// A text that no input has and no message may show.
const SECRET: &str = "S3cr3tW0rd";

/// Checks one input.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split("\n$");
    let string = parts.next().unwrap_or_default();
    let variables: Vec<(&str, &str)> = parts.filter_map(|variable| variable.split_once('=')).collect();
    let look_up = |name: &str| {
        let variable = variables.iter().find(|(known, _)| *known == name);
        variable.map(|(_, value)| OsString::from(value.replace('\0', "")))
    };
    match Options::parse(string, look_up) {
        Ok(options) => in_range(&options),
        Err(error) => sound::refusal(&error.message, data),
    }
    label_returns(string);
    secret_is_kept(string);
}

/// The numbers are in the ranges that the documents state.
fn in_range(options: &Options) {
    let Options { carbon, alerts, measurement, .. } = options;
    assert!((1.0..=10.0).contains(&carbon.pue));
    assert!((0.5..=0.999).contains(&alerts.level));
    assert!((0.001..=3600.0).contains(&options.interval.as_secs_f64()));
    assert!((0.1..=50.0).contains(&carbon.rates.life_years));
    let rates = [carbon.rates.wue, carbon.rates.wue_grid, carbon.rates.embodied_kg];
    let budgets = [alerts.budgets.kwh, alerts.budgets.g, alerts.budgets.h];
    let price = carbon.rates.price.as_ref().map(|price| price.per_kwh);
    for number in rates.into_iter().chain(budgets).chain([price]).flatten() {
        assert!(number.is_finite() && number >= 0.0, "{number}");
    }
    for device in measurement.sim_cpu.iter().chain(&measurement.sim_gpu) {
        assert!((0.0..=1e5).contains(&device.watts) && (0.0..=1.0).contains(&device.utilisation));
    }
    assert!(!measurement.components.is_empty(), "no component is measured");
    assert!(options.files.name.as_deref().is_none_or(sanitize::is_clean));
}

/// A label in quotes is parsed as the text that was quoted.
fn label_returns(label: &str) {
    let quoted = label.replace('\\', r"\\").replace('\'', r"\'");
    let parsed = Options::parse(&format!("name='{quoted}'"), |_| None);
    match (label, parsed) {
        ("", parsed) => assert!(parsed.is_err()),
        (label, parsed) => {
            let name = parsed.unwrap_or_else(|error| panic!("{}", error.message)).files.name;
            assert_eq!(name, Some(sanitize::text(label)));
        }
    }
}

/// No message has the value of a key, whatever precedes it.
fn secret_is_kept(before: &str) {
    for pair in [format!("api_key={SECRET}"), format!("marginal_key='me:{SECRET}'")] {
        for text in [format!("{before} {pair}"), format!("{pair} {before}")] {
            if let Err(error) = Options::parse(&text, |_| None) {
                assert!(!error.message.contains(SECRET), "a message has a secret: {} from {text}", error.message);
            }
        }
    }
}
