//! Registries behind TLS: trusted, unknown, and told to be trusted.
use std::path::{Path, PathBuf};

use kitwright::fault::{Classified as _, Fault};
use kitwright::oci::registry::{Client, Options, RegistryError};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::image::{make, options, reference};
use crate::support::registry::{self, Registry};

/// A registry with a certificate by an authority of its own; returns that authority's.
fn start(folder: &Path) -> Option<(Registry, PathBuf)> {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
        .expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names)
        .expect("parameters")
        .signed_by(&key, &authority)
        .expect("a certificate");
    let write = |name: &str, text: String| {
        std::fs::write(folder.join(name), text).expect("a written file");
        folder.join(name)
    };
    let authority = write("ca.crt", authority.pem());
    let certificate = write("server.crt", certificate.pem());
    let key = write("server.key", key.serialize_pem());
    let config = format!("  tls:\n    certificate: {certificate:?}\n    key: {key:?}\n");
    Some((registry::start_with(&config)?, authority))
}

#[tokio::test]
async fn an_unknown_authority_is_refused_and_a_known_one_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let Some((registry, authority)) = start(folder.path()) else { return };
    let target = reference(&registry.host, "a:v1");
    let certs = folder.path().join("certs.d");
    let own = certs.join(&registry.host);
    std::fs::create_dir_all(&own).unwrap();
    let with_dirs = || Client::new(Options { certificate_dirs: vec![certs.clone()], ..options() });
    let error = with_dirs().head_manifest(&target).await.unwrap_err();
    assert!(matches!(error, RegistryError::Certificate { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("cannot trust the certificate of `{}`", registry.host));
    assert!(!error.is_retryable());
    assert_eq!(error.fault(), Fault::Environment);

    std::fs::copy(&authority, own.join("ca.crt")).unwrap();
    let client = with_dirs();
    let image = make(1, "amd64", 300_000);
    image.push(&client, &target).await;
    assert_eq!(client.get_manifest(&target).await.unwrap().bytes, image.manifest);

    std::fs::write(own.join("ca.crt"), "not a certificate").unwrap();
    let error = with_dirs().head_manifest(&target).await.unwrap_err();
    assert!(matches!(error, RegistryError::CertificateFile { .. }), "{error:?}");
    assert_eq!(error.fault(), Fault::Usage);
}

#[tokio::test]
async fn a_host_that_is_declared_insecure_is_not_checked() {
    let folder = tempfile::tempdir().unwrap();
    let Some((registry, _)) = start(folder.path()) else { return };
    let mut options = options();
    options.skip_verify.insert(registry.host.clone());
    let target = reference(&registry.host, "a:v1");
    assert_eq!(Client::new(options).head_manifest(&target).await.unwrap(), None);
}

#[tokio::test]
async fn a_bundle_of_the_users_choice_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let Some((registry, authority)) = start(folder.path()) else { return };
    // The folder makes the host a TLS host; the authority comes from the bundle alone.
    std::fs::create_dir_all(folder.path().join(".docker/certs.d").join(&registry.host)).unwrap();
    let run = |bundle: &Path| {
        std::process::Command::new(env!("CARGO_BIN_EXE_kitwright"))
            .args(["image", "inspect", &format!("{}/none:v1", registry.host)])
            .env_clear()
            .env("HOME", folder.path())
            .env("SSL_CERT_FILE", bundle)
            .output()
            .unwrap()
    };
    let trusted = String::from_utf8_lossy(&run(&authority).stderr).into_owned();
    assert!(trusted.contains("is not in the registry"), "{trusted}");
    let other = folder.path().join("server.crt");
    let unknown = String::from_utf8_lossy(&run(&other).stderr).into_owned();
    assert!(unknown.contains("cannot trust the certificate"), "{unknown}");
}
