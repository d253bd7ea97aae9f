//! A tree of files like /sys, for the tests of the sources.

use crate::measurement::channel::Channel;
use crate::measurement::config::MeasurementConfig;
use crate::measurement::reading::{Fault, Value};
use crate::measurement::source::Source;
use crate::options::Options;
use crate::os;
use std::fs;
use std::path::PathBuf;

/// A temporary folder with files of /sys and /proc. It is removed when the value is dropped.
pub struct TestTree(PathBuf);

impl TestTree {
    /// An empty tree. Each test has its own label.
    pub fn new(label: &str) -> TestTree {
        let root = std::env::temp_dir().join(format!("ct-tree-{label}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        TestTree(root)
    }

    /// Writes a file and creates its folders.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Creates a link to a relative path.
    pub fn link(&self, path: &str, target: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    /// Removes a file and waits until a [`NumberFile`] notices that.
    ///
    /// [`NumberFile`]: super::number_file::NumberFile
    pub fn remove(&self, path: &str) {
        fs::remove_file(self.0.join(path)).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(40));
    }

    /// Options for this tree, with these variables in the environment.
    pub fn options(&self, text: &str, environment: &[(&str, &str)]) -> MeasurementConfig {
        let look_up = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        Options::parse(&format!("sysroot={} {text}", self.0.display()), look_up).unwrap().measurement
    }

    /// "kind device id" of each channel.
    pub fn channels(source: &dyn Source) -> Vec<String> {
        let line = |c: &Channel| format!("{} {} {}", c.kind.name(), c.device, c.id);
        source.channels().iter().map(line).collect()
    }

    /// The values that a source reads now, without the powers that check a counter.
    pub fn values(source: &mut dyn Source) -> Vec<Result<Value, Fault>> {
        let mut readings = Vec::new();
        source.read(&os::monotonic_ns, &mut readings);
        let is_own = |value: &Result<Value, Fault>| !matches!(value, Ok(Value::CheckWatts(_)));
        readings.into_iter().map(|reading| reading.value).filter(is_own).collect()
    }
}

impl Drop for TestTree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
