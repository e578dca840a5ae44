//! Showing registries what they want to see, and nobody else anything.
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use base64::Engine as _;
use kitwright::oci::credentials::{CredentialSources, CredentialStore, Secret};
use kitwright::oci::manifest::Descriptor;
use kitwright::oci::registry::{Client, Options, RegistryError};

use crate::image::{bytes, make, options, reference};
use crate::support::{http, registry};
use crate::token;

fn with_config(config: &serde_json::Value) -> Client {
    let sources =
        CredentialSources { inline: Some(Secret::new(config.to_string())), files: Vec::new() };
    Client::new(Options { credentials: CredentialStore::new(sources), ..options() })
}

fn with_password(host: &str, username: &str, password: &str) -> Client {
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
    with_config(&serde_json::json!({"auths": {host: {"auth": auth}}}))
}

#[tokio::test]
async fn a_password_opens_and_a_wrong_one_is_explained() {
    let Some(registry) = registry::start_with_password() else { return };
    let image = make(1, "amd64", 10_000);
    let target = reference(&registry.host, "a/b:v1");
    let client = with_password(&registry.host, registry::USER, registry::PASSWORD);
    image.push(&client, &target).await;
    assert_eq!(client.get_manifest(&target).await.unwrap().bytes, image.manifest);

    for (client, shown) in [
        (Client::new(options()), "without credentials"),
        (
            with_password(&registry.host, registry::USER, "hunter2"),
            "with the credentials that it was shown",
        ),
    ] {
        let error = client.get_manifest(&target).await.unwrap_err();
        let message = format!("registry `{}` refuses access to `a/b` {shown}", registry.host);
        assert_eq!(error.to_string(), message);
        assert!(!format!("{error:?}").contains("hunter2"));
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn a_token_is_fetched_once_for_all_that_is_foreseen() {
    let Some((registry, server)) = token::start() else { return };
    let image = make(2, "amd64", 10_000);
    let target = reference(&registry.host, "a/b:v1");
    let client = with_password(&registry.host, token::USER, token::PASSWORD);
    client.expect_push(&target).await.unwrap();
    assert_eq!(client.head_manifest(&target).await.unwrap(), None);
    image.push(&client, &target).await;
    assert_eq!(client.get_manifest(&target).await.unwrap().bytes, image.manifest);
    let asked = server.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].by, "password");
    assert_eq!(asked[0].scopes, ["repository:a/b:pull,push"]);
}

#[tokio::test]
async fn requests_that_wait_for_a_token_share_it() {
    let Some((registry, server)) = token::start() else { return };
    let client = with_password(&registry.host, token::USER, token::PASSWORD);
    let target = reference(&registry.host, "a/b:v1");
    let heads: Vec<_> = (0..8).map(|_| client.head_manifest(&target)).collect();
    for head in futures_util::future::join_all(heads).await {
        assert_eq!(head.unwrap(), None);
    }
    assert_eq!(server.asked().len(), 1, "{:?}", server.asked());
}

#[tokio::test]
async fn reading_first_and_writing_later_asks_for_more() {
    let Some((registry, server)) = token::start() else { return };
    let client = with_password(&registry.host, token::USER, token::PASSWORD);
    let target = reference(&registry.host, "a:v1");
    client.head_manifest(&target).await.unwrap();
    make(3, "amd64", 10).push(&client, &target).await;
    let scopes: Vec<_> = server.asked().into_iter().map(|asked| asked.scopes).collect();
    assert_eq!(scopes, [["repository:a:pull"], ["repository:a:pull,push"]]);
}

#[tokio::test]
async fn an_identity_token_is_exchanged() {
    let Some((registry, server)) = token::start() else { return };
    let entry = serde_json::json!({"auth": "MDA6", "identitytoken": token::REFRESH_TOKEN});
    let client = with_config(&serde_json::json!({"auths": {&registry.host: entry}}));
    make(4, "amd64", 10).push(&client, &reference(&registry.host, "a:v1")).await;
    assert!(server.asked().iter().all(|asked| asked.by == "refresh_token"), "{:?}", server.asked());
}

#[tokio::test]
async fn a_registry_token_is_shown_as_it_is() {
    let Some((registry, server)) = token::start() else { return };
    let token = server.token(&["repository:a:pull,push".to_owned()], "password", 300);
    let entry = serde_json::json!({"registrytoken": token});
    let client = with_config(&serde_json::json!({"auths": {&registry.host: entry}}));
    make(5, "amd64", 10).push(&client, &reference(&registry.host, "a:v1")).await;
    assert!(server.asked().is_empty(), "{:?}", server.asked());
}

