//! What sources that read numbers from files share.
//!
//! In: paths. Out: numbers and errors. Never: it does not know what a number measures.

pub mod number_file;
pub mod sensor;
#[cfg(test)]
pub mod test_tree;
