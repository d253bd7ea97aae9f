//! How much of a report is requested.

use super::pointers::index;
use crate::attribution::epochs::Epoch;

/// What a report includes. Epochs, hourly emissions and the search for the best start take time and memory.
#[derive(Clone, Copy, PartialEq)]
pub enum Detail {
    /// Totals and the epochs' row at this index, without hourly emissions. An application may request it at every
    /// epoch.
    WithoutEmissions(Option<usize>),
    /// Totals and the epochs' row at this index.
    Totals(Option<usize>),
    /// Totals, and the number of rows of epochs. It takes a walk over all epochs.
    EpochCount,
    /// Totals, and the run in other places and at other times.
    WhatIf,
    /// Totals, and the settled epochs after the ones that this epoch sums up.
    Since(Epoch),
    /// Everything, with all rows of epochs.
    Epochs,
}

impl Detail {
    /// The most memory that a report may take, bytes: 1.5 times the measured peak. In JSON or a page an epoch takes
    /// four times as much. `zones`: the number of other zones.
    pub(super) fn bytes(self, is_json: bool, components: usize, zones: usize, epochs: usize) -> usize {
        let (whole, component, zone) = match self {
            Detail::Epochs => (1 << 20, 32 << 10, 6 << 10),
            Detail::Since(_) => (64 << 10, 8 << 10, 0),
            Detail::WhatIf => (16 << 10, 4 << 10, 6 << 10),
            Detail::Totals(_) | Detail::WithoutEmissions(_) | Detail::EpochCount => (16 << 10, 4 << 10, 0),
        };
        let row = if is_json { 4 << 10 } else { 1 << 10 };
        let rows = if matches!(self, Detail::Since(_) | Detail::Epochs) { epochs } else { 0 };
        whole + components * component + zones * zone + rows * row
    }

    /// Whether the report has the phases.
    pub fn has_phases(self) -> bool {
        !matches!(self, Detail::WithoutEmissions(_) | Detail::EpochCount)
    }

    /// The detail for the text at a JSON Pointer, which may be a whole section.
    pub fn of_text(pointer: &str) -> Detail {
        match Detail::of(pointer) {
            Detail::WithoutEmissions(epoch) => Detail::Totals(epoch),
            enough => enough,
        }
    }

    /// The detail for the number at a JSON Pointer.
    pub fn of(pointer: &str) -> Detail {
        const WITHOUT_EMISSIONS: [&str; 6] = ["run", "usage", "forecast", "components", "job", "epochs"];
        let mut tokens = pointer.split('/').skip(1);
        let section = tokens.next().unwrap_or_default();
        let epoch = tokens.next().filter(|_| section == "epochs").and_then(index);
        if pointer == "/epochs/length" {
            return Detail::EpochCount;
        }
        let has_all_epochs = section == "epochs" && epoch.is_none();
        let needs_all = ["", "power", "forecasts"].contains(&section) || has_all_epochs;
        if needs_all || pointer == "/intensity" || pointer.starts_with("/intensity/hours") {
            return Detail::Epochs;
        }
        if section == "what_if" {
            return Detail::WhatIf;
        }
        if WITHOUT_EMISSIONS.contains(&section) && !pointer.contains("co2eq") {
            Detail::WithoutEmissions(epoch)
        } else {
            Detail::Totals(epoch)
        }
    }
}
