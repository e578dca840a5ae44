//! `EXPOSE`: ports, ranges of ports, and the host parts that it once took.
use std::net::IpAddr;

use super::super::lint::Finding;
use super::CompileErrorKind;

/// The ports of `text`, each as `80/tcp`.
///
/// `text` is `[[ip:]host-port:]port[-port][/protocol]`; what is before the last colon is checked and
/// means nothing.
pub(super) fn parse_port(
    text: &str,
    mut warn: impl FnMut(Finding),
) -> Result<Vec<String>, CompileErrorKind> {
    let bad = |reason: String| CompileErrorKind::Port { port: text.to_owned(), reason };
    let (ip, host, container) = split_parts(text);
    let (range, protocol) = container.split_once('/').unwrap_or((container, ""));
    if range.is_empty() {
        return Err(bad("no port specified".to_owned()));
    }
    let is_lower = protocol == protocol.to_lowercase();
    let protocol = match protocol.to_lowercase().as_str() {
        "" => "tcp".to_owned(),
        known @ ("tcp" | "udp" | "sctp") => known.to_owned(),
        _ => return Err(bad(format!("invalid proto: {protocol}"))),
    };
    if !is_lower {
        warn(Finding::ExposeProtoCasing { port: text.to_owned() });
    }
    if !ip.is_empty() || !host.is_empty() {
        warn(Finding::ExposeInvalidFormat { port: text.to_owned() });
    }
    if !is_ip(ip) {
        return Err(bad(format!("invalid IP address: {ip}")));
    }
    let (first, last) =
        parse_range(range).ok_or_else(|| bad(format!("invalid containerPort: {range}")))?;
    if !host.is_empty() {
        let (host_first, host_last) =
            parse_range(host).ok_or_else(|| bad(format!("invalid hostPort: {host}")))?;
        if last - first != host_last - host_first && first != last {
            return Err(bad(format!(
                "invalid ranges specified for container and host Ports: {range} and {host}"
            )));
        }
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

fn split_parts(text: &str) -> (&str, &str, &str) {
    let Some((rest, container)) = text.rsplit_once(':') else { return ("", "", text) };
    match rest.rsplit_once(':') {
        Some((ip, host)) => (ip, host, container),
        None => ("", rest, container),
    }
}

fn is_ip(text: &str) -> bool {
    let bare = match text.strip_prefix('[') {
        Some(rest) => match rest.strip_suffix(']') {
            Some(bare) => bare,
            None => return false,
        },
        None => text,
    };
    text.is_empty() || bare.is_empty() || bare.parse::<IpAddr>().is_ok()
}

fn parse_range(text: &str) -> Option<(u16, u16)> {
    match text.split_once('-') {
        None => parse_number(text).map(|port| (port, port)),
        Some((first, last)) => {
            let (first, last) = (parse_number(first)?, parse_number(last)?);
            (first <= last).then_some((first, last))
        }
    }
}

/// A number may have a plus sign, as far as Go is concerned.
fn parse_number(text: &str) -> Option<u16> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    if digits.starts_with('+') {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ports_ranges_and_host_parts() {
        for (text, expected) in [
            ("80", vec!["80/tcp"]),
            ("80/UDP", vec!["80/udp"]),
            ("80-82/sctp", vec!["80/sctp", "81/sctp", "82/sctp"]),
            ("8080:80", vec!["80/tcp"]),
            ("127.0.0.1:8080:80", vec!["80/tcp"]),
            ("[::1]:8080:80", vec!["80/tcp"]),
            ("8080-8090:80", vec!["80/tcp"]),
        ] {
            assert_eq!(parse_port(text, drop).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_other_things() {
        for bad in ["", "/tcp", "80/icmp", "x", "82-80", "70000", "1.2.3:1:80", "1-3:80-81", "-1"] {
            assert!(parse_port(bad, drop).is_err(), "{bad}");
        }
    }
}
