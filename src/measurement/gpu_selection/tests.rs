//! Tables of each variable's values, by the rules of its own program.

use super::*;

pub const UUIDS: [&str; 4] = ["GPU-8932f937-aa", "GPU-8932f937-bb", "GPU-12345678-cc", "GPU-abcdef01-dd"];

pub fn select(vendor: Vendor, devices: &str, environment: &[(&str, &str)]) -> Result<Selection> {
    let look_up = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into());
    Selection::new(vendor, ("devices", devices), &look_up)
}

fn offered() -> Vec<Vec<String>> {
    let mut offered: Vec<Vec<String>> = UUIDS.iter().map(|uuid| vec![(*uuid).to_owned()]).collect();
    offered[3].push("MIG-11112222-33".into());
    offered
}

/// The indices picked from four GPUs, and all messages.
fn picked(vendor: Vendor, devices: &str, environment: &[(&str, &str)]) -> (Vec<usize>, Vec<String>) {
    let selection = select(vendor, devices, environment).unwrap();
    let (picked, mut reported) = selection.pick(&offered());
    reported.extend(selection.none().map(|why| why.reason.clone()));
    (picked.into_iter().map(|one| one.index).collect(), reported)
}

/// Checks a table of values, the GPUs that count, and words of the messages.
fn by_table(vendor: Vendor, variable: &str, table: &[(&str, &[usize], &str)]) {
    for (value, indices, words) in table {
        let (found, reported) = picked(vendor, "visible", &[(variable, value)]);
        println!("| {variable} | `{value}` | {found:?} | {}", reported.join("; "));
        assert_eq!(found, *indices, "{variable}={value}: {reported:?}");
        assert_eq!(reported.is_empty(), words.is_empty(), "{variable}={value}: {reported:?}");
        assert!(reported.iter().all(|text| text.contains(words)), "{variable}={value}: {reported:?}");
    }
}

#[test]
fn cuda_visible_devices_is_read_as_cuda_reads_it() {
    let table: &[(&str, &[usize], &str)] = &[
        ("0,2", &[0, 2], ""),
        ("2,0", &[0, 2], ""),
        (" 2 , 0 ", &[0, 2], ""),
        ("0,", &[0], ""),
        ("", &[], "this job has no GPU"),
        ("-1", &[], "this job has no GPU"),
        ("0,-1,1", &[0], ""),
        ("NoDevFiles", &[], "this job has no GPU"),
        ("none", &[], "this job has no GPU"),
        ("10000", &[], "CUDA_VISIBLE_DEVICES=10000: this job has no GPU"),
        ("1023", &[], "GPU 1023 is not on this machine"),
        ("99999999999999999999", &[], "this job has no GPU"),
        ("0,10000,1", &[0], "GPU 10000 is not on this machine"),
        ("1,9,2", &[1], "GPU 9 is not on this machine (CUDA_VISIBLE_DEVICES=1,9,2)"),
        ("1,1", &[], "named twice"),
        ("0,1,2,1", &[], "named twice"),
        ("1gpu2,2ampere", &[1, 2], ""),
        ("2, +3, -0, 1", &[0, 1, 2, 3], ""),
        ("one,two,3", &[], "'one' names no GPU"),
        ("3,2,two,one", &[2, 3], "'two' names no GPU"),
        ("all", &[], "'all' names no GPU"),
        ("some;gpus", &[], "'some;gpus' names no GPU"),
        ("0-3", &[0], ""),
        ("GPU-12345678", &[2], ""),
        ("GPU-1", &[2], ""),
        ("GPU-8932f937", &[], "GPU-8932f937 is not on this machine"),
        ("GPU-8932f937-b,GPU-ab", &[1, 3], ""),
        ("GPU-1,GPU-12345678", &[], "named twice"),
        ("GPU-1,3", &[2], "'3' names no GPU"),
        ("3,GPU-1", &[3], "'GPU-1' names no GPU"),
        ("GPU-1,GPU-zzz,GPU-ab", &[2], "'GPU-zzz' names no GPU"),
        ("GPU-", &[], "GPU- is not on this machine"),
        ("MIG-11112222-33", &[3], ""),
        ("MIG-GPU-12345678-cc/1/0", &[2], ""),
        ("MIG-GPU-12345678-cc/1/0,MIG-GPU-12345678-cc/2/0", &[2], ""),
    ];
    by_table(Vendor::Nvidia, "CUDA_VISIBLE_DEVICES", table);
    let order = |value| select(Vendor::Nvidia, "visible", value).unwrap().fastest_first;
    assert!(order(&[("CUDA_VISIBLE_DEVICES", "0")]));
    assert!(!order(&[("CUDA_VISIBLE_DEVICES", "0"), ("CUDA_DEVICE_ORDER", "PCI_BUS_ID")]));
}

