//! One place that speaks the distribution protocol: its URL, HTTP client and authentication.
use std::net::IpAddr;

use url::Url;

use super::auth::Authentication;
use super::error::RegistryError;
use super::options::{Mirror, Options};
use super::tls;

/// Where Docker Hub's registry really is.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";
/// How long an unused connection is kept.
const IDLE: std::time::Duration = std::time::Duration::from_secs(90);

/// A registry or a mirror of one.
pub(super) struct Host {
    /// The name that credentials are kept under.
    pub(super) name: String,
    /// `https://host/v2/`, with a mirror's prefix at the end.
    pub(super) base: Url,
    /// The registry whose content this host mirrors.
    pub(super) mirror_of: Option<String>,
    /// Connections to this host alone, so that its certificates serve nobody else.
    pub(super) http: reqwest::Client,
    /// What this host has asked for and been shown.
    pub(super) authentication: Authentication,
}

impl Host {
    /// The registry that a reference names.
    pub(super) fn upstream(registry: &str, options: &Options) -> Result<Self, RegistryError> {
        let host = if registry == super::super::reference::DEFAULT_REGISTRY {
            DOCKER_HUB_HOST
        } else {
            registry
        };
        Self::new(registry, scheme(host, options), host, "", None, options)
    }

    /// A mirror of `registry`.
    pub(super) fn mirror(
        mirror: &Mirror,
        registry: &str,
        options: &Options,
    ) -> Result<Self, RegistryError> {
        let scheme = mirror.scheme.unwrap_or_else(|| scheme(&mirror.host, options));
        let of = Some(registry.to_owned());
        Self::new(&mirror.host, scheme, &mirror.host, &mirror.prefix, of, options)
    }

    fn new(
        name: &str,
        scheme: &str,
        host: &str,
        prefix: &str,
        mirror_of: Option<String>,
        options: &Options,
    ) -> Result<Self, RegistryError> {
        let text = format!("{scheme}://{host}/v2/{prefix}");
        let base = Url::parse(&text)
            .map_err(|error| RegistryError::Protocol { url: text, reason: error.to_string() })?;
        let http = http_client(&base, host, options)?;
        let authentication = Authentication::new(options.credentials.clone());
        Ok(Self { name: name.to_owned(), base, mirror_of, http, authentication })
    }

    /// The URL of `path` below the host's base.
    pub(super) fn url(&self, path: &str, query: &[(&str, &str)]) -> Result<Url, RegistryError> {
        let mut url = self.base.join(path).map_err(|error| RegistryError::Protocol {
            url: format!("{}{path}", self.base),
            reason: error.to_string(),
        })?;
        if !query.is_empty() || self.mirror_of.is_some() {
            let mut pairs = url.query_pairs_mut();
            pairs.extend_pairs(query);
            if let Some(registry) = &self.mirror_of {
                pairs.append_pair("ns", registry);
            }
        }
        Ok(url)
    }

    /// Whether a request to `url` may carry what this host may see.
    pub(super) fn is_origin_of(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }
}

/// Plain HTTP for loopback addresses and hosts declared so, unless the host has certificates.
fn scheme(host: &str, options: &Options) -> &'static str {
    if options.plain_http.contains(host) {
        return "http";
    }
    let plain = is_loopback(host) && !tls::has_files(host, &options.certificate_dirs);
    if plain && !options.skip_verify.contains(host) { "http" } else { "https" }
}

/// Whether a host with an optional port is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or(host),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Host and port of a URL, as certificate folders and error messages name them.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Builds the connection pool for a host.
///
/// Redirects are followed by hand, because only then is it certain what goes to whom. Loopback is
/// reached without proxies, as Go's tools do it.
pub(super) fn http_client(
    base: &Url,
    host: &str,
    options: &Options,
) -> Result<reqwest::Client, RegistryError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(&options.user_agent)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(options.connect_timeout)
        .pool_idle_timeout(IDLE)
        .tcp_nodelay(true);
    if !options.system_proxy || is_loopback(host) {
        builder = builder.no_proxy();
    }
    let tls = if base.scheme() == "https" {
        let skip = options.skip_verify.contains(host);
        Some(tls::for_host(host, &options.certificate_dirs, skip)?)
    } else {
        tls::none()
    };
    if let Some(tls) = tls {
        builder = builder.tls_backend_preconfigured(tls);
    }
    let setup = |source| RegistryError::Setup { host: host.to_owned(), source };
    builder.build().map_err(setup)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_plain_unless_it_has_certificates() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("localhost:5001")).unwrap();
        let mut options = Options::default();
        options.certificate_dirs.push(dir.path().to_path_buf());
        options.plain_http.insert("plain.example".into());
        for (host, expected) in [
            ("localhost:5000", "http"),
            ("localhost:5001", "https"),
            ("127.0.0.1:80", "http"),
            ("[::1]:5000", "http"),
            ("ghcr.io", "https"),
            ("127.0.0.1.example", "https"),
            ("plain.example", "http"),
        ] {
            assert_eq!(scheme(host, &options), expected, "{host}");
        }
    }

    #[test]
    fn urls_are_built_below_the_base() {
        let mut options = Options::default();
        options.add_mirror("docker.io=http://127.0.0.1:9/hub").unwrap();
        let hub = Host::upstream("docker.io", &options).unwrap();
        let url = hub.url("library/x/manifests/latest", &[]).unwrap();
        assert_eq!(url.as_str(), "https://registry-1.docker.io/v2/library/x/manifests/latest");
        let mirror = options.mirrors_of("docker.io").next().unwrap();
        let mirror = Host::mirror(mirror, "docker.io", &options).unwrap();
        let url = mirror.url("library/x/tags/list", &[("n", "5")]).unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:9/v2/hub/library/x/tags/list?n=5&ns=docker.io");
        assert!(hub.is_origin_of(&Url::parse("https://registry-1.docker.io/x").unwrap()));
        for other in ["http://registry-1.docker.io/", "https://registry-1.docker.io:444/"] {
            assert!(!hub.is_origin_of(&Url::parse(other).unwrap()), "{other}");
        }
    }
}
