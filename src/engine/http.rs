//! The HTTP client for what is no registry: a look at Docker Hub, and BuildKit's releases.
use std::sync::Arc;

/// A client that trusts the machine's certificates.
///
/// # Errors
///
/// Whatever keeps TLS from being set up.
pub(super) fn client() -> Result<reqwest::ClientBuilder, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let agent = concat!("kitwright/", env!("CARGO_PKG_VERSION"));
    Ok(reqwest::Client::builder().user_agent(agent).tls_backend_preconfigured(tls))
}
