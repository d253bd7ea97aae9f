//! An epoch in the report, or several.

use crate::attribution::epochs::Epoch;
use crate::attribution::ledger::Ledger;
use crate::carbon::emissions::Emissions;
use crate::measurement::channel::DeviceKind;
use crate::units;
use serde_json::{Map, Value, json};

/// An epoch's line.
#[derive(Clone, Copy)]
pub struct EpochRow {
    /// The number of its first epoch.
    pub index: u64,
    /// What it took.
    pub epoch: Epoch,
    /// Its emissions, g CO2e; None: not known.
    pub co2eq_g: Option<f64>,
    /// The share of it whose energy is known; None: nothing was measured.
    pub coverage: Option<f64>,
}

impl EpochRow {
    /// Of an epoch of this run.
    pub fn new(index: u64, epoch: Epoch, ledger: &Ledger, bill: &Emissions) -> EpochRow {
        let priced = || Some(bill.grams_between(epoch.begin, epoch.end, epoch.energy.total()?));
        let co2eq_g = epoch.recorded.map_or_else(priced, |filed| filed.co2eq_g);
        EpochRow { index, epoch, co2eq_g, coverage: epoch.coverage(ledger.answering()) }
    }

    /// Of one that a journal tells of.
    pub fn filed(index: u64, epoch: Epoch) -> EpochRow {
        let filed = epoch.recorded.unwrap_or_default();
        EpochRow { index, epoch, co2eq_g: filed.co2eq_g, coverage: filed.coverage }
    }

    /// It and the next as one.
    pub fn joined(self, next: EpochRow) -> EpochRow {
        let coverage = self.epoch.coverage_with(self.coverage, &next.epoch, next.coverage);
        let co2eq_g = units::sum([self.co2eq_g, next.co2eq_g]);
        EpochRow { index: self.index, epoch: self.epoch.joined(&next.epoch), co2eq_g, coverage }
    }

    /// As the JSON report has it.
    pub fn json(&self) -> Value {
        let epoch = &self.epoch;
        let mut json = Map::new();
        let mut set = |name: &str, value: Value| json.insert(name.into(), value);
        set("index", json!(self.index));
        set("count", json!(epoch.count));
        set("duration_s", json!(epoch.inside as f64 * 1e-9));
        set("energy_j", json!(epoch.energy.total()));
        set("co2eq_g", json!(self.co2eq_g));
        for kind in DeviceKind::ALL {
            set(kind.joules(), json!(epoch.energy.get(kind)));
        }
        set("coverage", json!(self.coverage));
        Value::Object(json)
    }
}
