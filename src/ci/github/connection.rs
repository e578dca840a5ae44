//! The HTTP client below the API's: which server may be spoken to, and how.
use std::time::Duration;

use reqwest::Url;

use super::error::ApiError;
use crate::oci::registry::{provider, system_roots};

/// The longest that one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes a client for the API at `api`.
///
/// # Errors
///
/// [`ApiError::Tls`] when TLS cannot be set up.
pub(super) fn connect(api: &Url) -> Result<reqwest::Client, ApiError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls(api.scheme() == "https")?)
        .redirect(same_server())
        .timeout(REQUEST_TIMEOUT)
        .user_agent(concat!("kitwright/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|source| ApiError::Tls { source: Box::new(source) })
}

/// Follows redirects (a renamed repository has one) on the same server alone.
fn same_server() -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(|attempt| {
        let first = attempt.previous().first().map(Url::origin);
        if attempt.previous().len() > 5 || first != Some(attempt.url().origin()) {
            attempt.stop()
        } else {
            attempt.follow()
        }
    })
}

/// The TLS configuration; a plain address (a test's) never needs the system's certificates.
fn tls(needed: bool) -> Result<rustls::ClientConfig, ApiError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| ApiError::Tls { source };
    let roots = if needed { system_roots() } else { rustls::RootCertStore::empty() };
    if needed && roots.is_empty() {
        return Err(failed("the system has no usable CA certificates".into()));
    }
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| failed(Box::new(source)))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
