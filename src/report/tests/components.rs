//! Components, and devices that the processes of a job share.

use super::*;

/// Two processes of a job on a node: this one took over `id1` from another process, which counts `id0`.
fn in_turns() -> RunState {
    use crate::coordination::device_lease::LeaseState as Turn;
    let mut state = run_of(&[], &[(5_000, 100)], &[]);
    for (number, turn) in [
        Turn { holder: Some(41), ..Turn::default() },
        Turn { is_ours: true, reported_until: Some(MonoNs(1_500)), ..Turn::default() },
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("id{number}");
        let channel = Channel::new(
            (DeviceKind::Cpu, SourceName::Rapl),
            "device",
            id.clone(),
            MeasuringMethod::Power,
            Quantity::Power { max_watts: 1e5 },
        );
        state.add_lease(number, id.clone(), id);
        state.add(&channel, Some(number), None);
        state.apply_lease(number, turn, |_| ());
    }
    state
}

#[test]
fn shared_devices_have_fields_of_their_own() {
    let (settings, state) = (settings(None, 0), in_turns());
    let report = json_of(&settings, &state);
    let marks = |n: usize| {
        let entry = &report["unavailable"][n];
        (entry["counted_elsewhere"].as_bool(), entry["counted_by_pid"].as_u64())
    };
    assert_eq!([marks(0), marks(1)], [(Some(false), None), (Some(true), Some(41))], "{}", report["unavailable"]);
    assert!(report["components"][0]["identity"]["hash"].is_u64());
}

/// Programs compiled with version 0.1.0 search the text report for these words, and its command searches the reasons.
#[test]
fn words_that_version_0_1_0_searches_for_stay() {
    let (settings, state) = (settings(None, 0), in_turns());
    let text = Report::new(&settings, &state, NOW, Detail::Epochs).render("text").unwrap();
    assert!(text.contains("id0: counted by process 41 of this job, and not here"), "{text}");
    assert!(text.contains("another process of this job;"), "{text}");
}

/// The hash is part of the JSON: it stays the same in all versions, and a double holds it exactly.
#[test]
fn components_have_the_same_hash_in_all_processes() {
    let with = |kind: DeviceKind, id: &str, simulated: bool| {
        let mut state = run_of(&[], &[(5_000, 0)], &[]);
        let quantity = Quantity::Power { max_watts: 1e5 };
        let channel = Channel::new((kind, SourceName::Rapl), "device", id, MeasuringMethod::Power, quantity);
        state.add(&Channel { simulated, ..channel }, None, None);
        json_of(&settings(None, 0), &state)["components"][0]["identity"].clone()
    };
    let [cpu, gpu] = [with(DeviceKind::Cpu, "a", false), with(DeviceKind::Gpu, "a", false)];
    assert_eq!((&cpu["hash"], &cpu["kind"]), (&serde_json::json!(4_839_352_222_064_438_u64), &0.into()));
    assert_eq!((cpu.clone(), &gpu["kind"]), (with(DeviceKind::Cpu, "a", true), &1.into()));
    assert!(cpu["hash"] != gpu["hash"] && cpu["hash"] != with(DeviceKind::Cpu, "b", false)["hash"]);
    assert!(cpu["hash"].as_u64().is_some_and(|hash| hash < 1 << 53));
    assert!(with(DeviceKind::Gpu, "a", true)["hash"].is_null(), "a simulated GPU is each process's own");
}
