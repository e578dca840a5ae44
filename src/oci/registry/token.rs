//! Tokens for others: an engine that pulls and pushes with the client's credentials.
use std::time::Duration;

use super::Client;
use super::auth::{Asker, fetch_token};
use super::challenge::BearerChallenge;
use super::error::RegistryError;
use super::host::Host;
use super::scope::Scopes;
use super::transport::Wire;
use crate::oci::credentials::{Credential, Secret};

/// A token that was fetched for somebody else.
#[derive(Clone, Debug)]
pub struct FetchedToken {
    /// The bearer token.
    pub value: Secret,
    /// How long it can be used, with a margin for the way.
    pub life: Duration,
}

impl Client {
    /// Fetches a token from the token server `realm` of `registry`, with the user's credentials.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when the token server refuses or cannot be reached.
    pub async fn fetch_token(
        &self,
        registry: &str,
        realm: &str,
        service: &str,
        scopes: &[String],
    ) -> Result<FetchedToken, RegistryError> {
        let scopes = Scopes::parse(&scopes.join(" "));
        let repository = scopes.repository().unwrap_or_default();
        let credential = self.inner.options.credentials.get(registry, &repository).await?;
        if let Credential::RegistryToken(value) = credential {
            return Ok(FetchedToken { value, life: super::auth::DEFAULT_LIFE });
        }
        let host = self
            .inner
            .host(registry.to_owned(), || Host::upstream(registry, &self.inner.options))?;
        let wire = Wire { inner: self.inner.clone(), host };
        let challenge = BearerChallenge {
            realm: realm.to_owned(),
            service: Some(service.to_owned()).filter(|service| !service.is_empty()),
            scope: None,
            error: None,
        };
        let asker = Asker { registry, repository: &repository };
        let token = fetch_token(&wire, asker, &challenge, &credential, scopes).await?;
        let life = token.expires.saturating_duration_since(std::time::Instant::now());
        Ok(FetchedToken { value: token.value, life })
    }
}
