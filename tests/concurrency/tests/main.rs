//! Checks of the library's locks, words and queues under chosen schedules. Each check also runs with a fault of the
//! machine that it must find.

mod counter;
mod leases;
mod marks;
mod shared;
mod waiting;
