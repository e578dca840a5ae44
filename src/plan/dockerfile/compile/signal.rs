//! Names of Linux signals.

const NAMES: &[&str] = &[
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
];

/// Whether `text` is a number other than 0, or a name with or without `SIG`.
pub(super) fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i64>() {
        return number != 0;
    }
    let name = text.to_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let is_near = |offset: &str, most: u8| {
        let plain = !offset.starts_with(['0', '+']);
        plain && offset.parse::<u8>().is_ok_and(|offset| offset <= most)
    };
    NAMES.contains(&name)
        || name.strip_prefix("RTMIN+").is_some_and(|offset| is_near(offset, 15))
        || name.strip_prefix("RTMAX-").is_some_and(|offset| is_near(offset, 14))
}

#[cfg(test)]
mod tests {
    use super::is_signal;

    #[test]
    fn knows_names_and_numbers() {
        for good in ["SIGTERM", "term", "9", "-1", "SIGRTMIN+15", "rtmax-1", "1000"] {
            assert!(is_signal(good), "{good}");
        }
        for bad in ["", "0", "SIG", "NOPE", "RTMIN+16", "RTMIN+0", "RTMAX-15", "SIGSIGTERM"] {
            assert!(!is_signal(bad), "{bad}");
        }
    }
}
