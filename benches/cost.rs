//! The cost of the library for the application: `make bench`. These are figures, not tests. Machines are noisy, so
//! quote medians, and ratios to the raw reads measured beside them.
#[path = "../tests/common/fake_rapl.rs"]
mod fake_rapl;
#[path = "../tests/common/retry.rs"]
mod retry;

use carbontracker::carbon::select;
use carbontracker::coordination::device_lease::LeaseManager;
use carbontracker::coordination::job::Rank;
use carbontracker::measurement::discover::Discovery;
use carbontracker::measurement::intake::Intake;
use carbontracker::measurement::source::Waker;
use carbontracker::options::Options;
use carbontracker::os::{self, HeldFile};
use carbontracker::run_files;
use carbontracker::state::RunState;
use carbontracker::state::alerts::Alerts;
use carbontracker::state::shared::SharedState;
use carbontracker::tracker::Tracker;
use carbontracker::tracker::sampler::{Sampler, SamplerParts};
use fake_rapl::{Counter, DELAY_US, Tree};
use retry::{now, own_bytes};
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn main() {
    println!("{:<58}{:>10}{:>10}{:>10}", "", "median", "99 %", "most");
    calls();
    if std::env::args().any(|a| a == "calls") {
        return;
    }
    create();
    sample();
    value();
    sampler_share();
    memory();
    files();
}

fn row(what: &str, unit: &str, mut figures: Vec<u64>) {
    figures.sort_unstable();
    let at = |share: f64| figures[((figures.len() - 1) as f64 * share) as usize];
    println!("{what:<58}{:>10}{:>10}{:>10} {unit}", at(0.5), at(0.99), at(1.0));
}

fn tracker(tree: &Tree, options: &str) -> Tracker {
    Tracker::create(&format!("sysroot={} {options}", tree.root().display())).unwrap().unwrap()
}

fn package() -> Tree {
    Tree::new(&[("intel-rapl:0", "package-0", Counter::constant(100.0))])
}

fn timed(call: impl FnOnce()) -> u64 {
    let before = now();
    call();
    now() - before
}

fn calls() {
    let tree = package();
    let t = tracker(&tree, "");
    let pair = |t: &Tracker| {
        t.begin().unwrap();
        t.end().unwrap();
    };
    row("begin + end, back to back", "ns", (0..1_000_000).map(|_| timed(|| pair(&t))).collect());
    if cfg!(feature = "live") {
        // Nothing accepts the connection, so it hangs, and so does the tracker's thread.
        let service = TcpListener::bind("127.0.0.1:0").unwrap();
        let options = format!("intensity=carbonintensity_gb intensity_url=http://{}", service.local_addr().unwrap());
        let asking = tracker(&tree, &options);
        let connection = service.accept().unwrap();
        row("the same while a live service is asked", "ns", (0..1_000_000).map(|_| timed(|| pair(&asking))).collect());
        row("destroy while a live service is asked", "ns", vec![timed(|| drop(asking.destroy()))]);
        drop(connection);
    }
    let folder = std::env::temp_dir().join(format!("carbontracker-cost-{}", std::process::id()));
    let logged = tracker(&tree, &format!("log_dir={}", folder.display()));
    row("the same with log_dir", "ns", (0..1_000_000).map(|_| timed(|| pair(&logged))).collect());
    logged.destroy();
    let _ = fs::remove_dir_all(folder);
    t.begin().unwrap();
    row("progress", "ns", (1..=1_000_000).map(|n| timed(|| drop(t.progress(n, 1_000_000)))).collect());
    t.end().unwrap();
    value_beside_a_thread();
    let (mut begin, mut end) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        std::thread::sleep(Duration::from_millis(15));
        begin.push(timed(|| drop(t.begin())));
        std::thread::sleep(Duration::from_millis(15));
        end.push(timed(|| drop(t.end())));
    }
    row("begin, the sampler asleep", "ns", begin);
    row("end, the sampler asleep", "ns", end);
    DELAY_US.store(5_000, Ordering::Relaxed);
    let mut slow = Vec::new();
    for n in 0..600 {
        std::thread::sleep(Duration::from_micros(1_000 + 37 * (n % 100)));
        slow.push(timed(|| drop(t.begin())));
        slow.push(timed(|| drop(t.end())));
    }
    row("begin or end, a source taking 5 ms a reading", "ns", slow);
    t.destroy();
}

