//! The GPUs that the kernel's compute driver for AMD shows to this process, in ROCm's order
//! (linux/drivers/gpu/drm/amd/amdkfd/kfd_topology.c). A cgroup of SLURM or of a container hides GPUs here, but not in
//! the rest of `/sys`. ROCm numbers the GPUs that are left.

use super::drm_card::numbered;
use crate::os;
use std::collections::HashMap;
use std::path::Path;

/// A GPU, or a partition of one.
pub struct Node {
    /// The card's address on the PCI bus.
    pub address: String,
    /// The UUID in ROCm's form. None: the GPU has none, or it is that of an earlier partition.
    pub uuid: Option<String>,
}

/// The GPUs that this process may use. None: the driver has no GPU at all.
pub fn gpus(sysroot: &Path) -> Option<Vec<Node>> {
    let mut nodes = Vec::<Node>::new();
    let mut hides_some = false;
    for (_, folder) in numbered(&sysroot.join("sys/class/kfd/kfd/topology/nodes"), "") {
        let Ok(text) = os::text::read(&folder.join("properties"), os::text::MAX_SYS_BYTES) else {
            hides_some = true;
            continue;
        };
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        let properties: HashMap<&str, u64> =
            pairs.filter_map(|(name, value)| Some((name, value.trim().parse().ok()?))).collect();
        let of = |name: &str| properties.get(name).copied().unwrap_or(0);
        if of("simd_count") == 0 {
            continue; // A node without SIMD units is a processor.
        }
        // Every GPU has the function 0. The bits of the function and those above 16 number the partitions.
        let (domain, location) = (of("domain"), of("location_id"));
        let address = format!("{domain:04x}:{:02x}:{:02x}.0", (location >> 8) & 0xff, (location >> 3) & 0x1f);
        let uuid = Some(of("unique_id")).filter(|&id| id > 0).map(|id| format!("GPU-{id:016x}"));
        let is_new = |uuid: &String| nodes.iter().all(|node| node.uuid.as_ref() != Some(uuid));
        let uuid = uuid.filter(is_new);
        nodes.push(Node { address, uuid });
    }
    (hides_some || !nodes.is_empty()).then_some(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::source::sysfs::test_tree::TestTree;

    #[test]
    fn gpus_are_listed_in_the_drivers_order_without_processors_and_hidden_ones() {
        let tree = TestTree::new("kfd");
        let root = tree.options("", &[]).sysroot;
        assert!(gpus(&root).is_none());
        let node = |number: u32, file: &str, text: &str| {
            tree.write(&format!("sys/class/kfd/kfd/topology/nodes/{number}/{file}"), text);
        };
        node(0, "properties", "cpu_cores_count 64\nsimd_count 0\nlocation_id 0\n");
        assert!(gpus(&root).is_none(), "a processor alone gives no order of GPUs");
        node(10, "properties", "simd_count 416\nlocation_id 49408\ndomain 0\nunique_id 12648430\n");
        node(4, "properties", "simd_count 416\nlocation_id 268436224\ndomain 1\nunique_id 12648430\n");
        node(5, "gpu_id", "7\n");
        let seen = gpus(&root).unwrap();
        let seen: Vec<(&str, Option<&str>)> = seen.iter().map(|n| (n.address.as_str(), n.uuid.as_deref())).collect();
        assert_eq!(seen, [("0001:03:00.0", Some("GPU-0000000000c0ffee")), ("0000:c1:00.0", None)]);
    }
}
