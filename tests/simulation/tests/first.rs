use carbontracker::measurement::channel::DeviceKind;
use carbontracker::measurement::source_name::SourceName;
use carbontracker::options::Options;
use carbontracker::os::world;
use carbontracker::tracker::Tracker;
use carbontracker_simulation::device::{Device, Devices, SharedKernel, machine};
use carbontracker_simulation::disk::Disk;
use carbontracker_simulation::kernel::Kernel;
use carbontracker_simulation::world::Simulated;
use std::rc::Rc;

#[test]
fn first() {
    let kernel = Rc::new(Kernel::new(1));
    let disk = Rc::new(Disk::new("/dev/shm/ct-sim-first".into()).unwrap());
    let folder = disk.folder.clone();
    let _entered = world::enter(Rc::new(Simulated { kernel: Rc::clone(&kernel), disk: Rc::clone(&disk) }));
    let shared = SharedKernel(Rc::clone(&kernel));
    let k = Rc::clone(&kernel);
    kernel.start(Vec::new(), move || {
        let device = Device {
            kind: DeviceKind::Cpu,
            name: "package-0".into(),
            source: SourceName::Rapl,
            power: vec![(0, 100.0)],
            joules_per_unit: Some(1e-6),
            range: Some(262_143_328_850),
            step_ns: 1_000_000,
            latency_ns: 20_000,
            faults: Vec::new(),
            max_watts: 400.0,
        };
        let devices = Devices {
            kernel: shared,
            parts: vec![device],
            gpus: vec![],
            stand_ins: vec![],
            driver_ns: 0,
            discovery_ns: 1000,
        };
        let mut options = Options::parse(&format!("epochs=10 log_dir={}", folder.display()), |_| None).unwrap();
        options.measurement.machine = Some(machine(devices));
        let tracker = Tracker::start(options).unwrap();
        for _ in 0..10 {
            tracker.begin().unwrap();
            k.sleep(3_600_000_000_000);
            tracker.end().unwrap();
            k.sleep(1_000_000_000);
        }
        println!("{}", tracker.report("json").unwrap());
        println!("{:?}", tracker.destroy());
    });
    let began = std::time::Instant::now();
    kernel.run(u64::MAX / 2);
    println!("failure {:?}, {} s simulated, {:?}", kernel.failure(), kernel.now() / 1_000_000_000, began.elapsed());
    for entry in std::fs::read_dir(&disk.folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{} {}", path.display(), std::fs::metadata(&path).unwrap().len());
    }
}
