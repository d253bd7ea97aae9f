//! Options of measurement: which devices, and where the system shows them.

use super::key::{OptionKey, key};
use super::value::{number, put, put_some, some_text};
use super::working_folder::WorkingFolder;
use crate::measurement::channel::DeviceKind;
use crate::measurement::config::{IdleRule, Scope, SimulatedDevice};

pub const KEYS: &[OptionKey] = &[
    key(
        "components",
        "all, or some of cpu, gpu, dram, node with commas between",
        "all",
        "which kinds of device to measure",
        |o, v| put(&mut o.measurement.components, kinds(v)),
    ),
    key(
        "devices",
        "visible, all, process, or a list of GPUs",
        "visible",
        "which GPUs: indices, UUIDs or MIG ids, with commas between",
        |o, v| put(&mut o.measurement.devices, some_text(v).filter(|list| !list.contains('='))),
    ),
    key(
        "sim_cpu",
        "NAME:WATTS or NAME:WATTS:UTIL, watts from 0 to 100000, util from 0 to 1",
        "none",
        "a simulated processor; it also replaces memory and node",
        |o, v| put_some(&mut o.measurement.sim_cpu, simulated(v)),
    ),
    key(
        "sim_gpu",
        "NAME:WATTS or NAME:WATTS:UTIL, watts from 0 to 100000, util from 0 to 1",
        "none",
        "a simulated GPU instead of the real ones",
        |o, v| put_some(&mut o.measurement.sim_gpu, simulated(v)),
    ),
    key(
        "sysroot",
        "the folder that contains sys and proc",
        "/",
        "where /sys and /proc are, in a container that mounts the host's elsewhere",
        |o, v| {
            let folder = o.folder.path(v)?;
            o.carbon.sysroot.clone_from(&folder);
            o.measurement.sysroot = folder;
            Some(())
        },
    ),
    key("scope", "device, job", "device", "all energy of the devices, or this job's share of it", |o, v| {
        let scopes = [("device", Scope::Device), ("job", Scope::Job)];
        put(&mut o.measurement.scope, named(scopes, v))
    }),
    key(
        "idle",
        "cores, none",
        "cores",
        "with scope=job, the job's part of the processors' idle energy: by its allocated cores, or none",
        |o, v| put(&mut o.measurement.idle, named([IdleRule::Cores, IdleRule::None].map(|r| (r.name(), r)), v)),
    ),
    key(
        "idle_w",
        "watts from 0 to 100000",
        "by the processor model",
        "with scope=job, the power of the node's processors when idle, W",
        |o, v| put(&mut o.measurement.idle_w, number(v, 0.0, 100_000.0).map(Some)),
    ),
    key("nvml", "path or name of the NVML library", "by name", "the NVML library to load", |o, v| {
        put_some(&mut o.measurement.nvml, library(v, &mut o.folder))
    }),
];

/// The value of this name.
fn named<T>(all: [(&str, T); 2], name: &str) -> Option<T> {
    all.into_iter().find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn kinds(value: &str) -> Option<Vec<DeviceKind>> {
    if value == "all" {
        return Some(DeviceKind::ALL.to_vec());
    }
    value
        .split(',')
        .map(|name| DeviceKind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name.trim())))
        .collect()
}

/// A library's absolute path, or its name.
fn library(value: &str, folder: &mut WorkingFolder) -> Option<String> {
    if value.contains('/') { folder.path(value)?.into_os_string().into_string().ok() } else { some_text(value) }
}

/// `NAME:WATTS[:UTIL]`, read from the right, because a name may contain colons.
fn simulated(value: &str) -> Option<SimulatedDevice> {
    let (front, last) = value.rsplit_once(':')?;
    let (name, watts, utilisation) = match front.rsplit_once(':') {
        Some((name, watts)) if watts.parse::<f64>().is_ok() => (name, watts, last),
        _ => (front, last, "1"),
    };
    Some(SimulatedDevice {
        name: some_text(name)?,
        watts: number(watts, 0.0, 100_000.0)?,
        utilisation: number(utilisation, 0.0, 1.0)?,
    })
}
