//! What can go wrong with a registry, and whether another try may help.
use std::path::PathBuf;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;

use super::super::credentials::CredentialError;
use super::super::digest::Digest;
use super::super::manifest::ManifestError;
use crate::fault::{Classified, Fault};

/// An error of the registry client. URLs in it are redacted.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum RegistryError {
    /// The host's name or port does not answer.
    #[error("cannot connect to `{url}`")]
    #[diagnostic(help("check the host's name, the network and the proxy variables"))]
    Connect {
        /// The redacted URL.
        url: String,
        /// What the connector said.
        source: reqwest::Error,
    },
    /// The host's certificate is not trusted.
    #[error("cannot trust the certificate of `{host}`")]
    #[diagnostic(help(
        "put the authority's certificate into `/etc/docker/certs.d/{host}/ca.crt` or the system's \
         bundle, or name a bundle in `SSL_CERT_FILE`"
    ))]
    Certificate {
        /// The host.
        host: String,
        /// What the TLS library said.
        source: reqwest::Error,
    },
    /// A file with certificates or a key is of no use.
    #[error("cannot use the certificate file `{}`: {reason}", path.display())]
    CertificateFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client cannot be set up.
    #[error("cannot set up HTTP for `{host}`")]
    Setup {
        /// The host.
        host: String,
        /// What the library said.
        source: reqwest::Error,
    },
    /// The connection broke.
    #[error("the connection broke during `{method} {url}`")]
    Broken {
        /// The request's method.
        method: Method,
        /// The redacted URL.
        url: String,
        /// What broke.
        source: reqwest::Error,
    },
    /// Nothing arrived for too long.
    #[error("`{method} {url}` was silent for {} s", waited.as_secs_f32())]
    Silent {
        /// The request's method.
        method: Method,
        /// The redacted URL.
        url: String,
        /// How long kitwright waited.
        waited: Duration,
    },
    /// The registry does not have it.
    #[error("`{what}` is not in the registry")]
    NotFound {
        /// What was asked for.
        what: String,
        /// What the registry said.
        #[source]
        source: Box<Answer>,
    },
    /// The registry wants other credentials, or none do.
    #[error("registry `{registry}` refuses access to `{repository}` {}", shown(*.credentials))]
    #[diagnostic(help("log in with `docker login {registry}`, or check what the account may do"))]
    Denied {
        /// The registry's host.
        registry: String,
        /// The repository.
        repository: String,
        /// Whether kitwright had credentials to show.
        credentials: bool,
        /// What the registry said.
        #[source]
        source: Box<Answer>,
    },
    /// The registry or its token server answered with another error.
    #[error("`{method} {url}` failed")]
    Status {
        /// The request's method.
        method: Method,
        /// The redacted URL.
        url: String,
        /// What the registry said.
        #[source]
        source: Box<Answer>,
    },
    /// The answer is not what the distribution specification says.
    #[error("`{url}` answered in a way that no registry should: {reason}")]
    Protocol {
        /// The redacted URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The content is not what its digest says.
    #[error("the content of `{what}` has digest `{found}` instead of `{expected}`")]
    #[diagnostic(help("a proxy or the registry's storage changed it: try another mirror"))]
    Digest {
        /// What was fetched.
        what: String,
        /// What was asked for.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The content is longer or shorter than its descriptor says.
    #[error("the content of `{what}` has {found} bytes instead of {expected}")]
    Length {
        /// What was fetched.
        what: String,
        /// The descriptor's size.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// The content is larger than kitwright keeps in memory.
    #[error("the content of `{what}` is larger than {limit} bytes")]
    TooLarge {
        /// What was fetched.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// The manifest cannot be read.
    #[error("cannot use the manifest of `{what}`")]
    Manifest {
        /// Whose manifest.
        what: String,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// The index holds no image for the platform.
    #[error("`{what}` has no image for platform `{wanted}`")]
    #[diagnostic(help("it has: {available}"))]
    Platform {
        /// The image.
        what: String,
        /// The platform that was asked for.
        wanted: String,
        /// The platforms that are there.
        available: String,
    },
    /// The manifest at a tag is not the one that the write was meant to replace.
    #[error("`{what}` was changed by somebody else meanwhile")]
    Changed {
        /// The reference.
        what: String,
    },
    /// An upload broke, and the registry has forgotten what had arrived.
    #[error("the registry gave up the upload of `{what}` after: {text}")]
    UploadLost {
        /// The blob.
        what: String,
        /// What had broken it.
        text: String,
    },
    /// The source of an upload could not be read.
    #[error("cannot read `{what}` to upload it")]
    Source {
        /// What was read.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The credentials could not be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Credentials(#[from] CredentialError),
    /// Neither a mirror nor the registry itself could serve a read.
    #[error("no mirror can serve it ({mirrors}), and the registry itself cannot either")]
    Mirrored {
        /// The mirrors and what they said.
        mirrors: String,
        /// What the registry itself said.
        source: Box<RegistryError>,
    },
    /// A mirror is not written as it should be.
    #[error("`{0}` is not a registry mirror")]
    #[diagnostic(help("write it as `HOST=MIRROR`, such as `docker.io=https://mirror.gcr.io`"))]
    Mirror(String),
}

fn shown(credentials: bool) -> &'static str {
    if credentials { "with the credentials that it was shown" } else { "without credentials" }
}

impl RegistryError {
    /// Whether another try of the same request may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Broken { .. } | Self::Silent { .. } => true,
            Self::Digest { .. } | Self::Length { .. } | Self::UploadLost { .. } => true,
            Self::Status { source, .. } => source.is_retryable(),
            Self::Mirrored { source, .. } => source.is_retryable(),
            _ => false,
        }
    }

    /// Whether the registry says that what was asked for is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::NotFound { .. } => true,
            Self::Mirrored { source, .. } => source.is_not_found(),
            _ => false,
        }
    }

    /// How long the registry wants to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { source, .. } => source.retry_after,
            _ => None,
        }
    }
}

