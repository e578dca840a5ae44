//! Showing a registry what it wants to see: passwords, and tokens from its token server.
//!
//! Nothing is sent before a registry asks, so a registry without authentication costs no extra
//! request. A token is kept until shortly before it expires and fetched anew when the registry
//! refuses it before; requests that wait for the same token share one.
//! Flows: the distribution project's token specification, with Docker Hub's and GHCR's habits.
use std::time::{Duration, Instant};

use base64::Engine as _;
use http::{HeaderValue, Method};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::challenge::{BearerChallenge, Challenge};
use super::error::RegistryError;
use super::redact::redacted;
use super::scope::Scopes;
use super::transport::{self, Wire};
use crate::oci::credentials::{Credential, CredentialStore, Secret};

/// The name that token servers see; they want one with a refresh token.
const CLIENT_ID: &str = "kitwright";
/// How long a token lives when its server does not say.
pub(super) const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// How long before its end a token is no longer used: a request takes time, too.
const MARGIN: Duration = Duration::from_secs(5);
/// The largest answer of a token server.
const TOKEN_LIMIT: u64 = 1 << 20;

/// What one host has asked for, and what it was shown.
pub(super) struct Authentication {
    credentials: CredentialStore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    challenge: Option<Challenge>,
    tokens: Vec<Token>,
    /// What will be asked for anyway, so that the first token does for all of it.
    foreseen: Scopes,
}

pub(super) struct Token {
    scopes: Scopes,
    pub(super) value: Secret,
    pub(super) expires: Instant,
}

/// Who asks, for error messages and for the credentials.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) registry: &'a str,
    pub(super) repository: &'a str,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<Secret>,
    access_token: Option<Secret>,
    expires_in: Option<u64>,
}

impl Authentication {
    pub(super) fn new(credentials: CredentialStore) -> Self {
        Self { credentials, state: Mutex::default() }
    }

    /// Notes that `scopes` will be needed, so that one token is fetched for all of them.
    pub(super) async fn foresee(&self, scopes: &Scopes) {
        self.state.lock().await.foreseen.extend(scopes);
    }

    /// The `Authorization` header for a request, if the host is known to want one.
    pub(super) async fn header(
        &self,
        wire: &Wire,
        asker: Asker<'_>,
        scopes: &Scopes,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let mut state = self.state.lock().await;
        match state.challenge.clone() {
            None => Ok(None),
            Some(challenge) => self.answer(&mut state, wire, asker, scopes, &challenge).await,
        }
    }

    /// The header after the host refused `refused` with `challenge`; `None` when there is no other.
    pub(super) async fn renewed(
        &self,
        wire: &Wire,
        asker: Asker<'_>,
        scopes: &Scopes,
        challenge: Challenge,
        refused: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let mut state = self.state.lock().await;
        let mut wanted = scopes.clone();
        if let Challenge::Bearer(BearerChallenge { scope: Some(scope), .. }) = &challenge {
            wanted.extend(&Scopes::parse(scope));
        }
        if let Some(refused) = refused {
            state.tokens.retain(|token| bearer(&token.value).as_ref() != Some(refused));
        }
        state.challenge = Some(challenge.clone());
        let header = self.answer(&mut state, wire, asker, &wanted, &challenge).await?;
        Ok(header.filter(|header| Some(header) != refused))
    }

    async fn answer(
        &self,
        state: &mut State,
        wire: &Wire,
        asker: Asker<'_>,
        scopes: &Scopes,
        challenge: &Challenge,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let now = Instant::now();
        state.tokens.retain(|token| token.expires > now);
        if let Some(token) = state.tokens.iter().find(|token| token.scopes.cover(scopes)) {
            return Ok(bearer(&token.value));
        }
        let credential = self.credentials.get(asker.registry, asker.repository).await?;
        let challenge = match (challenge, &credential) {
            (_, Credential::RegistryToken(token)) => return Ok(bearer(token)),
            (Challenge::Basic, Credential::Password { username, password }) => {
                return Ok(basic(username, password));
            }
            (Challenge::Basic, _) => return Ok(None),
            (Challenge::Bearer(challenge), _) => challenge,
        };
        let mut wanted = scopes.clone();
        wanted.extend(&state.foreseen);
        let token = fetch_token(wire, asker, challenge, &credential, wanted).await?;
        let header = bearer(&token.value);
        state.tokens.push(token);
        Ok(header)
    }

    /// Whether there is anything to show to the registry.
    pub(super) async fn has_credentials(&self, asker: Asker<'_>) -> bool {
        let found = self.credentials.get(asker.registry, asker.repository).await;
        found.is_ok_and(|credential| credential != Credential::Anonymous)
    }
}

