//! URLs as Go reads and prints them.
//!
//! The text of a URL lies inside digests of Git and HTTP sources, so what is kept, decoded and
//! escaped again must be what Go's `net/url` does; a parser of the WHATWG standard changes more.

/// A URL that has an authority: `scheme://[user@]host/path?query#fragment`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Url {
    /// In lower case.
    pub scheme: String,
    /// User and password, escaped as Go prints them.
    pub user: Option<String>,
    /// Host and port, decoded.
    pub host: String,
    /// Path, decoded.
    pub path: String,
    /// Path as written.
    raw_path: String,
    /// Query as written.
    pub query: String,
    /// Whether there is a `?` and nothing behind it.
    empty_query: bool,
    /// Fragment, decoded.
    pub fragment: String,
}

impl Url {
    /// Reads `text`; `None` when Go would refuse it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return None;
        }
        let (rest, query) = text.split_once('?').unwrap_or((text, ""));
        let empty_query = query.is_empty() && text.ends_with('?');
        let (scheme, authority, raw_path) = match rest.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (scheme.to_lowercase(), authority, path)
            }
            _ => (String::new(), "", rest),
        };
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(normal_user(user)?), host),
            None => (None, authority),
        };
        Some(Self {
            host: decode_host(&scheme, host)?,
            scheme,
            user,
            path: unescape(raw_path, false)?,
            raw_path: raw_path.to_owned(),
            query: query.to_owned(),
            empty_query,
            fragment: unescape(fragment, false)?,
        })
    }

    /// The URL without query and fragment.
    pub(super) fn without_options(&self) -> String {
        let user = self.user.as_deref().map(|user| format!("{user}@")).unwrap_or_default();
        let host = escape(&self.host, is_host_byte);
        let path = escaped_path(&self.raw_path, &self.path);
        let slashes = if user.is_empty() && host.is_empty() && path.is_empty() { "" } else { "//" };
        let question = if self.empty_query { "?" } else { "" };
        format!("{}:{slashes}{user}{host}{path}{question}", self.scheme)
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c))
}

/// Checks user and password, and escapes both anew.
fn normal_user(text: &str) -> Option<String> {
    let fits = |c: u8| c.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&c);
    if !text.bytes().all(fits) {
        return None;
    }
    let normal = |part: &str| {
        let kept = |c: u8| c.is_ascii_alphanumeric() || b"-_.~$&+,;=".contains(&c);
        Some(escape(&unescape(part, false)?, kept))
    };
    match text.split_once(':') {
        Some((name, password)) => Some(format!("{}:{}", normal(name)?, normal(password)?)),
        None => normal(text),
    }
}

/// Checks a host with an optional port, and decodes it.
fn decode_host(scheme: &str, text: &str) -> Option<String> {
    let (host, port) = match text.rfind('[') {
        Some(0) => {
            let (address, port) = text.split_at(text.rfind(']')? + 1);
            let address = decode_address(&address[1..address.len() - 1])?;
            (format!("[{address}]"), port)
        }
        Some(_) => return None,
        None => {
            let colon = match scheme {
                "http" | "https" => text.find(':'),
                _ => text.rfind(':'),
            };
            let (host, port) = text.split_at(colon.unwrap_or(text.len()));
            (decode_host_name(host)?, port)
        }
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let port_fits = digits.bytes().all(|c| c.is_ascii_digit());
    (port_fits && (port.is_empty() || port.starts_with(':'))).then(|| host + port)
}

/// Only bytes beyond ASCII may be escaped in the name of a host.
fn decode_host_name(text: &str) -> Option<String> {
    let fits = |c: u8| !c.is_ascii() || c == b'%' || is_host_byte(c);
    let mut escapes = text.match_indices('%').map(|(at, _)| text.get(at + 1..at + 3).unwrap_or(""));
    let escaped_fit = escapes.all(|hex| hex == "25" || hex >= "8");
    if !text.bytes().all(fits) || !escaped_fit {
        return None;
    }
    unescape(text, false)
}

/// An address of IPv6, with a zone behind `%25` if there is one.
fn decode_address(text: &str) -> Option<String> {
    let (address, zone) = text.split_at(text.find("%25").unwrap_or(text.len()));
    address.parse::<std::net::Ipv6Addr>().ok()?;
    if zone == "%25" {
        return None;
    }
    Some(address.to_owned() + &unescape(zone, false)?)
}

fn is_host_byte(c: u8) -> bool {
    c.is_ascii_alphanumeric() || b"!$&'()*+,;=:[]<>\"-_.~".contains(&c)
}

/// Escapes all bytes that are not `kept`.
fn escape(text: &str, kept: impl Fn(u8) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if kept(byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// The path as it was written, if that is well formed; otherwise escaped anew.
fn escaped_path(raw: &str, path: &str) -> String {
    let is_kept = |c: u8| c.is_ascii_alphanumeric() || b"-._~$&+,/:;=@!'()*[]%".contains(&c);
    if raw.bytes().all(is_kept) {
        return raw.to_owned();
    }
    escape(path, |c| c.is_ascii_alphanumeric() || b"-._~$&+,/:;=@".contains(&c))
}

/// Decodes `%41`, and `+` where it stands for a space; `None` for a bad escape.
fn unescape(text: &str, plus: bool) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                decoded.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
            }
            b'+' if plus => decoded.push(b' '),
            other => decoded.push(other),
        }
    }
    // Bytes that are no text cannot be marshalled, whatever stands for them.
    Some(String::from_utf8_lossy(&decoded).into_owned())
}

/// The pairs of a query in order, without those that cannot be decoded.
pub(super) fn query_pairs(query: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        Some((unescape(key, true)?, unescape(value, true)?))
    };
    query
        .split('&')
        .filter(|part| !part.is_empty() && !part.contains(';'))
        .filter_map(pair)
        .collect()
}

/// Like [`query_pairs`], but `None` when a pair cannot be decoded.
pub(super) fn strict_query_pairs(query: &str) -> Option<Vec<(String, String)>> {
    let pairs = query_pairs(query);
    let all = query.split('&').filter(|part| !part.is_empty()).count();
    (pairs.len() == all).then_some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_path_as_written_and_decodes_a_copy() {
        let url = Url::parse("HTTPS://u:p@Host:1/a%2Fb/c%20d?x=1#f%2F").unwrap();
        assert_eq!(url.scheme, "https");
        assert_eq!(url.host, "Host:1");
        assert_eq!(url.path, "/a/b/c d");
        assert_eq!(url.fragment, "f/");
        assert_eq!(url.without_options(), "https://u:p@Host:1/a%2Fb/c%20d");
        let spaced = Url::parse("https://h/a b").unwrap();
        assert_eq!(spaced.without_options(), "https://h/a%20b");
    }

    #[test]
    fn refuses_bad_escapes_hosts_and_ports() {
        for bad in
            ["https://h/%zz", "https://h o/", "https://h:x/", "https://h/\n", "https://[::1/"]
        {
            assert_eq!(Url::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn reads_queries() {
        let pairs = query_pairs("a=1&b&c=x+y%21&d;e=1");
        let expected = [("a", "1"), ("b", ""), ("c", "x y!")];
        assert_eq!(pairs, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }
}