/// A value waits for the last reading, but not for those of epochs that end meanwhile.
fn value_beside_a_thread() {
    let (t, is_over) = (Tracker::create("sim_cpu=x:10").unwrap().unwrap(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                t.begin().unwrap();
                t.end().unwrap();
            }
        });
        let figures = (0..100).map(|_| timed(|| drop(t.value("/run/epochs_done")))).collect();
        is_over.store(true, Ordering::Relaxed);
        row("value beside a thread that marks epochs all the time", "ns", figures);
    });
    t.destroy();
}

fn create() {
    let tree = package();
    let mut trackers = Vec::new();
    row("create, RAPL", "ns", (0..100).map(|_| timed(|| trackers.push(tracker(&tree, "")))).collect());
    row(
        "create, processor model",
        "ns",
        (0..100).map(|_| timed(|| trackers.push(Tracker::create("").unwrap().unwrap()))).collect(),
    );
    row("destroy", "ns", trackers.into_iter().map(|t| timed(|| drop(t.destroy()))).collect());
}

/// One pass of the sampler over six counters in memory, compared with a loop of raw reads of the same files.
fn sample() {
    let root = PathBuf::from("/dev/shm").join(format!("ct-bench-{}", std::process::id()));
    let mut paths = Vec::new();
    for n in 0..6 {
        let dir = root.join(format!("sys/class/powercap/intel-rapl:{n}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("name"), format!("package-{n}")).unwrap();
        fs::write(dir.join("max_energy_range_uj"), "262143328850").unwrap();
        fs::write(dir.join("energy_uj"), "123456789012\n").unwrap();
        paths.push(dir.join("energy_uj"));
    }
    let options = Options::parse(&format!("sysroot={}", root.display()), |_| None).unwrap();
    let grid = select::choose(&options.carbon, |_| None).unwrap().grid;
    let shared = SharedState::new(RunState::new(grid, 1.0));
    let (_producer, marks) = rtrb::RingBuffer::new(16);
    let (_phase_producer, phase_marks) = rtrb::RingBuffer::new(16);
    let parts = SamplerParts {
        intake: Intake::new(
            Discovery::start(&options.measurement, None, Waker::default()),
            None,
            (options.measurement.clone(), None),
            Waker::default(),
        ),
        waker: Waker::default(),
        marks,
        phase_marks,
        alerts: Alerts::new(options.alerts, options.epochs),
        leases: LeaseManager::new(None, Rank::default(), &options.measurement.sysroot),
        interval: options.interval,
        monitor_epochs: options.monitor_epochs,
        usage: None,
    };
    let mut sampler = Sampler::new(parts, &shared);
    let files: Vec<File> = paths.iter().map(|path| File::open(path).unwrap()).collect();
    let raw = || {
        let mut text = [0u8; 32];
        for file in &files {
            std::hint::black_box(file.read_at(&mut text, 0).unwrap());
        }
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..2_000 {
        std::thread::sleep(Duration::from_micros(100));
        theirs.push(timed(|| (0..20).for_each(|_| raw())) / 20);
        ours.push(timed(|| (0..20).for_each(|_| sampler.read_again(&shared))) / 20);
    }
    let median = |figures: &[u64]| {
        let mut figures = figures.to_vec();
        figures.sort_unstable();
        figures[figures.len() / 2] as f64
    };
    let ratio = median(&ours) / median(&theirs);
    row("a sample of six counters", "ns", ours);
    row("six raw preads of the same files", "ns", theirs);
    println!("{:<58}{ratio:>10.2}", "ratio");
    let held = HeldFile::open(&paths[0]).unwrap();
    let check = || assert!(std::hint::black_box(held.file()).is_some());
    row("the check of a descriptor", "ns", (0..2_000).map(|_| timed(|| (0..20).for_each(|_| check())) / 20).collect());
    fs::remove_dir_all(&root).unwrap();
}

fn value() {
    let tree = package();
    let t = tracker(&tree, "epochs=5000");
    for _ in 0..4_000 {
        t.begin().unwrap();
        t.end().unwrap();
    }
    t.value("/usage/energy_j").unwrap();
    for pointer in ["/usage/energy_j", "/forecast/energy_j/high", "/epochs/3999/duration_s"] {
        row(
            &format!("value {pointer}, 4000 epochs kept"),
            "ns",
            (0..2_000).map(|_| timed(|| drop(t.value(pointer)))).collect(),
        );
    }
    for format in ["json", "html"] {
        let figures = (0..50).map(|_| timed(|| drop(t.report(format)))).collect();
        row(&format!("report {format}, 4000 epochs kept"), "ns", figures);
    }
    t.destroy();
}

/// The sampler thread's CPU time, from the kernel.
fn sampler_share() {
    for (what, options) in [("RAPL", None), ("processor model", Some(""))] {
        let tree = package();
        let t = options.map_or_else(|| tracker(&tree, ""), |options| Tracker::create(options).unwrap().unwrap());
        t.begin().unwrap();
        std::thread::sleep(Duration::from_secs(1));
        let (before, start) = (sampler_ns(), now());
        std::thread::sleep(Duration::from_secs(20));
        let share = (sampler_ns() - before) as f64 / (now() - start) as f64;
        t.end().unwrap();
        t.destroy();
        println!("{:<58}{:>9.4} % of a core", format!("the sampler at its default interval, {what}"), share * 100.0);
    }
}

fn sampler_ns() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let sampler = tasks
        .map(|task| task.path())
        .find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "ct-sampler"));
    let stat = fs::read_to_string(sampler.unwrap().join("schedstat")).unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

fn memory() {
    let tree = package();
    let t = tracker(&tree, "");
    let before = own_bytes();
    let start = os::monotonic_ns();
    for (upto, from) in [(2_000_000u64, 0u64), (10_000_000, 2_000_000)] {
        for _ in from..upto {
            t.begin().unwrap();
            t.end().unwrap();
        }
        let counted = t.value("/run/epochs_done").unwrap();
        println!(
            "{:<58}{:>9.2} MB more, {counted} counted, {:.1} s",
            format!("{upto} epochs"),
            own_bytes().saturating_sub(before) as f64 / 1e6,
            os::monotonic_ns().s_since(start)
        );
    }
    t.destroy();
}

/// The journal of a million epochs, and how long it takes to read.
fn files() {
    const EPOCHS: u64 = 1_000_000;
    let folder = std::env::temp_dir().join(format!("carbontracker-files-{}", std::process::id()));
    let options = format!("sim_cpu=A:50 job=off epochs={EPOCHS} log_dir={}", folder.display());
    let t = Tracker::create(&options).unwrap().unwrap();
    for epoch in 0..EPOCHS {
        t.begin().unwrap();
        if epoch % 1000 == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        t.end().unwrap();
    }
    row("report json, a million epochs", "ns", vec![timed(|| drop(t.report("json")))]);
    t.destroy();
    let files = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let journal = files.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "jsonl")).unwrap();
    let took = timed(|| drop(std::hint::black_box(run_files::read(&journal).unwrap())));
    let megabytes = fs::metadata(&journal).unwrap().len() as f64 / 1e6;
    println!("{:<58}{megabytes:>9.2} MB, read in {:.2} s", "the journal of a million epochs", took as f64 * 1e-9);
    fs::remove_dir_all(folder).unwrap();
}
