//! The grid's intensity over time, from slots. A slot's own figure is used first. Gaps are filled from the figures
//! around them. Further away the typical day is used. Pure.

use super::slot::{IntensityQuality, IntensitySlot};

const HOUR_S: f64 = 3600.0;
/// Longest gap that is interpolated linearly, s. An intensity changes little within hours.
const MAX_BRIDGE_S: f64 = 6.0 * HOUR_S;
/// Time for which the figure beside a longer gap is held, s.
const HOLD_S: f64 = HOUR_S;
/// Length of the newest figures that make the typical day, s.
const TYPICAL_DAY_FROM_S: f64 = 7.0 * 24.0 * HOUR_S;
/// Largest distance from any figure at which the typical day is used, s. Beyond it the season may differ.
const MAX_TYPICAL_DISTANCE_S: f64 = 28.0 * 24.0 * HOUR_S;
/// Largest number of slots: two months of five minutes. If there are more, older ones are merged.
const MAX_SLOTS: usize = 20_000;

/// Intensity over time.
#[derive(Clone, Debug, Default)]
pub struct Curve {
    /// In order of time, without overlap.
    slots: Vec<IntensitySlot>,
    typical: Option<Day>,
}

/// A day's intensity by hour, gCO2e/kWh.
#[derive(Clone, Debug)]
struct Day {
    by_hour: [Option<f64>; 24],
    mean: f64,
}

/// The origin of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A slot of this time.
    Given(IntensityQuality),
    /// Filled in from the figures around.
    Filled,
    /// No figure is near: the typical figure of that hour of the day.
    Typical,
    /// No figure for weeks around: the flat figure of all time.
    Flat,
}

/// One figure over an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// The start, s since 1970 UTC.
    pub from: f64,
    /// The end, s since 1970 UTC.
    pub to: f64,
    /// The intensity, gCO2e/kWh.
    pub g_per_kwh: f64,
    /// The origin of the figure.
    pub origin: Origin,
}

impl Curve {
    /// True if there is no slot.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The end of the last slot, s since 1970 UTC.
    pub fn known_to(&self) -> Option<f64> {
        Some(self.slots.last()?.to)
    }

    /// The interval in which the curve has a figure, s since 1970 UTC.
    pub fn reach(&self) -> Option<(f64, f64)> {
        Some((self.slots.first()?.from - MAX_TYPICAL_DISTANCE_S, self.slots.last()?.to + MAX_TYPICAL_DISTANCE_S))
    }

    /// The slots, in order of time.
    pub fn slots(&self) -> &[IntensitySlot] {
        &self.slots
    }

    /// The slots that overlap an interval, s since 1970 UTC.
    pub fn slots_within(&self, from: f64, to: f64) -> &[IntensitySlot] {
        let first = self.slots.partition_point(|slot| slot.to <= from);
        let end = self.slots.partition_point(|slot| slot.from < to);
        self.slots.get(first..end).unwrap_or_default()
    }

    /// Adds slots. Where two overlap, the more certain one is used, and of two equally certain ones the newer.
    pub fn take(&mut self, slots: impl IntoIterator<Item = IntensitySlot>) {
        for slot in slots {
            let is_sound = slot.from.is_finite() && slot.to.is_finite() && slot.g_per_kwh.is_finite();
            if is_sound && slot.to > slot.from {
                self.insert(slot);
            }
        }
        self.thin();
        self.typical = Day::of(&self.slots);
    }

    fn insert(&mut self, slot: IntensitySlot) {
        let start = self.slots.partition_point(|old| old.to <= slot.from);
        let end = start + self.slots.iter().skip(start).take_while(|old| old.from < slot.to).count();
        let mut pieces = Vec::new();
        let mut from = slot.from;
        for &old in self.slots.get(start..end).unwrap_or_default() {
            let is_more_certain = old.quality > slot.quality;
            if old.from < slot.from && !is_more_certain {
                pieces.push(IntensitySlot { to: slot.from, ..old });
            }
            if is_more_certain {
                pieces.push(IntensitySlot { from, to: old.from, ..slot });
                pieces.push(old);
                from = old.to;
            } else if old.to > slot.to {
                pieces.push(IntensitySlot { from, ..slot });
                pieces.push(IntensitySlot { from: slot.to, ..old });
                from = slot.to;
            }
        }
        pieces.push(IntensitySlot { from, ..slot });
        pieces.retain(|piece| piece.to > piece.from);
        self.slots.splice(start..end, pieces);
    }

