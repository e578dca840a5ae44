//! GitHub's cache service, read by kitwright itself.
//!
//! BuildKit (0.32.2) reads it with a client that knows no cancellation and tries for minutes, which
//! nobody can tell it to stop. So the client reads it: the index before the build, which says what
//! the cache holds ([`Cache`]), and a layer when the engine asks for it ([`layers`]). The service has
//! keys in scopes (a job reads those of its own ref, of its base and of the default branch), and says
//! where the blob behind a key can be fetched. Keys and their form are BuildKit's, so that what its own
//! exporter has written is found.
use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use crate::engine::solve::CacheEntry;
use crate::fault::chain;
use crate::oci::digest::Digest;
use crate::oci::registry::{provider, retry_after, system_roots};
use crate::oci::secret::Secret;

mod index;
pub mod layers;

pub use index::{Cache, Found, IndexError};

/// What BuildKit's client calls the version of all that it stores: SHA-256 of `|go-actionscache-1.0`.
const VERSION: &[u8] = b"|go-actionscache-1.0";
/// The scope of caches whose flag names none.
const SCOPE: &str = "buildkit";
/// The pause before the second try; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The largest answer of the service that is read: it says a place.
const ANSWER_LIMIT: usize = 32 << 10;

/// Why the service, or the storage behind it, does not give something.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// It cannot be connected to.
    #[error("cannot reach `{host}`: {source}")]
    Unreachable {
        /// The host.
        host: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its certificate is not trusted here.
    #[error("cannot trust `{host}`: {reason}")]
    Untrusted {
        /// The host.
        host: String,
        /// What TLS said.
        reason: String,
    },
    /// It answers with this status.
    #[error("{}", spoken(*.status))]
    Refused {
        /// The status.
        status: StatusCode,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The connection broke, or the answer ended too early.
    #[error("its service broke off: {0}")]
    BrokenOff(String),
    /// It says nothing.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Silent(Duration),
    /// The answer is not what it should be.
    #[error("its service gives no usable answer: {0}")]
    Answer(String),
    /// There is no room for it here.
    #[error("cannot keep it: {0}")]
    Disk(std::io::Error),
    /// What was there is gone.
    #[error("its service does not have it any more")]
    Gone,
}

/// What is said of a status.
fn spoken(status: StatusCode) -> String {
    match status {
        StatusCode::TOO_MANY_REQUESTS => "its service asks to wait (429)".into(),
        other => format!("its service answers {}", other.as_u16()),
    }
}

impl ServiceError {
    /// What went wrong with a request, without its URL, which can open doors.
    fn of(error: reqwest::Error) -> Self {
        let host = error.url().and_then(Url::host_str).unwrap_or_default().to_owned();
        let error = error.without_url();
        let causes = || {
            let first: Option<&(dyn std::error::Error + 'static)> = Some(&error);
            std::iter::successors(first, |cause| cause.source())
        };
        if let Some(tls) = causes().find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
            return Self::Untrusted { host, reason: tls.to_string() };
        }
        if error.is_connect() {
            let system = causes().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).last();
            if let Some(tls) = system.and_then(|e| e.get_ref()?.downcast_ref::<rustls::Error>()) {
                return Self::Untrusted { host, reason: tls.to_string() };
            }
            let source = match system.and_then(std::io::Error::raw_os_error) {
                Some(code) => std::io::Error::from_raw_os_error(code),
                None => std::io::Error::other(chain(&error)),
            };
            return Self::Unreachable { host, source };
        }
        Self::BrokenOff(chain(&error))
    }

    /// Whether the same request may have more luck, and how long it is to wait at least.
    const fn again(&self) -> Option<Duration> {
        match self {
            Self::Refused { status, retry_after: Some(wait) }
                if status.as_u16() == 429 || status.as_u16() == 503 =>
            {
                Some(*wait)
            }
            Self::Refused { status, .. } if status.as_u16() == 429 || status.as_u16() >= 500 => {
                Some(Duration::ZERO)
            }
            Self::Unreachable { .. } | Self::BrokenOff(_) | Self::Answer(_) => Some(Duration::ZERO),
            _ => None,
        }
    }
}

