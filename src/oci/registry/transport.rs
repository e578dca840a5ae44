//! One request to a host: authentication, redirects, deadlines, tries.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::{RequestBuilder, Response};
use url::Url;

use super::Inner;
use super::auth::Asker;
use super::challenge;
use super::error::{Answer, RegistryError};
use super::host::{self, Host};
use super::redact::redacted;
use super::retry::{Pauses, retry_after};
use super::scope::Scopes;
use super::upload::BlobSource;

/// Redirects of one request.
const REDIRECTS: u32 = 8;
/// Refusals of one request that are answered with new credentials: a token that has expired, and
/// one that turns out not to be enough.
const RENEWALS: u32 = 2;
/// How much of an error's explanation is read.
const ERROR_LIMIT: u64 = 64 << 10;

/// A host and what it takes to speak with it.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) inner: Arc<Inner>,
    pub(super) host: Arc<Host>,
}

/// A request as it can be sent several times.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    /// What the error messages call the thing.
    pub(super) what: String,
    pub(super) repository: &'a str,
    pub(super) scopes: Scopes,
    pub(super) headers: HeaderMap,
    pub(super) body: Body<'a>,
    /// Whether the content is checked against a digest, wherever it comes from.
    pub(super) verified: bool,
    /// Whether the request is tried again by itself.
    pub(super) retried: bool,
}

/// What a request carries.
pub(super) enum Body<'a> {
    Empty,
    Bytes(Bytes),
    Stream { source: &'a dyn BlobSource, length: u64 },
}

impl<'a> Call<'a> {
    pub(super) fn new(
        method: Method,
        url: Url,
        what: &str,
        repository: &'a str,
        scopes: Scopes,
    ) -> Self {
        Self {
            method,
            url,
            what: what.to_owned(),
            repository,
            scopes,
            headers: HeaderMap::new(),
            body: Body::Empty,
            verified: false,
            retried: true,
        }
    }

    pub(super) fn header(mut self, name: http::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::try_from(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(super) fn body(mut self, body: Body<'a>) -> Self {
        self.body = body;
        self
    }
}

impl Wire {
    pub(super) fn pauses(&self) -> Pauses {
        Pauses::new(self.inner.options.retry)
    }

    pub(super) fn silence(&self) -> Duration {
        self.inner.options.silence_timeout
    }

    /// The connections for a URL: the host's own, or those of another host that it sends us to.
    pub(super) fn client_for(&self, url: &Url) -> Result<reqwest::Client, RegistryError> {
        if self.host.is_origin_of(url) {
            return Ok(self.host.http.clone());
        }
        self.inner.client_for_other(url)
    }

    /// Sends a call and returns its successful response.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        let mut pauses = self.pauses();
        loop {
            let error = match self.send_authorized(call).await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => self.refusal(call, response).await,
                Err(error) => error,
            };
            if !call.retried {
                return Err(error);
            }
            pauses.wait(error).await?;
        }
    }

    /// Sends a call, reads the answer and checks it; a broken or false answer is asked for again.
    pub(super) async fn fetch<T>(
        &self,
        call: &Call<'_>,
        limit: u64,
        check: impl Fn(&HeaderMap, Bytes) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let mut pauses = self.pauses();
        loop {
            let error = match self.fetch_once(call, limit, &check).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            pauses.wait(error).await?;
        }
    }

    async fn fetch_once<T>(
        &self,
        call: &Call<'_>,
        limit: u64,
        check: impl Fn(&HeaderMap, Bytes) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let response = self.send_authorized(call).await?;
        if !response.status().is_success() {
            return Err(self.refusal(call, response).await);
        }
        let headers = response.headers().clone();
        let bytes = read_all(response, &call.what, limit, self.silence()).await?;
        check(&headers, bytes)
    }

