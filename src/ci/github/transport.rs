//! Sends requests to GitHub's API and takes care of what every one of them can meet.
//!
//! Lists are followed page by page, but only on the server that the token belongs to. A `GET` that
//! was answered before is asked again with its `ETag`: "not modified" costs no quota, which is what
//! makes polling cheap. Limits are waited out while the caller's patience lasts.
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::environment::{Environment, Token};
use super::connection::connect;
use super::error::ApiError;
use super::page::{Page, decode, items, message, next_link};
use super::retry::{self, Answer, Verdict};

/// What a path segment keeps as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// How long a rate limit is waited out unless the caller has more patience.
const PATIENCE: Duration = Duration::from_secs(300);
/// More pages of a hundred than any list here can have.
const PAGES_MAX: usize = 100;

/// Told to people while something takes its time.
pub type Notices = Arc<dyn Fn(&str) + Send + Sync>;

/// A client of one repository's part of the API.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    api: Url,
    repository: String,
    token: Option<Token>,
    patience: Duration,
    pause: Duration,
    notices: Notices,
    /// Answers by address, with the `ETag` to ask again with.
    known: Arc<Mutex<BTreeMap<String, (HeaderValue, Page)>>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("api", &self.api.as_str()).finish_non_exhaustive()
    }
}

struct Request<'a> {
    method: Method,
    url: Url,
    endpoint: String,
    body: Option<&'a Value>,
    /// Whether sending it twice does no harm.
    repeatable: bool,
}

/// Writes `text` as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

impl Client {
    /// Makes a client for `repository` (`owner/name`) from the job's environment.
    ///
    /// # Errors
    ///
    /// [`ApiError::Address`] when `GITHUB_API_URL` is no address, [`ApiError::Tls`] when TLS cannot
    /// be set up.
    pub fn new(
        environment: &Environment,
        repository: &str,
        notices: Notices,
    ) -> Result<Self, ApiError> {
        let address = environment.api_url();
        let bad = || ApiError::Address(address.to_owned());
        let api = Url::parse(address.trim_end_matches('/')).map_err(|_| bad())?;
        if !matches!(api.scheme(), "https" | "http") || !api.username().is_empty() {
            return Err(bad());
        }
        Ok(Self {
            http: connect(&api)?,
            api,
            repository: repository.to_owned(),
            token: environment.token(),
            patience: PATIENCE,
            pause: Duration::from_secs(1),
            notices,
            known: Arc::default(),
        })
    }

    /// The same client, which waits out a rate limit for up to `patience`.
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// The same client, with another first pause after a server's failure.
    #[must_use]
    pub fn with_pause(&self, pause: Duration) -> Self {
        Self { pause, ..self.clone() }
    }

