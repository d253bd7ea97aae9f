//! A world from one seed: its machine, processes and events.

mod events;
mod hazards;
mod running;

use crate::application::{End, Plan, Truth};
use crate::check;
use crate::check_more;
use crate::device::{Device, Devices, Meter, SharedKernel};
use crate::disk::Disk;
use crate::grid::{Grid, Web};
use crate::kernel::{BEGIN, Kernel};
use crate::memory::Watch;
use crate::world::Simulated;
use crate::{END, Ending, new_folder};
use carbontracker::measurement::channel::DeviceKind;
use carbontracker::measurement::source_name::SourceName;
use carbontracker::os::world::enter;
use fastrand::Rng;
use std::rc::Rc;

pub use running::Running;

const MS: u64 = 1_000_000;
const S: u64 = 1_000_000_000;
const HOUR: u64 = 3600 * S;
const DAY: u64 = 24 * HOUR;

/// What is particular about a world, and how strict its checks can be.
#[derive(Clone, Debug, Default)]
pub struct Traits {
    /// Powers change while the world runs.
    pub varies: bool,
    /// A meter has a fault.
    pub has_meter_faults: bool,
    /// The disk is full or fails for a while.
    pub has_disk_faults: bool,
    /// A power cut ends all processes.
    pub has_power_cut: bool,
    /// Processes are killed.
    pub has_kills: bool,
    /// Number of ranks.
    pub ranks: u32,
    /// The run is resumed after a kill.
    pub resumes: bool,
    /// Segments of shared memory are refused with this error of the system from the start.
    pub refused: Option<i32>,
    /// Another program cuts the journal short.
    pub has_cuts: bool,
    /// A second process asks for the run while the first works on it.
    pub has_rival: bool,
}

/// An event of the world.
#[derive(Clone, Debug)]
enum Event {
    /// Kills the process of a rank.
    Kill(usize),
    /// The process of a rank runs another program, which makes a tracker or not.
    Exec(usize, bool),
    /// Stops a rank for a time, ns.
    Stop(usize, u64),
    /// Sets the date, s.
    SetDate(f64),
    /// The machine sleeps, ns.
    Suspend(u64),
    /// The disk has no room.
    Fill,
    /// The disk has room again.
    Free,
    /// All operations of the disk fail, or work again.
    Fail(bool),
    /// The power is cut. The machine boots again.
    CutPower,
    /// Segments are refused with this error of the system, or given again.
    Refuse(Option<i32>),
    /// Another program cuts the journal short.
    CutFile,
    /// A second process of the run starts.
    Rival,
    /// The application closes its files: the locks on the journals are gone.
    LoseLocks,
}

/// A generated world.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub traits: Traits,
    pub parts: Vec<Device>,
    pub gpus: Vec<Device>,
    pub stand_ins: Vec<Device>,
    driver_ns: u64,
    discovery_ns: u64,
    latency_ns: u64,
    kill_at_write: u64,
    late_ns: u64,
    /// One plan a rank.
    plans: Vec<Plan>,
    has_files: bool,
    grid: Option<Grid>,
    /// Events and the time before each, ns.
    events: Vec<(u64, Event)>,
}

/// The result of a world.
pub struct Outcome {
    /// What is wrong.
    pub failure: Option<String>,
    /// The time that passed in the world, ns.
    pub simulated_ns: u64,
    /// The most memory that the world held, bytes for each life of a process.
    pub most_bytes: u64,
    /// What was true of each process, with its rank.
    pub lives: Vec<(usize, Truth)>,
    /// The journals of a world in which something is wrong.
    pub journals: Vec<String>,
}

fn device(rng: &mut Rng, kind: DeviceKind, name: String, traits: &Traits, span_ns: u64) -> Device {
    let is_counter = kind != DeviceKind::Gpu || rng.bool();
    let watts = rng.f64() * 180.0 + 15.0;
    let mut power = vec![(0, watts)];
    let mut at = BEGIN;
    while traits.varies && power.len() < 50 {
        at += rng.u64(S..(span_ns / 5).max(2 * S));
        power.push((at, rng.f64() * 180.0 + 15.0));
    }
    let mut faults = Vec::new();
    if traits.has_meter_faults && rng.u8(..3) > 0 {
        let from = BEGIN + rng.u64(0..span_ns);
        let fault = match rng.u8(..6) {
            0 => Meter::Stalls,
            1 if is_counter => Meter::Restarts,
            2 if !is_counter => Meter::Absurd,
            3 if kind == DeviceKind::Gpu => Meter::Hangs,
            4 => Meter::Lost,
            _ => Meter::Stalls,
        };
        faults.push((from, fault));
        if rng.bool() || fault == Meter::Hangs {
            faults.push((from + rng.u64(S / 10..span_ns.max(S)), Meter::Works));
        }
    }
    Device {
        kind,
        name,
        source: match kind {
            DeviceKind::Gpu => SourceName::Nvml,
            _ => SourceName::Rapl,
        },
        power,
        joules_per_unit: is_counter.then_some(if kind == DeviceKind::Gpu { 1e-3 } else { 1e-6 }),
        range: (is_counter && kind != DeviceKind::Gpu).then_some(if rng.bool() {
            262_143_328_850
        } else {
            65_532_610_987
        }),
        step_ns: if rng.bool() { MS } else { rng.u64(MS..100 * MS) },
        latency_ns: if rng.u8(..3) == 0 { rng.u64(0..20 * MS) } else { 10_000 },
        faults,
        max_watts: 700.0,
    }
}