/// How often, and for how long, something is tried.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often.
    pub attempts: u32,
    /// How long all of it may take, as long as nothing comes.
    pub limit: Duration,
}

impl Patience {
    /// Tries `attempt` until it succeeds, is refused for good, or patience ends.
    async fn keep<T, F: Future<Output = Result<T, ServiceError>>>(
        self,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, ServiceError> {
        let mut tries = Tries::new(self);
        loop {
            match tries.within(attempt()).await {
                Ok(done) => return Ok(done),
                Err(error) => tries.pause(error).await?,
            }
        }
    }
}

/// The tries of one thing.
struct Tries {
    patience: Patience,
    deadline: Instant,
    tried: u32,
    pause: Duration,
}

impl Tries {
    fn new(patience: Patience) -> Self {
        let deadline = Instant::now() + patience.limit;
        Self { patience, deadline, tried: 0, pause: FIRST_PAUSE }
    }

    /// Gives it all its time again, as something came; what breaks again and again ends all the same.
    fn moved(&mut self) {
        self.deadline = Instant::now() + self.patience.limit;
    }

    /// Waits for `attempt` as long as there is time.
    async fn within<T>(
        &self,
        attempt: impl Future<Output = Result<T, ServiceError>>,
    ) -> Result<T, ServiceError> {
        let timed = tokio::time::timeout_at(self.deadline, attempt).await;
        timed.unwrap_or(Err(ServiceError::Silent(self.patience.limit)))
    }

    /// Waits before another try, or gives the error back when there is to be none.
    ///
    /// A wait that the service asks for is kept when there is time for it; else there is no point in
    /// trying before.
    async fn pause(&mut self, error: ServiceError) -> Result<(), ServiceError> {
        self.tried += 1;
        let Some(wait) = error.again() else { return Err(error) };
        let wait = wait.max(self.pause);
        if self.tried == self.patience.attempts || Instant::now() + wait >= self.deadline {
            return Err(error);
        }
        tokio::time::sleep(wait).await;
        self.pause *= 2;
        Ok(())
    }
}

/// A service, and what a job may read of it.
#[derive(Debug)]
pub struct Service {
    address: Url,
    is_second: bool,
    token: Secret,
    /// The name under which the cache is kept, which the flag gives.
    scope: String,
    /// The refs whose keys the token opens.
    references: Vec<String>,
    /// How long the flag wants the service to be asked again.
    timeout: Option<Duration>,
    /// Whether requests go past proxies.
    is_direct: bool,
    plain: OnceLock<Option<reqwest::Client>>,
    secure: OnceLock<Option<reqwest::Client>>,
}

impl Service {
    /// The service that a cache flag names; `None` where only the engine may be able to make sense of it.
    #[must_use]
    pub fn of(entry: &CacheEntry, is_direct: bool) -> Option<Self> {
        let (address, is_second) = address(entry)?;
        let token = entry.attributes.get("token")?;
        let references = references(token)?;
        let scope = entry.attributes.get("scope").map_or(SCOPE, String::as_str).to_owned();
        let timeout = match entry.attributes.get("timeout") {
            Some(text) => Some(text.parse::<SignedDuration>().ok()?.try_into().ok()?),
            None => None,
        };
        Some(Self {
            address,
            is_second,
            token: Secret::new(token.clone()),
            scope,
            references,
            timeout,
            is_direct,
            plain: OnceLock::new(),
            secure: OnceLock::new(),
        })
    }

    /// Asks where the blob is that the newest key beginning with `key` means; `None` when there is none.
    async fn locate(&self, key: &str) -> Result<Option<Url>, ServiceError> {
        let answer = self.send(self.question(key)?).await?;
        let body = whole(answer, ANSWER_LIMIT).await?;
        if body.is_empty() {
            return Ok(None);
        }
        let answer: Value = serde_json::from_slice(&body)
            .map_err(|error| ServiceError::Answer(error.to_string()))?;
        let (field, is_there) = match self.is_second {
            true => ("signed_download_url", answer["ok"] == true),
            false => {
                ("archiveLocation", answer["cacheKey"].as_str().is_some_and(|k| !k.is_empty()))
            }
        };
        if !is_there {
            return Ok(None);
        }
        // What is wrong with the URL would show it.
        let place = answer[field].as_str().and_then(|place| Url::parse(place).ok());
        place.map(Some).ok_or_else(|| ServiceError::Answer("a place that is none".into()))
    }

