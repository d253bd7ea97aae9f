//! Who owns a device, and from when on, in one number: so that a change of owner is one compare-and-swap. Pure.

/// An owner of a device. Times are ns after the record was made.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LeaseOwner {
    /// Its seat; None: nobody owns the device.
    pub seat: Option<usize>,
    /// Grows by one with each change of owner, and begins again after 255.
    pub turn: u8,
    /// What was used before is settled: it is in the report of this owner, or of one before.
    pub settled: u64,
}

/// Bits of a seat, plus one, and seats that fit.
const SEAT: u32 = 12;
pub const SEATS: usize = (1 << SEAT) - 1;
/// Bits of a turn.
const TURN: u32 = 8;
/// A time is rounded up to so many ns: 44 bits of them are over two years.
pub const TICK_NS: u64 = 4_000;
const MOST_TICKS: u64 = u64::MAX >> (SEAT + TURN);

impl LeaseOwner {
    /// The owner after this one.
    pub fn next(self, seat: Option<usize>, settled: u64) -> LeaseOwner {
        LeaseOwner { seat, turn: self.turn.wrapping_add(1), settled }
    }

    /// As it comes out of a number again: its time is a whole tick.
    pub fn rounded(self) -> LeaseOwner {
        LeaseOwner::unpack(self.pack())
    }

    /// As a number; 0 is nobody since the record was made.
    pub fn pack(self) -> u64 {
        let ticks = self.settled.div_ceil(TICK_NS).min(MOST_TICKS);
        let seat = self.seat.filter(|seat| *seat < SEATS).map_or(0, |seat| seat as u64 + 1);
        ticks << (SEAT + TURN) | u64::from(self.turn) << SEAT | seat
    }

    /// Of a number.
    pub fn unpack(number: u64) -> LeaseOwner {
        let seat = (number & SEATS as u64).checked_sub(1).map(|seat| seat as usize);
        LeaseOwner { seat, turn: (number >> SEAT) as u8, settled: (number >> (SEAT + TURN)) * TICK_NS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_number_holds_all_of_it(seat in proptest::option::of(0..SEATS - 1), turn: u8, ticks in 0..MOST_TICKS) {
            let owner = LeaseOwner { seat, turn, settled: ticks * TICK_NS };
            prop_assert_eq!(LeaseOwner::unpack(owner.pack()), owner);
        }

        #[test]
        fn any_number_is_an_owner(number: u64) {
            prop_assert_eq!(LeaseOwner::unpack(number).pack(), number);
        }
    }

    #[test]
    fn times_are_rounded_up_and_none_overflows() {
        let at = |settled| LeaseOwner::unpack(LeaseOwner { settled, ..LeaseOwner::default() }.pack()).settled;
        assert_eq!((at(0), at(1), at(TICK_NS), at(TICK_NS + 1)), (0, TICK_NS, TICK_NS, 2 * TICK_NS));
        assert_eq!(at(u64::MAX), MOST_TICKS * TICK_NS);
        assert_eq!(LeaseOwner::default().pack(), 0);
    }
}
