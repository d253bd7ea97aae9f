//! A row of the report's epochs: one epoch, or neighbours that share a row.

use crate::attribution::epochs::Epoch;
use crate::attribution::ledger::Ledger;
use crate::carbon::emissions::Emissions;
use crate::measurement::channel::DeviceKind;
use crate::units;
use serde_json::{Map, Value, json};

/// A row of the report's epochs.
#[derive(Clone, Copy)]
pub struct EpochRow {
    /// The number of its first epoch.
    pub index: u64,
    /// Time and energy of the row's epochs.
    pub epoch: Epoch,
    /// Its emissions, g CO2e; None: unknown.
    pub co2eq_g: Option<f64>,
    /// The share of its time with known energy, 0 to 1; None: nothing was measured.
    pub coverage: Option<f64>,
    /// It is a piece of the run's progress, and no epoch.
    pub is_piece: bool,
}

impl EpochRow {
    /// A row of the run in progress. `index`: the number of its first epoch.
    pub fn new(index: u64, epoch: Epoch, ledger: &Ledger, emissions: &Emissions) -> EpochRow {
        let grams = || Some(emissions.grams_between(epoch.begin, epoch.end, epoch.energy.total()?));
        let co2eq_g = epoch.recorded.map_or_else(grams, |filed| filed.co2eq_g);
        let coverage = epoch.coverage(ledger.answering());
        EpochRow { index, epoch, co2eq_g, coverage, is_piece: ledger.is_piece(&epoch) }
    }

    /// A row that was read from a journal. `index`: the number of its first epoch.
    pub fn filed(index: u64, epoch: Epoch) -> EpochRow {
        let filed = epoch.recorded.unwrap_or_default();
        EpochRow { index, epoch, co2eq_g: filed.co2eq_g, coverage: filed.coverage, is_piece: false }
    }

    /// This row and the next one as one row.
    pub fn joined(self, next: EpochRow) -> EpochRow {
        let coverage = self.epoch.coverage_with(self.coverage, &next.epoch, next.coverage);
        let co2eq_g = units::sum([self.co2eq_g, next.co2eq_g]);
        EpochRow { epoch: self.epoch.joined(&next.epoch), co2eq_g, coverage, ..self }
    }

    /// The row in the journal, and most of that in the JSON report.
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

    /// The row in the JSON report, with the bounds of its energy. The journal does not have them.
    pub fn json_with_bounds(&self) -> Value {
        let [least, most] = self.epoch.energy_bounds().map_or([None; 2], |ends| ends.map(Some));
        let mut json = self.json();
        for (name, joules) in [("energy_least_j", least), ("energy_most_j", most)] {
            json.as_object_mut().into_iter().for_each(|row| drop(row.insert(name.into(), json!(joules))));
        }
        json
    }
}
