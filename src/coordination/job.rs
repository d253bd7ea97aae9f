//! The job of this process. Of the job's processes on one node, one counts each device (`device_lease/`).

mod launcher;

pub use launcher::{Rank, rank};

use crate::os::{self, Kin};
use std::ffi::OsString;
use std::path::Path;

/// A job. All its processes on one node compute the same key.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Identifies the job among all jobs of this user on the node.
    pub key: String,
    /// The name of the job in messages and reports.
    pub words: String,
    /// A launcher or the user named the job. False: it is inferred from the parent and group of the process.
    pub is_named: bool,
    /// The name of this node if it shares its machine with other nodes of the batch system. None: it does not.
    pub node: Option<String>,
}

/// The number of batch systems at the begin of [`JOB_VARIABLES`]. The others are launchers within a node.
const BATCH_SYSTEMS: usize = 10;

/// Kinds of job, and the variables that name a job together. Batch systems come first, because their job contains the
/// jobs of the launchers that it starts.
const JOB_VARIABLES: [(&str, &[&str]); 13] = [
    ("SLURM job", &["SLURM_HET_JOB_ID"]), // the components of a heterogeneous job also have numbers of their own
    ("SLURM job", &["SLURM_JOB_ID"]),
    ("PBS job", &["PBS_JOBID"]),
    ("LSF job", &["LSB_JOBID", "LSB_JOBINDEX"]),
    ("LSF job", &["LSB_JOBID"]),
    ("PJM job", &["PJM_JOBID"]),
    ("OAR job", &["OAR_JOB_ID"]),
    ("Flux job", &["FLUX_JOB_ID"]),
    ("Cobalt job", &["COBALT_JOBID"]),
    ("Grid Engine job", &["JOB_ID", "SGE_TASK_ID"]),
    ("PALS job", &["PALS_APID"]),
    ("MPI job", &["PMIX_NAMESPACE"]),
    ("MPI job", &["OMPI_MCA_ess_base_jobid"]),
];
/// The variables that name a job of torchrun. A batch system's variables come before them.
const TORCHRUN_VARIABLES: [&str; 2] = ["TORCHELASTIC_RUN_ID", "MASTER_PORT"];
/// The variable with a rank's number that MPICH's and Intel MPI's launcher sets. The launcher has no name for the job.
const MPICH_RANK_VARIABLE: &str = "PMI_RANK";
/// The address of the broker of a machine-wide Flux begins so. The broker of an allocation has another address.
const MACHINE_FLUX_PREFIX: &str = "local:///run/flux/";

/// The name that the batch system gives this node. None: it gives none, and the machine's name counts.
pub fn node(environment: &dyn Fn(&str) -> Option<OsString>) -> Option<String> {
    let name = environment("SLURMD_NODENAME")?.into_string().ok()?;
    Some(crate::sanitize::text(name)).filter(|name| !name.trim().is_empty())
}

/// The name of this node if it shares its machine with other nodes of the batch system: it is not the machine's name.
fn virtual_node(environment: &dyn Fn(&str) -> Option<OsString>, machine: &str) -> Option<String> {
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    node(environment).filter(|node| short(node) != short(machine))
}

/// The variables that name the batch job of this process, with their values; empty: it is in none.
pub fn batch_variables(environment: &dyn Fn(&str) -> Option<OsString>) -> Vec<(String, String)> {
    let value = |name: &&str| {
        let value = environment(name)?.into_string().ok().filter(|value| !value.is_empty())?;
        Some(((*name).to_owned(), value))
    };
    let named = |(_, variables): &(&str, &[&str])| variables.iter().map(value).collect::<Option<Vec<_>>>();
    JOB_VARIABLES.iter().take(BATCH_SYSTEMS).find_map(named).unwrap_or_default()
}

impl Job {
    /// The job by the option `job` or the environment. Otherwise, processes with the same parent, process group and
    /// program count as one job. None: this process counts by itself.
    pub fn find(option: Option<&str>, environment: &dyn Fn(&str) -> Option<OsString>, kin: Option<Kin>) -> Option<Job> {
        let node = kin.as_ref().and_then(|kin| virtual_node(environment, &kin.host));
        Job::identify(option, environment, kin).map(|job| Job { node, ..job })
    }