    fn question(&self, key: &str) -> Result<reqwest::RequestBuilder, ServiceError> {
        let version = Digest::of(VERSION).hex();
        let base = self.address.as_str().trim_end_matches('/');
        let url = |text: String| Url::parse(&text).map_err(|e| ServiceError::Answer(e.to_string()));
        let request = if self.is_second {
            let call = "twirp/github.actions.results.api.v1.CacheService/GetCacheEntryDownloadURL";
            let body = json!({ "key": key, "restore_keys": [key], "version": version });
            let request = self.http(&self.address)?.post(url(format!("{base}/{call}"))?);
            request.header(CONTENT_TYPE, "application/json").body(body.to_string())
        } else {
            let mut url = url(format!("{base}/_apis/artifactcache/cache"))?;
            url.query_pairs_mut().append_pair("keys", key).append_pair("version", &version);
            let request = self.http(&self.address)?.get(url);
            request.header(ACCEPT, "application/json;api-version=6.0-preview.1")
        };
        Ok(request.header(AUTHORIZATION, format!("Bearer {}", self.token.expose())))
    }

    /// Sends a request; an answer that is no success is an error.
    async fn send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, ServiceError> {
        let answer = request.send().await.map_err(ServiceError::of)?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let retry_after = retry_after(answer.headers());
        Err(ServiceError::Refused { status: answer.status(), retry_after })
    }

    /// The connections for a URL: only where it is a secure one the system's certificates are read.
    fn http(&self, url: &Url) -> Result<&reqwest::Client, ServiceError> {
        let is_secure = url.scheme() == "https";
        let cell = if is_secure { &self.secure } else { &self.plain };
        let client = cell.get_or_init(|| connect(is_secure, self.is_direct).ok());
        client.as_ref().ok_or_else(|| ServiceError::Untrusted {
            host: url.host_str().unwrap_or_default().to_owned(),
            reason: "TLS cannot be set up".into(),
        })
    }

    /// The key of the index that jobs with the ref `reference` write.
    fn index_key(&self, reference: &str) -> String {
        let reference = Digest::of(reference.as_bytes()).hex();
        format!("index-{}-1-{}", self.scope, &reference[..8])
    }
}

/// The key of a layer.
fn layer_key(digest: Digest) -> String {
    format!("buildkit-blob-1-{digest}")
}

/// Reads an answer that must not be longer than `limit`.
async fn whole(mut answer: reqwest::Response, limit: usize) -> Result<Vec<u8>, ServiceError> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(ServiceError::of)? {
        body.extend_from_slice(&part);
        if body.len() > limit {
            return Err(ServiceError::Answer(format!("more than {limit} bytes")));
        }
    }
    Ok(body)
}

fn connect(
    is_secure: bool,
    is_direct: bool,
) -> Result<reqwest::Client, Box<dyn std::error::Error>> {
    let roots = if is_secure { system_roots() } else { rustls::RootCertStore::empty() };
    let tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("kitwright/", env!("CARGO_PKG_VERSION")));
    let builder = if is_direct { builder.no_proxy() } else { builder };
    Ok(builder.build()?)
}

/// Where the engine would find the service, and whether it has version 2.
fn address(entry: &CacheEntry) -> Option<(Url, bool)> {
    let get = |name: &str| entry.attributes.get(name);
    let second = get("url_v2").filter(|_| get("version").is_none_or(|version| version != "1"));
    let url = Url::parse(second.or_else(|| get("url"))?).ok()?;
    url.host_str()?;
    let is_githubs = url.host_str() == Some("results-receiver.actions.githubusercontent.com");
    Some((url, second.is_some() || is_githubs))
}

/// The refs that a runner's token opens, in its order.
fn references(token: &str) -> Option<Vec<String>> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let scopes: Vec<Value> = serde_json::from_str(claims["ac"].as_str()?).ok()?;
    let name = |scope: &Value| scope["Scope"].as_str().map(str::to_owned);
    let names: Vec<String> = scopes.iter().filter_map(name).collect();
    (!names.is_empty()).then_some(names)
}

#[cfg(test)]
mod tests;