/// The longest time of an epoch, ns. Most runs are short, so that many worlds take little time. Most hours are in long
/// runs.
fn longest_epoch(rng: &mut Rng) -> u64 {
    match rng.u32(..1000) {
        0..450 => 50 * MS,
        450..850 => S,
        850..988 => 60 * S,
        988..992 => HOUR,
        _ => DAY,
    }
}

/// The interval of the option, s. Long runs have long ones.
fn interval(rng: &mut Rng, span_ns: u64) -> f64 {
    let intervals = [0.1_f64, 1.0, 1.0, 10.0, 60.0];
    let interval = intervals.get(rng.usize(..intervals.len())).copied().unwrap_or(1.0);
    match span_ns {
        ..=HOUR => interval,
        ..=DAY => interval.max(10.0),
        _ => interval.max(60.0),
    }
}

impl Scenario {
    /// The world of a seed.
    pub fn new(seed: u64) -> Scenario {
        let mut rng = Rng::with_seed(seed ^ 0x5eed);
        let rng = &mut rng;
        let one_in = |rng: &mut Rng, of: u8| rng.u8(..of) == 0;
        let longest = longest_epoch(rng);
        // A journal has a line a minute. So a long run with files takes twenty times as long to simulate.
        let has_files = one_in(rng, if longest == DAY { 16 } else { 2 });
        // The time of a long run is simulated for each rank, so it has few.
        let most_ranks = if one_in(rng, 4) && longest < DAY { 8 } else { 3 };
        let ranks = if one_in(rng, 3) { rng.u32(2..=most_ranks) } else { 1 };
        let resumes = has_files && ranks == 1 && one_in(rng, 2);
        let traits = Traits {
            varies: one_in(rng, 3),
            has_meter_faults: one_in(rng, 3),
            has_disk_faults: has_files && one_in(rng, 4),
            has_power_cut: resumes && one_in(rng, 4),
            has_kills: (ranks > 1 || resumes) && rng.bool(),
            ranks,
            resumes,
            ..Traits::default()
        };
        let most_epochs = if one_in(rng, 8) { 40 } else { 12 };
        let epochs = rng.u64(1..=most_epochs);
        let gap_ns = if rng.bool() { longest / 4 } else { 0 };
        let span_ns = epochs * (longest + gap_ns);
        let parts = (0..rng.u32(0..=2)).map(|n| device(rng, DeviceKind::Cpu, format!("package-{n}"), &traits, span_ns));
        let parts: Vec<Device> = parts.collect();
        let gpus = (0..if one_in(rng, 2) { rng.u32(1..=3) } else { 0 })
            .map(|n| device(rng, DeviceKind::Gpu, format!("GPU-{n}"), &traits, span_ns))
            .collect();
        let interval = interval(rng, span_ns);
        let mut options = format!("interval={interval} location=DK epochs={}", if rng.bool() { epochs } else { 0 });
        if ranks == 1 && rng.bool() {
            options += " job=off";
        }
        let grid = Grid::new(seed, BEGIN, span_ns).inspect(|grid| grid.choose(&mut options));
        if resumes {
            options += " resume=FOLDER";
        } else if has_files {
            options += " log_dir=FOLDER";
        }
        let plan = |rng: &mut Rng| Plan {
            options: options.clone(),
            delay_ns: if ranks > 1 { rng.u64(0..span_ns.clamp(S, 30 * S)) } else { 0 },
            epochs: if ranks > 1 { rng.u64(1..=epochs) } else { epochs },
            epoch_ns: (rng.u64(0..=longest / 2), longest),
            gap_ns,
            oddity: if one_in(rng, 3) { 4 } else { 0 },
            end: if one_in(rng, 4) { End::Exits } else { End::Destroys },
            phases: None,
        };
        let plans = (0..ranks).map(|_| plan(rng)).collect();
        let mut events = Vec::new();
        let mut add = |rng: &mut Rng, event: Event| events.push((rng.u64(0..span_ns.max(2)), event));
        if traits.has_kills {
            for _ in 0..rng.u32(1..=3) {
                let rank = rng.usize(..ranks as usize);
                add(rng, Event::Kill(rank));
            }
        }
        if one_in(rng, 6) {
            let event = Event::Stop(rng.usize(..ranks as usize), rng.u64(0..30 * S));
            add(rng, event);
        }
        if one_in(rng, 6) {
            let by_s = (rng.f64() - 0.5) * 1e5;
            add(rng, Event::SetDate(by_s));
        }
        if one_in(rng, 8) {
            let ns = rng.u64(S..36_000 * S);
            add(rng, Event::Suspend(ns));
        }
        if traits.has_disk_faults {
            let (begin, end) =
                if rng.bool() { (Event::Fill, Event::Free) } else { (Event::Fail(true), Event::Fail(false)) };
            add(rng, begin);
            add(rng, end);
        }
        if traits.has_power_cut {
            add(rng, Event::CutPower);
        }
        events::finish(&mut events, events::exec(rng, seed, &traits, (longest, span_ns)));
        let scenario = Scenario {
            seed,
            parts,
            gpus,
            stand_ins: Vec::new(),
            driver_ns: if one_in(rng, 3) { rng.u64(0..10 * S) } else { MS },
            discovery_ns: if one_in(rng, 8) { rng.u64(0..3 * S) } else { 100_000 },
            latency_ns: if one_in(rng, 4) { rng.u64(0..500 * MS) } else { 0 },
            kill_at_write: if traits.has_kills && resumes { rng.u64(0..40) } else { 0 },
            late_ns: if ranks > 1 && one_in(rng, 3) { rng.u64(MS..100 * MS) } else { 0 },
            plans,
            has_files,
            grid,
            events,
            traits,
        };
        hazards::add(scenario, span_ns)
    }

