//! `HEALTHCHECK`.

use super::duration;
use super::flags::{Flags, Known, Takes};
use super::{Healthcheck, InstructionKind};
use crate::plan::dockerfile::error::ParseError;
use crate::plan::dockerfile::parser::Arguments;
use crate::plan::dockerfile::text;

const HEALTHCHECK_FLAGS: Known = &[
    ("interval", Takes::Value),
    ("timeout", Takes::Value),
    ("start-period", Takes::Value),
    ("start-interval", Takes::Value),
    ("retries", Takes::Value),
];

/// Reads the arguments and flags of a `HEALTHCHECK`.
///
/// # Errors
///
/// [`ParseError`] for an unknown first word, no command, and bad durations or retries.
pub(super) fn healthcheck(
    arguments: Arguments,
    flags: &[String],
) -> Result<InstructionKind, ParseError> {
    let Arguments::Healthcheck(kind, mut command, exec) = arguments else {
        return Err(ParseError::AtLeastOneArgument { instruction: "HEALTHCHECK" });
    };
    let kind = text::upper(&kind).into_owned();
    if kind == "NONE" {
        if !command.is_empty() {
            return Err(ParseError::HealthcheckNone);
        }
        let test = vec![kind];
        return Ok(InstructionKind::Healthcheck(Healthcheck { test, ..Healthcheck::default() }));
    }
    let flags = Flags::read(flags, HEALTHCHECK_FLAGS)?;
    if kind != "CMD" {
        return Err(ParseError::HealthcheckKind { kind });
    }
    if command.is_empty() {
        return Err(ParseError::HealthcheckEmpty);
    }
    let mut test = vec![if exec { kind } else { "CMD-SHELL".to_owned() }];
    test.append(&mut command);
    let read = |flag, name| duration::parse(flag, flags.value(name).unwrap_or_default());
    Ok(InstructionKind::Healthcheck(Healthcheck {
        test,
        interval: read("--interval", "interval")?,
        timeout: read("--timeout", "timeout")?,
        start_period: read("--start-period", "start-period")?,
        start_interval: read("--start-interval", "start-interval")?,
        retries: retries(flags.value("retries").unwrap_or_default())?,
    }))
}

fn retries(value: &str) -> Result<i32, ParseError> {
    if value.is_empty() {
        return Ok(0);
    }
    let fail = |reason: String| {
        let (name, value) = ("--retries".to_owned(), value.to_owned());
        ParseError::InvalidValue { name, value, reason }
    };
    let retries: i32 = value.parse().map_err(|error| fail(format!("it is no number: {error}")))?;
    if retries < 0 {
        return Err(fail("it cannot be negative".to_owned()));
    }
    Ok(retries)
}
