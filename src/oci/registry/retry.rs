//! When to try again: back-off with jitter, and `Retry-After`.
use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

use super::error::RegistryError;
use super::options::RetryPolicy;

/// Tries to connect in all. A host that is not there is no reason to wait for long.
const CONNECT_ATTEMPTS: u32 = 2;

/// The pauses between the tries of one request.
pub(super) struct Pauses {
    policy: RetryPolicy,
    tried: u32,
}

impl Pauses {
    pub(super) const fn new(policy: RetryPolicy) -> Self {
        Self { policy, tried: 0 }
    }

    /// Waits before the next try, or gives the error back when there is to be none.
    pub(super) async fn wait(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        self.tried += 1;
        let attempts = match error {
            RegistryError::Connect { .. } => self.policy.attempts.min(CONNECT_ATTEMPTS),
            _ => self.policy.attempts,
        };
        if !error.is_retryable() || self.tried >= attempts {
            return Err(error);
        }
        let pause = match error.retry_after() {
            // Trying sooner than the registry wants only makes it angrier.
            Some(wanted) if wanted > self.policy.longest_pause => return Err(error),
            Some(wanted) => wanted.max(backoff(self.policy, self.tried)),
            None => backoff(self.policy, self.tried),
        };
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// Doubles with each try, then takes between half and all of it, so that the clients which one
/// outage has stopped do not come back together.
fn backoff(policy: RetryPolicy, tried: u32) -> Duration {
    let doubled = policy.first_pause.saturating_mul(1 << (tried - 1).min(16));
    let whole = doubled.min(policy.longest_pause);
    let mut random = [0; 1];
    if getrandom::fill(&mut random).is_err() {
        random = [128];
    }
    whole / 2 + whole * u32::from(random[0]) / 510
}

/// Reads `Retry-After`: seconds, or a date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(jiff::Timestamp::now())).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, text.parse().unwrap());
        retry_after(&headers)
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(header("120"), Some(Duration::from_secs(120)));
        assert_eq!(header("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert!(header("Fri, 31 Dec 2088 23:59:59 GMT").unwrap() > Duration::from_secs(1 << 24));
        assert_eq!(header("soon"), None);
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let policy = RetryPolicy {
            attempts: 9,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_millis(300),
        };
        for (tried, whole) in [(1, 100), (2, 200), (3, 300), (40, 300)] {
            let pause = backoff(policy, tried).as_millis();
            assert!((whole / 2..=whole).contains(&pause), "{tried}: {pause}");
        }
    }
}
