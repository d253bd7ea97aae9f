//! Why a source does not take part in a run.

use super::source_name::SourceName;

/// A source that does not take part.
#[derive(Clone, Debug, PartialEq)]
pub struct Unavailable {
    /// The source.
    pub source: SourceName,
    /// Why it does not take part, for the user.
    pub reason: String,
    /// The fix, for the user. None: nothing is wrong.
    pub cure: Option<String>,
}

impl Unavailable {
    /// The message for the user. None: nothing is wrong.
    pub fn message(&self) -> Option<String> {
        Some(format!("{} is not measured: {}. Fix: {}", self.source, self.reason, self.cure.as_ref()?))
    }
}
