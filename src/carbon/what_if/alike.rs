//! Figures of one kind for zones that are compared, and one figure for each grid. Pure.

use crate::carbon::intensity::zones::TableLocation;
use crate::carbon::intensity::{EmissionsBasis, Intensity, IntensityKind, PowerUse};

/// The basis and the use of a figure.
type FigureKind = (Option<EmissionsBasis>, Option<PowerUse>);

/// The kind of a figure.
pub fn kind(of: &Intensity) -> FigureKind {
    (of.basis, of.power_use)
}

/// A kind in words, for a message.
pub fn named((basis, power_use): FigureKind) -> String {
    match (basis, power_use) {
        (None, _) => "of no stated basis".into(),
        (Some(basis), None) => basis.as_str().into(),
        (Some(basis), Some(power_use)) => format!("{} {}", basis.as_str(), power_use.as_str()),
    }
}

/// True if figures of two kinds can be compared. If one has no stated use, the basis decides.
pub fn is_like(one: FigureKind, other: FigureKind) -> bool {
    one.0.is_some() && one.0 == other.0 && (one.1 == other.1 || one.1.is_none() || other.1.is_none())
}

/// Gives all zones figures of the run's kind, or of another kind that all of them have, and each grid one figure.
/// Returns the run's own figure of that kind, if the run itself uses another.
pub fn make(locations: &mut [TableLocation], run: &Intensity, own: Option<&TableLocation>) -> Option<Intensity> {
    let kinds = kinds(run);
    let common = kinds.iter().find(|kind| locations.iter().all(|location| location.by(kind.0, kind.1).is_some()));
    let wanted = common.map_or(kinds.as_slice(), std::slice::from_ref);
    for location in locations.iter_mut() {
        let figure = wanted.iter().find_map(|kind| location.by(kind.0, kind.1));
        location.yearly = figure.unwrap_or_else(|| location.yearly.clone());
    }
    let is_static = run.kind == IntensityKind::Yearly;
    let own_figure = own.and_then(|own| match common {
        Some(common) if is_static && *common == kind(run) => Some(run.clone()),
        Some(common) => own.by(common.0, common.1),
        None => None,
    });
    let mut known: Vec<(&str, Intensity)> = own.and_then(|own| own.grid).zip(own_figure.clone()).into_iter().collect();
    for location in locations.iter_mut() {
        let Some(grid) = location.grid else { continue };
        let like = known.iter().find(|(one, figure)| *one == grid && kind(figure) == kind(&location.yearly));
        match like {
            Some((_, figure)) => location.yearly = Intensity { zone: location.yearly.zone.take(), ..figure.clone() },
            None => known.push((grid, location.yearly.clone())),
        }
    }
    own_figure.filter(|own| is_static && kind(own) != kind(run))
}

/// Kinds of figures to try for a run with this intensity, the best first.
fn kinds(run: &Intensity) -> Vec<FigureKind> {
    let uses = match run.power_use {
        Some(PowerUse::Consumption) => [PowerUse::Consumption, PowerUse::Production],
        _ => [PowerUse::Production, PowerUse::Consumption],
    };
    let lifecycle = EmissionsBasis::Lifecycle;
    let bases = run.basis.filter(|basis| *basis != lifecycle).into_iter().chain([lifecycle]);
    bases.flat_map(|basis| uses.map(|power_use| (Some(basis), Some(power_use)))).collect()
}
