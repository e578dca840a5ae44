//! Addresses: what answers, and what an address where nobody listens says.
use kitwright::engine::address::Address;
use kitwright::engine::connect::{ConnectError, connect};
use kitwright::fault::{Classified as _, Fault};
use miette::Diagnostic as _;

use crate::lab::client;

async fn refused(address: &str) -> ConnectError {
    connect(&address.parse::<Address>().unwrap()).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_tells_its_version_and_workers() {
    let Some(client) = client().await else { return };
    assert!(client.info().await.unwrap().version.starts_with('v'));
    let workers = client.workers().await.unwrap();
    assert!(!workers.is_empty());
    assert!(workers[0].platforms.iter().any(|platform| platform.os == "linux"));
    client.disk_usage(Vec::new()).await.unwrap();
}

#[tokio::test]
async fn nobody_listening_names_the_address_and_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("none.sock");
    let address = format!("unix://{}", socket.display());
    let error = refused(&address).await;
    assert_eq!(error.fault(), Fault::Environment);
    assert!(error.to_string().contains(&address), "{error}");
    assert!(error.help().unwrap().to_string().contains("start buildkitd"));

    let error = refused("tcp://127.0.0.1:1").await;
    assert!(error.to_string().contains("tcp://127.0.0.1:1"), "{error}");
}

#[tokio::test]
async fn a_command_that_fails_shows_what_it_said() {
    let error = refused("docker-container://none").await;
    let text = error.to_string();
    assert!(text.contains("docker exec -i none buildctl dial-stdio"), "{text}");
    assert_eq!(error.fault(), Fault::Environment);
}

#[tokio::test]
async fn tls_files_that_are_missing_are_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}?ca=/none/ca.pem", listener.local_addr().unwrap());
    let error = refused(&address).await;
    assert_eq!(error.fault(), Fault::Usage);
    assert!(error.to_string().contains("/none/ca.pem"), "{error}");
}