    /// Merges neighbours in the older half.
    fn thin(&mut self) {
        while self.slots.len() > MAX_SLOTS {
            let newer = self.slots.split_off(self.slots.len() / 2);
            let merged = self.slots.chunks(2).flat_map(|pair| match pair {
                &[a, b] if a.to == b.from => {
                    let (a_s, b_s) = (a.to - a.from, b.to - b.from);
                    let g_per_kwh = (a.g_per_kwh * a_s + b.g_per_kwh * b_s) / (a_s + b_s);
                    vec![IntensitySlot { from: a.from, to: b.to, g_per_kwh, quality: a.quality.min(b.quality) }]
                }
                apart => apart.to_vec(),
            });
            let merged: Vec<IntensitySlot> = merged.collect();
            let is_less = merged.len() < self.slots.len();
            self.slots = merged;
            self.slots.extend(newer);
            if !is_less {
                return;
            }
        }
    }

    /// The figures of an interval, in order, without gaps. Empty if the curve has no slot.
    pub fn pieces(&self, from: f64, to: f64) -> impl Iterator<Item = Piece> {
        let mut at = from;
        let mut next = self.slots.partition_point(|slot| slot.to <= from);
        std::iter::from_fn(move || {
            let piece = self.piece(next, at, to).filter(|piece| piece.to > at)?;
            at = piece.to;
            next += usize::from(self.slots.get(next).is_some_and(|slot| slot.to <= at));
            Some(piece)
        })
    }

    /// The piece that begins at `at`. Slot `next` is the first that ends after it.
    fn piece(&self, next: usize, at: f64, to: f64) -> Option<Piece> {
        if at >= to {
            return None;
        }
        let after = self.slots.get(next);
        if let Some(slot) = after.filter(|slot| slot.from <= at) {
            let origin = Origin::Given(slot.quality);
            return Some(Piece { from: at, to: slot.to.min(to), g_per_kwh: slot.g_per_kwh, origin });
        }
        let before = next.checked_sub(1).and_then(|last| self.slots.get(last));
        self.filled(at, to, before, after)
    }

    /// The piece that begins at `at`, between two slots.
    fn filled(&self, at: f64, to: f64, before: Option<&IntensitySlot>, after: Option<&IntensitySlot>) -> Option<Piece> {
        let filled = |to: f64, g_per_kwh: f64| Some(Piece { from: at, to, g_per_kwh, origin: Origin::Filled });
        let end = after.map_or(to, |after| after.from.min(to));
        let bridge = before.zip(after).filter(|(before, after)| after.from - before.to <= MAX_BRIDGE_S);
        if let Some((before, after)) = bridge {
            let share = ((at + end) / 2.0 - before.to) / (after.from - before.to);
            return filled(end, before.g_per_kwh + share * (after.g_per_kwh - before.g_per_kwh));
        }
        if let Some(before) = before.filter(|before| at < before.to + HOLD_S) {
            return filled(end.min(before.to + HOLD_S), before.g_per_kwh);
        }
        let held_from = after.map_or(f64::INFINITY, |after| after.from - HOLD_S);
        match after.filter(|_| at >= held_from) {
            Some(after) => filled(end, after.g_per_kwh),
            None => {
                let next_hour = ((at / HOUR_S).floor() + 1.0) * HOUR_S;
                let g_per_kwh = self.typical.as_ref()?.at(at);
                let to = end.min(held_from).min(next_hour);
                Some(Piece { from: at, to, g_per_kwh, origin: Origin::Typical })
            }
        }
    }

