//! Durations as `1h15m30.5s`, of `HEALTHCHECK`.

use super::super::error::ParseError;

const MILLISECOND: i64 = 1_000_000;

/// Reads the value of `flag` in nanoseconds; an empty one is zero, which means not given.
///
/// # Errors
///
/// [`ParseError::InvalidValue`] for what is no duration, and for one between zero and a
/// millisecond or below zero.
pub(super) fn parse(flag: &'static str, value: &str) -> Result<i64, ParseError> {
    let fail = |reason: &str| ParseError::InvalidValue {
        name: flag.to_owned(),
        value: value.to_owned(),
        reason: reason.to_owned(),
    };
    if value.is_empty() {
        return Ok(0);
    }
    let duration = nanoseconds(value).ok_or_else(|| fail("it is no duration, as 1m30s is"))?;
    if duration != 0 && duration < MILLISECOND {
        return Err(fail("it cannot be less than 1ms"));
    }
    Ok(duration)
}

/// Reads a signed sequence of decimal numbers with units.
fn nanoseconds(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (part, behind) = part(rest)?;
        total = total.checked_add(part).filter(|total| *total <= 1 << 63)?;
        rest = behind;
    }
    match negative {
        true => Some((total as i64).wrapping_neg()),
        false => i64::try_from(total).ok(),
    }
}

/// Reads one number and its unit; returns nanoseconds and what follows.
fn part(text: &str) -> Option<(u64, &str)> {
    let digits_end = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = text.split_at(digits_end(text));
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits_end(rest)),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let unit_end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let unit: u64 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let nanoseconds = whole.checked_mul(unit)?.checked_add(fraction_of(fraction, unit))?;
    (nanoseconds <= 1 << 63).then_some((nanoseconds, rest))
}

/// Returns `unit` times the fraction with these digits; those beyond 63 bits do not count.
fn fraction_of(digits: &str, unit: u64) -> u64 {
    let mut value: u64 = 0;
    let mut scale = 1.0;
    for digit in digits.bytes().map(|byte| u64::from(byte - b'0')) {
        let next = value.checked_mul(10).and_then(|value| value.checked_add(digit));
        let Some(next) = next.filter(|next| *next <= 1 << 63) else { break };
        value = next;
        scale *= 10.0;
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        for (text, nanoseconds) in [
            ("", 0),
            ("0", 0),
            ("0s", 0),
            ("-0", 0),
            ("+5s", 5_000_000_000),
            ("1h2m3.5s", 3_723_500_000_000),
            ("1ms", 1_000_000),
            (".5m", 30_000_000_000),
            ("1500µs", 1_500_000),
            ("1.9999999999999999999s", 2_000_000_000),
        ] {
            assert_eq!(parse("--interval", text).unwrap(), nanoseconds, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "5",
            "s",
            ".s",
            "1x",
            "1 s",
            "999us",
            "-1s",
            "9999999h",
            "1s2",
            "99999999999999999999s",
        ] {
            assert!(parse("--interval", text).is_err(), "{text}");
        }
    }
}
