//! Figures of one kind for places that are to be compared, and one figure for each grid. Pure.

use crate::carbon::intensity::Intensity;
use crate::carbon::intensity::zones::{CONSUMPTION, LIFECYCLE, PRODUCTION, ZonePlace};

/// On which basis, and of what is produced or consumed.
type IntensityKind = (Option<&'static str>, Option<&'static str>);

/// The kind of a figure.
pub fn kind(of: &Intensity) -> IntensityKind {
    (of.basis, of.scope)
}

/// A kind in words.
pub fn named((basis, scope): IntensityKind) -> String {
    match (basis, scope) {
        (None, _) => "of no stated basis".into(),
        (Some(basis), None) => basis.into(),
        (Some(basis), Some(scope)) => format!("{basis} {scope}"),
    }
}

/// Whether figures of two kinds can be compared. Where one does not state its use, the basis decides.
pub fn is_like(one: IntensityKind, other: IntensityKind) -> bool {
    one.0.is_some() && one.0 == other.0 && (one.1 == other.1 || one.1.is_none() || other.1.is_none())
}

/// Prices all places by figures of the run's kind, or of another that all of them have, and each grid by one figure. What the
/// run's own place has of that kind where the run itself is priced by another.
pub fn make(places: &mut [ZonePlace], priced: &Intensity, own: Option<&ZonePlace>) -> Option<Intensity> {
    let kinds = kinds(priced);
    let common = kinds.iter().find(|kind| places.iter().all(|place| place.by(kind.0, kind.1).is_some()));
    let wanted = common.map_or(kinds.as_slice(), std::slice::from_ref);
    for place in places.iter_mut() {
        let figure = wanted.iter().find_map(|kind| place.by(kind.0, kind.1));
        place.yearly = figure.unwrap_or_else(|| place.yearly.clone());
    }
    let is_static = priced.kind == "static";
    let own_figure = own.and_then(|own| match common {
        Some(common) if is_static && *common == kind(priced) => Some(priced.clone()),
        Some(common) => own.by(common.0, common.1),
        None => None,
    });
    let mut known: Vec<(&str, Intensity)> = own.and_then(|own| own.grid).zip(own_figure.clone()).into_iter().collect();
    for place in places.iter_mut() {
        let Some(grid) = place.grid else { continue };
        let like = known.iter().find(|(one, figure)| *one == grid && kind(figure) == kind(&place.yearly));
        match like {
            Some((_, figure)) => place.yearly = Intensity { zone: place.yearly.zone.take(), ..figure.clone() },
            None => known.push((grid, place.yearly.clone())),
        }
    }
    own_figure.filter(|own| is_static && kind(own) != kind(priced))
}

/// Kinds of figures for a run priced like this, the best first.
fn kinds(priced: &Intensity) -> Vec<IntensityKind> {
    let scopes = if priced.scope == Some(CONSUMPTION) { [CONSUMPTION, PRODUCTION] } else { [PRODUCTION, CONSUMPTION] };
    let bases = priced.basis.filter(|basis| *basis != LIFECYCLE).into_iter().chain([LIFECYCLE]);
    bases.flat_map(|basis| scopes.map(|scope| (Some(basis), Some(scope)))).collect()
}
