//! For any values of the variables: no panic, no refusal, and no GPU that the runtime would not show. The runtimes'
//! rules are written here a second time, as loops.

use super::tests::{UUIDS, select};
use super::*;
use proptest::prelude::*;

/// CUDA's rules, as in PyTorch's `_parse_visible_devices`.
fn cuda(value: &str, count: usize) -> Vec<usize> {
    let mut shown = Vec::new();
    for word in value.split(',').map(str::trim) {
        if word.starts_with("GPU-") != value.trim_start().starts_with("GPU-") {
            break;
        }
        let digits: String = word.trim_start_matches('+').chars().take_while(char::is_ascii_digit).collect();
        let is_zero = word.starts_with("-0") && word.chars().skip(1).take_while(char::is_ascii_digit).all(|c| c == '0');
        let by_id: Vec<usize> =
            (0..count).filter(|&n| UUIDS[n].starts_with(word) && word.starts_with("GPU-")).collect();
        let index = match (by_id.as_slice(), digits.parse()) {
            ([one], _) => *one,
            (_, Ok(index)) => index,
            _ if is_zero => 0,
            _ => break,
        };
        if index >= count {
            break;
        }
        if shown.contains(&index) {
            return Vec::new();
        }
        shown.push(index);
    }
    shown
}

/// HIP's rules for the GPUs that ROCr leaves.
fn hip(value: &str, left: &[usize]) -> Vec<usize> {
    let mut shown = Vec::new();
    for word in value.split(',') {
        let by_id = left.iter().position(|&n| word.contains("GPU-") && UUIDS[n].contains(word));
        let by_index = (0..left.len()).find(|index| index.to_string() == word);
        match by_id.or(by_index) {
            Some(at) => shown.push(left[at]),
            None => break,
        }
    }
    shown
}

/// ROCr's rules for plain numbers and UUIDs.
fn rocr(value: &str, count: usize) -> Vec<usize> {
    let mut shown = Vec::new();
    for word in value.split(',').map(str::trim) {
        let starts = |n: &usize| {
            let upper = word.to_uppercase();
            upper.starts_with("GPU-") && (5..=20).contains(&word.len()) && UUIDS[*n].to_uppercase().starts_with(&upper)
        };
        let by_id: Vec<usize> = (0..count).filter(starts).collect();
        let by_index = word.trim_start_matches('+').parse().ok().or((word == "-0").then_some(0));
        let index = if let [one] = by_id.as_slice() { Some(*one) } else { by_index };
        match index.filter(|&index| index < count && !shown.contains(&index)) {
            Some(index) => shown.push(index),
            None => break,
        }
    }
    shown
}

/// A value, realistic or not.
fn value() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        8 => "[0-5]",
        2 => "GPU-8932f937-aa|GPU-1234|GPU-8932|GPU-ffff|GPU-|MIG-1/2/3|gpu-12345",
        2 => "-1|-0|\\+1|10000|4294967296|all|none|void|default|\\*|\\*\\.0",
        2 => "[0-3]\\.[0-2]",
        1 => "[0-3]-[0-9]{1,12}",
        1 => "[0-9]{1,25}",
        2 => "level_zero:0|opencl:gpu|\\*:gpu|!level_zero:1|level_zero:0\\.1|cuda:0",
        1 => "\\PC{0,6}",
        1 => ".{0,4}",
    ];
    let joint = prop::sample::select(vec![",", ",", ",", ",", ";", ", ", ":", ""]);
    prop::collection::vec((word, joint), 0..6).prop_map(|words| {
        let mut value: String = words.iter().map(|(word, joint)| format!("{word}{joint}")).collect();
        if value.ends_with([',', ';']) && value.len() % 3 != 0 {
            value.pop();
        }
        value
    })
}

/// The prefix alone names the only GPU, and a GPU that is named twice hides all.
#[test]
fn prefix_alone_is_a_shortened_uuid() {
    let offered: Vec<Vec<String>> = UUIDS.iter().map(|uuid| vec![(*uuid).to_owned()]).collect();
    for (value, count) in [("GPU-", 1), ("GPU-", 2), ("GPU-8932,GPU-", 1), ("GPU-8932,GPU-", 2)] {
        let selection = select(Vendor::Nvidia, "visible", &[("CUDA_VISIBLE_DEVICES", value)]).unwrap();
        let picked: Vec<usize> = selection.pick(&offered[..count]).0.iter().map(|one| one.index).collect();
        assert_eq!(picked, cuda(value, count), "{value} of {count}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_value_is_refused_or_widened(
        values in prop::collection::vec(prop::option::of(value()), VARIABLES.len()),
        count in 0_usize..5,
        tiles in 1_usize..4,
    ) {
        let environment: Vec<(&str, &str)> =
            VARIABLES.iter().zip(&values).filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
        let of = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let offered: Vec<Vec<String>> = UUIDS.iter().take(count).map(|uuid| vec![(*uuid).to_owned()]).collect();
        let count = offered.len();
        let indices = |vendor| -> Vec<usize> {
            let selection = select(vendor, "visible", &environment).unwrap();
            selection.pick(&offered).0.iter().map(|one| one.index).collect()
        };

        let nvidia = indices(Vendor::Nvidia);
        if let Some(value) = of("CUDA_VISIBLE_DEVICES") {
            let shown = cuda(value, count);
            prop_assert!(nvidia.iter().all(|index| shown.contains(index)), "{value:?}: {nvidia:?} of {shown:?}");
        }

        let amd = indices(Vendor::Amd);
        let left = of("ROCR_VISIBLE_DEVICES").map_or((0..count).collect(), |value| rocr(value, count));
        let given = |name| of(name).filter(|value| !value.is_empty());
        let shown = given("HIP_VISIBLE_DEVICES").or(given("CUDA_VISIBLE_DEVICES")).map_or(left.clone(), |v| hip(v, &left));
        prop_assert!(amd.iter().all(|index| shown.contains(index)), "{environment:?}: {amd:?} of {shown:?}");

        let intel = select(Vendor::Intel, "visible", &environment).unwrap();
        let cards = vec![(Vec::new(), tiles); count];
        let (cards, _) = intel.pick_tiles(&cards);
        let mask: Option<Vec<usize>> = of("ZE_AFFINITY_MASK").map(|v| v.split(',').filter_map(|w| w.parse().ok()).collect());
        let is_plain = of("ZE_AFFINITY_MASK").is_some_and(|v| !v.is_empty() && v.split(',').all(|w| w.parse::<u8>().is_ok()));
        let is_flat = of("ZE_FLAT_DEVICE_HIERARCHY") != Some("COMPOSITE");
        if let Some(mask) = mask.filter(|_| is_plain && is_flat) {
            let numbers: Vec<usize> =
                cards.iter().flat_map(|card| card.tiles.iter().map(|tile| card.index * tiles + tile)).collect();
            prop_assert!(numbers.iter().all(|number| mask.contains(number)), "{mask:?}: {numbers:?}");
        }
    }
}
