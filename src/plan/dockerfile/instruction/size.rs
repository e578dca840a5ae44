//! Sizes with a unit, as `size=64m` of a tmpfs mount.

use super::super::error::ParseError;

/// Reads a size in bytes; units are powers of 1024, as `64m`, `64mb` and `64MiB`.
///
/// # Errors
///
/// [`ParseError::InvalidValue`] for a number or a unit that is none.
pub(super) fn parse(text: &str) -> Result<i64, ParseError> {
    let fail = |reason: &str| ParseError::InvalidValue {
        name: "size".to_owned(),
        value: text.to_owned(),
        reason: reason.to_owned(),
    };
    let digit = |c: char| c.is_ascii_digit() || c == '.' || c == ' ';
    let last = text.rfind(digit).ok_or_else(|| fail("it has no digit"))?;
    let unit = &text[last + 1..];
    let number = text[..=last].strip_suffix(' ').unwrap_or(&text[..=last]);
    let number = parse_number(number).ok_or_else(|| fail("it does not start with a number"))?;
    if number < 0.0 {
        return Err(fail("it is negative"));
    }
    let unit = unit.to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
        "" if unit == "ib" => return Err(fail("its unit is none of k, m, g, t, p")),
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(fail("its unit is none of k, m, g, t, p")),
    };
    let bytes = number * 1024_f64.powi(power);
    // Casts saturate: a size beyond 8 EiB means no limit either way.
    Ok(bytes as i64)
}

/// Reads a decimal number; digits may be grouped by underscores.
fn parse_number(text: &str) -> Option<f64> {
    let grouped = text.as_bytes().windows(3).all(|around| {
        around[1] != b'_' || around[0].is_ascii_digit() && around[2].is_ascii_digit()
    });
    if !grouped || text.starts_with('_') || text.ends_with('_') {
        return None;
    }
    let number: f64 = text.replace('_', "").parse().ok()?;
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_units() {
        for (text, bytes) in [
            ("64", 64),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("64MiB", 64 << 20),
            ("1.5k", 1536),
            ("2 g", 2 << 30),
            ("7b", 7),
            ("32.", 32),
            ("1e3", 1000),
            ("1_000", 1000),
        ] {
            assert_eq!(parse(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_size() {
        for text in ["", "m", "-1", "12x", "1mm", "1ib", "1 mib b", "1_", "a1", "1kbb"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
