//! Which entry of which file answers for a registry.
use std::path::Path;

use super::*;

fn store(dir: &Path, files: &[(&str, &str)]) -> CredentialStore {
    let paths = files.iter().map(|(name, text)| {
        std::fs::write(dir.join(name), text).unwrap();
        dir.join(name)
    });
    CredentialStore::new(CredentialSources { inline: None, files: paths.collect() })
}

fn password(username: &str, password: &str) -> Credential {
    Credential::Password { username: username.into(), password: Secret::new(password) }
}

#[tokio::test]
async fn reads_every_form_of_entry() {
    let dir = tempfile::tempdir().unwrap();
    // `user:pa:ss` and `hub:secret`.
    let text = r#"{"auths": {
        "ghcr.io": {"auth": "dXNlcjpwYTpzcw=="},
        "https://index.docker.io/v1/": {"auth": "aHViOnNlY3JldA=="},
        "https://old.example/v2/": {"username": "u", "password": "p"},
        "acr.example": {"auth": "MDA6", "identitytoken": "idt"},
        "bearer.example": {"registrytoken": "rt"},
        "empty.example": {}
    }}"#;
    let store = store(dir.path(), &[("config.json", text)]);
    for (registry, expected) in [
        ("ghcr.io", password("user", "pa:ss")),
        ("docker.io", password("hub", "secret")),
        ("registry-1.docker.io", password("hub", "secret")),
        ("old.example", password("u", "p")),
        ("acr.example", Credential::IdentityToken(Secret::new("idt"))),
        ("bearer.example", Credential::RegistryToken(Secret::new("rt"))),
        ("empty.example", Credential::Anonymous),
        ("other.example", Credential::Anonymous),
    ] {
        assert_eq!(store.get(registry, "a/b").await.unwrap(), expected, "{registry}");
    }
}

#[tokio::test]
async fn the_most_specific_entry_of_the_first_file_wins() {
    let dir = tempfile::tempdir().unwrap();
    let docker = r#"{"auths": {"a.example": {"username": "docker", "password": "1"}}}"#;
    let podman = r#"{"auths": {
        "a.example": {"username": "podman", "password": "2"},
        "quay.io": {"username": "all", "password": "3"},
        "quay.io/org": {"username": "org", "password": "4"},
        "docker.io/library": {"username": "lib", "password": "5"}
    }}"#;
    let store = store(dir.path(), &[("config.json", docker), ("auth.json", podman)]);
    assert_eq!(store.get("a.example", "x").await.unwrap(), password("docker", "1"));
    assert_eq!(store.get("quay.io", "x").await.unwrap(), password("all", "3"));
    assert_eq!(store.get("quay.io", "org/x").await.unwrap(), password("org", "4"));
    assert_eq!(store.get("docker.io", "library/x").await.unwrap(), password("lib", "5"));
    assert_eq!(store.get("docker.io", "moby/x").await.unwrap(), Credential::Anonymous);
}

#[tokio::test]
async fn inline_configuration_goes_first_and_missing_files_are_passed_over() {
    let inline = r#"{"auths": {"a.example": {"username": "env", "password": "1"}}}"#;
    let store = CredentialStore::new(CredentialSources {
        inline: Some(Secret::new(inline)),
        files: vec!["/nowhere/config.json".into()],
    });
    assert_eq!(store.get("a.example", "x").await.unwrap(), password("env", "1"));
}

#[tokio::test]
async fn broken_files_are_errors_that_do_not_quote_them() {
    let dir = tempfile::tempdir().unwrap();
    let broken = store(dir.path(), &[("config.json", r#"{"auths": {"a": "hunter2"}}"#)]);
    let error = broken.get("a.example", "x").await.unwrap_err();
    let end = "config.json` is not a Docker configuration: bad JSON at line 1, column 25";
    assert!(error.to_string().ends_with(end), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));

    let entry = store(dir.path(), &[("other.json", r#"{"auths": {"a.example": {"auth": "!!"}}}"#)]);
    let error = entry.get("a.example", "x").await.unwrap_err();
    assert!(error.to_string().contains("has an `auth` entry for `a.example`"), "{error}");
}

#[test]
fn secrets_do_not_print() {
    assert!(!format!("{:?}", password("u", "hunter2")).contains("hunter2"));
}

#[test]
fn a_helpers_name_cannot_be_a_path() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(helper::get("../../evil", "a.example")).unwrap_err();
    assert!(matches!(error, CredentialError::HelperName { .. }), "{error}");
}

#[tokio::test]
async fn a_missing_helper_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let text = r#"{"credHelpers": {"a.example": "kitwright-none"}}"#;
    let store = store(dir.path(), &[("config.json", text)]);
    let error = store.get("a.example", "x").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot run `docker-credential-kitwright-none` for the credentials of `a.example`"
    );
    assert_eq!(store.get("b.example", "x").await.unwrap(), Credential::Anonymous);
}