    /// The longest time from a process's start until all its meters are open and read, ns.
    pub fn opening_ns(&self) -> u64 {
        let latencies: u64 = self.devices().map(|device| device.latency_ns).sum();
        // Two threads take part, and each may get the processor late.
        self.driver_ns + self.discovery_ns + 2 * self.late_ns + self.stops_ns() + latencies
    }

    /// Whether the operations of the disk may take more time than the end of a process has.
    pub fn has_slow_disk(&self) -> bool {
        self.latency_ns > 20 * MS
    }

    /// How a rank ends.
    pub fn end(&self, rank: usize) -> Option<End> {
        self.plans.get(rank).map(|plan| plan.end)
    }

    /// Whether a rank is stopped for a while.
    pub fn stops(&self) -> bool {
        self.events.iter().any(|(_, event)| matches!(event, Event::Stop(..)))
    }

    /// All devices.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.parts.iter().chain(&self.gpus).chain(&self.stand_ins)
    }

    /// The longest time between two good readings of a meter without faults, s.
    pub fn longest_gap_s(&self) -> f64 {
        let pass_ns: u64 = self.devices().map(|device| device.latency_ns).sum();
        let intervals = self.plans.iter().flat_map(|plan| plan.options.split(' '));
        let intervals = intervals.filter_map(|option| option.strip_prefix("interval=")?.parse::<f64>().ok());
        let hangs_ns: u64 = self.devices().map(Device::hangs_ns).sum();
        // The thread that asks and the one that reads may each get the processor late.
        let late_ns = 2 * (pass_ns + self.late_ns);
        intervals.fold(0.0, f64::max) + (self.stops_ns() + hangs_ns + late_ns) as f64 * 1e-9
    }

    fn machine(&self, kernel: &Rc<Kernel>) -> Devices {
        Devices {
            kernel: SharedKernel(Rc::clone(kernel)),
            parts: self.parts.clone(),
            gpus: self.gpus.clone(),
            stand_ins: self.stand_ins.clone(),
            driver_ns: self.driver_ns,
            discovery_ns: self.discovery_ns,
        }
    }

    /// Runs the world and checks it.
    pub fn run(self) -> Outcome {
        let watch = Watch::begin();
        let kernel = Rc::new(Kernel::new(self.seed));
        let web = Rc::new(Web::new(self.grid.clone()));
        let disk = Rc::new(Disk::new(new_folder()).expect("a folder in memory"));
        let _ending = Ending(Rc::clone(&kernel), Rc::clone(&disk));
        disk.latency_ns.set(self.latency_ns);
        disk.kill_at_write.set(self.kill_at_write);
        let (of_kernel, of_disk, of_web) = (Rc::clone(&kernel), Rc::clone(&disk), Rc::clone(&web));
        let _entered = enter(Rc::new(Simulated { kernel: of_kernel, disk: of_disk, web: of_web }));
        kernel.late_ns.set(self.late_ns);
        kernel.refused.set(self.traits.refused);
        let began = kernel.now();
        let lives = Default::default();
        let world = Rc::new(Running { scenario: self, kernel: Rc::clone(&kernel), disk, web, lives });
        for rank in 0..world.scenario.plans.len() {
            world.start(rank);
        }
        let supervisor = Rc::clone(&world);
        kernel.start(Vec::new(), move || supervisor.supervise());
        kernel.run(END);
        let most_bytes = watch.most() / world.lives.borrow().len().max(1) as u64;
        let failure =
            kernel.failure().or_else(|| check::all(&world).and_then(|()| check_more::memory(&world, most_bytes)).err());
        let lives = world.lives.borrow().iter().map(|(rank, noted)| (*rank, noted.borrow().clone())).collect();
        let journals = if failure.is_some() { world.disk.journals() } else { Vec::new() };
        Outcome { failure, simulated_ns: kernel.now() - began, most_bytes, lives, journals }
    }
}
