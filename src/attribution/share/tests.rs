use super::*;
use crate::attribution::ledger::Mark;
use crate::measurement::channel::{MeasuringMethod, Quantity};
use crate::measurement::source_name::SourceName;
use proptest::prelude::*;

const S: u64 = 1_000_000_000;

fn usage(second: u64, job_s: f64, node_s: f64) -> Usage {
    Usage { at: MonoNs(second * S), job_s, node_s, allocated: None, memory: Some(0.25) }
}

fn interval(from: u64, to: u64, joules: f64) -> EnergyInterval {
    EnergyInterval { from: MonoNs(from * S), to: MonoNs(to * S), joules, measured: true }
}

fn share(idle: IdleRule, samples: &[Usage]) -> NodeShare {
    let mut share = NodeShare::new(idle, None);
    samples.iter().for_each(|usage| share.push(*usage));
    share
}

fn channel(kind: DeviceKind) -> Channel {
    let quantity = Quantity::Power { max_watts: 1e3 };
    Channel::new((kind, SourceName::Simulated), "D", "d", MeasuringMethod::Power, quantity)
}

fn job_j(share: &NodeShare, kind: DeviceKind, idle_w: f64, interval: EnergyInterval) -> Option<f64> {
    share.divide(&channel(kind), idle_w, interval).map(|(job, _)| job.joules)
}

#[test]
fn active_energy_goes_by_processor_time() {
    let share = share(IdleRule::Cores, &[usage(0, 0.0, 0.0), usage(1, 2.0, 8.0), usage(2, 2.0, 9.0)]);
    assert_eq!(job_j(&share, DeviceKind::Cpu, 0.0, interval(0, 1, 100.0)), Some(25.0));
    assert_eq!(job_j(&share, DeviceKind::Cpu, 0.0, interval(1, 2, 50.0)), Some(0.0), "its processes rest");
    assert_eq!(job_j(&share, DeviceKind::Cpu, 0.0, interval(0, 2, 90.0)), Some(20.0), "2 of 9 s");
}

#[test]
fn idle_energy_goes_by_the_rule() {
    let allocated = |second, job_s, node_s| Usage { allocated: Some(0.5), ..usage(second, job_s, node_s) };
    let samples = [allocated(0, 0.0, 0.0), allocated(1, 1.0, 4.0)];
    let of = |rule, idle_w| job_j(&share(rule, &samples), DeviceKind::Cpu, idle_w, interval(0, 1, 100.0));
    assert_eq!(of(IdleRule::Cores, 40.0), Some(0.5 * 40.0 + 0.25 * 60.0));
    assert_eq!(of(IdleRule::None, 40.0), Some(0.25 * 60.0));
    assert_eq!(of(IdleRule::Cores, 500.0), Some(50.0), "a device cannot idle at more than its power");
    let unlimited = [usage(0, 0.0, 0.0), usage(1, 1.0, 4.0)];
    let share = share(IdleRule::Cores, &unlimited);
    assert_eq!(job_j(&share, DeviceKind::Cpu, 40.0, interval(0, 1, 100.0)), Some(25.0), "nothing is allocated");
}

#[test]
fn memory_goes_by_residence_and_gpus_are_whole() {
    let share = share(IdleRule::Cores, &[usage(0, 0.0, 0.0), usage(1, 0.0, 0.0)]);
    assert_eq!(job_j(&share, DeviceKind::Dram, 0.0, interval(0, 1, 8.0)), Some(2.0));
    assert_eq!(job_j(&share, DeviceKind::Gpu, 0.0, interval(0, 1, 8.0)), Some(8.0));
}

