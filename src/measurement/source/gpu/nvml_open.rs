//! Opens one NVIDIA GPU: finds its names, its meters, and what these cover.

use super::nvml_device::{NvmlGpu, NvmlMeters, NvmlPower};
use super::nvml_error::{NvmlFailure, error_text, may_pass};
use super::superchip;
use crate::measurement::channel::{Channel, DeviceKind, MeasuringMethod, Quantity};
use crate::measurement::gpu_selection::Picked;
use crate::measurement::source_name::SourceName;
use crate::os::{self, exit};
use crate::sanitize;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::sys_exports::field_id::{NVML_FI_DEV_POWER_AVERAGE, NVML_FI_DEV_POWER_INSTANT};
use nvml_wrapper::{Device, Nvml};
use nvml_wrapper_sys::bindings::{NVML_POWER_SCOPE_GPU, NVML_POWER_SCOPE_MODULE};
use std::ops::RangeInclusive;

/// Plausible power limits of a GPU with a meter, W. Other limits count as unknown.
const PLAUSIBLE_LIMITS_W: RangeInclusive<f64> = 8.0..=6_000.0;
/// The limit of a GPU whose limit is unknown, W. It is above that of any GPU on the market.
const DEFAULT_LIMIT_W: f64 = 1_000.0;
/// Highest plausible power as a multiple of the limit in force. A power is a mean over 25 ms or more.
const MAX_POWER_PER_LIMIT: f64 = 3.0;
/// Highest plausible power as a multiple of the highest limit that can be set during the run.
const MAX_POWER_PER_HIGHEST_LIMIT: f64 = 2.0;
/// Highest plausible power between two counts, as a multiple of the limit. A counter is updated every 100 ms at most,
/// and two readings are at least 10 ms apart, to which the meter adds 5 ms. A mean of 1.5 limits then looks like ten.
const MAX_COUNTER_POWER_PER_LIMIT: f64 = 10.0;
/// Slices of a GPU with MIG.
const SLICES: u32 = 7;
/// MIG instances of a GPU that a driver can report.
const MAX_INSTANCES: u32 = 16;
/// `NVML_DEVICE_MIG_ENABLE`.
const MIG_ENABLED: u32 = 1;
/// Lowest power of an idle Grace and its memory, W.
const MIN_PROCESSOR_W: f64 = 10.0;
/// GPUs whose sensor measures 25 ms of every 100 ms (arXiv 2312.02741).
const PART_TIME: [&str; 9] = ["A100", "A100X", "A800", "H100", "H100X", "H800", "H200", "H20", "GH200"];
/// The errors are those of a recorded A100 against an external meter, with a load that switches every 52 ms.
const PART_TIME_NOTE: &str = "its sensor measures a quarter of the time: energies of epochs under 5 s are uncertain \
(0.5 s: -51 to +41 %, 1 s: -48 to +38 %, 2 s: -31 to +21 %, 4 s: -13 to +2 %; arXiv 2312.02741)";

/// A GPU of the driver.
pub struct NvmlOffer {
    /// The driver's index of the GPU.
    index: u32,
    answer: Answer,
    /// The model's name.
    pub name: String,
    /// The GPU's UUID, then those of its MIG instances.
    pub ids: Vec<String>,
    /// The error of earlier calls.
    failed: Option<String>,
}

enum Answer {
    Device(Device<'static>),
    Failed(NvmlFailure),
    /// The GPU is open, or its failure has been reported.
    Done,
}

impl NvmlOffer {
    /// A GPU that has not been asked yet.
    pub fn new(index: u32) -> NvmlOffer {
        let answer = Answer::Failed(NvmlFailure { reason: String::new(), may_pass: true });
        NvmlOffer { index, answer, name: "NVIDIA GPU".into(), ids: Vec::new(), failed: None }
    }

    /// Whether the GPU has not answered yet and may do so later.
    pub fn may_answer(&self) -> bool {
        matches!(&self.answer, Answer::Failed(failure) if failure.may_pass)
    }

