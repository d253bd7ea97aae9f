//! An HTTP request as a value, and the fields of a JSON answer. No I/O: it is built without the `live` feature too.

use serde_json::Value;
use std::borrow::Cow;

/// A text that is never shown: a key, or a header that holds one.
#[derive(Clone, Default)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// The method of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpMethod {
    /// Reads a resource.
    #[default]
    Get,
    /// Gets a token from Amazon's metadata service, with an empty body.
    Put,
    /// Sends a body to an address that the user names.
    Post,
}

/// An HTTP request.
#[derive(Clone, Debug, Default)]
pub struct HttpRequest {
    /// The method.
    pub method: HttpMethod,
    /// Scheme and host. None: those of the provider.
    pub base: Option<&'static str>,
    /// Path and query. They begin with a slash.
    pub path: String,
    /// Headers. They may hold a key.
    pub headers: Vec<(Cow<'static, str>, Secret)>,
    /// The JSON text that a POST sends. Other methods send none.
    pub body: String,
    /// True if the user's plan may not include it, such as a forecast. Its refusal is not a failure of the round.
    pub is_optional: bool,
    /// The kind of the answer, for the provider's parser.
    pub answer: u8,
}

impl HttpRequest {
    /// A GET of this path.
    pub fn get(answer: u8, path: impl Into<String>) -> Self {
        HttpRequest { path: path.into(), answer, ..HttpRequest::default() }
    }

    /// Adds a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), Secret(value.into())));
        self
    }

    /// Marks the request as optional.
    pub fn optional(mut self) -> Self {
        self.is_optional = true;
        self
    }
}

/// Parses an answer as JSON. Errors: it is not JSON, or it is an error message. serde_json bounds its depth to 128.
pub fn json(body: &[u8]) -> Result<Value, String> {
    let value: Value =
        serde_json::from_slice(body).map_err(|fault| match body.iter().find(|b| !b.is_ascii_whitespace()) {
            None => "the answer is empty",
            Some(b'{' | b'[') if fault.is_eof() => "the answer is cut off",
            Some(b'{' | b'[') => "the answer is damaged: it is not complete JSON",
            Some(_) => "the answer is not JSON: a proxy may have replaced it",
        })?;
    match value.get("error") {
        Some(_) => Err("the answer is an error message, although its status is 200".into()),
        None => Ok(value),
    }
}

/// A field that must be present.
pub fn field<'a>(value: &'a Value, name: &str) -> Result<&'a Value, String> {
    value.get(name).ok_or_else(|| format!("the answer lacks '{name}'"))
}

/// A field that must be a list.
pub fn list<'a>(value: &'a Value, name: &str) -> Result<&'a [Value], String> {
    Ok(field(value, name)?.as_array().ok_or_else(|| format!("'{name}' is not a list in the answer"))?)
}
