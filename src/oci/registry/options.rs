//! How to reach registries: mirrors, plain HTTP, certificates, deadlines and retries.
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::super::credentials::{CredentialSources, CredentialStore};
use super::error::RegistryError;

/// Applies to every registry in [`Options::mirrors`].
const ANY_HOST: &str = "*";

/// Settings of a [`super::Client`].
#[derive(Clone)]
pub struct Options {
    /// Mirrors to read from before the registry itself, by the registry's host or `*`.
    pub mirrors: BTreeMap<String, Vec<Mirror>>,
    /// Hosts that are spoken to in plain HTTP. Loopback addresses always are, unless they have
    /// certificates in [`Options::certificate_dirs`].
    pub plain_http: BTreeSet<String>,
    /// Hosts whose certificates are not checked.
    pub skip_verify: BTreeSet<String>,
    /// Folders with a folder of certificates a host, in Docker's layout.
    pub certificate_dirs: Vec<PathBuf>,
    /// Where credentials come from.
    pub credentials: CredentialStore,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a registry may be silent, before its answer and within it.
    pub silence_timeout: Duration,
    /// When to try again.
    pub retry: RetryPolicy,
    /// Uploads larger than this go in pieces of this size; `None` sends each blob in one request,
    /// which every registry takes.
    pub chunk_size: Option<u64>,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Whether the proxy variables of the environment count.
    pub system_proxy: bool,
}

/// How often and how fast a request is tried again.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Tries in all.
    pub attempts: u32,
    /// The first pause; each further one is twice as long, with jitter.
    pub first_pause: Duration,
    /// The longest pause, and the longest `Retry-After` that is waited for.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(30),
        }
    }
}

impl RetryPolicy {
    /// One try and no more, for probes that are better missed than waited for.
    pub const NEVER: Self =
        Self { attempts: 1, first_pause: Duration::ZERO, longest_pause: Duration::ZERO };
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mirrors: BTreeMap::new(),
            plain_http: BTreeSet::new(),
            skip_verify: BTreeSet::new(),
            certificate_dirs: Vec::new(),
            credentials: CredentialStore::default(),
            connect_timeout: Duration::from_secs(10),
            silence_timeout: Duration::from_secs(30),
            retry: RetryPolicy::default(),
            chunk_size: None,
            user_agent: concat!("kitwright/", env!("CARGO_PKG_VERSION")).to_owned(),
            system_proxy: true,
        }
    }
}

impl Options {
    /// The defaults, with the machine's credentials and certificate folders.
    #[must_use]
    pub fn from_env() -> Self {
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let own = home.map(|home| home.join(".docker/certs.d"));
        let system = ["/etc/docker/certs.d", "/etc/containers/certs.d"].map(PathBuf::from);
        Self {
            credentials: CredentialStore::new(CredentialSources::from_env()),
            certificate_dirs: own.into_iter().chain(system).collect(),
            ..Self::default()
        }
    }

    /// Adds a mirror written as `HOST=MIRROR`; `HOST` may be `*`.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Mirror`] when the text is written otherwise.
    pub fn add_mirror(&mut self, text: &str) -> Result<(), RegistryError> {
        let bad = || RegistryError::Mirror(text.to_owned());
        let (host, mirror) = text.split_once('=').ok_or_else(bad)?;
        if host.is_empty() || host.contains('/') {
            return Err(bad());
        }
        let mirror = Mirror::parse(mirror).ok_or_else(bad)?;
        // A host that mirrors itself in plain HTTP is one that has nothing else.
        if mirror.host == host && mirror.prefix.is_empty() && mirror.scheme == Some("http") {
            self.plain_http.insert(host.to_owned());
            return Ok(());
        }
        self.mirrors.entry(host.to_owned()).or_default().push(mirror);
        Ok(())
    }

    /// The mirrors of a registry: its own before those of every registry.
    pub(super) fn mirrors_of(&self, registry: &str) -> impl Iterator<Item = &Mirror> {
        let of = |name: &str| self.mirrors.get(name).into_iter().flatten();
        of(registry).chain(of(ANY_HOST)).filter(move |mirror| mirror.host != registry)
    }
}

/// A registry that serves the content of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// `http` or `https`; without it, as for any host.
    pub(super) scheme: Option<&'static str>,
    /// Host and port.
    pub(super) host: String,
    /// What goes before repository names, with a slash at its end when there is one.
    pub(super) prefix: String,
}

impl Mirror {
    /// Reads `[http://|https://]host[:port][/prefix]`.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Some("http"), rest),
            Some(("https", rest)) => (Some("https"), rest),
            Some(_) => return None,
            None => (None, text),
        };
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let url = url::Url::parse(&format!("http://{host}/")).ok()?;
        let plain = url.username().is_empty() && url.password().is_none();
        let prefix = prefix.trim_matches('/');
        let prefix = prefix.strip_prefix("v2/").unwrap_or(prefix);
        if host.is_empty() || host.contains(['?', '#']) || !plain || prefix.contains(['?', '#']) {
            return None;
        }
        let prefix = match prefix {
            "" | "v2" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Some(Self { scheme, host: host.to_owned(), prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_read_and_ordered() {
        let mut options = Options::default();
        for text in
            ["*=http://127.0.0.1:5000", "docker.io=https://mirror.gcr.io/v2/", "a.io=b.io/proxy/a"]
        {
            options.add_mirror(text).unwrap();
        }
        let names = |registry: &str| {
            let mirrors = options.mirrors_of(registry);
            mirrors.map(|m| format!("{:?} {} {}", m.scheme, m.host, m.prefix)).collect::<Vec<_>>()
        };
        let any = "Some(\"http\") 127.0.0.1:5000 ".to_owned();
        assert_eq!(names("docker.io"), ["Some(\"https\") mirror.gcr.io ".to_owned(), any.clone()]);
        assert_eq!(names("a.io"), ["None b.io proxy/a/".to_owned(), any.clone()]);
        assert!(names("127.0.0.1:5000").is_empty());
        options.add_mirror("plain.example:5000=http://plain.example:5000").unwrap();
        assert!(options.plain_http.contains("plain.example:5000"));
        for bad in ["docker.io", "=x", "docker.io=", "docker.io=ftp://x", "x=http://u:p@h", "a/b=c"]
        {
            let error = Options::default().add_mirror(bad).unwrap_err();
            assert_eq!(error.to_string(), format!("`{bad}` is not a registry mirror"));
        }
    }
}
