//! How much of a report is asked for.

use crate::attribution::epochs::Epoch;

/// How much a report is to carry: all epochs are many, a price by the hour takes some working out, and the best time to
/// start some looking for.
#[derive(Clone, Copy, PartialEq)]
pub enum Detail {
    /// Totals, and the epoch at this place, without what is emitted by the hour: a host may ask at every epoch.
    Unpriced(Option<usize>),
    /// The same with all of it.
    Totals(Option<usize>),
    /// Totals, and other places and times.
    WhatIf,
    /// Totals, and the settled epochs after the first ones, which are these as one.
    Since(Epoch),
    /// All there is, with every epoch that is kept.
    Epochs,
}

impl Detail {
    /// How much memory a report takes at most, bytes, with these numbers of components, other places and epochs: the
    /// measured peaks, and half as much again. As JSON or as a page an epoch takes four times as much.
    pub(super) fn bytes(self, is_json: bool, components: usize, places: usize, epochs: usize) -> usize {
        let (whole, component, place) = match self {
            Detail::Epochs => (1 << 20, 32 << 10, 6 << 10),
            Detail::Since(_) => (64 << 10, 8 << 10, 0),
            Detail::WhatIf => (16 << 10, 4 << 10, 6 << 10),
            Detail::Totals(_) | Detail::Unpriced(_) => (16 << 10, 4 << 10, 0),
        };
        let row = if is_json { 4 << 10 } else { 1 << 10 };
        let rows = if matches!(self, Detail::Since(_) | Detail::Epochs) { epochs } else { 0 };
        whole + components * component + places * place + rows * row
    }

    /// How much of the report a JSON Pointer asks for.
    pub fn of(pointer: &str) -> Detail {
        const UNPRICED: [&str; 6] = ["run", "usage", "forecast", "components", "job", "epochs"];
        let mut tokens = pointer.split('/').skip(1);
        let section = tokens.next().unwrap_or_default();
        if ["power", "forecasts"].contains(&section) || pointer.starts_with("/intensity/hours") {
            return Detail::Epochs;
        }
        if section == "what_if" {
            return Detail::WhatIf;
        }
        let epoch = tokens.next().filter(|_| section == "epochs").and_then(place);
        if UNPRICED.contains(&section) && !pointer.contains("co2eq") {
            Detail::Unpriced(epoch)
        } else {
            Detail::Totals(epoch)
        }
    }
}

/// An array index as RFC 6901 writes it: digits without a leading zero.
fn place(token: &str) -> Option<usize> {
    let is_index = token.bytes().all(|digit| digit.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    token.parse().ok().filter(|_| is_index)
}