#[test]
fn gpu_goes_by_slices_or_by_the_use_of_processes() {
    let of = |share: &NodeShare, job_part| {
        let gpu = Channel { job_part, ..channel(DeviceKind::Gpu) };
        (share.rule(&gpu).name(), share.divide(&gpu, 0.0, interval(0, 1, 70.0)).map(|(job, _)| job.joules))
    };
    for (rule, idle_j) in [(IdleRule::Cores, 70.0), (IdleRule::None, 0.0)] {
        let mut share = share(rule, &[]);
        assert_eq!(of(&share, None), ("whole", Some(70.0)));
        assert_eq!(of(&share, Some(2.0 / 7.0)), ("slices", Some(20.0)));
        share.set_gpus([("d".to_owned(), Some(0.3))].into_iter().collect());
        assert_eq!(of(&share, None), ("process_use", Some(21.0)));
        share.set_gpus([("d".to_owned(), None)].into_iter().collect());
        assert_eq!(of(&share, None), ("process_use", Some(idle_j)), "no process uses it");
    }
}

#[test]
fn energy_without_usage_is_not_divided() {
    let none = share(IdleRule::Cores, &[]);
    assert_eq!(none.divide(&channel(DeviceKind::Cpu), 0.0, interval(0, 1, 8.0)), None);
    let unknown = Usage { memory: None, ..usage(0, 0.0, 0.0) };
    let share = share(IdleRule::Cores, &[unknown]);
    assert_eq!(share.divide(&channel(DeviceKind::Dram), 0.0, interval(0, 1, 3.0)), None);
    let mut share = share;
    share.leave_undivided(4, interval(0, 1, 3.0));
    share.leave_undivided(4, interval(1, 2, 2.0));
    assert_eq!((share.undivided_j(), share.undivided_until(4)), (5.0, Some(MonoNs(2 * S))));
    assert_eq!(share.undivided_until(3), None);
}

#[test]
fn short_interval_has_the_share_of_a_whole_window() {
    let at = |ms: u64, job_s: f64, node_s: f64| Usage { at: MonoNs(ms * 1_000_000), ..usage(0, job_s, node_s) };
    let share = share(IdleRule::Cores, &[at(0, 0.0, 0.0), at(100, 0.1, 0.2), at(120, 0.12, 0.22)]);
    let short = EnergyInterval { from: MonoNs(100_000_000), to: MonoNs(120_000_000), joules: 22.0, measured: true };
    assert!((job_j(&share, DeviceKind::Cpu, 0.0, short).expect("a share") - 12.0).abs() < 1e-9);
}

#[test]
fn process_that_lost_a_device_keeps_the_others_energy_before() {
    let mut share = share(IdleRule::Cores, &[]);
    share.others.add_channel(DeviceKind::Cpu);
    share.others.mark(Mark::Begin(MonoNs(0)));
    share.others.credit(0, interval(0, 4, 40.0));
    share.yield_from(0, MonoNs(S));
    share.others.mark(Mark::End(MonoNs(4 * S)));
    assert_eq!(share.others.channel(0).joules, Some(10.0));
}

proptest! {
    /// Whatever the readings are, the parts are the interval, and none is negative.
    #[test]
    fn parts_are_the_interval(
        samples in prop::collection::vec((0u64..20, 0.0f64..100.0, 0.0f64..100.0, prop::option::of(0.0f64..1.0)), 1..20),
        from in 0u64..19,
        length in 1u64..20,
        joules in 0.0f64..1e6,
        idle_w in 0.0f64..1e4,
        is_none in any::<bool>(),
    ) {
        let mut share = NodeShare::new(if is_none { IdleRule::None } else { IdleRule::Cores }, None);
        for (second, job_s, node_s, allocated) in samples {
            share.push(Usage { allocated, ..usage(second, job_s, node_s) });
        }
        for kind in DeviceKind::ALL {
            let (job, others) = share.divide(&channel(kind), idle_w, interval(from, from + length, joules)).expect("a share");
            prop_assert!((job.joules + others.joules - joules).abs() <= 1e-9 * joules);
            prop_assert!(job.joules >= 0.0 && others.joules >= -1e-9 * joules);
        }
    }
}
