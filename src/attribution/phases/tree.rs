//! The phases of a run by their names and by the phases around them: a tree that only grows.
//!
//! The application's thread adds phases. Other threads read them without a lock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most phases of a run, with the three that are there from the start.
pub const MAX_PHASES: usize = 256;
/// Outside epochs and outside phases.
pub const OUTSIDE: usize = 0;
/// In an epoch and outside phases.
pub const IN_EPOCH: usize = 1;
/// Phases for which the tree has no room.
pub const OTHER: usize = 2;

/// A phase in its place.
#[derive(Debug)]
pub struct Phase {
    /// The phase around it.
    pub parent: usize,
    /// Its name.
    pub name: Box<str>,
}

/// All phases of a run.
#[derive(Debug)]
pub struct PhaseTree {
    phases: Box<[OnceLock<Phase>]>,
    used: AtomicUsize,
}

impl Default for PhaseTree {
    fn default() -> Self {
        let tree = PhaseTree {
            phases: std::iter::repeat_with(OnceLock::new).take(MAX_PHASES).collect(),
            used: AtomicUsize::new(0),
        };
        for name in ["", "", "other"] {
            tree.add(OUTSIDE, name);
        }
        tree
    }
}

impl PhaseTree {
    /// Number of phases.
    pub fn count(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    /// A phase by its number.
    pub fn get(&self, phase: usize) -> Option<&Phase> {
        self.phases.get(phase)?.get()
    }

    /// The number of the phase of this name in `parent`. It is added if it is new and there is room. `likely` is the
    /// number to try first. Only one thread calls it at a time.
    pub fn find(&self, parent: usize, name: &str, likely: usize) -> usize {
        let is_it = |phase: usize| self.get(phase).is_some_and(|one| one.parent == parent && &*one.name == name);
        if parent == OTHER {
            return OTHER;
        }
        if is_it(likely) && likely > OTHER {
            return likely;
        }
        let known = (OTHER + 1..self.count()).find(|phase| is_it(*phase));
        known.or_else(|| self.add(parent, name)).unwrap_or(OTHER)
    }

    fn add(&self, parent: usize, name: &str) -> Option<usize> {
        let number = self.count();
        self.phases.get(number)?.set(Phase { parent, name: name.into() }).ok()?;
        self.used.store(number + 1, Ordering::Release);
        Some(number)
    }

    /// The names from the outermost phase to this one, and whether it is in an epoch.
    pub fn path(&self, phase: usize) -> (Vec<&str>, bool) {
        let (mut names, mut at) = (Vec::new(), phase);
        while let Some(one) = self.get(at).filter(|_| at > IN_EPOCH) {
            names.push(&*one.name);
            at = one.parent;
        }
        names.reverse();
        (names, at == IN_EPOCH)
    }

    /// Whether `inner` is `outer` or lies within it.
    pub fn is_within(&self, inner: usize, outer: usize) -> bool {
        let mut at = inner;
        while at != outer && at > IN_EPOCH {
            at = self.get(at).map_or(OUTSIDE, |one| one.parent);
        }
        at == outer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phase_is_found_by_name_and_place() {
        let tree = PhaseTree::default();
        let step = tree.find(IN_EPOCH, "step", OUTSIDE);
        let solve = tree.find(step, "solve", step);
        assert_eq!(tree.find(IN_EPOCH, "step", solve), step);
        assert_ne!(tree.find(OUTSIDE, "solve", solve), solve, "another place");
        assert_eq!(tree.path(solve), (vec!["step", "solve"], true));
        assert!(tree.is_within(solve, step) && tree.is_within(solve, IN_EPOCH) && !tree.is_within(step, solve));
    }

    #[test]
    fn phases_without_room_are_other() {
        let tree = PhaseTree::default();
        for n in 0..1_000 {
            tree.find(OUTSIDE, &n.to_string(), OUTSIDE);
        }
        assert_eq!(tree.count(), MAX_PHASES);
        assert_eq!(tree.find(IN_EPOCH, "late", OUTSIDE), OTHER);
        assert_eq!(tree.find(OTHER, "inner", OUTSIDE), OTHER);
        assert_eq!(tree.path(OTHER), (vec!["other"], false));
    }
}
