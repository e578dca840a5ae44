//! URLs as Go reads and prints them.
//!
//! The text of a URL lies inside digests of Git and HTTP sources, so what is kept, decoded and
//! escaped again must be what Go's `net/url` does; a parser of the WHATWG standard changes more.

/// A URL that has an authority: `scheme://[user@]host/path?query#fragment`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Url {
    /// In lower case.
    pub scheme: String,
    /// User and password, still escaped.
    pub user: Option<String>,
    /// Host and port as written.
    pub host: String,
    /// Path, decoded.
    pub path: String,
    /// Path as written.
    raw_path: String,
    /// Query as written.
    pub query: String,
    /// Fragment, decoded.
    pub fragment: String,
}

impl Url {
    /// Reads `text`; `None` when Go would refuse it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return None;
        }
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (scheme, rest) = match rest.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_lowercase(), Some(rest)),
            _ => (String::new(), None),
        };
        let (authority, raw_path) = match rest {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", text.split(['#', '?']).next().unwrap_or_default()),
        };
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user.to_owned()), host),
            None => (None, authority),
        };
        if !is_host(host) || user.as_deref().is_some_and(|user| !is_user(user)) {
            return None;
        }
        Some(Self {
            scheme,
            user,
            host: host.to_owned(),
            path: unescape(raw_path, false)?,
            raw_path: raw_path.to_owned(),
            query: query.to_owned(),
            fragment: unescape(fragment, false)?,
        })
    }

    /// The URL without query and fragment.
    pub(super) fn without_options(&self) -> String {
        let user = self.user.as_deref().map(|user| format!("{user}@")).unwrap_or_default();
        let path = escaped_path(&self.raw_path, &self.path);
        format!("{}://{user}{}{path}", self.scheme, self.host)
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c))
}

fn is_user(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&c))
}

/// Whether Go takes `text` as a host with an optional port.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.rsplit_once(']') {
            Some((_, "")) => (text, ""),
            Some((name, port)) if port.starts_with(':') => (name, &port[1..]),
            _ => return false,
        },
        None => text.rsplit_once(':').unwrap_or((text, "")),
    };
    port.bytes().all(|digit| digit.is_ascii_digit())
        && !name.bytes().any(|c| b" \"<>\\^`{|}".contains(&c))
        && unescape(name, false).is_some()
}

/// The path as it was written, if that is well formed; otherwise escaped anew.
fn escaped_path(raw: &str, path: &str) -> String {
    let is_kept = |c: u8| c.is_ascii_alphanumeric() || b"-._~$&+,/:;=@!'()*[]%".contains(&c);
    if raw.bytes().all(is_kept) {
        return raw.to_owned();
    }
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~$&+,/:;=@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
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
    // LLB holds text only: bytes that are none could not be marshalled.
    String::from_utf8(decoded).ok()
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