    /// Sends a call once, and once more for each new thing that the host wants to see.
    async fn send_authorized(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        let authentication = &self.host.authentication;
        let asker = Asker { registry: &self.host.name, repository: call.repository };
        let mut header = authentication.header(self, asker, &call.scopes).await?;
        let mut renewals = 0;
        loop {
            let (response, own) = self.follow(call, header.as_ref()).await?;
            if response.status() != StatusCode::UNAUTHORIZED || !own || renewals == RENEWALS {
                return Ok(response);
            }
            let Some(challenge) = challenge::best(response.headers()) else { return Ok(response) };
            let renewed = authentication
                .renewed(self, asker, &call.scopes, challenge, header.as_ref())
                .await?;
            let Some(renewed) = renewed else { return Ok(response) };
            // An answer that is read to its end leaves its connection to the next request.
            let _ = read_all(response, "", ERROR_LIMIT, self.silence()).await;
            header = Some(renewed);
            renewals += 1;
        }
    }

    /// Sends a call and follows its redirects; also tells whether the host itself answered last.
    async fn follow(
        &self,
        call: &Call<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<(Response, bool), RegistryError> {
        let mut url = call.url.clone();
        for _ in 0..=REDIRECTS {
            let own = self.host.is_origin_of(&url);
            let response = self.send_to(call, &url, authorization.filter(|_| own)).await?;
            let Some(target) = redirect(call, &url, &response)? else { return Ok((response, own)) };
            url = target;
        }
        let (url, reason) = (redacted(&call.url), "it redirects in circles".to_owned());
        Err(RegistryError::Protocol { url, reason })
    }

    async fn send_to(
        &self,
        call: &Call<'_>,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, RegistryError> {
        let client = self.client_for(url)?;
        let mut request = client.request(call.method.clone(), url.clone());
        request = request.headers(call.headers.clone());
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        match &call.body {
            Body::Empty if matches!(call.method, Method::POST | Method::PUT | Method::PATCH) => {
                self.exchange(&call.method, url, request.header(CONTENT_LENGTH, 0)).await
            }
            Body::Empty => self.exchange(&call.method, url, request).await,
            Body::Bytes(bytes) => {
                self.exchange(&call.method, url, request.body(bytes.clone())).await
            }
            Body::Stream { source, length } => {
                let request = request.header(CONTENT_LENGTH, *length);
                self.send_stream(call, url, request, *source).await
            }
        }
    }

    /// Sends a body that is read while it is sent; silence is when neither moves.
    async fn send_stream(
        &self,
        call: &Call<'_>,
        url: &Url,
        request: RequestBuilder,
        source: &dyn BlobSource,
    ) -> Result<Response, RegistryError> {
        let progress = Arc::new(AtomicU64::new(0));
        let failed = Arc::new(std::sync::Mutex::new(None));
        let (moved, broken) = (Arc::clone(&progress), Arc::clone(&failed));
        let stream = source.open().await?.map(move |item| {
            moved.fetch_add(1, Ordering::Relaxed);
            item.map_err(|error| {
                // The transport would only say that the body broke.
                let text = error.to_string();
                if let Ok(mut slot) = broken.lock() {
                    *slot = Some(error);
                }
                std::io::Error::other(text)
            })
        });
        let request = request.body(reqwest::Body::wrap_stream(stream));
        let result = self.watched(&call.method, url, request, &progress).await;
        match failed.lock().ok().and_then(|mut slot| slot.take()) {
            Some(error) => Err(error),
            None => result,
        }
    }

    /// Sends one request and waits for the head of its response.
    pub(super) async fn exchange(
        &self,
        method: &Method,
        url: &Url,
        request: RequestBuilder,
    ) -> Result<Response, RegistryError> {
        self.watched(method, url, request, &AtomicU64::new(0)).await
    }

    async fn watched(
        &self,
        method: &Method,
        url: &Url,
        request: RequestBuilder,
        progress: &AtomicU64,
    ) -> Result<Response, RegistryError> {
        self.inner.requests.fetch_add(1, Ordering::Relaxed);
        let mut sent = std::pin::pin!(request.send());
        loop {
            let before = progress.load(Ordering::Relaxed);
            match tokio::time::timeout(self.silence(), &mut sent).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => return Err(broken(method, url, error)),
                Err(_) if progress.load(Ordering::Relaxed) != before => {}
                Err(_) => {
                    let (method, waited) = (method.clone(), self.silence());
                    return Err(RegistryError::Silent { method, url: redacted(url), waited });
                }
            }
        }
    }

