//! The names of the sources, as reports and journals have them.

use std::fmt;
use std::str::FromStr;

/// A way in which energy is read, estimated or simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceName {
    /// Counters of the processor through Linux powercap.
    Rapl,
    /// Counters of the processor as perf events.
    PerfRapl,
    /// NVIDIA's management library.
    Nvml,
    /// Linux's driver for AMD GPUs.
    Amdgpu,
    /// Linux's drivers for Intel GPUs, i915 and xe.
    IntelGpu,
    /// Hardware monitors of Linux.
    Hwmon,
    /// Counters of HPE Cray nodes.
    PmCounters,
    /// The gauge of a discharging battery.
    Battery,
    /// An estimate of the processor's power from its load.
    CpuModel,
    /// An estimate of the memory's power from its size.
    MemoryModel,
    /// A simulated device, by an option.
    Simulated,
    /// Not a source, but the search for sources. It is reported if its thread could not be started.
    Search,
}

impl SourceName {
    /// The sources: every name but [`SourceName::Search`].
    pub const ALL: [SourceName; 11] = [
        SourceName::Rapl,
        SourceName::PerfRapl,
        SourceName::Nvml,
        SourceName::Amdgpu,
        SourceName::IntelGpu,
        SourceName::Hwmon,
        SourceName::PmCounters,
        SourceName::Battery,
        SourceName::CpuModel,
        SourceName::MemoryModel,
        SourceName::Simulated,
    ];

    /// The name in reports and journals.
    pub fn as_str(self) -> &'static str {
        match self {
            SourceName::Rapl => "rapl",
            SourceName::PerfRapl => "perf_rapl",
            SourceName::Nvml => "nvml",
            SourceName::Amdgpu => "amdgpu",
            SourceName::IntelGpu => "intel_gpu",
            SourceName::Hwmon => "hwmon",
            SourceName::PmCounters => "pm_counters",
            SourceName::Battery => "battery",
            SourceName::CpuModel => "cpu_model",
            SourceName::MemoryModel => "memory_model",
            SourceName::Simulated => "simulated",
            SourceName::Search => "sources",
        }
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for SourceName {
    type Err = UnknownSource;

    /// Reads the name of a source that this version has.
    fn from_str(name: &str) -> Result<SourceName, UnknownSource> {
        SourceName::ALL.into_iter().find(|source| source.as_str() == name).ok_or(UnknownSource)
    }
}

/// No source of this version has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownSource;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_is_known_by_its_name() {
        for source in SourceName::ALL {
            assert_eq!(source.to_string().parse(), Ok(source));
        }
        assert_eq!("sources".parse::<SourceName>(), Err(UnknownSource));
        assert_eq!(format!("{:>6}|{:<6}", SourceName::Rapl, SourceName::Rapl), "  rapl|rapl  ");
    }
}
