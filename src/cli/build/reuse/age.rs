//! How old an image is, and how old it may be.
use std::time::Duration;

use jiff::Timestamp;

/// How long ago something was.
pub(in crate::cli::build) fn age(then: Timestamp) -> Duration {
    Timestamp::now().duration_since(then).try_into().unwrap_or_default()
}

/// Reads a duration such as `7d`, `12h`, `30m` or `90s`.
pub(in crate::cli::build) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err("it is written like `7d`, `12h`, `30m` or `90s`".into()),
    };
    let number: u64 = digits.parse().map_err(|_| format!("`{digits}` is no number"))?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "it is too long".into())
}

/// An age for people: its largest unit.
pub(in crate::cli::build) fn spoken(age: Duration) -> String {
    let seconds = age.as_secs();
    let (number, unit) = match seconds {
        0..120 => (seconds, "seconds"),
        120..7200 => (seconds / 60, "minutes"),
        7200..172_800 => (seconds / 3600, "hours"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{number} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        for bad in ["7", "d", "7x", "-1d", "99999999999999999w"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert_eq!(spoken(Duration::from_secs(7300)), "2 hours");
    }
}
