use super::*;
use crate::measurement::source::sysfs::test_tree::TestTree;

/// A tree of so many processors, each with this much of its time busy; (busy, idle) ticks.
fn write_stat(tree: &TestTree, ticks: &[(u64, u64)]) {
    let line = |(cpu, (busy, idle)): (usize, &(u64, u64))| format!("cpu{cpu} {busy} 0 0 {idle} 0 0 0 0 0 0\n");
    let each: String = ticks.iter().enumerate().map(line).collect();
    tree.write("proc/stat", &format!("cpu  9 0 0 9 0 0 0\n{each}intr 5\n"));
}

fn opened(tree: &TestTree) -> Utilisation {
    Utilisation::open(&tree.options("", &[]).sysroot).unwrap()
}

/// Four processors, two cores: one thread of each core works. The package is nearly full.
#[test]
fn cores_count_where_siblings_idle() {
    let tree = TestTree::new("utilisation-smt");
    for cpu in 0..4 {
        let list = if cpu % 2 == 0 { "0,2\n" } else { "1,3\n" };
        tree.write(&format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"), list);
    }
    write_stat(&tree, &[(0, 0); 4].map(|_| (100, 100)));
    let mut found = opened(&tree);
    found.scope = Scope::Machine;
    assert_eq!((found.processors(), found.cores()), (4, 2));
    let before = found.snapshot(MonoNs(0)).unwrap();
    write_stat(&tree, &[(200, 100), (200, 100), (100, 200), (100, 200)]);
    let now = found.snapshot(MonoNs(1_000_000_000)).unwrap();
    assert_eq!(found.busy(&before, &now), 0.875);
}

/// Of a core that two jobs share, each has the part that its threads worked.
#[test]
fn a_shared_core_is_divided() {
    let tree = TestTree::new("utilisation-shared");
    for cpu in 0..4 {
        let list = if cpu % 2 == 0 { "0,2\n" } else { "1,3\n" };
        tree.write(&format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"), list);
    }
    write_stat(&tree, &[(100, 100); 4]);
    let mut found = opened(&tree);
    let Some(ours) = CpuSet::of_this_process().filter(|set| set.cpus().eq(0..2)) else { return };
    found.scope = Scope::Affinity(ours);
    assert_eq!(found.processors_in_words().as_deref(), Some("0-1"));
    let before = found.snapshot(MonoNs(0)).unwrap();
    write_stat(&tree, &[(200, 100), (200, 100), (200, 100), (100, 200)]);
    let now = found.snapshot(MonoNs(1_000_000_000)).unwrap();
    assert_eq!(found.busy(&before, &now), (0.5 + 0.875) / 2.0, "half of one core, the other alone");
}

/// taskset in a container of lxcfs: /proc/stat has the container's numbers, the affinity the machine's.
#[test]
fn other_numbers_are_matched_by_count() {
    let tree = TestTree::new("utilisation-count");
    write_stat(&tree, &[(100, 100), (100, 100), (100, 100), (100, 100)]);
    let mut found = opened(&tree);
    found.scope = Scope::Count(1);
    assert_eq!(found.share(), 0.25);
    let before = found.snapshot(MonoNs(0)).unwrap();
    write_stat(&tree, &[(200, 100), (100, 200), (100, 200), (100, 200)]);
    let now = found.snapshot(MonoNs(1_000_000_000)).unwrap();
    assert_eq!(found.busy(&before, &now), 0.25);
    write_stat(&tree, &[(200, 100), (200, 100), (200, 100), (200, 100)]);
    let now = found.snapshot(MonoNs(1_000_000_000)).unwrap();
    assert_eq!(found.busy(&before, &now), 0.25, "no more than its share");
}

/// The group worked for one of the two seconds that four processors worked; the machine's cores were half busy.
#[test]
fn a_group_has_its_part_of_the_work() {
    let tree = TestTree::new("utilisation-quota");
    tree.write("proc/self/cgroup", "0::/job\n");
    tree.write("sys/fs/cgroup/job/cpu.max", "100000 100000\n");
    tree.write("sys/fs/cgroup/job/cpu.stat", "usage_usec 0\n");
    write_stat(&tree, &[(100, 100); 4]);
    let mut found = opened(&tree);
    if found.processors_in_words().is_some() {
        return; // pinned to one processor here
    }
    assert_eq!(found.share(), 0.25);
    assert!(found.scope_in_words().contains("the share of 1 of 4 processors its control group allows"));
    let before = found.snapshot(MonoNs(0)).unwrap();
    write_stat(&tree, &[(150, 150); 4]);
    tree.write("sys/fs/cgroup/job/cpu.stat", "usage_usec 1000000\n");
    let now = found.snapshot(MonoNs(1_000_000_000)).unwrap();
    assert!((found.busy(&before, &now) - 0.25).abs() < 1e-9, "{}", found.busy(&before, &now));
    let still = Snapshot {
        at: MonoNs(0),
        stat: Stat { processors: now.stat.processors.clone(), numbers: now.stat.numbers.clone(), ..now.stat },
        used_us: 0.0,
    };
    let same = Snapshot {
        at: MonoNs(1_000_000_000),
        stat: Stat { processors: still.stat.processors.clone(), numbers: still.stat.numbers.clone(), ..still.stat },
        used_us: 500_000.0,
    };
    assert!(
        (found.busy(&still, &same) - 0.125).abs() < 1e-9,
        "a /proc/stat that stands still does not count the group"
    );
}

#[test]
fn zeros_are_unknown() {
    let tree = TestTree::new("utilisation-zeros");
    tree.write("proc/stat", "cpu  0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0\nintr 0\n");
    assert_eq!(opened(&tree).of_late(MonoNs(0)), Err(Fault::Garbage), "gVisor");
    assert!(Utilisation::open(&tree.options("", &[]).sysroot.join("none")).is_err());
}
