use super::*;

fn figure(cpuinfo: &str, processors: usize) -> PowerFigure {
    of_machine(cpuinfo, processors, processors, "")
}

fn of_machine(cpuinfo: &str, processors: usize, cores: usize, machine: &str) -> PowerFigure {
    let (cpuinfo, machine) = (cpuinfo.to_owned(), machine.to_owned());
    MachineInfo { cpuinfo, board: None, machine, processors, cores, has_offline: false }.figure()
}

#[test]
fn virtual_machine_has_its_share_of_a_known_package() {
    let epyc = "model name : AMD EPYC 9654 96-Core Processor\nphysical id : 0\nsiblings : 8\nflags : fpu hypervisor\n";
    let found = figure(epyc, 8);
    assert_eq!((found.watts, found.band), (15.0, PART_BAND), "{found:?}");
    // A virtual machine without the flag, but with fewer processors than the model has cores.
    assert_eq!(figure(&epyc.replace(" hypervisor", ""), 8).watts, 15.0);
    // A virtual machine as large as the machine.
    let metal = "model name : Intel(R) Xeon(R) Platinum 8275CL CPU @ 3.00GHz\nflags : hypervisor\n";
    assert_eq!(figure(metal, 96).watts, 480.0);
    // A model with an unknown number of threads: by its family, and at most its package.
    let old = "vendor_id : GenuineIntel\ncpu family : 6\nmodel : 44\nmodel name : Intel(R) Xeon(R) CPU E5520 @ 2.27GHz\nflags : hypervisor\n";
    assert_eq!([figure(old, 2).watts, figure(old, 64).watts], [16.0, 80.0]);
}

#[test]
fn whole_machine_has_its_packages() {
    let with = |package: usize| {
        format!("model name : AMD EPYC 7763 64-Core Processor\nphysical id : {package}\nsiblings : 128\n")
    };
    let found = figure(&(with(0) + &with(1)), 256);
    assert_eq!(
        (found.watts, found.band, found.basis.as_str()),
        (560.0, KNOWN_MODEL_BAND, "2 × 280 W TDP of amd epyc 7763")
    );
    // Half of the hardware threads are switched off.
    let off = figure(&with(0).replace("128", "64"), 64);
    assert_eq!((off.watts, off.band), (280.0, KNOWN_MODEL_BAND));
}

/// The package of a whole machine draws its full power for the few threads that are on.
#[test]
fn threads_that_are_off_leave_the_package_whole() {
    let tree = crate::measurement::source::sysfs::test_tree::TestTree::new("processor-offline");
    let name = "model name : AMD EPYC 7763 64-Core Processor\nphysical id : 0\nsiblings : 32\n";
    let stat: String = (0..32).map(|cpu| format!("cpu{cpu} 1 0 0 1 0 0 0\n")).collect();
    tree.write("proc/stat", &format!("cpu  9 0 0 9 0 0 0\n{stat}intr 5\n"));
    let found = |present: &str, more: &str, mounts: &str| {
        tree.write("proc/cpuinfo", &format!("{name}{more}"));
        tree.write("proc/self/mounts", mounts);
        tree.write("sys/devices/system/cpu/present", present);
        let sysroot = tree.options("", &[]).sysroot;
        identify(&sysroot, &Utilisation::open(&sysroot).unwrap())
    };
    let whole = found("0-127\n", "", "");
    assert_eq!(
        (whole.watts, whole.band, whole.basis.as_str()),
        (280.0, KNOWN_MODEL_BAND, "1 × 280 W TDP of amd epyc 7763")
    );
    assert_eq!(found("0-15,64-127\n", "", "").watts, 280.0);
    // A virtual machine, a container of lxcfs, and a kernel without further processors.
    assert_eq!(found("0-127\n", "flags : hypervisor\n", "").watts, 70.0);
    assert_eq!(found("0-127\n", "", "lxcfs /proc/stat fuse.lxcfs rw 0 0\n").watts, 70.0);
    assert_eq!([found("0-31\n", "", "").watts, found("strange\n", "", "").watts], [70.0, 70.0]);
}

#[test]
fn unlocked_desktops_draw_turbo_power() {
    let draw = |name: &str| figure(&format!("model name : {name}\n"), 32).draw;
    assert_eq!(draw("13th Gen Intel(R) Core(TM) i9-13900K"), Draw::UNLOCKED);
    assert_eq!(draw("Intel(R) Core(TM) Ultra 7 265K"), Draw::UNLOCKED);
    assert_eq!(draw("Intel(R) Core(TM) i7-8700K CPU @ 3.70GHz"), Draw::of_package(95.0));
    assert_eq!(draw("13th Gen Intel(R) Core(TM) i7-1355U"), Draw::of_package(15.0));
}

#[test]
fn model_without_a_name_is_known_by_its_family() {
    let milan = "vendor_id : AuthenticAMD\ncpu family : 25\nmodel : 1\nmodel name : AMD EPYC\nstepping : 1\nflags : hypervisor\n";
    let found = figure(milan, 4);
    assert!(
        (found.watts - 9.2).abs() < 1e-9 && found.band == FAMILY_BAND && found.basis.contains("Zen 3"),
        "{found:?}"
    );
    assert_eq!(found.device, "AMD EPYC");
    let unknown = figure("model name : QEMU Virtual CPU version 2.5+\nflags : hypervisor\n", 4);
    assert_eq!((unknown.watts, unknown.band), (12.0, UNKNOWN_BAND));
    assert_eq!(figure("", 1).device, "unknown processor");
}

#[test]
fn arm_and_power_have_names_and_rated_powers() {
    let arm = "CPU implementer : 0x41\nCPU part : 0xd0c\n";
    let graviton = of_machine(&arm.repeat(64), 64, 64, "Amazon EC2 c6g.metal");
    assert!(
        (graviton.watts - 150.0).abs() < 1.0 && graviton.device == "AWS Graviton2, 64 cores (Amazon EC2 c6g.metal)",
        "{graviton:?}"
    );
    let altra = of_machine(&arm.repeat(128), 128, 128, "GIGABYTE");
    assert!((240.0..260.0).contains(&altra.watts), "{altra:?}");
    let power = "cpu : POWER9, altivec supported\nmachine : PowerNV 8335-GTW\n";
    let found = of_machine(power, 176, 44, "");
    assert!((380.0..520.0).contains(&found.watts) && found.device == "POWER9 (PowerNV 8335-GTW)", "{found:?}");
    assert_eq!(of_machine(power, 176, 176, "").watts, found.watts, "without /sys");
    let big_little = "CPU implementer : 0x41\nCPU part : 0xd03\n".repeat(4)
        + &"CPU implementer : 0x41\nCPU part : 0xd08\n".repeat(2);
    let found = of_machine(&big_little, 6, 6, "");
    assert!(found.has_memory && (4.0..8.0).contains(&found.watts), "{found:?}");
}
