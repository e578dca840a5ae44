//! Where a BuildKit daemon listens: every form that `BUILDKIT_HOST` and `--builder` know.
//!
//! | form | how it is reached |
//! |---|---|
//! | `unix:///run/buildkit/buildkitd.sock` | the socket |
//! | `tcp://host:1234` | plain TCP; with `?ca=…&cert=…&key=…&servername=…` TLS |
//! | `ssh://user@host:22/socket` | `ssh … buildctl dial-stdio` |
//! | `docker-container://name?context=…` | `docker exec -i name buildctl dial-stdio` |
//! | `podman-container://name` | `podman exec -i name buildctl dial-stdio` |
//! | `nerdctl-container://name?namespace=…` | `nerdctl exec -i name buildctl dial-stdio` |
//! | `kube-pod://pod?context=…&namespace=…&container=…` | `kubectl exec … buildctl dial-stdio` |
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::fault::{Classified, Fault};

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// As it was written, for messages.
    text: String,
    /// How to get there.
    pub(crate) route: Route,
}

/// How a daemon is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// A socket on this machine.
    Unix(PathBuf),
    /// A TCP port, with TLS when asked for.
    Tcp { host: String, port: u16, tls: Option<Tls> },
    /// A command whose stdin and stdout are the connection.
    Command { program: &'static str, arguments: Vec<String> },
}

/// Files and names for a TLS connection; everything is optional but their presence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// PEM file of the client's certificate; needs `key`.
    pub certificate: Option<PathBuf>,
    /// PEM file of the client's key; needs `certificate`.
    pub key: Option<PathBuf>,
    /// The name that the daemon's certificate is checked for, when it is not the host's.
    pub server_name: Option<String>,
}

/// A text that is no address of a daemon.
#[derive(Debug, thiserror::Error, miette::Diagnostic, PartialEq, Eq)]
pub enum AddressError {
    /// The part before `://` is missing or none that kitwright knows.
    #[error("builder address `{address}` has no known scheme")]
    #[diagnostic(help(
        "write `unix:///path/to/buildkitd.sock`, `tcp://host:port`, `ssh://user@host`, \
         `docker-container://name`, `podman-container://name`, `nerdctl-container://name` or \
         `kube-pod://name`"
    ))]
    Scheme {
        /// As written.
        address: String,
    },
    /// The scheme is fine, the rest is not.
    #[error("builder address `{address}` {problem}")]
    Malformed {
        /// As written.
        address: String,
        /// What is wrong, as a continuation of the sentence.
        problem: String,
    },
}

impl Classified for AddressError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

impl Address {
    /// The address of a socket on this machine.
    #[must_use]
    pub fn unix(socket: impl Into<PathBuf>) -> Self {
        let socket = socket.into();
        Self { text: format!("unix://{}", socket.display()), route: Route::Unix(socket) }
    }

    /// Sets TLS files on a TCP address, as builder options outside the address do.
    ///
    /// # Errors
    ///
    /// [`AddressError::Malformed`] when the address is not TCP, or one of certificate and key is
    /// given without the other.
    pub fn with_tls(mut self, options: Tls) -> Result<Self, AddressError> {
        let text = self.text.clone();
        let malformed = |problem: &str| malformed(&text, problem);
        let Route::Tcp { tls, .. } = &mut self.route else {
            return Err(malformed("takes no TLS options: only `tcp://` does"));
        };
        if options.certificate.is_some() != options.key.is_some() {
            return Err(malformed("needs both `cert` and `key`, or neither"));
        }
        *tls = Some(options);
        Ok(self)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let unknown = || AddressError::Scheme { address: text.to_owned() };
        let (scheme, rest) = text.split_once("://").ok_or_else(unknown)?;
        let parts = Parts::split(text, rest);
        let route = match scheme {
            "unix" => {
                parts.only(&[])?;
                unix(text, &parts)?
            }
            "tcp" => tcp(text, &parts)?,
            "ssh" => ssh(text, &parts)?,
            "docker-container" => {
                parts.only(&["context"])?;
                let flags = parts.get("context").map(|name| format!("--context={name}"));
                exec("docker", flags.into_iter().collect(), Vec::new(), parts.name()?)
            }
            "podman-container" => {
                parts.only(&[])?;
                exec("podman", Vec::new(), Vec::new(), parts.name()?)
            }
            "nerdctl-container" => {
                parts.only(&["namespace"])?;
                let flags = parts.get("namespace").map(|name| format!("--namespace={name}"));
                exec("nerdctl", Vec::new(), flags.into_iter().collect(), parts.name()?)
            }
            "kube-pod" => kube_pod(&parts)?,
            _ => return Err(unknown()),
        };
        Ok(Self { text: text.to_owned(), route })
    }
}