    fn identify(option: Option<&str>, environment: &dyn Fn(&str) -> Option<OsString>, kin: Option<Kin>) -> Option<Job> {
        let named = |words: &str, name: String| {
            Some(Job { key: format!("{words} {name}"), words: format!("{words} {name}"), is_named: true, node: None })
        };
        match option {
            Some("off") => return None,
            Some(name) => return named("job", name.to_owned()),
            None => (),
        }
        let value = |name: &&str| Some(environment(name)?.to_string_lossy().into_owned()).filter(|v| !v.is_empty());
        for (words, variables) in JOB_VARIABLES.into_iter().chain([("torchrun job", &TORCHRUN_VARIABLES[..])]) {
            let Some(values) = variables.iter().map(value).collect::<Option<Vec<String>>>() else { continue };
            let name = if words == "MPI job" { family(&values.concat()) } else { values.join(":") };
            let job = named(words, name);
            // Each step of an allocation has its own number, but all have the same broker.
            let broker = value(&"FLUX_URI").filter(|uri| words == "Flux job" && !uri.starts_with(MACHINE_FLUX_PREFIX));
            return job.map(|job| Job { key: broker.map_or(job.key, |uri| format!("Flux at {uri}")), ..job });
        }
        let Kin { parent, group, program: (device, inode), script, namespace, launcher, host } = kin?;
        if let (Some(_), Some(launcher)) = (value(&MPICH_RANK_VARIABLE), launcher) {
            let key = format!("MPI job of {namespace} {launcher}");
            return Some(Job {
                key,
                words: format!("MPI job of process {launcher} on {host}"),
                is_named: true,
                node: None,
            });
        }
        Some(Job {
            key: format!("started by {namespace} {parent} in {group}: {device} {inode} {script:?}"),
            words: format!("the processes of this program that process {parent} started together"),
            is_named: false,
            node: None,
        })
    }

    /// A hash of this user's job on the node that this sysroot shows, not 0. It is the same in all its processes.
    pub fn hash(&self, user: u32, sysroot: &Path) -> u64 {
        let whole = format!("carbontracker {user}\n{}\n{}", self.key, sysroot.display());
        os::stable_hash(whole.bytes()).max(1)
    }
}