    /// The mean of an interval, gCO2e/kWh. None: the curve has no slot.
    pub fn mean(&self, from: f64, to: f64) -> Option<f64> {
        let weighted = self.pieces(from, to).map(|piece| piece.g_per_kwh * (piece.to - piece.from));
        (to > from && !self.is_empty()).then(|| weighted.sum::<f64>() / (to - from))
    }
}

impl Day {
    /// The typical day of the newest slots, by hour.
    fn of(slots: &[IntensitySlot]) -> Option<Day> {
        let since = slots.last()?.to - TYPICAL_DAY_FROM_S;
        let mut sums = [(0.0, 0.0); 24];
        let mut total = (0.0, 0.0);
        for slot in slots.iter().rev().take_while(|slot| slot.to > since) {
            let mut at = slot.from.max(since);
            while at < slot.to {
                let to = slot.to.min(((at / HOUR_S).floor() + 1.0) * HOUR_S);
                if let Some(hour) = sums.get_mut(hour(at)) {
                    *hour = (hour.0 + slot.g_per_kwh * (to - at), hour.1 + (to - at));
                }
                total = (total.0 + slot.g_per_kwh * (to - at), total.1 + (to - at));
                at = to;
            }
        }
        let by_hour = sums.map(|(sum, seconds)| (seconds > 0.0).then(|| sum / seconds));
        (total.1 > 0.0).then(|| Day { by_hour, mean: total.0 / total.1 })
    }

    fn at(&self, at: f64) -> f64 {
        self.by_hour.get(hour(at)).copied().flatten().unwrap_or(self.mean)
    }
}