impl Classified for RegistryError {
    fn fault(&self) -> Fault {
        match self {
            Self::Mirror(_) | Self::CertificateFile { .. } => Fault::Usage,
            Self::Credentials(error) => error.fault(),
            _ => Fault::Environment,
        }
    }
}

/// What a registry said with an error status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The errors in the body, as the distribution specification has them.
    pub errors: Vec<OciError>,
    /// The body's first line, when it is something else.
    pub text: Option<String>,
    /// The `Retry-After` header.
    pub retry_after: Option<Duration>,
}

/// One error of a registry's answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OciError {
    /// The code, such as `MANIFEST_UNKNOWN`.
    #[serde(default)]
    pub code: String,
    /// The registry's explanation.
    #[serde(default)]
    pub message: String,
}

#[derive(Deserialize)]
struct Envelope {
    errors: Vec<OciError>,
}

impl Answer {
    /// Reads an error answer's body, as far as it makes sense.
    pub(super) fn new(status: StatusCode, body: &[u8], retry_after: Option<Duration>) -> Self {
        let envelope = serde_json::from_slice::<Envelope>(body).ok();
        let errors = envelope.map_or_else(Vec::new, |envelope| envelope.errors);
        let text = errors.is_empty().then(|| first_line(body)).flatten();
        Self { status, errors, text, retry_after }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
            // GitHub's secondary rate limit.
            || (self.status == StatusCode::FORBIDDEN && self.retry_after.is_some())
            || self.has_code("TOOMANYREQUESTS")
    }

    /// Whether one of the errors has `code`.
    #[must_use]
    pub fn has_code(&self, code: &str) -> bool {
        self.errors.iter().any(|error| error.code.eq_ignore_ascii_case(code))
    }
}

impl std::error::Error for Answer {}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the registry answered {}", self.status)?;
        for error in &self.errors {
            write!(f, ": `{}`", printable(&error.code))?;
            if !error.message.is_empty() {
                write!(f, " {}", printable(&error.message))?;
            }
        }
        if let Some(text) = &self.text {
            write!(f, ": {text}")?;
        }
        if let Some(wait) = self.retry_after {
            write!(f, " (try again in {} s)", wait.as_secs())?;
        }
        Ok(())
    }
}

fn first_line(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    // A page of HTML explains nothing.
    (!line.starts_with('<')).then(|| printable(line))
}

/// A registry's words without control characters, cut to a sensible length.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_codes_or_its_first_line() {
        let body = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow\u001b[31m down","detail":{}}]}"#;
        let answer = Answer::new(StatusCode::TOO_MANY_REQUESTS, body, Some(Duration::from_secs(7)));
        assert!(answer.is_retryable());
        assert_eq!(
            answer.to_string(),
            "the registry answered 429 Too Many Requests: `TOOMANYREQUESTS` slow[31m down (try again in 7 s)"
        );
        let answer = Answer::new(StatusCode::BAD_GATEWAY, b"\n upstream is away\nmore", None);
        assert_eq!(answer.to_string(), "the registry answered 502 Bad Gateway: upstream is away");
        let answer = Answer::new(StatusCode::FORBIDDEN, b"<html>no</html>", None);
        assert!(!answer.is_retryable());
        assert_eq!(answer.to_string(), "the registry answered 403 Forbidden");
    }
}