    /// The handle, until the GPU is open.
    pub fn device(&self) -> Option<&Device<'static>> {
        if let Answer::Device(device) = &self.answer { Some(device) } else { None }
    }

    /// Why the GPU has not answered yet. None: it has, or never will.
    pub fn failure(&self) -> Option<String> {
        match &self.answer {
            Answer::Failed(failure) if failure.may_pass => Some(failure.reason.clone()),
            _ => None,
        }
    }

    /// Asks for the names. Fails if the driver's numbers cannot be trusted.
    pub fn ask_names(&mut self, nvml: &'static Nvml) -> Result<(), NvmlFailure> {
        let ask = || -> Result<(Device<'static>, Option<String>), NvmlError> {
            let device = nvml.device_by_index(self.index)?;
            match device.uuid() {
                Err(error) if may_pass(&error) => Err(error),
                uuid => Ok((device, uuid.ok())),
            }
        };
        match ask() {
            Ok((device, uuid)) => {
                self.ids = uuid.into_iter().map(sanitize::text).collect();
                if device.mig_mode().is_ok_and(|mode| mode.current == MIG_ENABLED) {
                    let found = instances(&device).map_err(NvmlFailure::permanent)?;
                    self.ids.extend(found.filter_map(|instance| instance.uuid().ok()).map(sanitize::text));
                }
                self.name = device.name().map_or_else(|_| "NVIDIA GPU".into(), sanitize::text);
                self.answer = Answer::Device(device);
            }
            Err(error) => self.fail(&error),
        }
        Ok(())
    }

    fn fail(&mut self, error: &NvmlError) {
        let failure = NvmlFailure::new(&self.shown(), error);
        if failure.may_pass {
            self.failed = Some(error_text(error));
        }
        self.answer = Answer::Failed(failure);
    }

    /// The GPU's name in messages.
    fn shown(&self) -> String {
        format!("GPU {} ({})", self.index, self.name)
    }

    /// Opens the GPU with its counter, else with its power. None: it was opened before. `failed` is the error of
    /// earlier calls of the driver.
    pub fn open(
        &mut self,
        picked: &Picked,
        is_ambiguous: bool,
        failed: Option<&str>,
    ) -> Result<Option<(Channel, NvmlGpu)>, NvmlFailure> {
        let found = match &self.answer {
            Answer::Done => return Ok(None),
            Answer::Failed(failure) => Err(failure.clone()),
            Answer::Device(device) => exit::driver_call(|| Findings::of(device, &self.name))
                .unwrap_or(Err(NvmlError::Uninitialized))
                .map_err(|error| NvmlFailure::new(&self.shown(), &error)),
        };
        let findings = match found {
            Ok(findings) => findings,
            Err(failure) => {
                // A GPU that does not answer yet is asked for its names again, because it may return as another one.
                if !failure.may_pass {
                    self.answer = Answer::Done;
                }
                return Err(failure);
            }
        };
        let (slices, note) = self.share(picked).unzip();
        let mut notes: Vec<String> = note.into_iter().collect();
        notes.extend(findings.notes);
        if is_ambiguous {
            notes.push(
                "chosen by number, and the GPUs differ: CUDA may number them differently; set CUDA_DEVICE_ORDER=PCI_BUS_ID or use UUIDs"
                    .into(),
            );
        }
        if let Some(why) = self.failed.as_deref().or(failed) {
            notes.push(format!("counted from its first answer; its energy before is unknown ({why})"));
        }
        let Answer::Device(device) = std::mem::replace(&mut self.answer, Answer::Done) else { return Ok(None) };
        let id = self.ids.first().cloned().unwrap_or_else(|| format!("nvml-{}", self.index));
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        let (method, quantity) = findings.quantity;
        let channel = Channel {
            note,
            job_part: slices.flatten().map(|slices| (f64::from(slices) / f64::from(SLICES)).min(1.0)),
            ..Channel::new((DeviceKind::Gpu, SourceName::Nvml), self.name.as_str(), id, method, quantity)
        };
        Ok(Some((channel, NvmlGpu::new(device, findings.meters))))
    }

