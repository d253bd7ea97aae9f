//! Decides whether a process takes a device. Pure.

use super::record::{Member, MemberState};
use crate::clock::MonoNs;

/// An owner without an open epoch loses the device to a process in an epoch after this time, ns.
const MAX_IDLE_NS: u64 = 1_000_000_000;
/// A lower rank takes the device from a higher rank only if that would lose less than this time, ns, at a kill.
const MAX_UNSETTLED_NS: u64 = 100_000_000;
/// A shorter time that is not settled does not justify a change of owner, ns.
const MIN_GAIN_NS: u64 = 1_000_000;
/// Processes whose first readings are within this time count as equal, ns.
const SAME_START_NS: u64 = 20_000_000;

/// The current owner of a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LeaseHolder {
    /// There is none. The time up to here is settled.
    Vacant(MonoNs),
    /// A process that was killed. Reports and its journal have the energy up to here.
    Dead(MonoNs),
    /// A living process. It has counted from the first instant on and has settled the time up to the second.
    Living(Member, MonoNs, MonoNs),
}

/// The process that may take the device.
#[derive(Clone, Copy, Debug)]
pub struct LeaseRequester {
    /// Its entry in the record.
    pub member: Member,
    /// Its newest end of an epoch. None: it has none.
    pub ended: Option<MonoNs>,
    /// A report of it is requested, or it is about to end.
    pub is_requested: bool,
}

