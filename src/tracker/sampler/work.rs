//! The run's progress enters the state.

use crate::coordination::device_lease::{LeaseManager, LeaseState};
use crate::forecast::run_progress::WorkMark;
use crate::state::RunState;

/// Enters the run's first progress, if this is the first look, and its newest one. A piece that ends or begins there is
/// published.
pub fn enter(
    state: &mut RunState,
    [first, newest]: [Option<WorkMark>; 2],
    has_marks: bool,
    (leases, manager): (&[LeaseState], &LeaseManager),
) {
    if first.is_some() {
        state.enter_work(first, has_marks, leases);
    }
    if state.enter_work(newest, has_marks, leases) {
        publish_piece(manager, newest);
    }
}

/// Shows other processes of the job that this one works, although it marks no epochs.
fn publish_piece(leases: &LeaseManager, work: Option<WorkMark>) {
    let Some((published, work)) = leases.state().zip(work) else { return };
    published.end(Some(work.at));
    if work.done < work.total {
        published.begin(work.at);
    }
}
