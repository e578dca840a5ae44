//! Times as Go's `encoding/json` writes them: RFC 3339 without trailing zeros.

/// Brings an RFC 3339 time into Go's spelling; `None` if it is none.
#[must_use]
pub fn normalize(text: &str) -> Option<String> {
    let (seconds, rest) = text.split_at_checked("2006-01-02T15:04:05".len())?;
    if !is_date_time(seconds) {
        return None;
    }
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            if end == 0 {
                return None;
            }
            rest.split_at(end)
        }
        None => ("", rest),
    };
    let nanoseconds = fraction.get(..fraction.len().min(9))?.trim_end_matches('0');
    let zone = match zone {
        "Z" | "+00:00" | "-00:00" => "Z",
        zone if is_offset(zone) => zone,
        _ => return None,
    };
    let point = if nanoseconds.is_empty() { "" } else { "." };
    Some(format!("{seconds}{point}{nanoseconds}{zone}"))
}

/// Whether `text` has digits and separators in the places of `pattern`, where `0` is any digit.
fn looks_like(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(c, p)| match p {
            b'0' => c.is_ascii_digit(),
            other => c == other,
        })
}

fn is_date_time(text: &str) -> bool {
    let number = |at: usize| text[at..at + 2].parse::<u32>().unwrap_or(99);
    looks_like(text, "0000-00-00T00:00:00")
        && (1..=12).contains(&number(5))
        && (1..=31).contains(&number(8))
        && number(11) < 24
        && number(14) < 60
        && number(17) < 60
}

fn is_offset(text: &str) -> bool {
    matches!(text.as_bytes().first(), Some(b'+' | b'-')) && looks_like(&text[1..], "00:00")
}

/// The time `seconds` after the beginning of 1970 in UTC.
#[must_use]
pub fn from_unix(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400);
    let time = seconds.rem_euclid(86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a day counted from 1970, in the Gregorian calendar.
///
/// Days are counted from 1 March of year 0, so that the leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Nanoseconds from the beginning of 1970 in UTC to an RFC 3339 time; `None` if it is none.
#[must_use]
pub fn to_unix_nanos(text: &str) -> Option<i128> {
    let text = normalize(text)?;
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let days = days(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let seconds = days * 86_400 + number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    let rest = text.get(19..)?;
    let zone = rest.find(['Z', '+', '-'])?;
    let (fraction, zone) = rest.split_at(zone);
    let nanoseconds = format!("{:0<9}", fraction.trim_start_matches('.')).parse::<i128>().ok()?;
    let offset = match zone.split_at_checked(1)? {
        ("Z", _) => 0,
        (sign, offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let seconds = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
            if sign == "-" { -seconds } else { seconds }
        }
    };
    Some(i128::from(seconds - offset) * 1_000_000_000 + nanoseconds)
}

/// The same time in UTC; `None` if it is none.
#[must_use]
pub fn utc(text: &str) -> Option<String> {
    from_unix_nanos(to_unix_nanos(text)?)
}

/// The time so many nanoseconds after the beginning of 1970 in UTC; `None` if that is too far away.
#[must_use]
pub fn from_unix_nanos(nanos: i128) -> Option<String> {
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    let whole = from_unix(seconds);
    normalize(&format!("{}.{:09}Z", whole.strip_suffix('Z')?, nanos.rem_euclid(1_000_000_000)))
}

/// The inverse of [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::{from_unix, normalize, to_unix_nanos, utc};

    #[test]
    fn reads_what_it_writes_and_fractions_and_offsets() {
        for seconds in [0, 1_700_000_000, 951_782_400, -1, 4_102_444_799, -62_135_596_800] {
            let expected = Some(i128::from(seconds) * 1_000_000_000);
            assert_eq!(to_unix_nanos(&from_unix(seconds)), expected, "{seconds}");
        }
        for (text, nanoseconds) in [
            ("1970-01-01T00:00:00.5Z", 500_000_000),
            ("1970-01-01T00:00:00.000000001Z", 1),
            ("1970-01-01T02:00:00+02:00", 0),
            ("1969-12-31T22:30:01-01:30", 1_000_000_000),
        ] {
            assert_eq!(to_unix_nanos(text), Some(nanoseconds), "{text}");
        }
        assert_eq!(to_unix_nanos("yesterday"), None);
    }

    #[test]
    fn drops_zeros_and_names_utc_z() {
        for (text, expected) in [
            ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
            ("2024-01-01T00:00:00.120000000Z", "2024-01-01T00:00:00.12Z"),
            ("2024-01-01T00:00:00.1234567891Z", "2024-01-01T00:00:00.123456789Z"),
            ("2024-01-01T00:00:00.000+00:00", "2024-01-01T00:00:00Z"),
            ("2024-01-01T00:00:00.5+02:00", "2024-01-01T00:00:00.5+02:00"),
        ] {
            assert_eq!(normalize(text).as_deref(), Some(expected));
        }
    }

    #[test]
    fn times_of_other_zones_are_told_in_utc() {
        for (text, expected) in [
            ("2024-01-01T00:30:00.120+02:00", "2023-12-31T22:30:00.12Z"),
            ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.5Z"),
        ] {
            assert_eq!(utc(text).as_deref(), Some(expected));
        }
        assert_eq!(utc("yesterday"), None);
    }

    #[test]
    fn refuses_what_is_no_time() {
        for bad in [
            "",
            "2024-01-01",
            "2024-13-01T00:00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01 00:00:00Z",
            "äää4-01-01T00:00:00Z",
        ] {
            assert_eq!(normalize(bad), None, "{bad}");
        }
    }

    #[test]
    fn counts_from_1970() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(from_unix(seconds), text);
        }
    }
}
