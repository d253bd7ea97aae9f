//! Where the machine is: a zone, from a cloud region or from the network address.
//!
//! In: an answer of a service or a region's name. Out: a zone. Never: it asks the network only through a provider.

pub mod cloud;
pub mod ip;
