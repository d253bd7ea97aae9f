//! Simulated machines, processes, disks and grids, made from one seed. The library runs in them unchanged.
//!
//! `kernel.rs` has time, threads, processes, shared memory and locks; `disk.rs` the disk; `device.rs` the meters;
//! `grid.rs` the web services of carbon intensity. `world.rs` answers the library's folder `os`.

pub mod application;
pub mod check;
pub mod check_more;
pub mod device;
pub mod disk;
pub mod grid;
pub mod grid_check;
pub mod kernel;
pub mod memory;
pub mod phases;
pub mod scenario;
pub mod world;

use carbontracker::os::world::enter;
use disk::Disk;
use grid::Web;
use kernel::Kernel;
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The latest instant that a world may reach, ns since boot.
const END: u64 = 200 * 365 * 24 * 3600 * 1_000_000_000;

/// A new folder in memory for a world.
pub fn new_folder() -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    base.join(format!("ct-world-{}-{number}", std::process::id()))
}

/// Runs `body` in one process of a simulated machine, in virtual time, and returns its result. The library's threads
/// run as coroutines beside it. `body` waits with [`pause`]. Fails as `body` fails.
pub fn in_virtual_time<R: 'static>(seed: u64, body: impl FnOnce(&Rc<Kernel>) -> R + 'static) -> R {
    in_process(seed, Vec::new(), body)
}

/// Like [`in_virtual_time`], with these environment variables of the process.
pub fn in_process<R: 'static>(
    seed: u64,
    variables: Vec<(String, String)>,
    body: impl FnOnce(&Rc<Kernel>) -> R + 'static,
) -> R {
    on_a_machine(seed, variables, |kernel, _| body(kernel))
}

/// Like [`in_process`]. `body` also gets the machine's disk.
pub fn on_a_machine<R: 'static>(
    seed: u64,
    variables: Vec<(String, String)>,
    body: impl FnOnce(&Rc<Kernel>, &Rc<Disk>) -> R + 'static,
) -> R {
    on_the_web(seed, variables, Rc::default(), body)
}

/// Like [`on_a_machine`], with these web services.
pub fn on_the_web<R: 'static>(
    seed: u64,
    variables: Vec<(String, String)>,
    web: Rc<Web>,
    body: impl FnOnce(&Rc<Kernel>, &Rc<Disk>) -> R + 'static,
) -> R {
    let kernel = Rc::new(Kernel::new(seed));
    let disk = Rc::new(Disk::new(new_folder()).expect("a folder in memory"));
    let _ending = Ending(Rc::clone(&kernel), Rc::clone(&disk));
    let _entered = enter(Rc::new(world::Simulated { kernel: Rc::clone(&kernel), disk: Rc::clone(&disk), web }));
    let result = Rc::new(RefCell::new(None));
    let (to, inside) = (Rc::clone(&result), Rc::clone(&kernel));
    kernel.start(variables, move || *to.borrow_mut() = Some(body(&inside, &disk)));
    kernel.run(END);
    if let Some(failure) = kernel.failure() {
        panic!("{failure}");
    }
    let result = result.borrow_mut().take();
    result.expect("the body waits for ever")
}

/// Ends a machine when it is dropped: its threads and its disk. What a killed process owns is never dropped, so it
/// would keep both.
pub(crate) struct Ending(pub Rc<Kernel>, pub Rc<Disk>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
        self.1.end();
    }
}

/// Sleeps in virtual time, inside a world.
pub fn pause(time: Duration) {
    carbontracker::os::pause(time);
}
