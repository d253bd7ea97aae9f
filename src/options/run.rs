//! Options of the run: epochs, sampling, forecast, budgets and job.

use super::key::OptionKey;
use super::value::{above_zero, number, positive, put, put_some, some_text, whole};
use crate::sanitize;
use std::time::Duration;

pub const KEYS: &[OptionKey] = &[
    OptionKey {
        name: "epochs",
        allowed: "a whole number of epochs, 0 = unknown",
        set: |o, v| put(&mut o.epochs, whole(v)),
    },
    OptionKey {
        name: "name",
        allowed: "a label",
        set: |o, v| put_some(&mut o.files.name, some_text(v).map(sanitize::text)),
    },
    OptionKey {
        name: "interval",
        allowed: "seconds from 0.001 to 3600",
        set: |o, v| put(&mut o.interval, number(v, 0.001, 3600.0).map(Duration::from_secs_f64)),
    },
    OptionKey {
        name: "forecast_after",
        allowed: "a whole number of epochs, 1 or more",
        set: |o, v| put(&mut o.alerts.forecast_after, positive(v)),
    },
    OptionKey {
        name: "monitor_epochs",
        allowed: "all, or a whole number of epochs, 1 or more",
        set: |o, v| put(&mut o.monitor_epochs, if v == "all" { Some(None) } else { positive(v).map(Some) }),
    },
    OptionKey {
        name: "level",
        allowed: "a share from 0.5 to 0.999",
        set: |o, v| put(&mut o.alerts.level, number(v, 0.5, 0.999)),
    },
    OptionKey {
        name: "job",
        allowed: "off, or a name that the ranks of one job share",
        set: |o, v| put_some(&mut o.job, some_text(v)),
    },
    OptionKey {
        name: "budget_kwh",
        allowed: "kWh above 0",
        set: |o, v| put_some(&mut o.alerts.budgets.kwh, above_zero(v)),
    },
    OptionKey {
        name: "budget_g",
        allowed: "grams of CO2e above 0",
        set: |o, v| put_some(&mut o.alerts.budgets.g, above_zero(v)),
    },
    OptionKey {
        name: "budget_h",
        allowed: "hours above 0",
        set: |o, v| put_some(&mut o.alerts.budgets.h, above_zero(v)),
    },
];