#[test]
fn nvidia_visible_devices_counts_if_cudas_variable_is_unset() {
    let all: &[usize] = &[0, 1, 2, 3];
    let table: &[(&str, &[usize], &str)] = &[
        ("1", &[1], ""),
        ("all", all, ""),
        ("none", &[], "this job has no GPU"),
        ("-1", &[], "this job has no GPU"),
        ("", all, ""),
        ("void", all, ""),
        ("/var/run/nvidia-container-devices", all, ""),
        ("nvidia.com/gpu=0", all, ""),
        ("runtime.nvidia.com/gpu=all", all, ""),
        ("1:0,1:2", &[1], ""),
        ("GPU-abcdef01-dd", &[3], ""),
        ("0,GPU-12345678", &[0, 2], ""),
        ("4,5,6,7", all, ""),
        ("10000", &[], "GPU 10000 is not on this machine"),
        ("no-gpu-has-64MiB-to-run", &[], "NVIDIA_VISIBLE_DEVICES=no-gpu-has-64MiB-to-run cannot be read"),
        ("0,x", &[], "cannot be read"),
        ("0-4000000000", all, "GPU 4 to 4000000000 are not on this machine"),
        ("3-1", &[], "cannot be read"),
        ("2,9,1", &[1, 2], "GPU 9 is not on this machine"),
    ];
    by_table(Vendor::Nvidia, "NVIDIA_VISIBLE_DEVICES", table);
    // The container has one GPU, and the number is that of the node, or impossible.
    let one = |value| {
        let selection = select(Vendor::Nvidia, "visible", &[("NVIDIA_VISIBLE_DEVICES", value)]).unwrap();
        selection.pick(&offered()[..1]).0.len()
    };
    assert_eq!([one("6"), one("10000"), one("4000000000")], [1, 0, 0]);
}

#[test]
fn slurms_variables_count_if_the_runtimes_are_unset() {
    for vendor in [Vendor::Nvidia, Vendor::Amd, Vendor::Intel] {
        by_table(
            vendor,
            "SLURM_JOB_GPUS",
            &[("0-1", &[0, 1], ""), ("2,3", &[2, 3], ""), ("", &[0, 1, 2, 3], ""), ("(null)", &[], "cannot be read")],
        );
        let both = [("SLURM_JOB_GPUS", "0-3"), ("SLURM_STEP_GPUS", "2-3")];
        assert_eq!(picked(vendor, "visible", &both).0, [2, 3]);
    }
    let cuda = [("SLURM_JOB_GPUS", "1"), ("CUDA_VISIBLE_DEVICES", "0")];
    assert_eq!(picked(Vendor::Nvidia, "visible", &cuda).0, [0]);
}

#[test]
fn rocr_picks_first_and_hip_or_cuda_from_those() {
    let table: &[(&str, &[usize], &str)] = &[
        ("2,3", &[2, 3], ""),
        ("0x1, 02", &[1, 2], ""),
        ("gpu-abcdef", &[3], ""),
        ("GPU-8932f937", &[], "GPU-8932f937 is not"),
        ("0,1,0,2", &[0, 1], ""),
        ("1,x,2", &[1], "'x' names no GPU"),
        ("1,1x", &[1], "'1x' names no GPU"),
        ("1,7,2", &[1], "GPU 7 is not"),
        ("", &[], "this job has no GPU"),
        ("all", &[], "'all' names no GPU"),
        ("-1", &[], "this job has no GPU"),
    ];
    by_table(Vendor::Amd, "ROCR_VISIBLE_DEVICES", table);
    for variable in ["HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"] {
        let table: &[(&str, &[usize], &str)] = &[
            ("1", &[1], ""),
            ("3,1,1", &[1, 3], ""),
            ("0,-1,1", &[0], ""),
            ("-1", &[], "this job has no GPU"),
            ("10000", &[], "this job has no GPU"),
            ("0, 1", &[0], "' 1' names no GPU"),
            ("01", &[], "'01' names no GPU"),
            ("GPU-8932f937", &[0], ""),
            ("GPU-12345678,GPU-4b2c1a9f-8d3e-6f7a-b5c9-2e4d8a1f6c3b,1", &[2], "is not on this machine"),
            ("GPU-4b2c1a9f-8d3e-6f7a-b5c9-2e4d8a1f6c3b", &[], "is not on this machine"),
            ("MIG-11112222-33", &[], "names no GPU"),
            ("", &[0, 1, 2, 3], ""),
        ];
        by_table(Vendor::Amd, variable, table);
    }
    let amd = |environment: &[(&str, &str)]| picked(Vendor::Amd, "visible", environment).0;
    assert_eq!(amd(&[("ROCR_VISIBLE_DEVICES", "2,3"), ("HIP_VISIBLE_DEVICES", "1")]), [3]);
    assert_eq!(amd(&[("ROCR_VISIBLE_DEVICES", "3,1"), ("HIP_VISIBLE_DEVICES", "0")]), [3], "in the list's order");
    assert_eq!(amd(&[("ROCR_VISIBLE_DEVICES", "2,3"), ("CUDA_VISIBLE_DEVICES", "0")]), [2]);
    assert_eq!(amd(&[("HIP_VISIBLE_DEVICES", "1"), ("CUDA_VISIBLE_DEVICES", "x")]), [1], "HIP's own wins");
    assert_eq!(amd(&[("HIP_VISIBLE_DEVICES", ""), ("CUDA_VISIBLE_DEVICES", "2")]), [2], "empty is unset");
    assert_eq!(amd(&[("ROCR_VISIBLE_DEVICES", "2"), ("GPU_DEVICE_ORDINAL", "2")]), [2], "as SLURM sets both");
    assert_eq!(amd(&[("CUDA_VISIBLE_DEVICES", "1"), ("SLURM_JOB_GPUS", "3")]), [1]);
    let (none, why) = picked(Vendor::Amd, "visible", &[("ROCR_VISIBLE_DEVICES", "2,3"), ("HIP_VISIBLE_DEVICES", "2")]);
    assert!(none.is_empty() && why[0].contains("not among the 2 that ROCR_VISIBLE_DEVICES=2,3 leaves"), "{why:?}");
}