/// Asks the token server, again and again as the retry policy says.
pub(super) async fn fetch_token(
    wire: &Wire,
    asker: Asker<'_>,
    challenge: &BearerChallenge,
    credential: &Credential,
    scopes: Scopes,
) -> Result<Token, RegistryError> {
    let realm =
        Url::parse(&challenge.realm).ok().filter(|url| url.has_host()).ok_or_else(|| {
            RegistryError::Protocol {
                url: redacted(&wire.host.base),
                reason: format!("its token server `{}` is not a URL", challenge.realm),
            }
        })?;
    let asked = Instant::now();
    let answer = match credential {
        Credential::IdentityToken(token) => {
            by_refresh_token(wire, asker, &realm, challenge, token, &scopes).await?
        }
        _ => by_password(wire, asker, &realm, challenge, credential, &scopes).await?,
    };
    let value = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
    let value = value.ok_or_else(|| RegistryError::Protocol {
        url: redacted(&realm),
        reason: "its answer holds no token".to_owned(),
    })?;
    let life = answer.expires_in.map_or(DEFAULT_LIFE, Duration::from_secs);
    // The clock starts when the question was asked: what stands in `issued_at` is another's clock.
    // A token shorter than the margin is used at least once, by the request that asked for it.
    Ok(Token { scopes, value, expires: asked + life.saturating_sub(MARGIN) })
}

async fn by_password(
    wire: &Wire,
    asker: Asker<'_>,
    realm: &Url,
    challenge: &BearerChallenge,
    credential: &Credential,
    scopes: &Scopes,
) -> Result<TokenAnswer, RegistryError> {
    let mut url = realm.clone();
    {
        let mut query = url.query_pairs_mut();
        query.extend_pairs(challenge.service.iter().map(|service| ("service", service)));
        query.extend_pairs(scopes.texts().map(|scope| ("scope", scope)));
    }
    let header = match credential {
        Credential::Password { username, password } => {
            guard(realm, wire, asker)?;
            basic(username, password)
        }
        _ => None,
    };
    ask(wire, asker, Method::GET, &url, header, None).await
}

/// RFC 6749, section 6, as Docker's token servers speak it.
async fn by_refresh_token(
    wire: &Wire,
    asker: Asker<'_>,
    realm: &Url,
    challenge: &BearerChallenge,
    token: &Secret,
    scopes: &Scopes,
) -> Result<TokenAnswer, RegistryError> {
    guard(realm, wire, asker)?;
    let scope = scopes.texts().collect::<Vec<_>>().join(" ");
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "refresh_token")
        .append_pair("refresh_token", token.expose())
        .append_pair("client_id", CLIENT_ID)
        .append_pair("service", challenge.service.as_deref().unwrap_or_default())
        .append_pair("scope", &scope)
        .finish();
    ask(wire, asker, Method::POST, realm, None, Some(form)).await
}

/// Refuses to send a password in the clear to a token server that a TLS registry names.
fn guard(realm: &Url, wire: &Wire, asker: Asker<'_>) -> Result<(), RegistryError> {
    if realm.scheme() == "https" || wire.host.base.scheme() == "http" {
        return Ok(());
    }
    Err(RegistryError::Protocol {
        url: redacted(realm),
        reason: format!("`{}` sends passwords there without encryption", asker.registry),
    })
}

async fn ask(
    wire: &Wire,
    asker: Asker<'_>,
    method: Method,
    url: &Url,
    header: Option<HeaderValue>,
    form: Option<String>,
) -> Result<TokenAnswer, RegistryError> {
    let client = wire.client_for(url)?;
    let mut pauses = wire.pauses();
    loop {
        let mut request = client.request(method.clone(), url.clone());
        if let Some(header) = &header {
            request = request.header(http::header::AUTHORIZATION, header.clone());
        }
        if let Some(form) = &form {
            request = request
                .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.clone());
        }
        let error = match wire.exchange(&method, url, request).await {
            Ok(response) if response.status().is_success() => {
                let bytes =
                    transport::read_all(response, &redacted(url), TOKEN_LIMIT, wire.silence())
                        .await?;
                // The parser's own message is left out, because it may quote a token.
                return serde_json::from_slice(&bytes).map_err(|_| RegistryError::Protocol {
                    url: redacted(url),
                    reason: "its answer is no token".to_owned(),
                });
            }
            Ok(response) => {
                let answer = Box::new(transport::answer(response, wire.silence()).await);
                let status = answer.status.as_u16();
                if matches!(status, 400 | 401 | 403) && !answer.is_retryable() {
                    return Err(RegistryError::Denied {
                        registry: asker.registry.to_owned(),
                        repository: asker.repository.to_owned(),
                        credentials: header.is_some() || form.is_some(),
                        source: answer,
                    });
                }
                RegistryError::Status { method: method.clone(), url: redacted(url), source: answer }
            }
            Err(error) => error,
        };
        pauses.wait(error).await?;
    }
}

fn bearer(token: &Secret) -> Option<HeaderValue> {
    sensitive(format!("Bearer {}", token.expose()))
}

fn basic(username: &str, password: &Secret) -> Option<HeaderValue> {
    let text = format!("{username}:{}", password.expose());
    sensitive(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text)))
}

/// A header value whose debug form hides it.
fn sensitive(text: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
