//! Processors and their memory: hardware counters if they can be read, otherwise estimates from the model and its load.
//!
//! In: files below `/sys` and `/proc`, perf events. Out: readings. Never: it does not choose between sources.

pub mod cgroup;
pub mod cpu_model;
pub mod load;
pub mod memory_model;
pub mod parts;
pub mod perf_rapl;
pub mod processor;
pub mod rapl;
pub mod stat;
pub mod tdp;
pub mod topology;
pub mod utilisation;