    /// The slices of the GPU that are this job's, and a note on them. None: all of it is.
    fn share(&self, picked: &Picked) -> Option<(Option<u32>, String)> {
        let device = self.device()?;
        let is_part = |id: &&String| id.starts_with("MIG-");
        let parts: Vec<&String> = picked.ids.iter().filter(is_part).collect();
        if parts.is_empty() {
            return None;
        }
        let slices = |part: &&&String| {
            let is_it = |mig: &Device| mig.uuid().is_ok_and(|uuid| uuid.starts_with(part.as_str()));
            let instance = instances(device).ok()?.find(is_it)?;
            Some(instance.attributes().ok()?.gpu_instance_slice_count).filter(|&slices| slices <= SLICES)
        };
        let known: Option<u32> = exit::driver_call(|| parts.iter().map(|part| slices(&part)).sum())?;
        let names: Vec<&str> = parts.iter().map(|part| part.as_str()).collect();
        let share = known.map_or(String::new(), |slices| format!(", {slices} of {SLICES} slices"));
        Some((known, format!("the whole GPU is counted; this job has {}{share}", names.join(", "))))
    }
}

/// The meters of a GPU, and notes on them.
struct Findings {
    meters: NvmlMeters,
    quantity: (MeasuringMethod, Quantity),
    notes: Vec<String>,
}

impl Findings {
    /// Asks the driver. `name` is the GPU's model.
    fn of(device: &Device, name: &str) -> Result<Findings, NvmlError> {
        let has_counter = device.total_energy_consumption().is_ok();
        let mut meters = NvmlMeters { has_counter, power: NvmlPower::Usage, max_watts: 0.0, has_module: false };
        let mut notes = Vec::new();
        if superchip::has_gpu(name) {
            notes.push(meters.choose_scope(Scopes::of(device)).to_owned());
        } else if !has_counter {
            meters.power = Scopes::of(device).instant().unwrap_or(NvmlPower::Usage);
        }
        if !has_counter {
            if meters.power == NvmlPower::Usage {
                device.power_usage()?;
            }
            notes.push("it has no energy counter; its power is integrated".into());
        }
        let is_of_two = meters.has_module && superchip::has_two(name);
        if is_of_two {
            notes.push("each of the module's two GPUs may report the whole module; compare one GPU with both".into());
        }
        if superchip::has_word(name, &PART_TIME) {
            notes.push(PART_TIME_NOTE.into());
        }
        let (power_w, counter_w) = bounds(device, if is_of_two { 2.0 } else { 1.0 });
        meters.max_watts = power_w;
        let quantity = match meters.has_counter {
            true => (
                MeasuringMethod::Counter,
                Quantity::Counter { joules_per_unit: 1e-3, range: None, max_watts: counter_w },
            ),
            false => (MeasuringMethod::Power, Quantity::Power { max_watts: power_w }),
        };
        Ok(Findings { meters, quantity, notes })
    }
}

/// Highest plausible power of `gpus` GPUs like this one, W: as a power, and as the difference of two counts.
fn bounds(device: &Device, gpus: f64) -> (f64, f64) {
    let watts = |milliwatts: u32| {
        Some(f64::from(milliwatts) * 1e-3).filter(|limit_w| PLAUSIBLE_LIMITS_W.contains(limit_w)).map(|w| w * gpus)
    };
    let most_w = device.power_management_limit_constraints().ok().and_then(|limits| watts(limits.max_limit));
    let limits = [Device::enforced_power_limit, Device::power_management_limit, Device::power_management_limit_default];
    let limit_w =
        limits.iter().find_map(|limit| limit(device).ok().and_then(watts)).or(most_w).unwrap_or(DEFAULT_LIMIT_W);
    let most_w = most_w.unwrap_or(limit_w);
    (
        (MAX_POWER_PER_LIMIT * limit_w).max(MAX_POWER_PER_HIGHEST_LIMIT * most_w),
        MAX_COUNTER_POWER_PER_LIMIT * limit_w.max(most_w),
    )
}

