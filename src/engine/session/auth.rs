//! Registry credentials for the daemon.
//!
//! Passwords stay here where they can: for registries with a token server the client fetches the
//! tokens itself and gives out those alone. The daemon keeps such tokens under a public key that
//! the client proves to own, so that another client of the same daemon cannot use them. A
//! registry that takes passwords in each request leaves no choice: the daemon gets the password.
use std::sync::{Arc, OnceLock};

use buildkit_rs_proto::moby::filesync::v1 as wire;
use hyper::body::Incoming;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use tonic::{Request, Response, Status};
use wire::auth_server::AuthServer;

use super::Scope;
use super::attachable::{Attachable, ResponseFuture, serve};
use crate::fault::chain;
use crate::oci::credentials::{Credential, CredentialStore};
use crate::oci::registry;

/// Gives out the credentials of a store.
#[derive(Clone)]
pub struct RegistryAuth {
    credentials: CredentialStore,
    tokens: registry::Client,
    /// Chance that only this process knows: keys made from it prove that tokens are ours.
    seed: Arc<OnceLock<[u8; 32]>>,
}

impl RegistryAuth {
    /// Offers `credentials`; `tokens` fetches from token servers and must use the same store.
    #[must_use]
    pub fn new(credentials: CredentialStore, tokens: registry::Client) -> Self {
        Self { credentials, tokens, seed: Arc::default() }
    }

    async fn credential(&self, host: &str) -> Result<Credential, Status> {
        let found = self.credentials.get(host, "").await;
        found.map_err(|error| Status::unauthenticated(chain(&error)))
    }

    /// The key for one registry and one daemon, which is told apart by its salt.
    ///
    /// Without credentials the key is the same for everybody: tokens for anybody may be shared.
    async fn key(&self, host: &str, salt: &[u8]) -> Result<Ed25519KeyPair, Status> {
        let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, salt));
        if self.credential(host).await? != Credential::Anonymous {
            let seed = match self.seed.get() {
                Some(seed) => seed,
                None => {
                    let mut fresh = [0; 32];
                    getrandom::fill(&mut fresh)
                        .map_err(|error| Status::unavailable(error.to_string()))?;
                    self.seed.get_or_init(|| fresh)
                }
            };
            mac.update(seed);
            mac.update(host.as_bytes());
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(mac.sign().as_ref());
        pair.map_err(|error| Status::internal(error.to_string()))
    }
}

impl Attachable for RegistryAuth {
    fn methods(&self) -> &'static [&'static str] {
        &[
            "/moby.filesync.v1.Auth/Credentials",
            "/moby.filesync.v1.Auth/FetchToken",
            "/moby.filesync.v1.Auth/GetTokenAuthority",
            "/moby.filesync.v1.Auth/VerifyTokenAuthority",
        ]
    }

    fn call(&self, request: http::Request<Incoming>, _: &Scope) -> ResponseFuture {
        // Failures are left to the daemon: it may try a mirror, or do without.
        serve(AuthServer::new(self.clone()), request)
    }
}

#[tonic::async_trait]
impl wire::auth_server::Auth for RegistryAuth {
    async fn credentials(
        &self,
        request: Request<wire::CredentialsRequest>,
    ) -> Result<Response<wire::CredentialsResponse>, Status> {
        let (username, secret) = match self.credential(&request.into_inner().host).await? {
            Credential::Anonymous | Credential::RegistryToken(_) => Default::default(),
            Credential::Password { username, password } => (username, password.expose().to_owned()),
            // BuildKit knows a refresh token by its lack of a user.
            Credential::IdentityToken(token) => (String::new(), token.expose().to_owned()),
        };
        Ok(Response::new(wire::CredentialsResponse { username, secret }))
    }

    async fn fetch_token(
        &self,
        request: Request<wire::FetchTokenRequest>,
    ) -> Result<Response<wire::FetchTokenResponse>, Status> {
        let wire::FetchTokenRequest { host, realm, service, scopes, .. } = request.into_inner();
        let token = self.tokens.fetch_token(&host, &realm, &service, &scopes).await;
        let token = token.map_err(|error| Status::unauthenticated(chain(&error)))?;
        Ok(Response::new(wire::FetchTokenResponse {
            token: token.value.expose().to_owned(),
            expires_in: i64::try_from(token.life.as_secs()).unwrap_or(i64::MAX),
            issued_at: 0,
        }))
    }

    async fn get_token_authority(
        &self,
        request: Request<wire::GetTokenAuthorityRequest>,
    ) -> Result<Response<wire::GetTokenAuthorityResponse>, Status> {
        let request = request.into_inner();
        let key = self.key(&request.host, &request.salt).await?;
        let public_key = key.public_key().as_ref().to_vec().into();
        Ok(Response::new(wire::GetTokenAuthorityResponse { public_key }))
    }

    async fn verify_token_authority(
        &self,
        request: Request<wire::VerifyTokenAuthorityRequest>,
    ) -> Result<Response<wire::VerifyTokenAuthorityResponse>, Status> {
        let request = request.into_inner();
        let key = self.key(&request.host, &request.salt).await?;
        // NaCl's form: the signature, then what was signed.
        let mut signed = key.sign(&request.payload).as_ref().to_vec();
        signed.extend_from_slice(&request.payload);
        Ok(Response::new(wire::VerifyTokenAuthorityResponse { signed: signed.into() }))
    }
}
