//! Why a request failed, whether the failure concerns other processes, and the delay before a retry.

use crate::carbon::http::failure::{self, HttpFailure};
use crate::carbon::provider::Provider;

/// Delay after a first failure, s. Each further failure doubles it.
const FIRST_DELAY_S: f64 = 30.0;
/// Largest delay, s. A refusal gets it at once.
pub const MAX_DELAY_S: f64 = 3600.0;
/// Largest `Retry-After` that is honoured, s.
pub const MAX_RETRY_AFTER_S: f64 = 6.0 * 3600.0;

/// A failed round: its cause and the delay before the next.
pub struct RetryPolicy {
    /// The message for the user.
    pub words: String,
    /// The failed request. None: the answer could not be parsed.
    pub failure: Option<HttpFailure>,
}

impl RetryPolicy {
    /// The policy for a provider, which may know a better fix for a status.
    pub fn of(provider: &dyn Provider, failure: HttpFailure) -> RetryPolicy {
        let fix = match &failure {
            HttpFailure::Status { code, .. } => provider.fix(*code).map(|fix| format!("HTTP {code}: {fix}")),
            _ => None,
        };
        let words = format!("{}: {}", provider.name(), fix.unwrap_or_else(|| failure.to_string()));
        RetryPolicy { words, failure: Some(failure) }
    }

    /// True if the provider caused the failure. Other ranks and jobs then wait too. A failure of this process alone may
    /// not concern them.
    pub fn is_for_all(&self) -> bool {
        matches!(
            self.failure,
            None | Some(
                HttpFailure::Status { .. }
                    | HttpFailure::TimedOut
                    | HttpFailure::CutOff
                    | HttpFailure::TooLong
                    | HttpFailure::Proxy { why: failure::PROXY_LATE | failure::PROXY_CUT_OFF, .. }
            )
        )
    }

    /// Delay before the next request after this number of failures in a row, s.
    pub fn delay_s(&self, failures: u32) -> f64 {
        let doubled = FIRST_DELAY_S * 2f64.powi(failures.saturating_sub(1).min(16) as i32);
        let delay_s = match self.failure {
            Some(HttpFailure::Status { code: 400 | 401 | 403 | 404 | 410 | 422, .. }) => MAX_DELAY_S,
            Some(HttpFailure::Plain | HttpFailure::Address | HttpFailure::Key) => MAX_DELAY_S,
            _ => doubled.min(MAX_DELAY_S),
        };
        match self.failure {
            Some(HttpFailure::Status { retry_after_s: Some(wanted), .. }) => delay_s.max(wanted.min(MAX_RETRY_AFTER_S)),
            _ => delay_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delay_s(failure: Option<HttpFailure>, failures: u32) -> f64 {
        RetryPolicy { words: String::new(), failure }.delay_s(failures)
    }

    fn status(code: u16, retry_after_s: Option<f64>) -> HttpFailure {
        HttpFailure::Status { code, retry_after_s }
    }

    #[test]
    fn delays_double_and_refusals_wait_an_hour() {
        let delays: Vec<f64> = (1..12).map(|failures| delay_s(Some(HttpFailure::TimedOut), failures)).collect();
        let hour = 3600.0;
        assert_eq!(delays, [30.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, hour, hour, hour, hour]);
        assert_eq!(delay_s(Some(HttpFailure::Dns), u32::MAX), hour);
        assert_eq!(delay_s(None, 1), 30.0, "an answer that cannot be parsed");
        assert_eq!(delay_s(Some(status(500, None)), 2), 60.0);
        for code in [401, 403, 404, 422] {
            assert_eq!(delay_s(Some(status(code, None)), 1), hour, "{code}");
        }
    }

    #[test]
    fn retry_after_is_honoured_up_to_six_hours() {
        assert_eq!(delay_s(Some(status(429, Some(100.0))), 1), 100.0);
        assert_eq!(delay_s(Some(status(429, Some(1.0))), 3), 120.0);
        assert_eq!(delay_s(Some(status(503, Some(7200.0))), 1), 7200.0);
        assert_eq!(delay_s(Some(status(503, Some(1e18))), 1), 6.0 * 3600.0);
        assert_eq!(delay_s(Some(status(401, Some(5.0))), 1), 3600.0);
    }

    #[test]
    fn failures_of_this_process_are_not_shared() {
        let is_for_all = |failure| RetryPolicy { words: String::new(), failure }.is_for_all();
        assert!([None, Some(status(503, None)), Some(HttpFailure::TimedOut)].into_iter().all(is_for_all));
        let by_proxy = |why| HttpFailure::Proxy { variable: "https_proxy", why };
        assert!(is_for_all(Some(by_proxy(failure::PROXY_LATE))));
        let own = [
            HttpFailure::Dns,
            HttpFailure::NoCertificates,
            HttpFailure::Unreachable("refused"),
            by_proxy("cannot be reached"),
        ];
        assert!(!own.map(Some).into_iter().any(is_for_all));
    }
}
