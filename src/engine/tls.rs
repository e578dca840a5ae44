//! TLS towards a daemon on a TCP address; loaded only when the address asks for it.
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::address::{Address, Tls};
use super::connect::ConnectError;

/// Wraps `socket` in TLS.
pub(super) async fn connect(
    address: &Address,
    tls: &Tls,
    host: &str,
    socket: TcpStream,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| ConnectError::Tls {
        address: address.to_string(),
        source,
    };
    let name = tls.server_name.as_deref().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name).map_err(|error| failed(error.into()))?;
    let config = config(address, tls)?;
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
        .map_err(|error| failed(error.into()))
}

fn config(address: &Address, tls: &Tls) -> Result<ClientConfig, ConnectError> {
    let failed = |error: rustls::Error| ConnectError::Tls {
        address: address.to_string(),
        source: error.into(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_root_certificates(roots(address, tls)?);
    let mut config = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(address, certificate)?;
            let key_der = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| bad_file(address, key, error.to_string()))?;
            builder.with_client_auth_cert(chain, key_der).map_err(failed)?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn roots(address: &Address, tls: &Tls) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    match &tls.ca {
        Some(path) => {
            for certificate in certificates(address, path)? {
                roots
                    .add(certificate)
                    .map_err(|error| bad_file(address, path, error.to_string()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
}

fn certificates(
    address: &Address,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<_, _>>);
    let found: Vec<_> = read.map_err(|error| bad_file(address, path, error.to_string()))?;
    if found.is_empty() {
        return Err(bad_file(address, path, "no certificate in it".to_owned()));
    }
    Ok(found)
}

fn bad_file(address: &Address, path: &Path, problem: String) -> ConnectError {
    ConnectError::TlsFile { address: address.to_string(), path: path.to_owned(), problem }
}