#[tokio::test]
async fn strangers_read_what_is_public_and_nothing_else() {
    let Some((registry, server)) = token::start() else { return };
    let image = make(6, "amd64", 10);
    let owner = with_password(&registry.host, token::USER, token::PASSWORD);
    let (public, private) =
        (reference(&registry.host, "public/a:v1"), reference(&registry.host, "private/a:v1"));
    image.push(&owner, &public).await;
    image.push(&owner, &private).await;
    let stranger = Client::new(options());
    assert_eq!(stranger.get_manifest(&public).await.unwrap().bytes, image.manifest);
    let before = server.asked().len();
    let error = stranger.get_manifest(&private).await.unwrap_err();
    assert!(matches!(error, RegistryError::Denied { credentials: false, .. }), "{error:?}");
    assert!(server.asked().len() - before <= 3, "it asks again and again");
}

#[tokio::test]
async fn a_token_that_ends_earlier_than_told_is_fetched_anew_mid_way() {
    let Some((registry, server)) = token::start() else { return };
    let target = reference(&registry.host, "a:v1");
    let client = with_password(&registry.host, token::USER, token::PASSWORD);
    client.expect_push(&target).await.unwrap();
    // The registry's clocks may differ by a minute: this token is good for one or two seconds.
    server.set_lives(-58, 3600);
    let blob = bytes(7, 100_000);
    let first = Descriptor::of("x", &blob);
    client.push_blob(&target, &first, &blob, None).await.unwrap();
    assert_eq!(server.asked().len(), 1);
    let dying = server.token(&["repository:a:pull".to_owned()], "password", -58);
    let header = format!("Bearer {dying}");
    let path = format!("/v2/a/blobs/{}", first.digest);
    let probe = || {
        http::request(&registry.host, None, "HEAD", &path, &[("Authorization", &header)], b"")
            .status
    };
    while probe() == 200 {
        std::thread::yield_now();
    }
    // A second blob: its upload begins with a token that the registry no longer takes.
    server.set_lives(300, 300);
    let blob = bytes(8, 300_000);
    let second = Descriptor::of("x", &blob);
    client.push_blob(&target, &second, &blob, None).await.unwrap();
    assert_eq!(server.asked().len(), 2, "{:?}", server.asked());
    assert!(client.has_blob(&target, second.digest).await.unwrap());
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let Some((registry, server)) = token::start() else { return };
    let client = with_password(&registry.host, token::USER, token::PASSWORD);
    let target = reference(&registry.host, "a:v1");
    // Told to live for a moment: every request asks anew, and none is refused.
    server.set_lives(300, 1);
    for _ in 0..3 {
        client.head_manifest(&target).await.unwrap();
    }
    assert_eq!(server.asked().len(), 3);
    assert_eq!(client.requests(), 1 + 2 * 3, "one refusal, then a token and a request each");
}

#[tokio::test]
async fn a_token_server_that_stumbles_is_asked_again() {
    let Some((registry, server)) = token::start() else { return };
    let client = with_password(&registry.host, token::USER, token::PASSWORD);
    server.failures.lock().unwrap().extend([503, 500, 429]);
    client.head_manifest(&reference(&registry.host, "a:v1")).await.unwrap();
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn a_wrong_password_at_the_token_server_is_said_once() {
    let Some((registry, _server)) = token::start() else { return };
    let client = with_password(&registry.host, token::USER, "hunter2");
    let error = client.head_manifest(&reference(&registry.host, "a:v1")).await.unwrap_err();
    assert!(matches!(error, RegistryError::Denied { credentials: true, .. }), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"));
    assert_eq!(client.requests(), 2);
}

/// Writes a credential helper into a folder that goes on `PATH` for this process.
fn helper(name: &str, script: &str) -> PathBuf {
    let folder = crate::support::watched::shared_folder().join(format!("helper-{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("docker-credential-{name}"));
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn a_credential_helper_is_asked_once_and_on_stdin() {
    let Some(registry) = registry::start_with_password() else { return };
    let log = crate::support::watched::shared_folder().join("helper.log");
    let program = helper(
        "test",
        &format!(
            r#"read -r server; echo "$# $* $server" >> {log:?}
            echo '{{"ServerURL":"'"$server"'","Username":"kit","Secret":"wright"}}'"#
        ),
    );
    // Helpers are found by name on `PATH`, so the client runs in a process of its own.
    let config = serde_json::json!({"credHelpers": {&registry.host: "test"}});
    let docker = tempfile::tempdir().unwrap();
    std::fs::write(docker.path().join("config.json"), config.to_string()).unwrap();
    let owner = with_password(&registry.host, registry::USER, registry::PASSWORD);
    let target = reference(&registry.host, "a:v1");
    let image = make(9, "amd64", 10);
    image.push(&owner, &target).await;
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_kitwright"))
        .args(["image", "inspect", "--raw", &target.to_string()])
        .env_clear()
        .env("PATH", &path)
        .env("HOME", docker.path())
        .env("DOCKER_CONFIG", docker.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, image.manifest);
    let asked = std::fs::read_to_string(&log).unwrap();
    assert_eq!(asked, format!("1 get {}\n", registry.host));

    helper("test", "echo 'the key chain is locked' >&2; exit 3");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_kitwright"))
        .args(["image", "inspect", &target.to_string()])
        .env_clear()
        .env("PATH", &path)
        .env("DOCKER_CONFIG", docker.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("the key chain is locked"), "{message}");
}
