//! Devices become joules.
//!
//! In: device files, driver calls and the job's GPU selection. Out: channels and their readings, and the energy of
//! each interval between two readings ([`meter`]). Never: it knows no epoch, no run and no carbon.

pub mod channel;
pub mod config;
pub mod discover;
pub mod gpu_selection;
pub mod gpu_shares;
pub mod intake;
pub mod machine;
pub mod meter;
pub mod reading;
pub mod source;
pub mod source_name;
pub mod sources;
pub mod unavailable;
pub mod usage;