    /// `owner/name`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        let request = self.request(Method::GET, path, None, true)?;
        let page = self.send(&request).await?;
        decode(&request.endpoint, &page.body)
    }

    /// Fetches every page of a list: the answer itself, or its field `within`.
    pub(super) async fn get_all<T: DeserializeOwned>(
        &self,
        path: &str,
        within: Option<&'static str>,
    ) -> Result<Vec<T>, ApiError> {
        let mut request = self.request(Method::GET, path, None, true)?;
        let endpoint = request.endpoint.clone();
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = self.send(&request).await?;
            all.extend(items::<T>(&endpoint, &page.body, within)?);
            let Some(next) = page.next else { return Ok(all) };
            request.url = self.own_url(&next, &endpoint)?;
        }
        Err(ApiError::TooManyPages { endpoint, pages: PAGES_MAX })
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, ApiError> {
        self.write(Method::POST, path, body, false).await
    }

    /// Posts what has the same effect twice as once.
    pub(super) async fn post_again<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, ApiError> {
        self.write(Method::POST, path, body, true).await
    }

    pub(super) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, ApiError> {
        self.write(Method::PATCH, path, body, true).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<(), ApiError> {
        let request = self.request(Method::DELETE, path, None, true)?;
        self.send(&request).await.map(drop)
    }

    async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        repeatable: bool,
    ) -> Result<T, ApiError> {
        if self.token.is_none() {
            return Err(ApiError::NoToken);
        }
        let request = self.request(method, path, Some(body), repeatable)?;
        let page = self.send(&request).await?;
        decode(&request.endpoint, &page.body)
    }

    fn request<'a>(
        &self,
        method: Method,
        path: &str,
        body: Option<&'a Value>,
        repeatable: bool,
    ) -> Result<Request<'a>, ApiError> {
        let address = format!("{}{path}", self.api.as_str().trim_end_matches('/'));
        let url = Url::parse(&address).map_err(|_| ApiError::Address(address))?;
        let endpoint = format!("{method} {}", path.split('?').next().unwrap_or(path));
        Ok(Request { method, url, endpoint, body, repeatable })
    }

    /// Takes the address of the next page, if the token may go there.
    fn own_url(&self, address: &str, endpoint: &str) -> Result<Url, ApiError> {
        let url = Url::parse(address).ok().filter(|url| url.origin() == self.api.origin());
        url.ok_or_else(|| ApiError::ForeignLink { endpoint: endpoint.to_owned() })
    }

    /// Sends a request until it is answered for good.
    async fn send(&self, request: &Request<'_>) -> Result<Page, ApiError> {
        let mut attempt = 1;
        let mut waited = Duration::ZERO;
        loop {
            let (pause, reason) = match self.send_once(request, attempt).await {
                Ok(page) => return Ok(page),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Limited(pause, error)) => {
                    if waited + pause > self.patience {
                        return Err(error);
                    }
                    (pause, error)
                }
                Err(Trouble::Failed(pause, error)) => {
                    if attempt >= retry::ATTEMPTS || waited + pause > self.patience {
                        return Err(error);
                    }
                    (pause, error)
                }
            };
            (self.notices)(&format!("{reason}; asking again in {} s", pause.as_secs()));
            tokio::time::sleep(pause).await;
            waited += pause;
            attempt += 1;
        }
    }

    async fn send_once(&self, request: &Request<'_>, attempt: u32) -> Result<Page, Trouble> {
        let address = request.url.as_str();
        let known = if request.method == Method::GET { self.known(address) } else { None };
        let mut builder = self
            .http
            .request(request.method.clone(), request.url.clone())
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28");
        if let Some(token) = &self.token {
            builder = builder.bearer_auth(token.secret());
        }
        if let Some((etag, _)) = &known {
            builder = builder.header("if-none-match", etag);
        }
        if let Some(body) = request.body {
            builder = builder.header("content-type", "application/json").body(body.to_string());
        }
        let response = match builder.send().await {
            Ok(response) => response,
            Err(source) => return Err(self.no_answer(request, source, attempt)),
        };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(source) => return Err(self.no_answer(request, source, attempt)),
        };
        if let (304, Some((_, page))) = (status, known) {
            return Ok(page);
        }
        if (200..300).contains(&status) {
            let page = Page { body: Arc::from(&body[..]), next: next_link(&headers) };
            self.remember(request, &headers, &page);
            return Ok(page);
        }
        Err(self.refused(request, status, &headers, &body, attempt))
    }

    fn known(&self, address: &str) -> Option<(HeaderValue, Page)> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(address).cloned()
    }

    fn remember(&self, request: &Request<'_>, headers: &HeaderMap, page: &Page) {
        let Some(etag) = headers.get("etag").filter(|_| request.method == Method::GET) else {
            return;
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(request.url.as_str().to_owned(), (etag.clone(), page.clone()));
    }

    fn no_answer(&self, request: &Request<'_>, source: reqwest::Error, attempt: u32) -> Trouble {
        // A connection that was never made carried no request: repeating is safe for any.
        let safe = request.repeatable || source.is_connect();
        let endpoint = request.endpoint.clone();
        let error = ApiError::Transport { endpoint, source: source.without_url() };
        if safe {
            Trouble::Failed(retry::pause(attempt, self.pause), error)
        } else {
            Trouble::Final(error)
        }
    }

    fn refused(
        &self,
        request: &Request<'_>,
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
        attempt: u32,
    ) -> Trouble {
        let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let message = message(body);
        let answer = Answer {
            status,
            retry_after: header("retry-after"),
            remaining: header("x-ratelimit-remaining"),
            reset: header("x-ratelimit-reset"),
            message: &message,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let verdict = retry::judge(&answer, attempt, now, self.pause);
        let endpoint = request.endpoint.clone();
        match verdict {
            Verdict::Limited(pause) => {
                let seconds = pause.as_secs();
                Trouble::Limited(pause, ApiError::RateLimited { endpoint, seconds, message })
            }
            Verdict::Failed(pause) if request.repeatable => {
                Trouble::Failed(pause, ApiError::Status { endpoint, status, message })
            }
            _ => Trouble::Final(match status {
                401 => ApiError::Unauthorized { endpoint, message },
                403 => ApiError::Forbidden { endpoint, message },
                _ => ApiError::Status { endpoint, status, message },
            }),
        }
    }
}

/// A try that gave no usable answer.
enum Trouble {
    Final(ApiError),
    Limited(Duration, ApiError),
    Failed(Duration, ApiError),
}
