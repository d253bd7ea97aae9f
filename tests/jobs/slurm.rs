//! Jobs of a real Slurm whose nodes are all this machine. The energy of each node is counted once with each launcher,
//! and a requeued job is resumed. Each node has its own counters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::application::is_root;
use crate::install_tree::{checkout, have};
use crate::job_processes::launch::in_shell;
use crate::job_processes::{Folder, Part, Record, Start, Truth, part, union};
use crate::retry::now;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Power of each node's processors, W.
const WATTS: [f64; 2] = [100.0, 300.0];
const PATIENCE: Duration = Duration::from_secs(60);
const MPIRUN: &str = "mpirun.openmpi --allow-run-as-root --oversubscribe --bind-to none -q";

/// A running Slurm. It is stopped at the end, also if the test fails.
pub struct Cluster {
    pub folder: Folder,
    helper: Child,
    born: u64,
}

/// Choices of ports for Slurm.
const PORT_CHOICES: usize = 5;

impl Cluster {
    /// Starts Slurm with a node for each counter. None: it cannot run here, and the output has the reason.
    fn start() -> Option<Cluster> {
        Cluster::of_nodes(WATTS.len())
    }

    /// Starts Slurm with these nodes. None: it cannot run here, and the output has the reason.
    pub fn of_nodes(nodes: usize) -> Option<Cluster> {
        Cluster::of_site(nodes, &[])
    }

    /// Starts Slurm with these nodes, and scripts of the site: "prolog" and "epilog", and their text.
    pub fn of_site(nodes: usize, scripts: &[(&str, &str)]) -> Option<Cluster> {
        if !have(&["slurmctld", "slurmd", "srun", "munged"])
            || !crate::job_processes::can(is_root(), "only root starts the daemons of Slurm")
        {
            return None;
        }
        // Another program may take a port between the choice and the daemon's start.
        (0..PORT_CHOICES)
            .find_map(|_| Cluster::start_on(&free_ports(nodes + 1), scripts))
            .map(Some)
            .expect("Slurm: see its logs in /tmp")
    }

