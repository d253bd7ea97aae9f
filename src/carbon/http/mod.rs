//! One HTTP request and its answer.
//!
//! In: a request with a deadline. Out: the answer's body, or a failure with a fix. Never: it follows no redirect and
//! keeps no connection.

#[cfg(feature = "live")]
pub mod client;
#[cfg(feature = "live")]
pub mod failure;
#[cfg(feature = "live")]
pub mod proxy;
pub mod request;
