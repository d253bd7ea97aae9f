//! Who of a job's processes is to count a device. Pure.

use super::record::{Member, MemberState};
use crate::clock::MonoNs;

/// A process without an open epoch lends what another in one wants after so long, ns.
const IDLE_NS: u64 = 1_000_000_000;
/// The lowest rank takes a device back from another that has counted for so long, ns.
const FIRST_CALL_NS: u64 = 100_000_000;
/// What is not worth a change of owner, ns.
const LITTLE_NS: u64 = 1_000_000;
/// Processes that began to read within so short a time, ns, know the same.
const TOGETHER_NS: u64 = 20_000_000;

/// Who owns a device now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LeaseHolder {
    /// Nobody; up to here, ns, all is settled.
    Nobody(MonoNs),
    /// A process that was killed; up to here, ns, reports and its journal hold what was used.
    Dead(MonoNs),
    /// A process that lives: from when, ns, it has counted, and up to when its reports will hold it.
    Living(Member, MonoNs, MonoNs),
}

/// The process that asks.
#[derive(Clone, Copy, Debug)]
pub struct LeaseRequester {
    /// Its seat.
    pub member: Member,
    /// Its newest end of an epoch; None: it has none.
    pub ended: Option<MonoNs>,
    /// A report of it is asked for now, or it is about to end.
    pub is_asked: bool,
}

/// From when on, ns, the process that asks counts the device; None: it does not. `others` are the other processes that
/// count it if they can, of which some may not live; they are looked at only where there is no owner.
pub fn take(
    asker: &LeaseRequester,
    holder: LeaseHolder,
    others: impl Iterator<Item = Member>,
    is_alive: &dyn Fn(&Member) -> bool,
    now: MonoNs,
) -> Option<MonoNs> {
    let is_open = matches!(asker.member.state, MemberState::Open(_));
    let needs = |settled: MonoNs| is_open || asker.ended > Some(settled + LITTLE_NS);
    match holder {
        LeaseHolder::Nobody(settled) | LeaseHolder::Dead(settled) => {
            // Who has read the devices since then loses nothing. Of those the lowest rank takes them, so that none has to
            // take them from another later.
            let loss = |member: &Member| member.since.ns_since(settled) / TOGETHER_NS;
            let rank = |member: &Member| member.rank.unwrap_or(u64::MAX);
            let ours = (loss(&asker.member), rank(&asker.member));
            let is_open = |other: &Member| matches!(other.state, MemberState::Open(_));
            let mut better =
                others.filter(|other| is_open(other) && (loss(other), rank(other)) < ours && is_alive(other));
            (needs(settled) && better.next().is_none()).then_some(settled)
        }
        LeaseHolder::Living(holder, begun, settled) => {
            // The lowest rank prints: it is to know. What the other keeps is lost if that is killed, so it is to be little.
            let is_lower = asker.member.rank.zip(holder.rank).is_some_and(|(ours, theirs)| ours < theirs);
            let is_before = is_lower && settled <= begun.max(asker.member.since) + FIRST_CALL_NS;
            match holder.state {
                MemberState::Ended(ended) => {
                    let settled = settled.max(ended.unwrap_or_default()).max(asker.member.since);
                    let is_due = asker.is_asked && needs(settled);
                    (is_due || is_open && (is_before || now > settled + IDLE_NS)).then_some(settled)
                }
                // What it used since its last end is in none of its epochs yet.
                MemberState::Open(_) => (is_open && is_before).then_some(settled.max(asker.member.since)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn asker(state: MemberState, ended: Option<MonoNs>, is_asked: bool) -> LeaseRequester {
        LeaseRequester {
            member: Member { rank: Some(1), since: MonoNs(S), state, ..Member::default() },
            ended,
            is_asked,
        }
    }

    fn holder(rank: u64, state: MemberState) -> LeaseHolder {
        LeaseHolder::Living(Member { rank: Some(rank), state, ..Member::default() }, MonoNs(S), MonoNs(2 * S))
    }

    #[test]
    fn what_nobody_counts_is_taken_by_who_is_in_an_epoch_or_has_more() {
        let take = |asker: LeaseRequester, holder| take(&asker, holder, std::iter::empty(), &|_| true, MonoNs(9 * S));
        let (open, ended) = (MemberState::Open(MonoNs(3 * S)), MemberState::Ended(Some(MonoNs(4 * S))));
        for holder in [LeaseHolder::Nobody(MonoNs(2 * S)), LeaseHolder::Dead(MonoNs(2 * S))] {
            assert_eq!(take(asker(open, None, false), holder), Some(MonoNs(2 * S)));
            assert_eq!(take(asker(ended, Some(MonoNs(4 * S)), false), holder), Some(MonoNs(2 * S)));
            assert_eq!(take(asker(ended, Some(MonoNs(2 * S)), true), holder), None, "all of its epochs are settled");
        }
    }

    #[test]
    fn after_a_kill_who_loses_least_comes_first_and_then_the_lowest_rank() {
        let other = |rank, since, state| Member { rank: Some(rank), since: MonoNs(since), state, ..Member::default() };
        let asker = asker(MemberState::Open(MonoNs(3 * S)), None, true);
        let take_beside = |other, lives, from| {
            take(&asker, LeaseHolder::Dead(MonoNs(from)), [other].into_iter(), &|_| lives, MonoNs(9 * S))
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
    fn an_owner_without_an_epoch_lends_at_once_what_is_asked_for() {
        let take =
            |asker: LeaseRequester, state| take(&asker, holder(0, state), std::iter::empty(), &|_| true, MonoNs(3 * S));
        let ended = asker(MemberState::Ended(Some(MonoNs(4 * S))), Some(MonoNs(4 * S)), true);
        assert_eq!(take(ended, MemberState::Ended(Some(MonoNs(3 * S)))), Some(MonoNs(3 * S)));
        assert_eq!(take(ended, MemberState::Ended(Some(MonoNs(S)))), Some(MonoNs(2 * S)), "as far as its reports go");
        assert_eq!(take(ended, MemberState::Open(MonoNs(3 * S))), None, "it counts that too");
        assert_eq!(take(LeaseRequester { is_asked: false, ..ended }, MemberState::Ended(Some(MonoNs(3 * S)))), None);
    }

    #[test]
    fn an_owner_that_stands_idle_lends() {
        let open = asker(MemberState::Open(MonoNs(3 * S)), None, false);
        let take = |now| {
            take(&open, holder(0, MemberState::Ended(Some(MonoNs(2 * S)))), std::iter::empty(), &|_| true, MonoNs(now))
        };
        assert_eq!((take(3 * S), take(3 * S + 1)), (None, Some(MonoNs(2 * S))));
    }

    #[test]
    fn the_lowest_rank_in_an_epoch_has_first_call() {
        let open = asker(MemberState::Open(MonoNs(3 * S)), None, false);
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
