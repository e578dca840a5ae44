//! Leaves a registry's credentials where every client of registries looks for them.
//!
//! That is Docker's `config.json`, which other tools write too: everything in it stays.
use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::{Map, Value, json};

use crate::fault::{Classified, Fault};

/// Credentials that could not be stored.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum LoginError {
    /// The user's name or password is missing.
    #[error("`{0}` is not set")]
    #[diagnostic(help("give the step both in its `env:`; a password on the command line is seen"))]
    Missing(&'static str),
    /// A name with a colon cannot be told from the password.
    #[error("the user name `{0}` has a colon")]
    User(String),
    /// The file is there and is not an object.
    #[error("`{}` is not a JSON object", path.display())]
    NotAnObject {
        /// The file.
        path: PathBuf,
    },
    /// Another program keeps the passwords.
    #[error("`{}` leaves credentials to the helper `{helper}`", path.display())]
    #[diagnostic(help("log in with `docker login`, which knows how to ask the helper"))]
    Helper {
        /// The file.
        path: PathBuf,
        /// The helper.
        helper: String,
    },
    /// The file cannot be read or written.
    #[error("cannot store credentials in `{}`", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Classified for LoginError {
    fn fault(&self) -> Fault {
        match self {
            Self::Store { .. } => Fault::Environment,
            _ => Fault::Usage,
        }
    }
}

/// Stores the credentials for `registry` in the folder `dir`'s `config.json`.
///
/// # Errors
///
/// A [`LoginError`] that names the file and no password.
pub fn login(dir: &Path, registry: &str, user: &str, password: &str) -> Result<(), LoginError> {
    if user.contains(':') {
        return Err(LoginError::User(user.to_owned()));
    }
    let path = dir.join("config.json");
    let failed = |source| LoginError::Store { path: path.clone(), source };
    let mut config = match fs_err::read(&path) {
        Ok(bytes) => serde_json::from_slice::<Map<String, Value>>(&bytes)
            .map_err(|_| LoginError::NotAnObject { path: path.clone() })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Map::new(),
        Err(error) => return Err(failed(error)),
    };
    if let Some(helper) = helper(&config, registry) {
        return Err(LoginError::Helper { path, helper });
    }
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let auths = config.entry("auths").or_insert_with(|| json!({}));
    let auths =
        auths.as_object_mut().ok_or_else(|| LoginError::NotAnObject { path: path.clone() })?;
    auths.insert(registry.to_owned(), json!({ "auth": auth }));
    fs_err::create_dir_all(dir).map_err(failed)?;
    // Whole or not at all, and never readable by others: `NamedTempFile` makes files with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    let text = serde_json::to_vec_pretty(&config).unwrap_or_default();
    file.write_all(&text).map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn helper(config: &Map<String, Value>, registry: &str) -> Option<String> {
    let own = config.get("credHelpers").and_then(|helpers| helpers.get(registry));
    let helper = own.or_else(|| config.get("credsStore"))?.as_str()?;
    (!helper.is_empty()).then(|| helper.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn credentials_are_added_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, r#"{"proxies": {"x": 1}, "auths": {"a": {"auth": "b"}}}"#).unwrap();
        login(dir.path(), "ghcr.io", "ann", "pass:word").unwrap();
        let config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(config["proxies"]["x"], 1);
        assert_eq!(config["auths"]["a"]["auth"], "b");
        assert_eq!(config["auths"]["ghcr.io"]["auth"], "YW5uOnBhc3M6d29yZA==");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn helpers_and_broken_files_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        for text in [r#"{"credsStore": "pass"}"#, r#"{"auths": []}"#, "nonsense"] {
            std::fs::write(&path, text).unwrap();
            let error = login(dir.path(), "ghcr.io", "ann", "secret").expect_err(text);
            assert!(!error.to_string().contains("secret"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
