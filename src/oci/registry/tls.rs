//! TLS settings: the system's certificates and Docker's `certs.d`.
//!
//! Loading the system's bundle costs milliseconds, so it happens when the first `https` host is
//! spoken to, and never for a registry on plain HTTP.
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::error::RegistryError;

/// The system's certificates, loaded once.
static SYSTEM_ROOTS: OnceLock<RootCertStore> = OnceLock::new();

/// The cryptography that every connection uses.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let provider = PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider()));
    Arc::clone(provider)
}

/// The certificates that the system trusts.
pub(crate) fn system_roots() -> RootCertStore {
    let load = || {
        let mut roots = RootCertStore::empty();
        // One unreadable certificate must not take the others along.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    };
    SYSTEM_ROOTS.get_or_init(load).clone()
}

/// Settings for a host that is only spoken to in plain HTTP: they trust nobody.
pub(super) fn none() -> Option<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().ok()?;
    Some(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// Settings for `host`: the system's certificates and those of the host's own folders.
pub(super) fn for_host(
    host: &str,
    dirs: &[PathBuf],
    skip_verify: bool,
) -> Result<ClientConfig, RegistryError> {
    let own = HostFiles::read(host, dirs)?;
    let unusable = |reason: String| RegistryError::CertificateFile {
        path: dirs.first().map_or_else(PathBuf::new, |dir| dir.join(host)),
        reason,
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?;
    let builder = if skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAll(provider())))
    } else {
        let mut roots = system_roots();
        for (path, certificate) in own.authorities {
            roots.add(certificate).map_err(|error| RegistryError::CertificateFile {
                path,
                reason: error.to_string(),
            })?;
        }
        builder.with_root_certificates(roots)
    };
    let mut config = match own.identity {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| unusable(error.to_string()))?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Whether one of the folders has a folder for `host`.
pub(super) fn has_files(host: &str, dirs: &[PathBuf]) -> bool {
    dirs.iter().any(|dir| dir.join(host).is_dir())
}

/// What stands in the `certs.d/<host>` folders: `*.crt` are authorities, `x.cert` with `x.key` is
/// what kitwright shows itself with.
#[derive(Default)]
struct HostFiles {
    authorities: Vec<(PathBuf, CertificateDer<'static>)>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl HostFiles {
    fn read(host: &str, dirs: &[PathBuf]) -> Result<Self, RegistryError> {
        let mut files = Self::default();
        for dir in dirs {
            let Ok(entries) = std::fs::read_dir(dir.join(host)) else { continue };
            let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            paths.sort();
            for path in paths {
                match path.extension().and_then(|extension| extension.to_str()) {
                    Some("crt") => {
                        let read = certificates(&path)?;
                        files.authorities.extend(read.into_iter().map(|cert| (path.clone(), cert)));
                    }
                    Some("cert") if files.identity.is_none() => {
                        let key = path.with_extension("key");
                        let bad =
                            |error: rustls::pki_types::pem::Error| RegistryError::CertificateFile {
                                path: key.clone(),
                                reason: error.to_string(),
                            };
                        let private = PrivateKeyDer::from_pem_file(&key).map_err(bad)?;
                        files.identity = Some((certificates(&path)?, private));
                    }
                    _ => {}
                }
            }
        }
        Ok(files)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, RegistryError> {
    let bad = |reason: String| RegistryError::CertificateFile { path: path.to_path_buf(), reason };
    let read = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad(error.to_string()))?;
    if read.is_empty() { Err(bad("it holds no certificate".to_owned())) } else { Ok(read) }
}

/// Trusts whoever answers, for hosts that the user has declared insecure.
#[derive(Debug)]
struct TrustAll(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
