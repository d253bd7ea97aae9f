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

impl LeaseHolder {
    /// The energy up to here is in a report or in an epoch of a process.
    fn settled(&self) -> MonoNs {
        match *self {
            LeaseHolder::Vacant(settled) | LeaseHolder::Dead(settled) => settled,
            LeaseHolder::Living(holder, _, settled) => match holder.state {
                MemberState::Ended(ended) => settled.max(ended.unwrap_or_default()),
                MemberState::Open(_) => settled,
            },
        }
    }
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
/// that would count the device; some may be dead.
pub fn take(
    requester: &LeaseRequester,
    holder: LeaseHolder,
    others: impl Iterator<Item = Member>,
    is_alive: &dyn Fn(&Member) -> bool,
    now: MonoNs,
) -> Option<MonoNs> {
    let is_open = matches!(requester.member.state, MemberState::Open(_));
    let needs = |settled: MonoNs| is_open || requester.ended > Some(settled + MIN_GAIN_NS);
    // A process that has read the device since the settled instant loses nothing. Small losses count as equal.
    let loss = |member: &Member, settled: MonoNs| member.since.ns_since(settled).div_ceil(SAME_START_NS);
    let known_until = holder.settled();
    // A process that is not in an epoch may look no more. If its epoch has just ended, it takes the device by its next
    // report, unless this process needs it now.
    let may_follow = |other: &Member| match other.state {
        MemberState::Open(_) => true,
        MemberState::Ended(ended) => {
            let just_ended = ended.is_some_and(|ended| now <= ended + MAX_IDLE_NS);
            just_ended && ended > Some(known_until + MIN_GAIN_NS) && !requester.is_requested
        }
    };
    let mut others = others.filter(may_follow);
    match holder {
        LeaseHolder::Vacant(settled) | LeaseHolder::Dead(settled) => {
            // Among the processes that lose least, the lowest rank takes it. So no later change of owner is needed.
            let order = |member: &Member| (loss(member, settled), member.rank.unwrap_or(u64::MAX));
            let is_better = |other: Member| order(&other) < order(&requester.member) && is_alive(&other);
            (needs(settled) && !others.any(is_better)).then_some(settled)
        }
        LeaseHolder::Living(holder, begun, settled) => {
            // The lowest rank usually prints the report, so it should count. The other process keeps its energy that is
            // not settled, and a kill would lose it, so it must be little.
            let is_lower = requester.member.rank.zip(holder.rank).is_some_and(|(ours, theirs)| ours < theirs);
            let is_before = is_lower && settled <= begun.max(requester.member.since) + MAX_UNSETTLED_NS;
            match holder.state {
                MemberState::Ended(_) => {
                    let from = known_until.max(requester.member.since);
                    let ours = loss(&requester.member, known_until);
                    let is_due = requester.is_requested && needs(from);
                    let may_take = is_due || is_open && (is_before || now > from + MAX_IDLE_NS);
                    // The energy before `from` would be in no report.
                    let is_better = |other: Member| loss(&other, known_until) < ours && is_alive(&other);
                    (may_take && !others.any(is_better)).then_some(from)
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
        assert_eq!(take_beside(other(0, S + 5, MemberState::Open(MonoNs(S))), true, S), Some(MonoNs(S)), "or 5 ns");
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
    fn process_that_began_after_the_owner_ended_leaves_the_device_to_one_that_began_before() {
        let owner = holder(0, MemberState::Ended(Some(MonoNs(2 * S))));
        let late = Member {
            rank: Some(1),
            since: MonoNs(3 * S),
            state: MemberState::Open(MonoNs(3 * S)),
            ..Member::default()
        };
        let requester = LeaseRequester { member: late, ended: None, is_requested: true };
        let take = |other: Member, lives| take(&requester, owner, [other].into_iter(), &|_| lives, MonoNs(9 * S));
        let early =
            Member { rank: Some(2), since: MonoNs(S), state: MemberState::Open(MonoNs(S)), ..Member::default() };
        assert_eq!(take(early, true), None, "from 2 s on, the other counts");
        assert_eq!(take(early, false), Some(MonoNs(3 * S)), "it is dead");
        assert_eq!(take(Member { state: MemberState::Ended(Some(MonoNs(S))), ..early }, true), Some(MonoNs(3 * S)));
        assert_eq!(take(Member { since: MonoNs(3 * S), ..early }, true), Some(MonoNs(3 * S)), "both lose it");
    }

    #[test]
    fn process_waits_a_second_for_the_report_of_one_that_has_read_earlier() {
        let late = Member { since: MonoNs(3 * S), state: MemberState::Open(MonoNs(3 * S)), ..Member::default() };
        let late = LeaseRequester { member: late, ended: None, is_requested: false };
        let end = 2 * S + S / 2;
        let early =
            Member { since: MonoNs(S), state: MemberState::Ended(Some(MonoNs(end))), rank: Some(3), ..late.member };
        let take = |requester, other, now| {
            take(&requester, LeaseHolder::Vacant(MonoNs(2 * S)), [other].into_iter(), &|_| true, MonoNs(now))
        };
        let taken = Some(MonoNs(2 * S));
        assert_eq!((take(late, early, 3 * S), take(late, early, end + S + 1)), (None, taken));
        assert_eq!(take(LeaseRequester { is_requested: true, ..late }, early, 3 * S), taken, "it needs it now");
        let settled = Member { state: MemberState::Ended(Some(MonoNs(2 * S))), ..early };
        assert_eq!(take(late, settled, 3 * S), taken, "all of its epochs are settled");
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