/// `host/path?query` of an address, still as written.
struct Parts<'a> {
    text: &'a str,
    host: &'a str,
    path: &'a str,
    query: Vec<(String, String)>,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str, rest: &'a str) -> Self {
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, path) = place.split_at(place.find('/').unwrap_or(place.len()));
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key), decoded(value))
        });
        Self { text, host, path, query: pairs.collect() }
    }

    fn get(&self, key: &str) -> Option<&str> {
        let found = self.query.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Refuses query keys that nobody reads: a typo must not silently switch TLS off.
    fn only(&self, keys: &[&str]) -> Result<(), AddressError> {
        match self.query.iter().find(|(key, _)| !keys.contains(&key.as_str())) {
            Some((key, _)) => Err(malformed(self.text, format!("has an unknown option `{key}`"))),
            None => Ok(()),
        }
    }

    /// The name of a container or pod, which must not look like a flag of the command it goes to.
    fn name(&self) -> Result<&'a str, AddressError> {
        if !matches!(self.path, "" | "/") {
            return Err(malformed(self.text, "has a path after the name"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if self.host.is_empty() || self.host.starts_with('-') || !self.host.chars().all(plain) {
            return Err(malformed(self.text, "lacks a valid container or pod name"));
        }
        Ok(self.host)
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn malformed(address: &str, problem: impl Into<String>) -> AddressError {
    AddressError::Malformed { address: address.to_owned(), problem: problem.into() }
}

fn unix(text: &str, parts: &Parts<'_>) -> Result<Route, AddressError> {
    if parts.path.is_empty() {
        return Err(malformed(text, "lacks the path of the socket"));
    }
    // `unix://relative/path` has its first element where a host would be.
    Ok(Route::Unix(PathBuf::from(decoded(&format!("{}{}", parts.host, parts.path)))))
}

fn tcp(text: &str, parts: &Parts<'_>) -> Result<Route, AddressError> {
    parts.only(&["ca", "cacert", "cert", "key", "servername", "tls"])?;
    if !matches!(parts.path, "" | "/") {
        return Err(malformed(text, "has a path after the port"));
    }
    let (host, port) =
        parts.host.rsplit_once(':').ok_or_else(|| malformed(text, "lacks a port"))?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() {
        return Err(malformed(text, "lacks a host"));
    }
    let port = port.parse().map_err(|_| malformed(text, format!("has no valid port `{port}`")))?;
    let address = Address {
        text: text.to_owned(),
        route: Route::Tcp { host: host.to_owned(), port, tls: None },
    };
    if parts.query.is_empty() || parts.get("tls") == Some("false") {
        return Ok(address.route);
    }
    let options = Tls {
        ca: parts.get("ca").or_else(|| parts.get("cacert")).map(PathBuf::from),
        certificate: parts.get("cert").map(PathBuf::from),
        key: parts.get("key").map(PathBuf::from),
        server_name: parts.get("servername").map(str::to_owned),
    };
    Ok(address.with_tls(options)?.route)
}

fn ssh(text: &str, parts: &Parts<'_>) -> Result<Route, AddressError> {
    parts.only(&[])?;
    let (user, place) =
        parts.host.split_once('@').map_or((None, parts.host), |(user, host)| (Some(user), host));
    if user.is_some_and(|user| user.contains(':')) {
        return Err(malformed("ssh://…", "has a password, which ssh does not take: use a key"));
    }
    let (host, port) = place
        .rsplit_once(':')
        .filter(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
        .map_or((place, None), |(host, port)| (host, Some(port)));
    if host.is_empty() || host.starts_with('-') {
        return Err(malformed(text, "lacks a host"));
    }
    let mut arguments = Vec::new();
    if let Some(user) = user {
        arguments.extend(["-l".to_owned(), user.to_owned()]);
    }
    if let Some(port) = port {
        arguments.extend(["-p".to_owned(), port.to_owned()]);
    }
    arguments.extend(["--".to_owned(), host.to_owned(), "buildctl".to_owned()]);
    if !matches!(parts.path, "" | "/") {
        arguments.extend(["--addr".to_owned(), format!("unix://{}", parts.path)]);
    }
    arguments.push("dial-stdio".to_owned());
    Ok(Route::Command { program: "ssh", arguments })
}

fn kube_pod(parts: &Parts<'_>) -> Result<Route, AddressError> {
    parts.only(&["context", "namespace", "container"])?;
    let pod = parts.name()?;
    let mut arguments: Vec<String> = ["context", "namespace"]
        .iter()
        .filter_map(|key| parts.get(key).map(|value| format!("--{key}={value}")))
        .collect();
    arguments.push("exec".to_owned());
    arguments.extend(parts.get("container").map(|name| format!("--container={name}")));
    arguments.extend(["-i", pod, "--", "buildctl", "dial-stdio"].map(str::to_owned));
    Ok(Route::Command { program: "kubectl", arguments })
}

fn exec(program: &'static str, before: Vec<String>, after: Vec<String>, name: &str) -> Route {
    let mut arguments = before;
    arguments.push("exec".to_owned());
    arguments.extend(after);
    arguments.extend(["-i", name, "buildctl", "dial-stdio"].map(str::to_owned));
    Route::Command { program, arguments }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(text: &str) -> Route {
        text.parse::<Address>().unwrap().route
    }

    fn command(text: &str) -> String {
        match route(text) {
            Route::Command { program, arguments } => format!("{program} {}", arguments.join(" ")),
            other => panic!("{text} is no command but {other:?}"),
        }
    }

    fn problem(text: &str) -> String {
        text.parse::<Address>().unwrap_err().to_string()
    }

    #[test]
    fn knows_sockets_and_ports() {
        assert_eq!(route("unix:///run/b.sock"), Route::Unix("/run/b.sock".into()));
        assert_eq!(route("unix://b/c.sock"), Route::Unix("b/c.sock".into()));
        assert_eq!(
            route("tcp://[::1]:1234"),
            Route::Tcp { host: "::1".into(), port: 1234, tls: None }
        );
    }

    #[test]
    fn reads_tls_options() {
        let Route::Tcp { host, port, tls } =
            route("tcp://h:1?ca=/a%20b.pem&cert=/c&key=/k&servername=n")
        else {
            panic!("not tcp")
        };
        assert_eq!((host.as_str(), port), ("h", 1));
        assert_eq!(
            tls,
            Some(Tls {
                ca: Some("/a b.pem".into()),
                certificate: Some("/c".into()),
                key: Some("/k".into()),
                server_name: Some("n".into())
            })
        );
    }

    #[test]
    fn builds_the_commands_that_dial() {
        let cases = [
            (
                "ssh://u@h:22/run/b.sock",
                "ssh -l u -p 22 -- h buildctl --addr unix:///run/b.sock dial-stdio",
            ),
            ("ssh://h", "ssh -- h buildctl dial-stdio"),
            ("docker-container://c?context=x", "docker --context=x exec -i c buildctl dial-stdio"),
            ("podman-container://c", "podman exec -i c buildctl dial-stdio"),
            (
                "nerdctl-container://c?namespace=n",
                "nerdctl exec --namespace=n -i c buildctl dial-stdio",
            ),
            (
                "kube-pod://p?context=user@cluster&namespace=n&container=k",
                "kubectl --context=user@cluster --namespace=n exec --container=k -i p -- buildctl dial-stdio",
            ),
        ];
        for (address, expected) in cases {
            assert_eq!(command(address), expected, "{address}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_reach() {
        assert!(problem("/run/b.sock").contains("no known scheme"));
        assert!(problem("npipe:////./pipe/b").contains("no known scheme"));
        assert!(problem("unix://").contains("path of the socket"));
        assert!(problem("tcp://host").contains("lacks a port"));
        assert!(problem("tcp://host:99999").contains("`99999`"));
        assert!(problem("tcp://h:1?certt=x").contains("unknown option `certt`"));
        assert!(problem("tcp://h:1?cert=x").contains("both `cert` and `key`"));
        assert!(problem("docker-container://-it").contains("container or pod name"));
        assert!(problem("ssh://-oProxyCommand=x").contains("lacks a host"));
    }

    #[test]
    fn never_repeats_a_password() {
        assert!(!problem("ssh://u:secret@h").contains("secret"));
    }
}
