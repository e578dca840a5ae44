//! What a build may ask of the private engine, and when a running engine has it.
//!
//! One engine serves all builds of a user at once, so it can have one configuration only. A build
//! that asks for nothing joins any engine. A build that asks for a mirror or the host's CA joins an
//! engine that has exactly that; what others have asked for besides does not matter to it.
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The registries that `*=MIRROR` means, besides those named in the build.
///
/// BuildKit's configuration has no wildcard, so it needs their names.
pub const KNOWN_REGISTRIES: &[&str] = &[
    "docker.io",
    "gcr.io",
    "ghcr.io",
    "mcr.microsoft.com",
    "public.ecr.aws",
    "quay.io",
    "registry.k8s.io",
];

/// Settings of the private engine that a build depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Asks {
    /// Mirrors by registry host, in the order to try them; the registry itself comes last.
    pub mirrors: BTreeMap<String, Vec<Mirror>>,
    /// Registries, besides loopback ones, that speak plain HTTP.
    pub plain_http: BTreeSet<String>,
    /// The bundle of CA certificates to show to RUN steps.
    pub host_ca: Option<PathBuf>,
    /// How steps reach the network.
    pub network: Option<Network>,
    /// How many steps may run at once.
    pub max_parallelism: Option<u32>,
}

/// How steps of the private engine reach the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// CNI where it is configured, else the host's.
    Auto,
    /// The host's network.
    Host,
}

/// A registry to ask instead of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// Host with optional port and path: `mirror.example:5000/dockerhub`.
    pub host: String,
    /// Whether it speaks plain HTTP.
    pub plain_http: bool,
}

/// One `--registry-mirror HOST=MIRROR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorRule {
    /// The mirrored registry; `*` for all.
    pub registry: String,
    /// What to ask instead.
    pub mirror: Mirror,
}

/// Why a `--registry-mirror` is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum MirrorError {
    /// There is no `=`, or nothing on one of its sides.
    #[error("`{0}` is not of the form HOST=MIRROR")]
    #[diagnostic(help("for example `docker.io=mirror.example:5000` or `*=http://127.0.0.1:5000`"))]
    Form(String),
    /// The mirror is a URL of something else than a registry.
    #[error("the mirror `{0}` is neither a host nor an `http://` or `https://` URL")]
    #[diagnostic(help("for example `docker.io=https://mirror.example:5000/dockerhub`"))]
    Scheme(String),
}

impl crate::fault::Classified for MirrorError {
    fn fault(&self) -> crate::fault::Fault {
        crate::fault::Fault::Usage
    }
}

impl FromStr for MirrorRule {
    type Err = MirrorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || MirrorError::Form(text.to_owned());
        let (registry, mirror) = text.split_once('=').ok_or_else(form)?;
        let (plain_http, host) = match mirror.split_once("://") {
            None => (is_loopback(mirror), mirror),
            Some(("http", host)) => (true, host),
            Some(("https", host)) => (false, host),
            Some(_) => return Err(MirrorError::Scheme(mirror.to_owned())),
        };
        let host = host.trim_end_matches('/');
        if registry.is_empty() || host.is_empty() || registry.contains('/') {
            return Err(form());
        }
        let registry = match registry {
            "index.docker.io" | "registry-1.docker.io" => "docker.io",
            other => other,
        };
        Ok(Self {
            registry: registry.to_owned(),
            mirror: Mirror { host: host.to_owned(), plain_http },
        })
    }
}

/// Whether a registry host is on this machine: such ones are asked over plain HTTP.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let host = host.split('/').next().unwrap_or(host);
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = if host.starts_with('[') && host.ends_with(']') { host } else { name };
    name == "localhost"
        || name == "[::1]"
        || name.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

