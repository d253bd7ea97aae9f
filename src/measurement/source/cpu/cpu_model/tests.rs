use super::*;
use crate::measurement::source::sysfs::test_tree::TestTree;

/// Plays busy and idle times of `processors` and returns the power of a second, W, with the note.
fn played(tree: &TestTree, processors: usize, busy_share: f64) -> (f64, String) {
    let stat = |seconds: u64| {
        let line = |count: u64| {
            let all = 100 * seconds * count;
            let busy = (all as f64 * busy_share) as u64;
            format!("{busy} 0 0 {} 0 0 0 0 0 0\n", all - busy)
        };
        let each: String = (0..processors).map(|cpu| format!("cpu{cpu} {}", line(1))).collect();
        tree.write("proc/stat", &format!("cpu  {}{each}intr 5\n", line(processors as u64)));
    };
    stat(1000);
    let (source, lacks) = open(&tree.options("", &[]));
    let mut source = source.unwrap_or_else(|| panic!("{lacks:?}"));
    let note = source.channels()[0].note.clone().unwrap();
    let mut readings = Vec::new();
    source.read(&|| MonoNs(0), &mut readings);
    stat(1010);
    source.read(&|| MonoNs(10_000_000_000), &mut readings);
    let Ok(Value::Count(energy_uj)) = readings[1].value else { panic!("{readings:?}") };
    (energy_uj as f64 * 1e-7, note)
}

fn blocks(count: usize, of_each: impl Fn(usize) -> String) -> String {
    (0..count).map(|cpu| format!("processor\t: {cpu}\n{}\n", of_each(cpu))).collect()
}

/// 2 × E5-2620 v3 (170 W in all), all cores of which are busy half of the time.
#[test]
fn energy_follows_busy_cores() {
    let tree = TestTree::new("estimate-whole");
    let name = "model name\t: Intel(R) Xeon(R) CPU E5-2620 v3 @ 2.40GHz";
    let of_each = |cpu: usize| {
        let (package, core) = (cpu / 12, cpu % 6);
        format!("{name}\nphysical id\t: {package}\nsiblings\t: 12\ncore id\t: {core}\n")
    };
    tree.write("proc/cpuinfo", &blocks(24, of_each));
    let (watts, note) = played(&tree, 24, 0.5);
    assert!((watts - 170.0 * (0.1 + 0.65 * 0.6875)).abs() < 0.01 || note.contains("share"), "{watts} {note}");
    assert!(note.contains("2 × 85 W TDP") && note.contains("times this in nine cases of ten"), "{note}");
}

/// lxc/lxcfs#628: 4 of 128 threads of a package of 280 W, all of them busy.
#[test]
fn a_container_of_lxcfs_has_its_share() {
    let tree = TestTree::new("estimate-lxcfs");
    let name = "model name\t: AMD EPYC 7763 64-Core Processor\nphysical id\t: 0\nsiblings\t: 128";
    tree.write("proc/cpuinfo", &blocks(4, |cpu| format!("{name}\ncore id\t: {cpu}\ncpu cores\t: 64\n")));
    tree.write("proc/self/mounts", "lxcfs /proc/stat fuse.lxcfs rw,nosuid 0 0\n");
    let (watts, note) = played(&tree, 4, 1.0);
    assert!((7.0..10.0).contains(&watts) && note.contains("4 of the 128 threads"), "{watts} {note}");
    assert!(note.contains("lxcfs shows this container"), "{note}");
    // lxcfs of other ages shows its own count of siblings, or none.
    for siblings in ["siblings\t: 4", "x\t: 4"] {
        let name = name.replace("siblings\t: 128", siblings);
        tree.write("proc/cpuinfo", &blocks(4, |cpu| format!("{name}\ncore id\t: {cpu}\n")));
        let (watts, note) = played(&tree, 4, 1.0);
        assert!((7.0..10.0).contains(&watts), "{siblings}: {watts} {note}");
    }
}

/// moby#9365: 2 of 64 processors by a quota whose controllers are named in another order.
#[test]
fn a_quota_of_centos_7_is_found() {
    let tree = TestTree::new("estimate-centos");
    tree.write("proc/cpuinfo", "processor: 0\nmodel name: Intel(R) Xeon(R) Gold 6248R CPU @ 3.00GHz\nphysical id: 0\n");
    tree.write("proc/self/cgroup", "4:cpuacct,cpu:/slurm/uid_1000/job_7\n2:cpuset:/\n");
    let folder = "sys/fs/cgroup/cpu,cpuacct/slurm/uid_1000/job_7";
    tree.write(&format!("{folder}/cpu.cfs_quota_us"), "200000\n");
    tree.write(&format!("{folder}/cpu.cfs_period_us"), "100000\n");
    tree.write(&format!("{folder}/cpuacct.usage"), "5000000\n");
    let (watts, note) = played(&tree, 64, 0.0);
    assert!((0.2..1.0).contains(&watts) && note.contains("share of 2 of 64 processors"), "{watts} {note}");
}

#[test]
fn a_small_board_draws_as_small_boards_do() {
    let tree = TestTree::new("estimate-board");
    let part = "BogoMIPS\t: 108.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n";
    let model = "Revision\t: c03114\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n";
    tree.write("proc/cpuinfo", &(blocks(4, |_| part.into()) + model));
    let (watts, note) = played(&tree, 4, 1.0);
    assert!((4.0..6.5).contains(&watts), "{watts} {note}");
    let (idle, _) = played(&tree, 4, 0.0);
    assert!((1.0..3.0).contains(&idle), "{idle}");
    let (source, _) = open(&tree.options("", &[]));
    assert_eq!(source.unwrap().channels()[0].device, "Raspberry Pi 4 Model B");
}

/// Where only the line of all processors moves, each works as all do.
#[test]
fn one_line_of_stat_is_enough() {
    let tree = TestTree::new("estimate-line");
    tree.write("proc/cpuinfo", "model name\t: Intel(R) Xeon(R) CPU E3-1240 V2 @ 3.40GHz\n");
    let stat = |busy: u64| tree.write("proc/stat", &format!("cpu  {busy} 0 0 1000 0 0 0 0\ncpu0 1 1 1 1\n"));
    stat(1000);
    let mut source = open(&tree.options("", &[])).0.unwrap();
    let mut readings = Vec::new();
    source.read(&|| MonoNs(0), &mut readings);
    stat(2000);
    source.read(&|| MonoNs(1_000_000_000), &mut readings);
    let Ok(Value::Count(energy_uj)) = readings[1].value else { panic!("{readings:?}") };
    assert!(energy_uj > 5_000_000, "{energy_uj}");
}