/// The tiles picked from two cards of two tiles, then from two cards of one, as pairs of a card and a tile.
fn tiles(environment: &[(&str, &str)]) -> [Vec<(usize, usize)>; 2] {
    let selection = select(Vendor::Intel, "visible", environment).unwrap();
    [2, 1].map(|count| {
        let cards = vec![(Vec::new(), count); 2];
        let (picked, reported) = selection.pick_tiles(&cards);
        let pairs = |card: &PickedCard| card.tiles.iter().map(|&tile| (card.index, tile)).collect::<Vec<_>>();
        let pairs: Vec<(usize, usize)> = picked.iter().flat_map(pairs).collect();
        let why = selection.none().map(|why| why.reason.clone());
        println!("| {environment:?} | {count} tiles a card | {pairs:?} | {} {why:?}", reported.join("; "));
        assert!(!pairs.is_empty() || !reported.is_empty() || why.is_some(), "{environment:?}: nothing is reported");
        pairs
    })
}

#[test]
fn ze_affinity_mask_numbers_tiles_or_cards() {
    let all = [vec![(0, 0), (0, 1), (1, 0), (1, 1)], vec![(0, 0), (1, 0)]];
    for (hierarchy, mask, of_two, of_one) in [
        ("", "1", vec![(0, 1)], vec![(1, 0)]),
        ("FLAT", "1", vec![(0, 1)], vec![(1, 0)]),
        ("COMBINED", "3", vec![(1, 1)], vec![]),
        ("", "2,3", vec![(1, 0), (1, 1)], vec![]),
        ("", "9,0", vec![(0, 0)], vec![(0, 0)]),
        ("", "0x2", vec![(1, 0)], vec![]),
        ("", "-1", vec![], vec![]),
        ("FLAT", "0.1", vec![], vec![]),
        ("", "1.0", vec![], vec![(1, 0)]),
        ("", "*.0", vec![(0, 0), (1, 0)], vec![(0, 0), (1, 0)]),
        ("COMPOSITE", "*.1", vec![(0, 1), (1, 1)], vec![]),
        ("COMPOSITE", "1", vec![(1, 0), (1, 1)], vec![(1, 0)]),
        ("COMPOSITE", "0.1", vec![(0, 1)], vec![]),
        ("COMPOSITE", "0.1,1", vec![(0, 1), (1, 0), (1, 1)], vec![(1, 0)]),
        ("COMPOSITE", "2", vec![], vec![]),
        ("COMPOSITE", "1.5,0", vec![(0, 0), (0, 1)], vec![(0, 0)]),
        ("", "one", vec![], vec![]),
        ("", "0,,1", vec![], vec![]),
        ("", "", all[0].clone(), all[1].clone()),
        ("", "default", all[0].clone(), all[1].clone()),
    ] {
        let environment = [("ZE_AFFINITY_MASK", mask), ("ZE_FLAT_DEVICE_HIERARCHY", hierarchy)];
        assert_eq!(tiles(&environment), [of_two, of_one], "{hierarchy} {mask}");
    }
    let (_, missing) = select(Vendor::Intel, "visible", &[("ZE_AFFINITY_MASK", "9")]).unwrap().pick_tiles(&[]);
    assert!(missing[0].contains("GPU 9 is not on this machine"), "{missing:?}");
}

