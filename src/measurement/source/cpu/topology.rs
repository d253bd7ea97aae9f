//! The cores that processors (hardware threads) belong to.

use crate::measurement::source::sysfs::number_file;
use crate::os;
use std::collections::HashMap;
use std::path::Path;

/// The core of each of these processors, numbered from 0. A processor of which nothing is known counts as a core.
///
/// In a container of lxcfs (`is_lxcfs`), /sys has the machine's numbers and /proc has the container's.
pub fn cores(sysroot: &Path, processors: &[usize], is_lxcfs: bool) -> Vec<usize> {
    let listed = |cpu: &usize| {
        let file = format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        number_file::text(&sysroot.join(file)).ok().filter(|list| !list.is_empty())
    };
    let mut keys: Vec<Option<String>> =
        processors.iter().map(|cpu| if is_lxcfs { None } else { listed(cpu) }).collect();
    if keys.iter().all(Option::is_none) {
        let cpuinfo = os::text::read(&sysroot.join("proc/cpuinfo"), os::text::MAX_TABLE_BYTES).unwrap_or_default();
        let by_number = of_cpuinfo(&cpuinfo);
        keys = processors.iter().map(|cpu| by_number.get(cpu).cloned()).collect();
    }
    let mut numbers = HashMap::new();
    let key = |(cpu, key): (&usize, Option<String>)| key.unwrap_or_else(|| format!("alone {cpu}"));
    let keys = processors.iter().zip(keys).map(key);
    keys.map(|key| {
        let next = numbers.len();
        *numbers.entry(key).or_insert(next)
    })
    .collect()
}

/// "physical id" and "core id" by processor, for each processor in /proc/cpuinfo that has both.
fn of_cpuinfo(cpuinfo: &str) -> HashMap<usize, String> {
    let (mut found, mut cpu, mut package) = (HashMap::new(), None, None);
    for line in cpuinfo.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        match key.trim() {
            "processor" => (cpu, package) = (value.trim().parse::<usize>().ok(), None),
            "physical id" => package = Some(value.trim()),
            "core id" => {
                if let (Some(cpu), Some(package)) = (cpu, package) {
                    found.insert(cpu, format!("{package} {}", value.trim()));
                }
            }
            _ => (),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::source::sysfs::test_tree::TestTree;

    #[test]
    fn processors_of_one_core_are_siblings() {
        let tree = TestTree::new("topology");
        let root = tree.options("", &[]).sysroot;
        assert_eq!(cores(&root, &[0, 1, 2], false), [0, 1, 2], "nothing known");
        let block = |cpu: usize, core: usize| format!("processor: {cpu}\nphysical id: 0\ncore id: {core}\n\n");
        tree.write("proc/cpuinfo", &[block(0, 0), block(1, 1), block(2, 0), block(3, 1)].concat());
        assert_eq!(cores(&root, &[0, 1, 2, 3, 9], false), [0, 1, 0, 1, 2]);
        for cpu in 0..4 {
            let file = format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
            tree.write(&file, if cpu < 2 { "0-1\n" } else { "2-3\n" });
        }
        assert_eq!(cores(&root, &[0, 1, 2, 3], false), [0, 0, 1, 1]);
        assert_eq!(cores(&root, &[0, 1, 2, 3], true), [0, 1, 0, 1], "the container's own numbers");
    }
}