/// The hour of the day, UTC.
fn hour(at: f64) -> usize {
    (at / HOUR_S).floor().rem_euclid(24.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY_S: f64 = 24.0 * HOUR_S;

    fn slot(from_h: f64, to_h: f64, g_per_kwh: f64, quality: IntensityQuality) -> IntensitySlot {
        IntensitySlot { from: from_h * HOUR_S, to: to_h * HOUR_S, g_per_kwh, quality }
    }

    fn curve(slots: &[IntensitySlot]) -> Curve {
        let mut curve = Curve::default();
        curve.take(slots.iter().copied());
        curve
    }

    fn mean(curve: &Curve, from_h: f64, to_h: f64) -> f64 {
        curve.mean(from_h * HOUR_S, to_h * HOUR_S).unwrap()
    }

    #[test]
    fn more_certain_slots_replace_others() {
        use IntensityQuality::*;
        let mut c = curve(&[slot(0.0, 4.0, 100.0, Forecast)]);
        c.take([slot(1.0, 2.0, 300.0, Actual)]);
        assert_eq!([mean(&c, 0.0, 1.0), mean(&c, 1.0, 2.0), mean(&c, 2.0, 4.0)], [100.0, 300.0, 100.0]);
        c.take([slot(0.5, 3.0, 200.0, Forecast)]);
        assert_eq!([mean(&c, 0.0, 0.5), mean(&c, 0.5, 1.0), mean(&c, 1.0, 2.0)], [100.0, 200.0, 300.0]);
        assert_eq!([mean(&c, 2.0, 3.0), mean(&c, 3.0, 4.0)], [200.0, 100.0]);
        c.take([slot(0.0, 4.0, 50.0, Actual)]);
        assert_eq!((mean(&c, 0.0, 4.0), c.slots().len()), (50.0, 1));
    }

    #[test]
    fn gaps_are_interpolated_edges_held_and_far_hours_typical() {
        let day: Vec<IntensitySlot> = (0..24)
            .filter(|hour| ![5, 6].contains(hour))
            .map(|hour| slot(hour as f64, hour as f64 + 1.0, 100.0 + 10.0 * hour as f64, IntensityQuality::Actual))
            .collect();
        let c = curve(&day);
        assert_eq!(mean(&c, 5.0, 7.0), (140.0 + 170.0) / 2.0);
        let origins: Vec<Origin> = c.pieces(4.0 * HOUR_S, 26.0 * HOUR_S).map(|piece| piece.origin).collect();
        assert_eq!(
            origins[..3],
            [Origin::Given(IntensityQuality::Actual), Origin::Filled, Origin::Given(IntensityQuality::Actual)]
        );
        assert_eq!(origins[origins.len() - 2..], [Origin::Filled, Origin::Typical]);
        assert_eq!([mean(&c, 24.0, 25.0), mean(&c, 25.0, 26.0)], [330.0, 110.0]);
        assert_eq!([mean(&c, 24.0 * 9.0 + 12.0, 24.0 * 9.0 + 13.0), mean(&c, -30.0, -29.0)], [220.0, 280.0]);
        assert_eq!(mean(&c, -1.0, 0.0), 100.0);
    }

    #[test]
    fn empty_curve_has_no_figure_and_one_figure_is_held() {
        let none = Curve::default();
        assert!(none.mean(0.0, 1.0).is_none() && none.pieces(0.0, 1e6).next().is_none());
        let one = curve(&[slot(10.0, 11.0, 80.0, IntensityQuality::Actual)]);
        assert_eq!([mean(&one, 0.0, 1.0), mean(&one, 50.0, 60.0)], [80.0, 80.0]);
        let bad = IntensitySlot { g_per_kwh: f64::NAN, ..slot(0.0, 1.0, 0.0, IntensityQuality::Actual) };
        assert!(curve(&[bad, slot(2.0, 2.0, 1.0, IntensityQuality::Actual)]).is_empty());
    }

    #[test]
    fn year_of_five_minutes_is_merged_and_its_mean_kept() {
        let slots = (0..365 * 288).map(|n| {
            let from = n as f64 * 300.0;
            IntensitySlot {
                from,
                to: from + 300.0,
                g_per_kwh: 100.0 + (n % 288) as f64,
                quality: IntensityQuality::Actual,
            }
        });
        let mut c = Curve::default();
        let mut slots = slots.peekable();
        while slots.peek().is_some() {
            c.take(slots.by_ref().take(1000));
        }
        assert!(c.slots().len() <= MAX_SLOTS);
        assert!((c.mean(0.0, 365.0 * DAY_S).unwrap() - 243.5).abs() < 1e-6);
        assert_eq!(c.slots().last().unwrap().to - c.slots().last().unwrap().from, 300.0);
    }

    proptest! {
        #[test]
        fn slots_never_overlap_and_pieces_cover_all(
            slots in prop::collection::vec((0u32..400, 1u32..60, 0u32..1000, 0u8..3), 0..60),
            from in -500i32..900, length in 1i32..2000,
        ) {
            let slots: Vec<IntensitySlot> = slots.into_iter().map(|(from, length, g, quality)| {
                let quality = IntensityQuality::ALL[quality as usize];
                slot(from as f64 / 4.0, (from + length) as f64 / 4.0, g as f64, quality)
            }).collect();
            let c = curve(&slots);
            prop_assert!(c.slots().windows(2).all(|pair| pair[0].to <= pair[1].from));
            prop_assert!(c.slots().iter().all(|slot| slot.to > slot.from));
            // At the middle of each quarter the most certain slot is used, of equally certain ones the last.
            for quarter in 0..460 {
                let at = (quarter as f64 + 0.5) * HOUR_S / 4.0;
                let given = slots.iter().filter(|slot| slot.from < at && at < slot.to).max_by_key(|slot| slot.quality);
                let is = c.slots().iter().find(|slot| slot.from < at && at < slot.to);
                prop_assert_eq!(given.map(|slot| (slot.g_per_kwh, slot.quality)), is.map(|slot| (slot.g_per_kwh, slot.quality)));
            }
            let (from, to) = (from as f64 * 900.0, (from + length) as f64 * 900.0);
            let mut at = from;
            for piece in c.pieces(from, to) {
                prop_assert!(piece.from == at && piece.to > at && (0.0..1000.0).contains(&piece.g_per_kwh));
                at = piece.to;
            }
            prop_assert!(at == to || c.is_empty());
        }
    }
}
