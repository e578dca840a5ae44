//! What an answer of GitHub's API means: take it, wait and ask again, or give up. Pure.
//!
//! The rules are GitHub's own: a primary limit is a 403 or 429 with `x-ratelimit-remaining: 0` and
//! its end in `x-ratelimit-reset`; a secondary limit says `retry-after`, or nothing, and then a
//! minute is the least to wait. See <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>.
use std::time::Duration;

/// How often a failing server is asked before we believe it.
pub const ATTEMPTS: u32 = 5;
/// The least to wait after a secondary limit that does not say how long.
const SECONDARY: Duration = Duration::from_secs(60);
/// The longest pause between two tries at a failing server.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The parts of an answer that decide.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The `retry-after` header.
    pub retry_after: Option<&'a str>,
    /// The `x-ratelimit-remaining` header.
    pub remaining: Option<&'a str>,
    /// The `x-ratelimit-reset` header: seconds since the epoch.
    pub reset: Option<&'a str>,
    /// What the body says.
    pub message: &'a str,
}

/// What to do about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is final, good or bad.
    Final,
    /// Too many requests: any request may be repeated after the pause.
    Limited(Duration),
    /// The server failed: what does no harm twice may be repeated after the pause.
    Failed(Duration),
}

/// Judges an answer to the `attempt`th try (from 1) at `now` seconds since the epoch.
///
/// `base` is the first pause after a failure; each next one is twice as long.
#[must_use]
pub fn judge(answer: &Answer, attempt: u32, now: u64, base: Duration) -> Verdict {
    let told =
        answer.retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    match answer.status {
        403 | 429 if is_limit(answer) => {
            Verdict::Limited(told.or_else(|| until_reset(answer, now)).unwrap_or_else(|| {
                SECONDARY.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)))
            }))
        }
        408 | 500 | 502..=504 => Verdict::Failed(told.unwrap_or_else(|| pause(attempt, base))),
        _ => Verdict::Final,
    }
}

/// The pause after the `attempt`th failure.
#[must_use]
pub fn pause(attempt: u32, base: Duration) -> Duration {
    base.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1))).min(LONGEST_PAUSE)
}

fn is_limit(answer: &Answer) -> bool {
    answer.status == 429
        || answer.retry_after.is_some()
        || answer.remaining.is_some_and(|remaining| remaining.trim() == "0")
        || answer.message.to_ascii_lowercase().contains("rate limit")
}

/// The time to the reset, and a second for clocks that disagree. Only an empty quota has one.
fn until_reset(answer: &Answer, now: u64) -> Option<Duration> {
    answer.remaining.filter(|remaining| remaining.trim() == "0")?;
    let reset: u64 = answer.reset?.trim().parse().ok()?;
    Some(Duration::from_secs(reset.saturating_sub(now) + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(1);
    const NOW: u64 = 1_000_000;

    fn verdict(answer: Answer, attempt: u32) -> Verdict {
        judge(&answer, attempt, NOW, BASE)
    }

    #[test]
    fn an_empty_quota_waits_for_its_reset() {
        let answer = Answer {
            status: 403,
            remaining: Some("0"),
            reset: Some("1000030"),
            ..Answer::default()
        };
        assert_eq!(verdict(answer, 1), Verdict::Limited(Duration::from_secs(31)));
        let past = Answer { reset: Some("999990"), ..answer };
        assert_eq!(verdict(past, 1), Verdict::Limited(Duration::from_secs(1)));
    }

    #[test]
    fn retry_after_counts_more_than_the_reset() {
        let answer = Answer {
            status: 429,
            retry_after: Some("7"),
            remaining: Some("0"),
            reset: Some("1009999"),
            ..Answer::default()
        };
        assert_eq!(verdict(answer, 1), Verdict::Limited(Duration::from_secs(7)));
    }

    #[test]
    fn a_secondary_limit_without_a_number_is_a_minute_then_two() {
        let message = "You have exceeded a secondary rate limit.";
        let answer = Answer { status: 403, remaining: Some("4999"), message, ..Answer::default() };
        assert_eq!(verdict(answer, 1), Verdict::Limited(Duration::from_secs(60)));
        assert_eq!(verdict(answer, 2), Verdict::Limited(Duration::from_secs(120)));
    }

    #[test]
    fn a_403_about_permissions_is_final() {
        let message = "Resource not accessible by integration";
        let answer = Answer { status: 403, remaining: Some("4999"), message, ..Answer::default() };
        assert_eq!(verdict(answer, 1), Verdict::Final);
        for status in [200, 201, 304, 401, 404, 422, 501] {
            assert_eq!(verdict(Answer { status, ..Answer::default() }, 1), Verdict::Final);
        }
    }

    #[test]
    fn server_failures_back_off_up_to_a_limit() {
        let answer = Answer { status: 502, ..Answer::default() };
        let pauses: Vec<_> = (1..8).map(|attempt| verdict(answer, attempt)).collect();
        let seconds = [1, 2, 4, 8, 16, 30, 30].map(|s| Verdict::Failed(Duration::from_secs(s)));
        assert_eq!(pauses, seconds);
    }
}