/// The instant from which the requester counts the device. None: it does not take it. `others` are the other processes
/// that would count the device; some may be dead. They matter only if the owner does not live or is idle.
pub fn take(
    requester: &LeaseRequester,
    holder: LeaseHolder,
    others: impl Iterator<Item = Member>,
    is_alive: &dyn Fn(&Member) -> bool,
    now: MonoNs,
) -> Option<MonoNs> {
    let is_open = matches!(requester.member.state, MemberState::Open(_));
    let needs = |settled: MonoNs| is_open || requester.ended > Some(settled + MIN_GAIN_NS);
    // A process whose last epoch has just ended counts it by its next report. Later it may look no more.
    let has_just_ended = |other: &Member, settled: MonoNs| match other.state {
        MemberState::Ended(Some(ended)) => ended > settled + MIN_GAIN_NS && now <= ended + MAX_IDLE_NS,
        _ => false,
    };
    let is_in_epoch = |other: &Member| matches!(other.state, MemberState::Open(_));
    match holder {
        LeaseHolder::Vacant(settled) | LeaseHolder::Dead(settled) => {
            // A process that has read the device since then loses nothing. Among these the lowest rank takes it, so
            // that no later change of owner is needed.
            let loss = |member: &Member| member.since.ns_since(settled) / SAME_START_NS;
            let rank = |member: &Member| member.rank.unwrap_or(u64::MAX);
            let ours = (loss(&requester.member), rank(&requester.member));
            let may_take =
                |other: &Member| is_in_epoch(other) || !requester.is_requested && has_just_ended(other, settled);
            let mut better =
                others.filter(|other| may_take(other) && (loss(other), rank(other)) < ours && is_alive(other));
            (needs(settled) && better.next().is_none()).then_some(settled)
        }
        LeaseHolder::Living(holder, begun, settled) => {
            // The lowest rank usually prints the report, so it should count. The other process keeps its energy that is
            // not settled, and a kill would lose it, so it must be little.
            let is_lower = requester.member.rank.zip(holder.rank).is_some_and(|(ours, theirs)| ours < theirs);
            let is_before = is_lower && settled <= begun.max(requester.member.since) + MAX_UNSETTLED_NS;
            match holder.state {
                MemberState::Ended(ended) => {
                    let counted = settled.max(ended.unwrap_or_default());
                    let settled = counted.max(requester.member.since);
                    let is_due = requester.is_requested && needs(settled);
                    let is_idle = now > settled + MAX_IDLE_NS;
                    // This process has not read what the other one has, so that energy would be lost.
                    let has_more = |other: Member| {
                        let is_earlier = other.since + SAME_START_NS < requester.member.since;
                        is_earlier && (is_in_epoch(&other) || has_just_ended(&other, counted)) && is_alive(&other)
                    };
                    (is_due || is_open && (is_idle || is_before && !{ others }.any(has_more))).then_some(settled)
                }
                // No epoch of the owner has the energy since its last end.
                MemberState::Open(_) => (is_open && is_before).then_some(settled.max(requester.member.since)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn requester(state: MemberState, ended: Option<MonoNs>, is_requested: bool) -> LeaseRequester {
        LeaseRequester {
            member: Member { rank: Some(1), since: MonoNs(S), state, ..Member::default() },
            ended,
            is_requested,
        }
    }

    fn holder(rank: u64, state: MemberState) -> LeaseHolder {
        LeaseHolder::Living(Member { rank: Some(rank), state, ..Member::default() }, MonoNs(S), MonoNs(2 * S))
    }

    #[test]
    fn free_device_is_taken_by_a_process_in_an_epoch_or_with_unsettled_time() {
        let take =
            |requester: LeaseRequester, holder| take(&requester, holder, std::iter::empty(), &|_| true, MonoNs(9 * S));
        let (open, ended) = (MemberState::Open(MonoNs(3 * S)), MemberState::Ended(Some(MonoNs(4 * S))));
        for holder in [LeaseHolder::Vacant(MonoNs(2 * S)), LeaseHolder::Dead(MonoNs(2 * S))] {
            assert_eq!(take(requester(open, None, false), holder), Some(MonoNs(2 * S)));
            assert_eq!(take(requester(ended, Some(MonoNs(4 * S)), false), holder), Some(MonoNs(2 * S)));
            assert_eq!(
                take(requester(ended, Some(MonoNs(2 * S)), true), holder),
                None,
                "all of its epochs are settled"
            );
        }
    }

    #[test]
    fn after_a_kill_the_process_that_loses_least_comes_first_then_the_lowest_rank() {
        let other = |rank, since, state| Member { rank: Some(rank), since: MonoNs(since), state, ..Member::default() };
        let requester = requester(MemberState::Open(MonoNs(3 * S)), None, true);
        let take_beside = |other, lives, from| {
            take(&requester, LeaseHolder::Dead(MonoNs(from)), [other].into_iter(), &|_| lives, MonoNs(9 * S))
        };
        let take = |other| take_beside(other, true, S / 4);
        assert_eq!(take(other(2, S / 2, MemberState::Open(MonoNs(S)))), None, "it has read for longer");
        assert_eq!(
            take(other(2, S / 2, MemberState::Ended(Some(MonoNs(S))))),
            Some(MonoNs(S / 4)),
            "it may look no more"
        );
        assert_eq!(
            take_beside(other(2, S / 2, MemberState::Open(MonoNs(S))), false, S / 4),
            Some(MonoNs(S / 4)),
            "it is dead too"
        );
        assert_eq!(
            take_beside(other(2, S / 2, MemberState::Open(MonoNs(S))), true, 2 * S),
            Some(MonoNs(2 * S)),
            "both lose nothing"
        );
        assert_eq!(
            take_beside(other(0, S + 5, MemberState::Open(MonoNs(S))), true, 2 * S),
            None,
            "it is the lower rank"
        );
        assert_eq!(take(other(0, 2 * S, MemberState::Open(MonoNs(S)))), Some(MonoNs(S / 4)), "but would lose a second");
    }

    #[test]
    fn owner_without_an_epoch_yields_at_once_to_a_request() {
        let take = |requester: LeaseRequester, state| {
            take(&requester, holder(0, state), std::iter::empty(), &|_| true, MonoNs(3 * S))
        };
        let ended = requester(MemberState::Ended(Some(MonoNs(4 * S))), Some(MonoNs(4 * S)), true);
        assert_eq!(take(ended, MemberState::Ended(Some(MonoNs(3 * S)))), Some(MonoNs(3 * S)));
        assert_eq!(take(ended, MemberState::Ended(Some(MonoNs(S)))), Some(MonoNs(2 * S)), "as far as its reports go");
        assert_eq!(take(ended, MemberState::Open(MonoNs(3 * S))), None, "it counts that too");
        assert_eq!(
            take(LeaseRequester { is_requested: false, ..ended }, MemberState::Ended(Some(MonoNs(3 * S)))),
            None
        );
    }

    #[test]
    fn idle_owner_yields() {
        let open = requester(MemberState::Open(MonoNs(3 * S)), None, false);
        let take = |now| {
            take(&open, holder(0, MemberState::Ended(Some(MonoNs(2 * S)))), std::iter::empty(), &|_| true, MonoNs(now))
        };
        assert_eq!((take(3 * S), take(3 * S + 1)), (None, Some(MonoNs(2 * S))));
    }

    #[test]
    fn process_waits_for_another_that_has_read_time_of_no_owner() {
        let open = requester(MemberState::Open(MonoNs(3 * S)), None, false);
        let open = LeaseRequester { member: Member { since: MonoNs(3 * S), ..open.member }, ..open };
        let idle = holder(2, MemberState::Ended(Some(MonoNs(2 * S))));
        let take = |holder, other, lives, now| take(&open, holder, [other].into_iter(), &|_| lives, MonoNs(now));
        let other = |state| Member { rank: Some(3), since: MonoNs(S), state, ..Member::default() };
        let end = 2 * S + S / 2;
        let ended = other(MemberState::Ended(Some(MonoNs(end))));
        for (holder, from) in [(idle, 3 * S), (LeaseHolder::Vacant(MonoNs(2 * S)), 2 * S)] {
            let taken = Some(MonoNs(from));
            assert_eq!(take(holder, ended, true, 3 * S), None, "its epoch ended after the owner's");
            assert_eq!(take(holder, other(MemberState::Open(MonoNs(S))), true, 3 * S), None, "it is in an epoch");
            assert_eq!(take(holder, ended, true, end + S + 1), taken, "it may look no more");
            assert_eq!(take(holder, ended, false, 3 * S), taken, "it is dead");
            let settled = other(MemberState::Ended(Some(MonoNs(2 * S))));
            assert_eq!(take(holder, settled, true, 3 * S), taken, "the owner has its time");
            let later = Member { since: MonoNs(3 * S + 1), ..ended };
            assert_eq!(take(holder, later, true, 3 * S), taken, "it has read nothing earlier");
        }
    }

    #[test]
    fn lowest_rank_in_an_epoch_comes_first() {
        let open = requester(MemberState::Open(MonoNs(3 * S)), None, false);
        let take_at = |rank, state, settled| {
            let holder = LeaseHolder::Living(
                Member { rank: Some(rank), state, ..Member::default() },
                MonoNs(S / 2),
                MonoNs(settled),
            );
            take(&open, holder, std::iter::empty(), &|_| true, MonoNs(3 * S))
        };
        let take = |rank, state| take_at(rank, state, S + 7);
        assert_eq!(take(2, MemberState::Open(MonoNs(3 * S))), Some(MonoNs(S + 7)), "from its last end on");
        assert_eq!(
            take_at(2, MemberState::Open(MonoNs(3 * S)), S / 2),
            Some(MonoNs(S)),
            "its own first begin is later"
        );
        assert_eq!(take(2, MemberState::Ended(Some(MonoNs(S + 9)))), Some(MonoNs(S + 9)));
        assert_eq!(
            (take(0, MemberState::Open(MonoNs(3 * S))), take(0, MemberState::Ended(Some(MonoNs(3 * S))))),
            (None, None)
        );
        assert_eq!(take_at(2, MemberState::Open(MonoNs(3 * S)), 2 * S), None, "too much would be lost with it");
    }
}
