//! Options of the run: epochs, sampling, forecast, budgets and job.

use super::key::{OptionKey, key};
use super::value::{above_zero, number, positive, put, put_some, some_text, whole};
use crate::sanitize;
use std::time::Duration;

pub const KEYS: &[OptionKey] = &[
    key("epochs", "a whole number of epochs, 0 = unknown", |o, v| put(&mut o.epochs, whole(v))),
    key("name", "a label", |o, v| put_some(&mut o.files.name, some_text(v).map(sanitize::text))),
    key("interval", "seconds from 0.001 to 3600", |o, v| {
        put(&mut o.interval, number(v, 0.001, 3600.0).map(Duration::from_secs_f64))
    }),
    key("forecast_after", "a whole number of epochs, 1 or more", |o, v| {
        put_some(&mut o.alerts.forecast_after, positive(v))
    }),
    key("monitor_epochs", "all, or a whole number of epochs, 1 or more", |o, v| {
        put(&mut o.monitor_epochs, if v == "all" { Some(None) } else { positive(v).map(Some) })
    }),
    key("level", "a share from 0.5 to 0.999", |o, v| put(&mut o.alerts.level, number(v, 0.5, 0.999))),
    key("job", "off, or a name that the ranks of one job share", |o, v| put_some(&mut o.job, some_text(v))),
    key("budget_kwh", "kWh above 0", |o, v| put_some(&mut o.alerts.budgets.kwh, above_zero(v))),
    key("budget_g", "grams of CO2e above 0", |o, v| put_some(&mut o.alerts.budgets.g, above_zero(v))),
    key("budget_h", "hours above 0", |o, v| put_some(&mut o.alerts.budgets.h, above_zero(v))),
];
