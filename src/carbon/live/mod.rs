//! Live intensity while a run lasts.
//!
//! In: a provider and a location. Out: updates of the intensity series. Never: no caller waits for the network.

#[cfg(feature = "live")]
pub mod backoff;
#[cfg(feature = "live")]
pub mod node_cache;
#[cfg(feature = "live")]
pub mod poller;