/// For each of two power fields: its id, the power of the GPU alone and that of the module, W. None: not supported.
struct Scopes([(u32, Option<f64>, Option<f64>); 2]);

impl Scopes {
    fn of(device: &Device) -> Scopes {
        const FIELDS: [u32; 2] = [NVML_FI_DEV_POWER_INSTANT, NVML_FI_DEV_POWER_AVERAGE];
        let of = |field: u32| [NVML_POWER_SCOPE_GPU, NVML_POWER_SCOPE_MODULE].map(|scope| (field, scope));
        let watts = os::nvml_watts(device, FIELDS.map(of).as_flattened()).unwrap_or_default();
        // A driver that does not have a field may return 0.
        let known = |index: usize| watts.get(index).and_then(|one| one.as_ref().ok().copied()).filter(|one| *one > 0.0);
        let [instant, average] = FIELDS;
        Scopes([(instant, known(0), known(1)), (average, known(2), known(3))])
    }

    /// The GPU's present power. Since Ampere, except for the A100, `nvmlDeviceGetPowerUsage` is the mean of the last
    /// second.
    fn instant(&self) -> Option<NvmlPower> {
        let Scopes([(field, gpu, _), _]) = *self;
        gpu.map(|_| NvmlPower::Field(field, NVML_POWER_SCOPE_GPU))
    }

    /// The power of the GPU alone. A driver that reports the same for GPU and module does not have scopes.
    fn gpu(&self) -> Option<NvmlPower> {
        let is_apart = |(_, gpu, module): &&(u32, Option<f64>, Option<f64>)| {
            gpu.is_some_and(|gpu| module.is_none_or(|module| gpu + MIN_PROCESSOR_W < module))
        };
        self.0.iter().find(is_apart).map(|(field, _, _)| NvmlPower::Field(*field, NVML_POWER_SCOPE_GPU))
    }

    /// The power of the whole module.
    fn module(&self) -> Option<NvmlPower> {
        let has_it = |(_, _, module): &&(u32, Option<f64>, Option<f64>)| module.is_some();
        self.0.iter().find(has_it).map(|(field, _, _)| NvmlPower::Field(*field, NVML_POWER_SCOPE_MODULE))
    }
}

impl NvmlMeters {
    /// Chooses the meter that counts a superchip's GPU once. Returns a note on what the meter covers.
    fn choose_scope(&mut self, scopes: Scopes) -> &'static str {
        if let Some(power) = scopes.gpu() {
            self.power = power;
            self.has_counter = false;
            return "the GPU alone: its power is integrated, because a superchip's energy counter covers the whole module";
        }
        self.has_module = true;
        match scopes.module() {
            Some(power) => {
                self.power = power;
                "the whole module: processor, GPU and memory. The processor is not counted again"
            }
            None => {
                "assumed to be the whole module with processor and memory, so the processor is not counted again. The driver does \
not report whether it is the GPU alone; compare with components=cpu"
            }
        }
    }
}

/// Returns a count of the driver if it is possible. A count above `most` is refused, so that no memory is allocated for
/// it.
pub fn possible(count: u32, most: u32, what: &str) -> Result<u32, String> {
    if count <= most {
        return Ok(count);
    }
    Err(format!("the driver reports {count} {what}, but at most {most} are possible. Its numbers cannot be trusted"))
}

/// The MIG instances of a GPU. Instances that cannot be opened are left out.
pub fn instances<'a>(gpu: &'a Device<'static>) -> Result<impl Iterator<Item = Device<'static>> + use<'a>, String> {
    let count = possible(gpu.mig_device_count().unwrap_or(0), MAX_INSTANCES, "MIG instances of a GPU")?;
    Ok((0..count).filter_map(|index| gpu.mig_device_by_index(index).ok()))
}