#[test]
fn sycls_selectors_pick_from_what_the_mask_leaves() {
    let (all, none) = (vec![(0, 0), (0, 1), (1, 0), (1, 1)], Vec::new());
    for (selector, expected) in [
        ("level_zero:0,3", vec![(0, 0), (1, 1)]),
        ("LEVEL_ZERO:GPU", all.clone()),
        ("level_zero:*", all.clone()),
        ("*:gpu", all.clone()),
        ("opencl:gpu;level_zero:gpu", all.clone()),
        ("opencl:gpu", all.clone()),
        ("!opencl:*", all.clone()),
        ("!*:cpu", all.clone()),
        ("level_zero:gpu;!level_zero:0", all[1..].to_vec()),
        ("level_zero:1.0", vec![(0, 1)]),
        ("level_zero:*.*", all.clone()),
        ("!*:gpu", none.clone()),
        ("*:cpu", none.clone()),
        ("opencl:cpu", none.clone()),
        ("cuda:gpu", none.clone()),
        ("level_zero:8", none.clone()),
        ("opencl:0", none.clone()),
        ("*:0", none.clone()),
        ("level_zero:gpu:0", none.clone()),
        ("vulkan:0", none.clone()),
        ("level_zero", none.clone()),
        (";", none.clone()),
    ] {
        assert_eq!(tiles(&[("ONEAPI_DEVICE_SELECTOR", selector)])[0], expected, "{selector}");
    }
    for (filter, expected) in [
        ("level_zero:gpu:1", vec![(0, 1)]),
        ("level_zero:1,level_zero:gpu:2", vec![(0, 1), (1, 0)]),
        ("level_zero", all.clone()),
        ("gpu", all.clone()),
        ("cpu", none.clone()),
        ("opencl:cpu:0", none.clone()),
        ("gpu:0", none.clone()),
        ("what", none.clone()),
    ] {
        assert_eq!(tiles(&[("SYCL_DEVICE_FILTER", filter)])[0], expected, "{filter}");
        assert_eq!(tiles(&[("SYCL_DEVICE_FILTER", filter), ("ONEAPI_DEVICE_SELECTOR", "*:*")])[0], all);
    }
    let both = |hierarchy, mask, selector| {
        tiles(&[
            ("ZE_FLAT_DEVICE_HIERARCHY", hierarchy),
            ("ZE_AFFINITY_MASK", mask),
            ("ONEAPI_DEVICE_SELECTOR", selector),
        ])
    };
    assert_eq!(both("FLAT", "2,3", "level_zero:1")[0], [(1, 1)]);
    assert_eq!(both("COMPOSITE", "1", "level_zero:0.1")[0], [(1, 1)]);
    assert_eq!(both("COMPOSITE", "", "level_zero:1")[0], [(1, 0), (1, 1)]);
}

#[test]
fn the_option_has_priority_and_bad_values_are_refused() {
    let all = [("CUDA_VISIBLE_DEVICES", "0")];
    assert_eq!(picked(Vendor::Nvidia, "all", &all).0, [0, 1, 2, 3]);
    let (found, missing) = picked(Vendor::Nvidia, "1,9,2", &all);
    assert_eq!((found, missing.len()), (vec![1, 2], 1));
    assert!(picked(Vendor::Nvidia, "GPU-ffff", &all).0.is_empty());
    let (_, missing) = picked(Vendor::Nvidia, "4,5,6,7,8,9,0-1000", &[]);
    assert!(missing.len() == 1 && missing[0].contains("and 3 more are not on this machine"), "{missing:?}");
    assert!(select(Vendor::Nvidia, "process", &all).unwrap().process);
    for bad in
        ["some", "-1", "0,-1", "none", "0,,1", "0;1", "1.5.2", "GPU-", "GPU-xyz", "MIG-GPU-12", "0-4000000000", ""]
    {
        let message = select(Vendor::Nvidia, bad, &[]).unwrap_err().message;
        assert!(message.contains(&format!("devices='{bad}'")), "{message}");
    }
}

#[test]
fn values_are_shortened_to_one_line_in_messages() {
    let long = "9,".repeat(100_000) + "\u{1b}[2J";
    for vendor in [Vendor::Nvidia, Vendor::Amd, Vendor::Intel] {
        for variable in VARIABLES {
            for value in [long.as_str(), "\u{1b}]0;x\u{7}\n\u{fffd}\u{fffd}é,0", "GPU-éé", "0-18446744073709551616"]
            {
                let (_, reported) = picked(vendor, "visible", &[(variable, value)]);
                for text in reported {
                    assert!(text.chars().count() < 400 && !text.contains(char::is_control), "{variable}: {text}");
                }
            }
        }
    }
}
