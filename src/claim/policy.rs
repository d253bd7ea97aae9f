//! Who of a job's processes is to count a device. Pure.

use super::record::{Member, State};

/// A process without an open epoch lends what another in one wants after so long, ns.
const IDLE_NS: u64 = 1_000_000_000;
/// What is not worth a change of owner, ns.
const LITTLE_NS: u64 = 1_000_000;
/// Processes that began to read so close together, ns, know the same.
const TOGETHER_NS: u64 = 5_000_000;

/// Who owns a device now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Holder {
    /// Nobody; up to here, ns, all is settled.
    Nobody(u64),
    /// A process that was killed; up to here, ns, reports and its journal hold what was used.
    Dead(u64),
    /// A process that lives; up to here, ns, its reports hold it.
    Living(Member, u64),
}

/// The process that asks.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// Its seat.
    pub member: Member,
    /// Its newest end of an epoch, ns; 0: none.
    pub ended: u64,
    /// A report of it is asked for now, or it is about to end.
    pub is_asked: bool,
}

/// From when on, ns, the process that asks counts the device; None: it does not. `others` are the other processes, of which
/// some may not live; they are looked at only where there is no owner.
pub fn take(
    asker: &Asker,
    holder: Holder,
    others: impl Iterator<Item = Member>,
    is_alive: &dyn Fn(&Member) -> bool,
    now: u64,
) -> Option<u64> {
    let is_open = matches!(asker.member.state, State::Open(_));
    let needs = |settled: u64| is_open || asker.ended > settled.saturating_add(LITTLE_NS);
    match holder {
        Holder::Nobody(settled) | Holder::Dead(settled) => {
            // One who has read the devices for longer loses less.
            let knows_more = |other: &Member| other.since.saturating_add(TOGETHER_NS) < asker.member.since;
            let is_open = |other: &Member| matches!(other.state, State::Open(_));
            let mut better = others.filter(|other| is_open(other) && knows_more(other) && is_alive(other));
            (needs(settled) && better.next().is_none()).then_some(settled)
        }
        Holder::Living(holder, settled) => {
            // The lowest rank prints: it is to know.
            let is_before = asker.member.rank.zip(holder.rank).is_some_and(|(ours, theirs)| ours < theirs);
            match holder.state {
                State::Ended(ended) => {
                    let settled = settled.max(ended);
                    let is_due = asker.is_asked && needs(settled);
                    (is_due || is_open && (is_before || now > settled.saturating_add(IDLE_NS))).then_some(settled)
                }
                State::Open(_) => (is_open && is_before).then_some(settled.max(now)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn asker(state: State, ended: u64, is_asked: bool) -> Asker {
        Asker { member: Member { rank: Some(1), since: S, state, ..Member::default() }, ended, is_asked }
    }

    fn holder(rank: u64, state: State) -> Holder {
        Holder::Living(Member { rank: Some(rank), state, ..Member::default() }, 2 * S)
    }

    #[test]
    fn what_nobody_counts_is_taken_by_who_is_in_an_epoch_or_has_more() {
        let take = |asker: Asker, holder| take(&asker, holder, std::iter::empty(), &|_| true, 9 * S);
        let (open, ended) = (State::Open(3 * S), State::Ended(4 * S));
        for holder in [Holder::Nobody(2 * S), Holder::Dead(2 * S)] {
            assert_eq!(take(asker(open, 0, false), holder), Some(2 * S));
            assert_eq!(take(asker(ended, 4 * S, false), holder), Some(2 * S));
            assert_eq!(take(asker(ended, 2 * S, true), holder), None, "all of its epochs are settled");
        }
    }

    #[test]
    fn who_has_read_for_longer_comes_first_after_a_kill() {
        let other = |since, state| Member { since, state, ..Member::default() };
        let asker = asker(State::Open(3 * S), 0, true);
        let take_beside = |other, lives| take(&asker, Holder::Dead(0), [other].into_iter(), &|_| lives, 9 * S);
        let take = |other| take_beside(other, true);
        assert_eq!(take(other(S / 2, State::Open(S))), None);
        assert_eq!(take(other(S / 2, State::Ended(S))), Some(0), "it may look no more");
        assert_eq!(take(other(S - 1, State::Open(S))), Some(0));
        assert_eq!(take_beside(other(S / 2, State::Open(S)), false), Some(0), "it is dead too");
    }

    #[test]
    fn an_owner_without_an_epoch_lends_at_once_what_is_asked_for() {
        let take = |asker: Asker, state| take(&asker, holder(0, state), std::iter::empty(), &|_| true, 3 * S);
        let ended = asker(State::Ended(4 * S), 4 * S, true);
        assert_eq!(take(ended, State::Ended(3 * S)), Some(3 * S));
        assert_eq!(take(ended, State::Ended(S)), Some(2 * S), "as far as its reports go");
        assert_eq!(take(ended, State::Open(3 * S)), None, "it counts that too");
        assert_eq!(take(Asker { is_asked: false, ..ended }, State::Ended(3 * S)), None);
    }

    #[test]
    fn an_owner_that_stands_idle_lends() {
        let open = asker(State::Open(3 * S), 0, false);
        let take = |now| take(&open, holder(0, State::Ended(2 * S)), std::iter::empty(), &|_| true, now);
        assert_eq!((take(3 * S), take(3 * S + 1)), (None, Some(2 * S)));
    }

    #[test]
    fn the_lowest_rank_in_an_epoch_has_first_call() {
        let open = asker(State::Open(3 * S), 0, false);
        let take = |rank, state| take(&open, holder(rank, state), std::iter::empty(), &|_| true, 4 * S - 5);
        assert_eq!(take(2, State::Open(3 * S)), Some(4 * S - 5));
        assert_eq!(take(2, State::Ended(3 * S + 1)), Some(3 * S + 1));
        assert_eq!((take(0, State::Open(3 * S)), take(0, State::Ended(3 * S))), (None, None));
    }
}
