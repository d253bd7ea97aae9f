//! Live services of carbon intensity: what to ask them, and what their answers say. No I/O: `fetcher.rs` asks.

use super::slot::Slot;

/// A text that is never shown: a key, or a header that holds one.
#[derive(Clone, Default)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// What to ask a service: an HTTP GET.
#[derive(Clone, Debug)]
pub struct Request {
    /// Path and query, beginning with a slash.
    pub path: String,
    /// Headers, which may hold a key.
    pub headers: Vec<(&'static str, Secret)>,
    /// The user's plan may lack it, as a forecast: its refusal is no failure of the round.
    pub is_optional: bool,
    /// Which answer this is, for the service itself.
    pub answer: u8,
}

/// A live service for one zone.
pub trait Service: Send {
    /// As the option names it.
    fn name(&self) -> &'static str;
    /// Scheme and host, "https://…".
    fn host(&self) -> &'static str;
    /// The zone asked about, as the report names it.
    fn zone(&self) -> String;
    /// "lifecycle" or "direct".
    fn basis(&self) -> &'static str;
    /// Whom to name as the source, and under which licence.
    fn source(&self) -> &'static str;
    /// Time between two rounds, s.
    fn refresh_s(&self) -> f64;
    /// The next request of this round, given what was answered so far in it; None: the round is over. The first call
    /// after None begins a new round. `now` is in seconds since 1970 UTC.
    fn next(&mut self, now: f64) -> Option<Request>;
    /// What the answer of status 200 to a request says; Err: what is wrong with it, in words, without its text.
    fn take(&mut self, request: &Request, body: &[u8]) -> Result<Vec<Slot>, String>;
    /// What a person can do where the answer was this status; None: nothing special.
    fn cure(&self, status: u16) -> Option<String>;
}
