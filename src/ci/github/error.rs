//! What can go wrong between us and GitHub's API, without a token in any of it.
use crate::fault::{Classified, Fault};

/// A request to GitHub's API that did not give what it was sent for.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ApiError {
    /// There is no token, and the endpoint needs one.
    #[error("no GitHub token: neither `GITHUB_TOKEN` nor `GH_TOKEN` is set")]
    #[diagnostic(help(
        "in a workflow, give the step `env: {{ GITHUB_TOKEN: '${{{{ github.token }}}}' }}`"
    ))]
    NoToken,
    /// The base address is none.
    #[error("`{0}` is not the address of a GitHub API")]
    #[diagnostic(help("`GITHUB_API_URL` is `https://api.github.com`, or `https://HOST/api/v3`"))]
    Address(String),
    /// The TLS configuration could not be made.
    #[error("cannot set up TLS for GitHub's API")]
    Tls {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer arrived.
    #[error("no answer from GitHub's API for `{endpoint}`")]
    Transport {
        /// Method and path.
        endpoint: String,
        /// What the connection said; its address is cut out.
        source: reqwest::Error,
    },
    /// The token is not accepted.
    #[error("GitHub's API refuses the token for `{endpoint}`: {message}")]
    #[diagnostic(help("the token is wrong or has expired"))]
    Unauthorized {
        /// Method and path.
        endpoint: String,
        /// What GitHub says.
        message: String,
    },
    /// The token is accepted, and may not do this.
    #[error("GitHub's API forbids `{endpoint}`: {message}")]
    #[diagnostic(help("the job's `permissions:` lack what docs/ci.md lists for this command"))]
    Forbidden {
        /// Method and path.
        endpoint: String,
        /// What GitHub says.
        message: String,
    },
    /// The rate limit lasts longer than the caller can wait.
    #[error("GitHub's rate limit stops `{endpoint}` for another {seconds} s: {message}")]
    #[diagnostic(help("run it again then, or raise `--timeout`"))]
    RateLimited {
        /// Method and path.
        endpoint: String,
        /// How long.
        seconds: u64,
        /// What GitHub says.
        message: String,
    },
    /// Any other status than success.
    #[error("GitHub's API answers {status} for `{endpoint}`: {message}")]
    Status {
        /// Method and path.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// What GitHub says.
        message: String,
    },
    /// The answer is not the JSON that the endpoint gives.
    #[error("cannot read the answer of GitHub's API for `{endpoint}`")]
    Decode {
        /// Method and path.
        endpoint: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A field of the answer is missing or wrong.
    #[error("the answer of GitHub's API for `{endpoint}` has no usable `{field}`")]
    Field {
        /// Method and path.
        endpoint: String,
        /// The field.
        field: &'static str,
    },
    /// A `Link` header points away from the API; the token does not go there.
    #[error("GitHub's API links `{endpoint}` on to another server")]
    ForeignLink {
        /// Method and path.
        endpoint: String,
    },
    /// A list has more pages than any that these endpoints can have.
    #[error("GitHub's API gives more than {pages} pages for `{endpoint}`")]
    TooManyPages {
        /// Method and path.
        endpoint: String,
        /// The limit.
        pages: usize,
    },
}

impl Classified for ApiError {
    fn fault(&self) -> Fault {
        match self {
            Self::NoToken | Self::Address(_) => Fault::Usage,
            _ => Fault::Environment,
        }
    }
}
