//! Why a service gave no answer: what to tell a person, whom else it concerns, and for how long to leave the service alone.

use crate::carbon::http::client::{self, HttpFailure};
use crate::carbon::provider::Provider;

/// After a first failure it is asked again in so many s; each further one doubles that,
const FIRST_REST_S: f64 = 30.0;
/// up to this. A refusal, which does not pass by itself, counts as the last of many.
pub const LONGEST_REST_S: f64 = 3600.0;
/// A service that wants to be left alone longer than this, s, is not believed.
pub const LONGEST_RETRY_AFTER_S: f64 = 6.0 * 3600.0;

/// Why a question got no answer, or not all of it.
pub struct RetryPolicy {
    /// For a person.
    pub words: String,
    /// None: it answered, but not what can be understood.
    pub failure: Option<HttpFailure>,
}

impl RetryPolicy {
    /// A service's, which may know better than its status what a person can do.
    pub fn of(service: &dyn Provider, failure: HttpFailure) -> RetryPolicy {
        let cure = match &failure {
            HttpFailure::Status { code, .. } => service.cure(*code).map(|cure| format!("status {code}: {cure}")),
            _ => None,
        };
        let words = format!("{}: {}", service.name(), cure.unwrap_or_else(|| failure.to_string()));
        RetryPolicy { words, failure: Some(failure) }
    }

    /// The service had to do with it, and is to be left alone by other ranks and jobs, too. What hinders this process may
    /// not hinder another, or its user may cure it before the next.
    pub fn is_for_all(&self) -> bool {
        matches!(
            self.failure,
            None | Some(
                HttpFailure::Status { .. }
                    | HttpFailure::TimedOut
                    | HttpFailure::CutOff
                    | HttpFailure::TooLong
                    | HttpFailure::Proxy { why: client::LATE | client::CUT_OFF, .. }
            )
        )
    }

    /// For how long the service is left alone after so many failures in a row, s.
    pub fn rest_s(&self, failures: u32) -> f64 {
        let doubled = FIRST_REST_S * 2f64.powi(failures.saturating_sub(1).min(16) as i32);
        let rest_s = match self.failure {
            Some(HttpFailure::Status { code: 400 | 401 | 403 | 404 | 410 | 422, .. }) => LONGEST_REST_S,
            Some(HttpFailure::Plain | HttpFailure::Address | HttpFailure::Key) => LONGEST_REST_S,
            _ => doubled.min(LONGEST_REST_S),
        };
        match self.failure {
            Some(HttpFailure::Status { retry_after_s: Some(wanted), .. }) => {
                rest_s.max(wanted.min(LONGEST_RETRY_AFTER_S))
            }
            _ => rest_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest_s(failure: Option<HttpFailure>, failures: u32) -> f64 {
        RetryPolicy { words: String::new(), failure }.rest_s(failures)
    }

    fn status(code: u16, retry_after_s: Option<f64>) -> HttpFailure {
        HttpFailure::Status { code, retry_after_s }
    }

    #[test]
    fn failures_are_left_alone_ever_longer_and_refusals_for_an_hour() {
        let rests: Vec<f64> = (1..12).map(|failures| rest_s(Some(HttpFailure::TimedOut), failures)).collect();
        let hour = 3600.0;
        assert_eq!(rests, [30.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, hour, hour, hour, hour]);
        assert_eq!(rest_s(Some(HttpFailure::Dns), u32::MAX), hour);
        assert_eq!(rest_s(None, 1), 30.0, "an answer that is not understood");
        assert_eq!(rest_s(Some(status(500, None)), 2), 60.0);
        for code in [401, 403, 404, 422] {
            assert_eq!(rest_s(Some(status(code, None)), 1), hour, "{code}");
        }
    }

    #[test]
    fn retry_after_is_kept_to_up_to_six_hours_and_never_shortens() {
        assert_eq!(rest_s(Some(status(429, Some(100.0))), 1), 100.0);
        assert_eq!(rest_s(Some(status(429, Some(1.0))), 3), 120.0);
        assert_eq!(rest_s(Some(status(503, Some(7200.0))), 1), 7200.0);
        assert_eq!(rest_s(Some(status(503, Some(1e18))), 1), 6.0 * 3600.0);
        assert_eq!(rest_s(Some(status(401, Some(5.0))), 1), 3600.0);
    }

    #[test]
    fn what_hinders_this_process_only_is_not_for_others() {
        let is_for_all = |failure| RetryPolicy { words: String::new(), failure }.is_for_all();
        assert!([None, Some(status(503, None)), Some(HttpFailure::TimedOut)].into_iter().all(is_for_all));
        let by_proxy = |why| HttpFailure::Proxy { variable: "https_proxy", why };
        assert!(is_for_all(Some(by_proxy(client::LATE))));
        let own = [
            HttpFailure::Dns,
            HttpFailure::NoCertificates,
            HttpFailure::Unreachable("refused"),
            by_proxy("cannot be reached"),
        ];
        assert!(!own.map(Some).into_iter().any(is_for_all));
    }
}
