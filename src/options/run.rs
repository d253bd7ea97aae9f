//! Options of the run: epochs, sampling, forecast, budgets and job.

use super::key::{OptionKey, key};
use super::value::{above_zero, number, positive, put, put_some, some_text, whole};
use crate::sanitize;
use std::time::Duration;

pub const KEYS: &[OptionKey] = &[
    key(
        "epochs",
        "a whole number of epochs, 0 = unknown",
        "0",
        "epochs planned; without them a forecast needs progress of the whole run",
        |o, v| put(&mut o.epochs, whole(v)),
    ),
    key("name", "a label", "none", "label of the run", |o, v| {
        put_some(&mut o.files.name, some_text(v).map(sanitize::text))
    }),
    key("interval", "seconds from 0.001 to 3600", "1", "time between background samples", |o, v| {
        put(&mut o.interval, number(v, 0.001, 3600.0).map(Duration::from_secs_f64))
    }),
    key(
        "forecast_after",
        "a whole number of epochs, 1 or more",
        "2; 1 if marks in the first epoch show a change of pace",
        "epochs before the first forecast message",
        |o, v| put_some(&mut o.alerts.forecast_after, positive(v)),
    ),
    key(
        "monitor_epochs",
        "all, or a whole number of epochs, 1 or more",
        "all",
        "stop measuring after this many epochs; later ones do not count",
        |o, v| put(&mut o.monitor_epochs, if v == "all" { Some(None) } else { positive(v).map(Some) }),
    ),
    key(
        "level",
        "a share from 0.5 to 0.999",
        "0.9",
        "share of runs whose outcome the forecast interval holds",
        |o, v| put(&mut o.alerts.level, number(v, 0.5, 0.999)),
    ),
    key(
        "job",
        "off, or a name that the ranks of one job share",
        "found",
        "the processes that count each device of a node once",
        |o, v| put_some(&mut o.job, some_text(v)),
    ),
    key("log", "off or stderr", "off", "where messages are printed, instead of the queue of ct_message", |o, v| {
        let prints = [("off", false), ("stderr", true)].into_iter().find(|(name, _)| *name == v);
        put(&mut o.alerts.prints, prints.map(|(_, prints)| prints))
    }),
    key("budget_kwh", "kWh above 0", "none", "limit of facility energy", |o, v| {
        put_some(&mut o.alerts.budgets.kwh, above_zero(v))
    }),
    key("budget_g", "grams of CO2e above 0", "none", "limit of emissions", |o, v| {
        put_some(&mut o.alerts.budgets.g, above_zero(v))
    }),
    key("budget_h", "hours above 0", "none", "limit of time", |o, v| put_some(&mut o.alerts.budgets.h, above_zero(v))),
];