impl Asks {
    /// Adds mirror rules in their order; `*` stands for [`KNOWN_REGISTRIES`] and `registries`, the
    /// hosts that the build names.
    pub fn add_mirrors<'a>(
        &mut self,
        rules: &[MirrorRule],
        registries: impl IntoIterator<Item = &'a str>,
    ) {
        let mut hosts: BTreeSet<String> =
            KNOWN_REGISTRIES.iter().map(ToString::to_string).collect();
        hosts.extend(registries.into_iter().map(str::to_owned));
        for rule in rules {
            let targets: Vec<&String> = match rule.registry.as_str() {
                "*" => hosts.iter().filter(|host| **host != rule.mirror.host).collect(),
                _ => vec![&rule.registry],
            };
            for host in targets {
                let mirrors = self.mirrors.entry(host.clone()).or_default();
                if !mirrors.contains(&rule.mirror) {
                    mirrors.push(rule.mirror.clone());
                }
            }
        }
    }

    /// Names the first thing asked for that an engine started with `has` lacks.
    #[must_use]
    pub fn missing_from(&self, has: &Self) -> Option<String> {
        for (host, mirrors) in &self.mirrors {
            if has.mirrors.get(host) != Some(mirrors) {
                let mirrors: Vec<&str> =
                    mirrors.iter().map(|mirror| mirror.host.as_str()).collect();
                return Some(format!("the mirror `{}` for `{host}`", mirrors.join(", ")));
            }
        }
        if let Some(host) = self.plain_http.difference(&has.plain_http).next() {
            return Some(format!("plain HTTP for `{host}`"));
        }
        if self.host_ca.is_some() && self.host_ca != has.host_ca {
            return Some("the host's CA certificates in its steps".to_owned());
        }
        if self.network.is_some() && self.network != has.network {
            return Some("another network for its steps".to_owned());
        }
        match self.max_parallelism {
            Some(limit) if has.max_parallelism != Some(limit) => {
                Some(format!("{limit} steps at once"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> MirrorRule {
        text.parse().unwrap()
    }

    #[test]
    fn a_mirror_speaks_http_when_said_so_or_on_loopback() {
        let plain = |text: &str| rule(text).mirror.plain_http;
        assert!(plain("docker.io=http://mirror.example"));
        assert!(plain("docker.io=127.0.0.1:5000"));
        assert!(plain("docker.io=localhost/hub"));
        assert!(plain("docker.io=[::1]:5000"));
        assert!(!plain("docker.io=https://127.0.0.1:5000"));
        assert!(!plain("docker.io=mirror.example:5000/hub"));
        assert_eq!(rule("index.docker.io=https://m/hub/").registry, "docker.io");
        assert_eq!(rule("docker.io=https://m/hub/").mirror.host, "m/hub");
    }

    #[test]
    fn malformed_rules_are_refused() {
        for text in ["docker.io", "=m", "docker.io=", "docker.io=http://", "docker.io/library=m"] {
            assert_eq!(text.parse::<MirrorRule>(), Err(MirrorError::Form(text.to_owned())));
        }
        assert_eq!(
            "a=ftp://m".parse::<MirrorRule>(),
            Err(MirrorError::Scheme("ftp://m".to_owned()))
        );
    }

    #[test]
    fn a_star_means_the_known_registries_and_the_named_ones() {
        let mut asks = Asks::default();
        let rules = [rule("ghcr.io=first"), rule("*=http://second"), rule("*=http://second")];
        asks.add_mirrors(&rules, ["registry.example", "second"]);
        let hosts = |registry: &str| -> Vec<&str> {
            asks.mirrors[registry].iter().map(|mirror| mirror.host.as_str()).collect()
        };
        assert_eq!(hosts("ghcr.io"), ["first", "second"]);
        assert_eq!(hosts("docker.io"), ["second"]);
        assert_eq!(hosts("registry.example"), ["second"]);
        assert!(!asks.mirrors.contains_key("second"), "a mirror does not mirror itself");
    }

    #[test]
    fn an_engine_serves_whoever_asks_for_no_more_than_it_has() {
        let mut has = Asks { host_ca: Some("/ca".into()), ..Asks::default() };
        has.add_mirrors(&[rule("docker.io=m")], []);
        assert_eq!(Asks::default().missing_from(&has), None);
        assert_eq!(has.missing_from(&has), None);
        let mut other = Asks::default();
        other.add_mirrors(&[rule("docker.io=n")], []);
        assert_eq!(other.missing_from(&has).unwrap(), "the mirror `n` for `docker.io`");
        assert!(has.missing_from(&Asks::default()).is_some());
        let ca = Asks { host_ca: Some("/other".into()), ..Asks::default() };
        assert!(ca.missing_from(&has).is_some());
    }
}
