//! The rank of this process, from the variables of its launcher.

use std::ffi::OsString;

/// The rank of a process in its parallel program. None: the launcher does not give the number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rank {
    /// Number of the rank, from 0.
    pub number: Option<u64>,
    /// Number of all ranks.
    pub of: Option<u64>,
    /// Number of the rank on its node, from 0.
    pub local: Option<u64>,
}

/// The variables of a launcher: rank, number of ranks, rank on the node. "": it has no such variable.
type Launcher = [&'static str; 3];

/// The variables of torchrun. Other programs use these names too. So torchrun comes first only if
/// [`STARTED_BY_TORCHRUN`] is set.
const TORCHRUN: Launcher = ["RANK", "WORLD_SIZE", "LOCAL_RANK"];
const STARTED_BY_TORCHRUN: &str = "TORCHELASTIC_RUN_ID";

/// Launchers, the innermost first. MPI launchers come before batch systems. mpirun in a batch script passes the
/// script's variables on to all ranks, and there SLURM_PROCID is 0.
const LAUNCHERS: [Launcher; 8] = [
    ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"],
    ["MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK"],
    ["PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"], // MPICH and Intel MPI
    ["PMIX_RANK", "", ""],
    ["PALS_RANKID", "", "PALS_LOCAL_RANKID"],
    ["JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_LOCAL_RANK"],
    ["FLUX_TASK_RANK", "FLUX_JOB_SIZE", "FLUX_TASK_LOCAL_ID"],
    ["SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"],
];

/// The rank of this process. A number that the innermost launcher lacks comes from another launcher that gives
/// the same rank.
pub fn rank(environment: &dyn Fn(&str) -> Option<OsString>) -> Rank {
    let number = |name: &str| environment(name)?.to_str()?.parse::<u64>().ok();
    let read = |[rank, of, local]: Launcher| {
        let [number, of, local] = [rank, of, local].map(number);
        number.map(|_| Rank { number, of, local })
    };
    let torchrun = environment(STARTED_BY_TORCHRUN).map(|_| TORCHRUN);
    let launchers = torchrun.into_iter().chain(LAUNCHERS).chain([TORCHRUN]);
    let fill = |known: Rank, more: Rank| Rank { of: known.of.or(more.of), local: known.local.or(more.local), ..known };
    let join = |known: Rank, more: Rank| if known.number == more.number { fill(known, more) } else { known };
    launchers.filter_map(read).reduce(join).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> [Option<u64>; 3] {
        let Rank { number, of, local } =
            rank(&|name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()));
        [number, of, local]
    }

    #[test]
    fn launcher_comes_before_the_batch_system() {
        let of_script = [("SLURM_PROCID", "0"), ("SLURM_LOCALID", "0")];
        let mpi = [("OMPI_COMM_WORLD_RANK", "3"), ("OMPI_COMM_WORLD_SIZE", "4"), ("OMPI_COMM_WORLD_LOCAL_RANK", "1")];
        assert_eq!(of(&[&of_script[..], &mpi[..]].concat()), [Some(3), Some(4), Some(1)]);
        assert_eq!(of(&[("SLURM_PROCID", "0"), ("PMI_RANK", "2")]), [Some(2), None, None]);
        assert_eq!(of(&[("SLURM_PROCID", "0"), ("MV2_COMM_WORLD_RANK", "2")]), [Some(2), None, None]);
        assert_eq!(of(&[("SLURM_PROCID", "5"), ("SLURM_STEP_NUM_TASKS", "8")]), [Some(5), Some(8), None]);
    }

    #[test]
    fn missing_numbers_come_from_a_launcher_with_the_same_rank() {
        let slurm = [("SLURM_STEP_NUM_TASKS", "8"), ("SLURM_LOCALID", "1"), ("PMIX_RANK", "5")];
        assert_eq!(of(&[&slurm[..], &[("SLURM_PROCID", "5")]].concat()), [Some(5), Some(8), Some(1)]);
        assert_eq!(of(&[&slurm[..], &[("SLURM_PROCID", "0")]].concat()), [Some(5), None, None]);
    }

    #[test]
    fn torchrun_comes_first_if_its_run_id_is_set() {
        let torch = [("RANK", "9"), ("WORLD_SIZE", "16"), ("LOCAL_RANK", "1"), ("SLURM_PROCID", "1")];
        assert_eq!(of(&torch), [Some(1), None, None]);
        let started = [&torch[..], &[("TORCHELASTIC_RUN_ID", "none")]].concat();
        assert_eq!(of(&started), [Some(9), Some(16), Some(1)]);
        assert_eq!(of(&[("RANK", "2"), ("WORLD_SIZE", "4")]), [Some(2), Some(4), None]);
        assert_eq!(of(&[("RANK", "none")]), [None; 3]);
    }
}
