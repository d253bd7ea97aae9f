use super::*;
use crate::measurement::source::sysfs::test_tree::TestTree;

/// The limit in processors and the used time, µs.
fn found(tree: &TestTree) -> Option<(f64, Option<f64>)> {
    quota(&tree.options("", &[]).sysroot).map(|quota| (quota.processors, quota.used_us().unwrap()))
}

fn with_first(tree: &TestTree, folder: &str, processors: u32) {
    tree.write(&format!("{folder}/cpu.cfs_quota_us"), &format!("{}\n", i64::from(processors) * 100_000));
    tree.write(&format!("{folder}/cpu.cfs_period_us"), "100000\n");
}

#[test]
fn lowest_limit_of_either_version_counts() {
    let tree = TestTree::new("cgroup-tightest");
    tree.write("proc/self/cgroup", "1:name=systemd:/\n0::/job/step\n");
    assert_eq!(found(&tree), None);
    tree.write("sys/fs/cgroup/job/step/cpu.max", "max 100000\n");
    tree.write("sys/fs/cgroup/job/step/cpu.stat", "usage_usec 7\n");
    assert_eq!(found(&tree), None, "a used time without a limit");
    tree.write("sys/fs/cgroup/job/cpu.max", "150000 100000\n");
    tree.write("sys/fs/cgroup/job/cpu.stat", "usage_usec 4500\nuser_usec 1\n");
    assert_eq!(found(&tree), Some((1.5, Some(4500.0))));
    tree.write("proc/self/cgroup", "3:cpu,cpuacct:/job\n0::/\n");
    tree.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
    tree.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
    tree.write("sys/fs/cgroup/cpu,cpuacct/job/cpuacct.usage", "4500000\n");
    assert_eq!(found(&tree), None);
    tree.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "50000\n");
    assert_eq!(found(&tree), Some((0.5, Some(4500.0))));
}

/// moby#9365: the membership has `cpuacct,cpu`, and the folder is `cpu,cpuacct`.
#[test]
fn controllers_may_be_in_any_order() {
    for folder in ["cpu,cpuacct", "cpuacct,cpu", "cpu"] {
        let tree = TestTree::new(&format!("cgroup-order-{folder}"));
        tree.write("proc/self/cgroup", "4:cpuacct,cpu:/slurm/job_7\n2:cpuset:/\n1:name=systemd:/\n");
        with_first(&tree, &format!("sys/fs/cgroup/{folder}/slurm/job_7"), 2);
        tree.write(&format!("sys/fs/cgroup/{folder}/slurm/job_7/cpuacct.usage"), "5000000\n");
        assert_eq!(found(&tree), Some((2.0, Some(5000.0))), "{folder}");
    }
}

#[test]
fn used_time_may_be_counted_in_another_hierarchy() {
    let tree = TestTree::new("cgroup-apart");
    tree.write("proc/self/cgroup", "5:cpuacct:/x/job\n4:cpu:/job\n0::/z/job\n");
    with_first(&tree, "sys/fs/cgroup/cpu/job", 3);
    assert_eq!(found(&tree), None, "a limit without a used time");
    tree.write("sys/fs/cgroup/unified/z/job/cpu.stat", "usage_usec 9\n");
    assert_eq!(found(&tree), Some((3.0, Some(9.0))), "version 2 on a machine with both");
    tree.write("sys/fs/cgroup/cpuacct/x/job/cpuacct.usage", "8000\n");
    assert_eq!(found(&tree), Some((3.0, Some(8.0))));
}

#[test]
fn mounts_show_the_group_of_a_container() {
    let cases = [
        ("a container of version 1", "4:cpu,cpuacct:/docker/abc\n", "/docker/abc", "/sys/fs/cgroup/cpu,cpuacct", ""),
        ("a group within it", "4:cpu,cpuacct:/docker/abc/in\n", "/docker/abc", "/sys/fs/cgroup/cpu,cpuacct", "/in"),
        ("a namespace of groups", "4:cpu,cpuacct:/\n", "/", "/sys/fs/cgroup/cpu,cpuacct", ""),
        ("a root that is not the group's", "4:cpu,cpuacct:/docker/abc\n", "/kubepods/x", "/cg/cpu", ""),
        ("a group beyond the namespace", "4:cpu,cpuacct:/../other\n", "/", "/sys/fs/cgroup/cpu,cpuacct", ""),
        ("another place", "4:cpu,cpuacct:/job\n", "/", "/dev/cgroup\\040of/cpu", "/job"),
        ("a name that only begins alike", "4:cpu,cpuacct:/docker/abcd\n", "/docker/abc", "/cg/cpu", ""),
    ];
    for (number, (case, membership, root, point, group)) in cases.into_iter().enumerate() {
        let tree = TestTree::new(&format!("cgroup-mounts-{number}"));
        tree.write("proc/self/cgroup", membership);
        let mount = format!("33 31 0:30 {root} {point} rw,relatime shared:9 - cgroup cgroup rw,cpuacct,cpu\n");
        tree.write("proc/self/mountinfo", &format!("22 1 0:1 / / rw - ext4 /dev/sda rw\n{mount}"));
        let folder = format!("{}{group}", point.replace("\\040", " ").trim_start_matches('/'));
        with_first(&tree, &folder, 2);
        tree.write(&format!("{folder}/cpuacct.usage"), "1000\n");
        assert_eq!(found(&tree), Some((2.0, Some(1.0))), "{case}");
    }
    let tree = TestTree::new("cgroup-mounts-second");
    tree.write("proc/self/cgroup", "0::/\n");
    tree.write("proc/self/mountinfo", "9 1 0:1 /../../pod /sys/fs/cgroup ro - cgroup2 cgroup rw,nsdelegate\n");
    tree.write("sys/fs/cgroup/cpu.max", "400000 100000\n");
    tree.write("sys/fs/cgroup/cpu.stat", "usage_usec 5\n");
    tree.write("sys/fs/cgroup/memory.max", "max\n");
    assert_eq!(found(&tree), Some((4.0, Some(5.0))));
    assert_eq!(memory_limit(&tree.options("", &[]).sysroot), None);
    tree.write("sys/fs/cgroup/memory.max", "1073741824\n");
    assert_eq!(memory_limit(&tree.options("", &[]).sysroot), Some(1 << 30));
}