/// The part of an MPI job's name that it shares with the jobs it spawns (MPI_Comm_spawn). Open MPI 4 numbers them in
/// the lower 16 bits, PRRTE after an @.
fn family(name: &str) -> String {
    match (name.parse::<u32>(), name.rsplit_once('@')) {
        (Ok(number), _) if number > 0xffff => (number >> 16).to_string(),
        (_, Some((family, _))) => family.to_owned(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(option: Option<&str>, variables: &[(&str, &str)], kin: Kin) -> Option<Job> {
        let environment = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| v.into());
        Job::find(option, &environment, Some(kin))
    }

    fn key(variables: &[(&str, &str)]) -> String {
        let kin = Kin { parent: 7, group: 8, program: (1, 2), launcher: Some(9), ..Kin::default() };
        find(None, variables, kin).expect("a job").key
    }

    #[test]
    fn batch_system_comes_before_the_launcher() {
        assert_eq!(key(&[("PMIX_NAMESPACE", "n1"), ("SLURM_JOB_ID", "77")]), "SLURM job 77");
        assert_eq!(key(&[("PMIX_NAMESPACE", "n1"), ("SLURM_JOB_ID", "")]), "MPI job n1");
        assert_eq!(key(&[("LSB_JOBID", "5"), ("LSB_JOBINDEX", "2")]), "LSF job 5:2");
        assert_eq!(key(&[("LSB_JOBID", "5")]), "LSF job 5");
        assert_eq!(key(&[("JOB_ID", "ci-4")]), key(&[]), "a variable that others use too is not enough");
        assert_eq!(key(&[("PMI_RANK", "0")]), "MPI job of 0 9");
        assert_eq!(key(&[("PJM_JOBID", "3")]), "PJM job 3");
        assert_eq!(key(&[("OAR_JOB_ID", "4"), ("PMIX_NAMESPACE", "n1")]), "OAR job 4");
        assert_eq!(key(&[("TORCHELASTIC_RUN_ID", "none"), ("MASTER_PORT", "29500")]), "torchrun job none:29500");
    }

    #[test]
    fn node_has_the_batch_systems_name() {
        let find = |value: Option<&str>| node(&|name| value.filter(|_| name == "SLURMD_NODENAME").map(OsString::from));
        assert_eq!(find(Some("n1")).as_deref(), Some("n1"));
        assert_eq!([find(Some(" ")), find(None)], [None, None]);
        let shares = |machine: &str| virtual_node(&|_| Some(OsString::from("n1.cluster")), machine);
        assert_eq!([shares("n1"), shares("head")], [None, Some("n1.cluster".to_owned())]);
    }

    #[test]
    fn variables_of_a_batch_job_are_its_own() {
        let find = |set: &[(&str, &str)]| {
            batch_variables(&|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
        };
        let slurm = [("PMIX_NAMESPACE", "n1"), ("SLURM_JOB_ID", "77")];
        assert_eq!(find(&slurm), [("SLURM_JOB_ID".to_owned(), "77".to_owned())]);
        assert_eq!(find(&[("PMIX_NAMESPACE", "n1"), ("PALS_APID", "3")]), [], "launchers");
        assert_eq!(find(&[("SLURM_JOB_ID", "")]), []);
    }

    #[test]
    fn components_of_a_heterogeneous_job_are_one_job() {
        let component = |id: &'static str| key(&[("SLURM_JOB_ID", id), ("SLURM_HET_JOB_ID", "77")]);
        assert_eq!(component("77"), component("78"));
    }

    #[test]
    fn steps_of_a_flux_allocation_are_one_job_and_those_of_a_machine_are_not() {
        let step = |id: &'static str, uri: &'static str| key(&[("FLUX_JOB_ID", id), ("FLUX_URI", uri)]);
        let of_allocation = "local:///tmp/flux-VoAUEc/local-0";
        assert_eq!(step("f1", of_allocation), step("f2", of_allocation));
        assert_ne!(step("f1", "local:///run/flux/local"), step("f2", "local:///run/flux/local"));
    }

    #[test]
    fn spawned_mpi_processes_are_in_the_job_that_spawned_them() {
        let namespace = |name: &'static str| key(&[("PMIX_NAMESPACE", name)]);
        assert_eq!(namespace("3221225473"), namespace("3221225474"), "Open MPI 4");
        assert_ne!(namespace("3221225473"), namespace("3221291009"));
        assert_eq!(namespace("prterun-node1-4711@1"), namespace("prterun-node1-4711@2"), "Open MPI 5");
        assert_ne!(namespace("prterun-node1-4711@1"), namespace("prterun-node1-4712@1"));
    }

    /// Reports of several nodes may be in one folder, and process numbers are unique on one node only.
    #[test]
    fn job_named_by_a_process_number_also_names_the_host() {
        let kin = |host: &str| Kin { host: host.into(), launcher: Some(9), ..Kin::default() };
        let words = |host: &str| find(None, &[("PMI_RANK", "0")], kin(host)).map(|job| job.words);
        assert_eq!(words("node1").as_deref(), Some("MPI job of process 9 on node1"));
        assert_ne!(words("node1"), words("node2"));
    }

    #[test]
    fn siblings_are_one_job_unless_the_option_differs() {
        let kin = Kin { parent: 7, group: 8, program: (1, 2), ..Kin::default() };
        let one = find(None, &[("PMI_RANK", "0")], kin.clone()).expect("a job");
        assert!(!one.is_named);
        let others = [
            Kin { parent: 1, ..kin.clone() },
            Kin { group: 1, ..kin.clone() },
            Kin { program: (1, 3), ..kin.clone() },
            Kin { script: Some("b.py".into()), ..kin.clone() },
            Kin { namespace: 1, ..kin.clone() },
        ];
        for other in others {
            assert_ne!(Some(&one), find(None, &[], other).as_ref());
        }
        assert_eq!(find(Some("off"), &[("SLURM_JOB_ID", "77")], kin.clone()), None);
        assert_eq!(find(Some("sweep"), &[("SLURM_JOB_ID", "77")], kin).map(|job| job.key), Some("job sweep".into()));
        assert_eq!(Job::find(None, &|_| None, None), None);
    }

    #[test]
    fn hash_differs_by_job_user_and_node() {
        let job = |key: &str| Job { key: key.into(), words: String::new(), is_named: true, node: None };
        let hash = |key: &str, user, root: &str| job(key).hash(user, Path::new(root));
        let hashes = [hash("a", 1, "/"), hash("b", 1, "/"), hash("a", 2, "/"), hash("a", 1, "/x")];
        for (n, one) in hashes.iter().enumerate() {
            assert!(hashes.iter().skip(n + 1).all(|other| other != one));
        }
        assert_eq!(hashes[0], hash("a", 1, "/"));
    }

    /// Processes with different versions of the library find each other by this hash of these texts.
    #[test]
    fn texts_that_identify_a_job_stay() {
        let job = Job { key: "a".into(), words: String::new(), is_named: true, node: None };
        assert_eq!(job.hash(1, Path::new("/")), 0x2c74_def1_f33c_e071);
        let kin =
            Kin { parent: 7, group: 8, program: (1, 2), namespace: 3, script: Some("a.py".into()), ..Kin::default() };
        let inferred = find(None, &[], kin).map(|job| job.key);
        assert_eq!(inferred.as_deref(), Some("started by 3 7 in 8: 1 2 Some(\"a.py\")"));
    }
}
