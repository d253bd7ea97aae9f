//! The job's share of the work on each GPU, by the driver's figures for each process.
//!
//! The thread that reads processes stores the job's. The thread that reads a GPU stores the job's share of it.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

/// A process cannot use more than this of a GPU, %.
const MAX_PERCENT: u32 = 100;

/// The job's shares of GPUs, and the processes that they are computed from.
#[derive(Clone, Debug, Default)]
pub struct GpuShares(Arc<Mutex<GpuUse>>);

#[derive(Debug, Default)]
struct GpuUse {
    /// The job's processes; None: they are not known.
    members: Option<HashSet<u32>>,
    /// By the GPU's identifier: the job's share, 0 to 1. None: no process used the GPU.
    shares: BTreeMap<String, Option<f64>>,
}

impl GpuShares {
    /// Stores the job's processes.
    pub fn set_members(&self, members: impl Iterator<Item = u32>) {
        self.lock().members = Some(members.collect());
    }

    /// Whether the job's processes are known.
    pub fn has_members(&self) -> bool {
        self.lock().members.is_some()
    }

    /// Stores the job's share of a GPU from the use by each process, %.
    pub fn note(&self, id: &str, used: impl Iterator<Item = (u32, u32)>) {
        let mut all = self.lock();
        let Some(members) = &all.members else { return };
        let (mut ours, mut sum) = (0.0, 0.0);
        for (process, percent) in used {
            let percent = f64::from(percent.min(MAX_PERCENT));
            sum += percent;
            ours += if members.contains(&process) { percent } else { 0.0 };
        }
        all.shares.insert(id.to_owned(), (sum > 0.0).then(|| ours / sum));
    }

    /// The shares that are known, by the GPUs' identifiers.
    pub fn known(&self) -> BTreeMap<String, Option<f64>> {
        self.lock().shares.clone()
    }

    fn lock(&self) -> MutexGuard<'_, GpuUse> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_is_that_of_the_jobs_processes() {
        let shares = GpuShares::default();
        shares.note("A", [(7, 50)].into_iter());
        assert!(shares.known().is_empty(), "the job's processes are not known yet");
        shares.set_members([7, 8].into_iter());
        shares.note("A", [(7, 30), (8, 10), (9, 4_000_000_000)].into_iter());
        shares.note("B", [(9, 0)].into_iter());
        let expected = [("A".to_owned(), Some(40.0 / 140.0)), ("B".to_owned(), None)];
        assert_eq!(shares.known(), expected.into_iter().collect());
    }
}
