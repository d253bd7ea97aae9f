//! Joules become emissions, cost and water.
//!
//! In: energy by time, the location, intensity from a table, a file or a live provider. Out: grams of CO2e and other
//! impacts. Never: it asks no network unless the options name a provider.

pub mod config;
pub mod emissions;
pub mod facility;
pub mod http;
pub mod impacts;
pub mod intensity;
pub mod live;
pub mod location;
pub mod provider;
pub mod select;
pub mod what_if;
