//! A request over HTTP as a value, and the fields of a JSON answer. No I/O, so it is built without `live` too.

use serde_json::Value;

/// A text that is never shown: a key, or a header that holds one.
#[derive(Clone, Default)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// How a request is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpMethod {
    /// Reads something.
    #[default]
    Get,
    /// Asks Amazon's metadata for a token, with an empty body.
    Put,
}

/// What to ask a service, over HTTP and without a body.
#[derive(Clone, Debug, Default)]
pub struct HttpRequest {
    /// GET, nearly always.
    pub method: HttpMethod,
    /// Scheme and host where they are not the service's own.
    pub base: Option<&'static str>,
    /// Path and query, beginning with a slash.
    pub path: String,
    /// Headers, which may hold a key.
    pub headers: Vec<(&'static str, Secret)>,
    /// The user's plan may lack it, as a forecast: its refusal is no failure of the round.
    pub is_optional: bool,
    /// Which answer this is, for the service itself.
    pub answer: u8,
}

impl HttpRequest {
    /// A GET of this path.
    pub fn get(answer: u8, path: impl Into<String>) -> Self {
        HttpRequest { path: path.into(), answer, ..HttpRequest::default() }
    }

    /// With this header too.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, Secret(value.into())));
        self
    }

    /// Its refusal is no failure.
    pub fn optional(mut self) -> Self {
        self.is_optional = true;
        self
    }
}

/// The answer as JSON that is no error. Its depth is bounded by serde_json (128).
pub fn json(body: &[u8]) -> Result<Value, String> {
    let value: Value =
        serde_json::from_slice(body).map_err(|fault| match body.iter().find(|b| !b.is_ascii_whitespace()) {
            None => "the answer is empty",
            Some(b'{' | b'[') if fault.is_eof() => "the answer is cut off",
            Some(b'{' | b'[') => "the answer is damaged: it is no whole JSON",
            Some(_) => "the answer is not JSON: is a proxy in between?",
        })?;
    match value.get("error") {
        Some(_) => Err("the service answers with an error, though it says that all is well".into()),
        None => Ok(value),
    }
}

/// A field that each answer has.
pub fn field<'a>(value: &'a Value, name: &str) -> Result<&'a Value, String> {
    value.get(name).ok_or_else(|| format!("the answer lacks '{name}'"))
}

/// A field that is a list.
pub fn list<'a>(value: &'a Value, name: &str) -> Result<&'a [Value], String> {
    Ok(field(value, name)?.as_array().ok_or_else(|| format!("'{name}' is no list in the answer"))?)
}
