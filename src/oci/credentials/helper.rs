//! Docker credential helpers: a program that is asked on stdin and answers with JSON on stdout.
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{Credential, CredentialError, Secret};

/// How long a helper may take: it may have to ask the user to unlock a key chain.
const DEADLINE: Duration = Duration::from_secs(60);
/// What helpers print when they know nothing of a registry.
const NOT_FOUND: &[&str] = &["credentials not found", "no credentials"];
/// The user name that says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    secret: Secret,
}

/// Asks `docker-credential-<name>` for the credentials of `registry`.
///
/// The registry's name goes through stdin, as the protocol wants it; the secret comes back through
/// a pipe. Neither ever stands in an argument.
pub(super) async fn get(name: &str, registry: &str) -> Result<Option<Credential>, CredentialError> {
    if name.contains(['/', '\\', '\0']) || name.starts_with('.') {
        return Err(CredentialError::HelperName { name: name.to_owned() });
    }
    let program = format!("docker-credential-{name}");
    let output = match tokio::time::timeout(DEADLINE, ask(&program, registry)).await {
        Ok(output) => output.map_err(|source| CredentialError::HelperStart {
            program: program.clone(),
            registry: registry.to_owned(),
            source,
        })?,
        Err(_) => {
            let (registry, seconds) = (registry.to_owned(), DEADLINE.as_secs());
            return Err(CredentialError::HelperTimeout { program, registry, seconds });
        }
    };
    if !output.status.success() {
        return refused(program, registry, &output);
    }
    let Ok(Answer { username, secret }) = serde_json::from_slice(&output.stdout) else {
        return Err(CredentialError::HelperAnswer { program, registry: registry.to_owned() });
    };
    if secret.is_empty() {
        return Ok(None);
    }
    if username == TOKEN_USER {
        return Ok(Some(Credential::IdentityToken(secret)));
    }
    Ok(Some(Credential::Password { username, password: secret }))
}

async fn ask(program: &str, registry: &str) -> std::io::Result<std::process::Output> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its question still answers or fails on its own.
        let _ = stdin.write_all(registry.as_bytes()).await;
    }
    child.wait_with_output().await
}

fn refused(
    program: String,
    registry: &str,
    output: &std::process::Output,
) -> Result<Option<Credential>, CredentialError> {
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    let knows_nothing =
        |text: &str| NOT_FOUND.iter().any(|phrase| text.to_ascii_lowercase().contains(phrase));
    if knows_nothing(&said) || knows_nothing(&complained) {
        return Ok(None);
    }
    // stdout is where a secret would stand, so only stderr is quoted.
    let line = complained.lines().find(|line| !line.trim().is_empty());
    let message = line.map_or_else(|| output.status.to_string(), |line| line.trim().to_owned());
    Err(CredentialError::HelperFailed { program, registry: registry.to_owned(), message })
}