    /// Starts Slurm on these ports. None: a daemon has ended.
    fn start_on(ports: &[u16], scripts: &[(&str, &str)]) -> Option<Cluster> {
        let folder = Folder::new("slurm");
        for (name, text) in scripts {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut command = Command::new(checkout("tests/jobs/slurm/nodes.sh"));
        command.arg(folder.path().join("slurm")).args(ports.iter().map(|port| port.to_string()));
        let mut helper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(helper.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let cluster = Cluster { folder, helper, born: now() };
        if line != "ready\n" {
            let log = std::fs::read_to_string(cluster.path("slurm/slurmctld.log")).unwrap_or_default();
            crate::retry::say(&format!("Slurm did not start: {}", log.lines().last().unwrap_or("no log")));
            return None;
        }
        cluster.write_nodes();
        Some(cluster)
    }

    /// Writes the /sys of each node, and the script that gives a process its node and its part.
    fn write_nodes(&self) {
        for node in 0..WATTS.len() {
            let zone = self.path(&format!("node-{node}/sys/class/powercap/intel-rapl:0"));
            std::fs::create_dir_all(&zone).unwrap();
            for (file, text) in [("name", "package-0"), ("max_energy_range_uj", "262143328850")] {
                std::fs::write(zone.join(file), text).unwrap();
            }
            std::fs::write(zone.join("energy_uj"), format!("served {node}\n")).unwrap();
        }
        let script = format!(
            "#!/bin/sh\n\
             export CARBONTRACKER_SYSROOT={folder}/node-${{NODE:-$SLURM_NODEID}}\n\
             export CT_PART={folder}/part-$((${{FIRST:-0}} + ${{OMPI_COMM_WORLD_RANK:-$SLURM_PROCID}}))\n\
             {}\n",
            in_shell(),
            folder = self.folder.path().display()
        );
        std::fs::write(self.path("process"), script).unwrap();
        std::fs::set_permissions(self.path("process"), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn give(&self, parts: &[Part]) {
        self.folder.give(parts, Start::Own, &json!({"born": self.born, "watts": WATTS}));
    }

    /// A command of Slurm in an environment without a job.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", &PATIENCE.as_secs().to_string(), program]).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("SLURM_CONF", self.path("slurm/slurm.conf")).current_dir(self.folder.path());
        command
    }

    /// Runs a batch script to its end with `sbatch` and these arguments. `$P` is the program of a process.
    fn batch(&self, arguments: &[&str], script: &str) -> Vec<Record> {
        let mut command = self.command("sbatch");
        command.arg("--wait").args(arguments).arg(self.script(script));
        self.ran(command);
        self.folder.records()
    }

    pub fn script(&self, script: &str) -> PathBuf {
        let path = self.path("script");
        let head =
            format!("#!/bin/sh\n#SBATCH --output={}\n#SBATCH --open-mode=append\n", self.path("output").display());
        std::fs::write(&path, format!("{head}P={}\n{script}\n", self.path("process").display())).unwrap();
        path
    }

    pub fn ran(&self, mut command: Command) -> String {
        let output = command.output().unwrap();
        let printed = std::fs::read_to_string(self.path("output")).unwrap_or_default();
        assert!(output.status.success(), "{command:?}: {output:?}\n{printed}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The state of a job, in Slurm's words.
    pub fn state(&self, job: &str) -> String {
        let mut command = self.command("squeue");
        command.args(["--noheader", "--format=%T", "--jobs", job]);
        self.ran(command)
    }

    /// Starts a requeued job. Slurm delays it, and sets its start time once the first start is cleaned up.
    pub fn start_at_once(&self, job: &str) {
        if self.state(job) == "PENDING" {
            let mut at_once = self.command("scontrol");
            let _ = at_once.args(["update", &format!("job={job}"), "starttime=now"]).output();
        }
    }

    /// Waits until a condition is true.
    pub fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            let printed = || std::fs::read_to_string(self.path("output")).unwrap_or_default();
            assert!(begin.elapsed() < PATIENCE, "{what}: {}", printed());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.helper.stdin.take()); // the end of its input ends the script
        let _ = self.helper.wait();
    }
}

/// Free ports.
fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// Four processes that end one after another.
fn four() -> Vec<Part> {
    (0..4).map(|rank| part(0, 1500 + 150 * rank)).collect()
}

/// Energy of the nodes in the union of their processes' epochs.
fn used(records: &[Record]) -> Truth {
    let of_node = |(node, watts)| union(records.iter().filter(|record: &&Record| record.node == node as u64), watts);
    WATTS.into_iter().enumerate().map(of_node).reduce(Truth::plus).unwrap()
}

fn assert_once(records: &[Record], truth: Truth, what: &str) {
    let sum = records.iter().map(Record::joules).sum();
    let each: Vec<_> = records.iter().map(|record| (record.rank, record.node, record.energy_j)).collect();
    truth.check(sum, 0, &format!("{what}: {each:?}")).unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// Checks that all records are of one job with this number of ranks, numbered from 0.
fn assert_ranks(records: &[Record], ranks: u64, what: &str) {
    let values =
        |name: &str| -> Vec<&serde_json::Value> { records.iter().map(|record| &record.report["run"][name]).collect() };
    let numbers: BTreeSet<u64> = values("rank").iter().map(|rank| rank.as_u64().expect("a rank")).collect();
    assert_eq!(numbers, (0..ranks).collect(), "{what}");
    assert!(values("ranks").iter().all(|&of| *of == ranks), "{what}: {:?}", values("ranks"));
    let jobs = values("job");
    assert!(jobs.iter().all(|job| job.as_str().is_some_and(|job| job.starts_with("SLURM job "))), "{what}: {jobs:?}");
    assert!(jobs.iter().all(|job| *job == jobs[0]), "{what}: {jobs:?}");
}

#[test]
fn srun_counts_each_node_once() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.give(&four());
    let mut srun = cluster.command("srun");
    srun.args(["-N2", "-n4"]).arg(cluster.path("process"));
    cluster.ran(srun);
    let records = cluster.folder.records();
    assert_eq!(records.iter().map(|record| record.node).collect::<BTreeSet<_>>(), BTreeSet::from([0, 1]));
    assert_ranks(&records, 4, "srun");
    assert_once(&records, used(&records), "srun");
}

/// mpirun passes the script's variables on. By these, all ranks would be the first.
#[test]
fn mpirun_in_a_batch_script_counts_each_node_once() {
    if !have(&["mpirun.openmpi"]) {
        return;
    }
    for nodes in ["-N1", "-N2"] {
        let Some(cluster) = Cluster::start() else { return };
        cluster.give(&four());
        let records = cluster.batch(&[nodes, "-n4"], &format!("{MPIRUN} -n 4 $P"));
        let what = format!("mpirun, {nodes}");
        assert_ranks(&records, 4, &what);
        assert_once(&records, used(&records), &what);
    }
}

#[test]
fn steps_of_one_job_count_once() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.give(&four());
    let steps = "FIRST=0 srun --exact -n2 $P & FIRST=2 srun --exact -n2 $P & wait";
    let records = cluster.batch(&["-N1", "-n4"], steps);
    assert_eq!(records.len(), 4);
    assert_ranks(&records, 2, "two steps of two");
    assert_once(&records, used(&records), "two steps of two");
}

/// The components have their own job numbers. Here they share a machine.
#[test]
fn components_of_a_heterogeneous_job_count_once() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.give(&four());
    let arguments = ["-n2", ":", "-n2"];
    let records = cluster.batch(&arguments, "NODE=0 srun --het-group=0,1 $P");
    assert_eq!(records.len(), 4);
    let jobs: BTreeSet<&str> = records.iter().map(|record| record.report["run"]["job"].as_str().unwrap()).collect();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert_once(&records, union(&records, WATTS[0]), "a heterogeneous job");
}

#[test]
fn requeued_job_resumes_each_ranks_own_journal() {
    let Some(cluster) = Cluster::start() else { return };
    // The epochs of each rank have another length, which identifies its journal.
    let parts = |to: u64| -> Vec<Part> { (0..4).map(|rank| Part { epoch: 100 + 70 * rank, ..part(0, to) }).collect() };
    cluster.give(&parts(60_000));
    let mut command = cluster.command("sbatch");
    for name in ["CARBONTRACKER_LOG_DIR", "CARBONTRACKER_RESUME"] {
        command.env(name, cluster.path("logs"));
    }
    command.args(["--parsable", "--requeue", "-N2", "-n4"]).arg(cluster.script("srun $P"));
    let job = cluster.ran(command);
    cluster.until("the first start", || {
        let records = cluster.folder.records();
        records.len() == 4 && records.iter().all(|record| record.ended >= 5)
    });
    let control = |arguments: &[&str]| {
        let mut command = cluster.command("scontrol");
        command.args(arguments);
        cluster.ran(command);
    };
    control(&["requeue", &job]);
    cluster.until("killed", || cluster.state(&job) == "PENDING");
    let first = cluster.folder.records();
    cluster.give(&parts(1000));
    cluster.until("the second start", || {
        cluster.start_at_once(&job);
        cluster.folder.records().iter().filter(|record| record.energy_j.is_some()).count() == 4
    });

    let records = cluster.folder.records();
    for before in &first {
        let is_its = |record: &&Record| record.rank == before.rank && record.energy_j.is_some();
        let after = records.iter().find(is_its).expect("the rank again");
        let (ended, resumed) = (before.ended as f64, after.resumed.unwrap());
        assert!((ended - resumed).abs() <= 1.0, "rank {}: {ended} epochs ended, {resumed} resumed", before.rank);
        assert_eq!(after.report["run"]["rank"], before.rank);
    }
    let finished: Vec<Record> = records.into_iter().filter(|record| record.energy_j.is_some()).collect();
    assert_ranks(&finished, 4, "queued again");
    let sum: f64 = finished.iter().map(Record::joules).sum();
    let truth = [&first[..], &finished[..]].map(used).into_iter().reduce(Truth::plus).unwrap();
    // A kill loses the energy after a journal's last line: a second of each node at most.
    assert!(sum < truth.most * 1.01 && sum > truth.least - WATTS.iter().sum::<f64>() * 1.1, "{sum} J of {truth:?}");
}
