//! Sends metrics to a collector of OpenTelemetry.

use super::collector::Collector;
use serde_json::Value;

/// Posts a request to a collector.
#[cfg(feature = "live")]
pub fn send(collector: &Collector, request: &Value) -> Result<(), String> {
    use carbontracker::carbon::http::client::{HttpLimits, ask};
    use carbontracker::carbon::http::proxy::Proxies;
    use carbontracker::carbon::http::request::{HttpMethod, HttpRequest};

    let headers = collector.headers.clone();
    let post = HttpRequest { method: HttpMethod::Post, headers, body: request.to_string(), ..HttpRequest::default() };
    let proxies = Proxies::of(|name| carbontracker::os::variable(name)?.into_string().ok());
    let answer = ask(&collector.url, &post, &HttpLimits::default(), &proxies);
    let answer = answer.map_err(|failure| refused(&collector.shown(), &failure))?;
    rejected(&collector.shown(), &answer)
}

/// The message for a request without an answer.
#[cfg(feature = "live")]
fn refused(url: &str, failure: &carbontracker::carbon::http::failure::HttpFailure) -> String {
    use carbontracker::carbon::http::failure::HttpFailure;
    // The client's own words are for services of the carbon intensity.
    let why = match failure {
        HttpFailure::Status { code, .. } => format!("it answers with HTTP {code}"),
        HttpFailure::Address => "it is no address as https://HOST:PORT/PATH, without a name or password".into(),
        HttpFailure::Plain => "headers are sent over https only, or to this machine".into(),
        HttpFailure::Unreachable(why) => format!("no connection ({why})"),
        HttpFailure::Dns => "its name is not found".into(),
        HttpFailure::TimedOut => "no complete answer in time".into(),
        HttpFailure::Certificate(why) => format!("its certificate {why}"),
        other => other.to_string(),
    };
    format!(
        "{url}: {why}; the metrics were not accepted; name the collector's address for OTLP/HTTP, which ends in /v1/metrics"
    )
}

/// An error if the collector accepted only a part.
#[cfg(feature = "live")]
fn rejected(url: &str, answer: &[u8]) -> Result<(), String> {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let part = answer.pointer("/partialSuccess");
    // An int64 is a text in the JSON of protocol buffers.
    let count = part.and_then(|part| part.get("rejectedDataPoints")).map(|count| count.to_string());
    let count = count.map(|count| count.trim_matches('"').to_owned()).filter(|count| count != "0" && count != "null");
    let Some(count) = count else { return Ok(()) };
    let why = part.and_then(|part| part.get("errorMessage")).and_then(Value::as_str).unwrap_or("no reason is given");
    Err(format!("{url}: the collector rejected {count} values: {why}; the others were accepted"))
}

/// Refuses, as this command is built without the network.
#[cfg(not(feature = "live"))]
pub fn send(collector: &Collector, _: &Value) -> Result<(), String> {
    Err(format!(
        "{}: this command is built without the network; nothing was sent; build it with the feature 'live', or write \
         the metrics to a file with -o",
        collector.shown()
    ))
}
