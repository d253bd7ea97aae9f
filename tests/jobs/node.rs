//! A job whose code is not touched: `run --node` measures each node, and `aggregate --job` adds them up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::install_tree::have;
use crate::job_processes::Folder;
use crate::slurm::Cluster;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_carbontracker");
/// Power of the processors of node N, W: (N + 1) times this.
const WATTS: f64 = 100.0;

/// The options of a node by the number in this shell variable. Each node has a device of its own. The folder keeps jobs
/// of one number in several tests apart.
fn of_node(variable: &str, folder: &Path) -> String {
    let watts = format!("$(({WATTS:.0} * (1 + ${variable})))");
    format!("\"sim_cpu=N${variable}:{watts} components=cpu location=DK sysroot={}\"", folder.display())
}

/// What the command adds up for a job.
fn aggregate(folder: &Path, job: &str, form: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(["aggregate", "--job", job]).args(form).arg(folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(folder: &Path, job: &str) -> Value {
    serde_json::from_str(&aggregate(folder, job, &["--json", "--nodes", "4"])).unwrap()
}

/// Checks the energy of a job. Each start has four times, s: before any node can have measured, when all surely did,
/// until when all surely did, and when none did any more.
fn assert_energy(job: &Value, nodes: usize, starts: &[[f64; 4]]) {
    let watts: f64 = (1..=nodes).map(|node| WATTS * node as f64).sum();
    let least: f64 = starts.iter().map(|[_, from, to, _]| watts * (to - from)).sum();
    let most: f64 = starts.iter().map(|[from, _, _, to]| watts * (to - from)).sum();
    let joules = job["energy_j"].as_f64().unwrap();
    assert!(joules > 0.99 * least && joules < 1.01 * most, "{joules} J of {least} to {most} J: {job:#}");
    for node in job["nodes"].as_array().unwrap() {
        let power = node["energy_j"].as_f64().unwrap() / node["duration_s"].as_f64().unwrap() / WATTS;
        assert!((power - power.round()).abs() < 0.01, "{power} × {WATTS} W: {node:#}");
    }
}

/// The times of a start, as its script wrote them.
fn times(folder: &Path, start: usize) -> [f64; 4] {
    let read = |name: &str| std::fs::read_to_string(folder.join(format!("{name}-{start}"))).unwrap();
    ["before", "begun", "ending", "ended"].map(|name| read(name).trim().parse().unwrap())
}

/// Four nodes, two ranks each. Rank 5 is killed. The job is requeued, and its second start ends in order.
#[test]
fn job_of_four_nodes_is_added_up_over_a_kill_and_a_requeue() {
    let Some(cluster) = Cluster::of_nodes(4) else { return };
    let place = cluster.folder.path().display().to_string();
    let script = format!(
        "N=${{SLURM_RESTART_COUNT:-0}}; cd {place}; mkdir -p logs; now() {{ date +%s.%N >$1-$N; }}\n\
         now before\n\
         srun --overlap -n$SLURM_JOB_NUM_NODES --ntasks-per-node=1 sh -c 'exec {PROGRAM} run -q --node -o {} --log-dir logs' & nodes=$!\n\
         until [ $(ls logs/*.jsonl 2>/dev/null | wc -l) -ge $((4 * (N + 1))) ]; do sleep 0.05; done\n\
         now begun\n\
         srun --overlap -n8 --ntasks-per-node=2 sh -c '[ $SLURM_PROCID != 5 ] || kill -KILL $$; sleep 2'\n\
         now ending; kill -USR1 $nodes; wait $nodes; now ended\n\
         scontrol update job=$SLURM_JOB_ID comment=\"$({PROGRAM} aggregate --job $SLURM_JOB_ID --comment logs)\"\n\
         scontrol show job $SLURM_JOB_ID >shown-$N; now shown-at\n\
         [ $N -gt 0 ] || sleep 60\n",
        of_node("SLURM_NODEID", cluster.folder.path())
    );
    let mut sbatch = cluster.command("sbatch");
    sbatch.args(["--parsable", "--requeue", "-N4", "-n8", "--ntasks-per-node=2"]).arg(cluster.script(&script));
    let job = cluster.ran(sbatch);
    cluster.until("the first start", || cluster.path("shown-at-0").exists());
    let mut requeue = cluster.command("scontrol");
    requeue.args(["requeue", &job]);
    cluster.ran(requeue);
    cluster.until("killed", || cluster.state(&job) == "PENDING");
    // Slurm revokes the credentials of a job up to the second of its requeue.
    std::thread::sleep(Duration::from_secs(2));
    cluster.until("the second start", || {
        cluster.start_at_once(&job);
        cluster.path("shown-at-1").exists()
    });
    let logs = cluster.path("logs");
    let found = json(&logs, &job);
    assert_energy(&found, 4, &[0, 1].map(|start| times(cluster.folder.path(), start)));
    let counts = ["nodes_found", "nodes_expected", "starts", "unfinished", "unknown"].map(|name| found[name].clone());
    assert_eq!(counts, [4, 4, 2, 0, 0].map(Value::from), "{found:#}");
    let names: Vec<&str> = found["nodes"].as_array().unwrap().iter().map(|one| one["node"].as_str().unwrap()).collect();
    assert_eq!(names, ["n1", "n2", "n3", "n4"]);
    let text = aggregate(&logs, &job, &[]);
    assert!(text.starts_with(&format!("SLURM job {job}: 4 nodes, 2 starts, from ")), "{text}");
    let csv = aggregate(&logs, &job, &["--csv"]);
    assert!(csv.lines().nth(1).unwrap().starts_with(&format!("\"SLURM job {job}\",4,,2,")), "{csv}");
    let comment = aggregate(&logs, &job, &["--comment"]).replace("nodes=4 ", "nodes=4/4 ");
    let shown = std::fs::read_to_string(cluster.path("shown-1")).unwrap();
    assert!(shown.contains(comment.trim()), "Slurm keeps the comment as it is: {comment} in {shown}");
}

/// Prolog and Epilog measure a job on each of its nodes.
#[test]
fn site_measures_each_job_from_its_prolog() {
    let logs = Folder::new("node-site");
    let place = logs.path().display();
    let options = format!("components=cpu location=DK sim_cpu=$SLURMD_NODENAME:100 sysroot={place}");
    let prolog = format!(
        "setsid {PROGRAM} run -q --node -o \"{options}\" --log-dir {place}/logs </dev/null >/dev/null 2>&1 &\n\
         echo $! >{place}/$SLURM_JOB_ID-$SLURMD_NODENAME\n\
         until ls {place}/logs/node_${{SLURMD_NODENAME}}_*.jsonl >/dev/null 2>&1; do sleep 0.05; done"
    );
    let epilog = format!(
        "pid=$(cat {place}/$SLURM_JOB_ID-$SLURMD_NODENAME); kill $pid\n\
         while kill -0 $pid 2>/dev/null; do sleep 0.05; done; touch {place}/ended-$SLURMD_NODENAME"
    );
    let Some(cluster) = Cluster::of_site(2, &[("prolog", &prolog), ("epilog", &epilog)]) else { return };
    let mut sbatch = cluster.command("sbatch");
    sbatch.args(["--parsable", "-N2", "-n2"]).arg(cluster.script("srun sleep 2"));
    let job = cluster.ran(sbatch);
    cluster.until("the epilogs", || ["n1", "n2"].iter().all(|n| logs.path().join(format!("ended-{n}")).exists()));
    let found = json(&logs.path().join("logs"), &job);
    let counts = ["nodes_found", "starts", "unfinished", "unknown"].map(|name| found[name].clone());
    assert_eq!(counts, [2, 1, 0, 0].map(Value::from), "{found:#}");
    for node in found["nodes"].as_array().unwrap() {
        let (joules, seconds) = (node["energy_j"].as_f64().unwrap(), node["duration_s"].as_f64().unwrap());
        assert!(seconds >= 2.0 && (joules / seconds - 100.0).abs() < 1.0, "{node:#}");
    }
}

/// Open MPI starts one command on each node.
#[test]
fn mpirun_starts_a_command_on_each_node() {
    if !have(&["mpirun.openmpi"]) {
        return;
    }
    let folder = Folder::new("node-mpi");
    let shell =
        format!("exec {PROGRAM} run -q --node -o {} --log-dir logs", of_node("OMPI_COMM_WORLD_RANK", folder.path()));
    let script = format!(
        "now() {{ date +%s.%N >$1-0; }}; now before\n\
         mpirun.openmpi --allow-run-as-root --oversubscribe --map-by ppr:1:node sh -c '{shell}' & nodes=$!\n\
         until ls logs/*.jsonl >/dev/null 2>&1; do sleep 0.05; done; now begun\n\
         sleep 2.5; now ending; kill $nodes; wait $nodes; now ended\n"
    );
    let mut run = Command::new("timeout");
    run.args(["60", "sh", "-c", &script]).current_dir(folder.path()).stdin(Stdio::null());
    let output = run.env("SLURM_JOB_ID", "4711").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let found = json(&folder.path().join("logs"), "4711");
    assert_energy(&found, 1, &[times(folder.path(), 0)]);
}

/// The time is divided into pieces, so a kill loses a second at most.
#[test]
fn killed_command_keeps_all_but_its_last_piece() {
    let folder = Folder::new("node-kill");
    let mut command = Command::new(PROGRAM);
    let options = "sim_cpu=A:100 components=cpu location=DK";
    command.args(["run", "-q", "--node", "-o", options, "--log-dir", "logs"]).current_dir(folder.path());
    let mut node = command.env("SLURM_JOB_ID", "4712").env("SLURMD_NODENAME", "n7").spawn().unwrap();
    let logs = folder.path().join("logs");
    let pieces = || {
        let mut files = std::fs::read_dir(&logs).ok()?.flatten().map(|file| file.path());
        let journal = files.find(|path| path.extension().is_some_and(|ending| ending == "jsonl"))?;
        let text = std::fs::read_to_string(journal).ok()?;
        Some(text.lines().filter(|line| line.starts_with("{\"index\"")).count())
    };
    crate::retry::wait_until("three pieces", || pieces() >= Some(3));
    node.kill().unwrap();
    node.wait().unwrap();
    let kept = pieces().unwrap();
    let found = json(&logs, "4712");
    let joules = found["energy_j"].as_f64().unwrap();
    assert!(joules >= 95.0 * kept as f64, "{joules} J in {kept} pieces of a second: {found:#}");
    assert_eq!((&found["unfinished"], &found["nodes"][0]["node"]), (&1.into(), &"n7".into()));
    let text = aggregate(&logs, "4712", &["--nodes", "2"]);
    assert!(text.contains("1 of 2 nodes") && text.contains("1 of its nodes left no file here"), "{text}");
}
