//! Downsampling for charts and tables. Pure.

/// Groups neighbours that fit into one width. The width is doubled until at most `most` groups are left. A wider gap
/// separates two groups.
pub fn groups<T>(pieces: &[T], span: impl Fn(&T) -> (f64, f64), most: usize) -> Vec<&[T]> {
    const ROUNDING: f64 = 1e-6;
    let ends = pieces.first().zip(pieces.last()).map(|(first, last)| (span(first).0, span(last).1));
    let Some((begin, end)) = ends else { return Vec::new() };
    let mut width = if pieces.len() > most { (end - begin) / most as f64 * (1.0 + ROUNDING) } else { 0.0 };
    loop {
        let mut groups = Vec::new();
        let mut rest = pieces;
        while let Some(first) = rest.first() {
            let fits = |piece: &&T| span(piece).1 - span(first).0 <= width;
            let (group, after) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            groups.push(group);
            rest = after;
        }
        // Pieces without an order are returned even if they are too many.
        if groups.len() <= most || width >= end - begin || !(end - begin).is_finite() {
            return groups;
        }
        width *= 2.0;
    }
}

/// At most `most` elements: all of the first ones, then with growing distances, and the last. If there are fewer, all.
pub fn ever_wider<T>(all: &[T], most: usize) -> impl Iterator<Item = &T> {
    let shown = all.len().min(most);
    let index = move |n: usize| match all.len() {
        few if few <= most => n,
        many => ((many as f64).powf(n as f64 / (most - 1) as f64).round() as usize).saturating_sub(1).max(n),
    };
    (0..shown).filter_map(move |n| all.get(index(n).min(all.len() - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn steps_of_equal_length_form_equal_groups() {
        let steps: Vec<(f64, f64)> = (0..4096).map(|n| (f64::from(n) * 0.1, f64::from(n + 1) * 0.1)).collect();
        let sizes: Vec<usize> = groups(&steps, |step| *step, 512).iter().map(|group| group.len()).collect();
        assert!(sizes.len() == 512 && sizes.iter().all(|size| *size == 8), "{sizes:?}");
        assert_eq!(groups(&steps, |step| *step, 5000).len(), 4096);
        assert!(groups(&[] as &[(f64, f64)], |step| *step, 5).is_empty());
    }

    #[test]
    fn few_elements_stay_and_many_have_growing_distances() {
        let all: Vec<u32> = (1..=4096).collect();
        assert_eq!(ever_wider(&all[..64], 64).copied().collect::<Vec<_>>(), all[..64]);
        let some: Vec<u32> = ever_wider(&all, 64).copied().collect();
        assert_eq!((some.len(), &some[..12], some.last()), (64, &all[..12], Some(&4096)));
        assert!(some.windows(3).all(|three| three[2] - three[1] + 1 >= three[1] - three[0]), "{some:?}");
        assert_eq!(ever_wider(&all[..0], 64).count(), 0);
    }

    proptest! {
        /// With any spans and gaps, each piece is in one group, in order, and the groups are few.
        #[test]
        fn groups_hold_each_piece_once_in_order(
            spans in prop::collection::vec((0.0..10.0f64, 0.0..100.0f64), 0..200),
            most in 1usize..60,
            far in 0usize..200,
        ) {
            let mut at = 0.0;
            let pieces: Vec<(f64, f64)> = spans.iter().enumerate().map(|(n, (length, gap))| {
                let from = at + gap + if n == far { 1e6 } else { 0.0 };
                at = from + length;
                (from, at)
            }).collect();
            let groups = groups(&pieces, |piece| *piece, most);
            prop_assert!(groups.len() <= most.max(1));
            prop_assert_eq!(groups.concat(), pieces);
        }

        #[test]
        fn chosen_elements_are_in_order_and_end_with_the_last(many in 1usize..5000, most in 2usize..80) {
            let all: Vec<usize> = (0..many).collect();
            let some: Vec<usize> = ever_wider(&all, most).copied().collect();
            prop_assert_eq!(some.len(), many.min(most));
            prop_assert!(some.windows(2).all(|two| two[0] < two[1]) && some.last() == all.last());
        }
    }
}
