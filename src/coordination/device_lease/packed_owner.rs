//! The owner of a device as one number, so that a change of owner is one compare-and-swap. Pure.

/// An owner of a device. Times are ns since the record was made.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LeaseOwner {
    /// The index of its entry in the record. None: the device has no owner.
    pub member: Option<usize>,
    /// Grows by one with each change of owner, and returns to 0 after 255.
    pub turn: u8,
    /// The energy up to here is settled: a report of this owner or of an earlier one has it.
    pub settled: u64,
}

/// Bits of the index of the entry plus one.
const MEMBER_BITS: u32 = 12;
/// Most members of a record.
pub const MAX_MEMBERS: usize = (1 << MEMBER_BITS) - 1;
/// Bits of the turn.
const TURN_BITS: u32 = 8;
/// Resolution of a time, ns. With 44 bits a time can be over two years.
pub const TICK_NS: u64 = 4_000;
const MAX_TICKS: u64 = u64::MAX >> (MEMBER_BITS + TURN_BITS);

impl LeaseOwner {
    /// The owner after this one.
    pub fn next(self, member: Option<usize>, settled: u64) -> LeaseOwner {
        LeaseOwner { member, turn: self.turn.wrapping_add(1), settled }
    }

    /// The owner with its time rounded up to a whole tick, as in the number.
    pub fn rounded(self) -> LeaseOwner {
        LeaseOwner::unpack(self.pack())
    }

    /// The owner as a number. 0: there was no owner since the record was made.
    pub fn pack(self) -> u64 {
        let ticks = self.settled.div_ceil(TICK_NS).min(MAX_TICKS);
        let member = self.member.filter(|member| *member < MAX_MEMBERS).map_or(0, |member| member as u64 + 1);
        ticks << (MEMBER_BITS + TURN_BITS) | u64::from(self.turn) << MEMBER_BITS | member
    }

    /// The owner in a number.
    pub fn unpack(number: u64) -> LeaseOwner {
        let member = (number & MAX_MEMBERS as u64).checked_sub(1).map(|member| member as usize);
        LeaseOwner {
            member,
            turn: (number >> MEMBER_BITS) as u8,
            settled: (number >> (MEMBER_BITS + TURN_BITS)) * TICK_NS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn number_keeps_all_fields(member in proptest::option::of(0..MAX_MEMBERS - 1), turn: u8, ticks in 0..MAX_TICKS) {
            let owner = LeaseOwner { member, turn, settled: ticks * TICK_NS };
            prop_assert_eq!(LeaseOwner::unpack(owner.pack()), owner);
        }

        #[test]
        fn every_number_is_an_owner(number: u64) {
            prop_assert_eq!(LeaseOwner::unpack(number).pack(), number);
        }
    }

    #[test]
    fn times_are_rounded_up_and_none_overflows() {
        let at = |settled| LeaseOwner::unpack(LeaseOwner { settled, ..LeaseOwner::default() }.pack()).settled;
        assert_eq!((at(0), at(1), at(TICK_NS), at(TICK_NS + 1)), (0, TICK_NS, TICK_NS, 2 * TICK_NS));
        assert_eq!(at(u64::MAX), MAX_TICKS * TICK_NS);
        assert_eq!(LeaseOwner::default().pack(), 0);
    }
}