    /// Turns an error status into an error.
    async fn refusal(&self, call: &Call<'_>, response: Response) -> RegistryError {
        let own = self.host.is_origin_of(response.url());
        let url = redacted(response.url());
        let source = Box::new(answer(response, self.silence()).await);
        let denied = matches!(source.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if denied && own && !source.is_retryable() {
            let asker = Asker { registry: &self.host.name, repository: call.repository };
            return RegistryError::Denied {
                registry: self.host.name.clone(),
                repository: call.repository.to_owned(),
                credentials: self.host.authentication.has_credentials(asker).await,
                source,
            };
        }
        if source.status == StatusCode::NOT_FOUND {
            return RegistryError::NotFound { what: call.what.clone(), source };
        }
        RegistryError::Status { method: call.method.clone(), url, source }
    }
}

/// Where a response sends the call, if anywhere.
fn redirect(call: &Call<'_>, url: &Url, response: &Response) -> Result<Option<Url>, RegistryError> {
    let reads = matches!(call.method, Method::GET | Method::HEAD);
    let follows = match response.status().as_u16() {
        301..=303 => reads,
        307 | 308 => reads || !matches!(call.body, Body::Stream { .. }),
        _ => false,
    };
    if !follows {
        return Ok(None);
    }
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let Some(target) = location.and_then(|location| url.join(location).ok()) else {
        let (url, reason) = (redacted(url), "it redirects to nowhere".to_owned());
        return Err(RegistryError::Protocol { url, reason });
    };
    let downgrade = url.scheme() == "https" && target.scheme() != "https";
    if !matches!(target.scheme(), "http" | "https") || (downgrade && !call.verified) {
        let reason = format!("it redirects to `{}`", redacted(&target));
        return Err(RegistryError::Protocol { url: redacted(url), reason });
    }
    Ok(Some(target))
}

/// Reads an error response.
pub(super) async fn answer(response: Response, silence: Duration) -> Answer {
    let (status, wait) = (response.status(), retry_after(response.headers()));
    let body = read_all(response, "", ERROR_LIMIT, silence).await.unwrap_or_default();
    Answer::new(status, &body, wait)
}

/// Reads a response's body into memory.
pub(super) async fn read_all(
    response: Response,
    what: &str,
    limit: u64,
    silence: Duration,
) -> Result<Bytes, RegistryError> {
    let url = response.url().clone();
    let too_large = || RegistryError::TooLarge { what: what.to_owned(), limit };
    let length = response.content_length().unwrap_or(0);
    if length > limit {
        return Err(too_large());
    }
    let mut body = BytesMut::with_capacity(usize::try_from(length).unwrap_or(0));
    let mut stream = response.bytes_stream();
    loop {
        match tokio::time::timeout(silence, stream.next()).await {
            Ok(Some(Ok(chunk))) => {
                if (body.len() + chunk.len()) as u64 > limit {
                    return Err(too_large());
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Some(Err(error))) => return Err(broken(&Method::GET, &url, error)),
            Ok(None) => return Ok(body.freeze()),
            Err(_) => {
                let (method, url) = (Method::GET, redacted(&url));
                return Err(RegistryError::Silent { method, url, waited: silence });
            }
        }
    }
}

/// Turns an error of the HTTP client into ours, without the URL that it quotes.
pub(super) fn broken(method: &Method, url: &Url, error: reqwest::Error) -> RegistryError {
    let (is_connect, is_timeout) = (error.is_connect(), error.is_timeout());
    let source = error.without_url();
    if is_certificate(&source) {
        return RegistryError::Certificate { host: host::authority(url), source };
    }
    if is_connect || is_timeout {
        return RegistryError::Connect { url: redacted(url), source };
    }
    RegistryError::Broken { method: method.clone(), url: redacted(url), source }
}

/// Whether the chain of causes ends in a certificate that nobody trusts.
fn is_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return matches!(tls, rustls::Error::InvalidCertificate(_));
    }
    // An I/O error's source is the source of what it wraps, so that itself has to be asked for.
    if let Some(wrapped) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref)
    {
        return is_certificate(wrapped);
    }
    error.source().is_some_and(is_certificate)
}
