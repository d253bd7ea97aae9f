//! Numbers in files of the kernel, for the sources that read such files.
//!
//! In: paths. Out: numbers and errors. Never: it does not know what a number measures.

pub mod number_file;
pub mod sensor;
#[cfg(test)]
pub mod test_tree;
