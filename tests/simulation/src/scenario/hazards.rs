//! What was added to the worlds later: phases, and hazards that few worlds have. These are no shared memory, a journal
//! that another program cuts, and a second process of one run.

use super::{Event, Scenario};
use crate::phases::PhasePlan;
use fastrand::Rng;

/// Adds the hazards and the phases of the seed. Hazards have a generator of their own, so they change no other part of
/// a world.
pub fn add(mut world: Scenario, span_ns: u64) -> Scenario {
    let mut rng = Rng::with_seed(world.seed ^ 0x4a7a4d);
    let rng = &mut rng;
    let one_in = |rng: &mut Rng, of: u8| rng.u8(..of) == 0;
    let mut add = |rng: &mut Rng, event: Event| world.events.push((rng.u64(0..span_ns.max(2)), event));
    let traits = &mut world.traits;
    if one_in(rng, 8) {
        traits.refused = Some(if rng.bool() { libc::ENOSPC } else { libc::ENOSYS });
        // A job whose ranks find memory only later counts twice: its first rank counts alone already.
        if traits.ranks == 1 && rng.bool() {
            add(rng, Event::Refuse(None));
        }
    }
    let is_quiet = !traits.has_kills && !traits.has_disk_faults && !traits.has_power_cut && traits.ranks == 1;
    if world.has_files && is_quiet && !traits.resumes && one_in(rng, 3) {
        traits.has_cuts = true;
        (0..rng.u32(1..=3)).for_each(|_| add(rng, Event::CutFile));
    }
    if is_quiet && traits.resumes && traits.refused.is_none() && one_in(rng, 3) {
        traits.has_rival = true;
        (0..rng.u32(1..=2)).for_each(|_| add(rng, Event::Rival));
        (0..rng.u32(0..=2)).for_each(|_| add(rng, Event::LoseLocks));
    }
    world.events.sort_by_key(|(at, _)| *at);
    add_phases(&mut world);
    world
}

/// In half of the worlds the ranks mark phases, by a generator of their own.
fn add_phases(world: &mut Scenario) {
    let mut rng = Rng::with_seed(world.seed ^ 0x9a5e);
    if rng.bool() {
        return;
    }
    let names = [1, 3, 20, 400][rng.usize(..4)];
    let (is_unbalanced, is_outside) = (rng.u8(..3) == 0, rng.bool());
    // A long run has many more readings, and each pair of long phases asks for more of them.
    let most_marks = [2, 10, 60, 600][rng.usize(..4)];
    for plan in &mut world.plans {
        let seed = rng.u64(..);
        if rng.u8(..8) > 0 {
            plan.phases = Some(PhasePlan { seed, names, most_marks, is_unbalanced, is_outside });
        }
    }
}
