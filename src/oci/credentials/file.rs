//! Docker's `config.json` and Podman's `auth.json`, the parts that concern credentials.
use std::collections::BTreeMap;
use std::io;

use base64::Engine as _;
use serde::Deserialize;

use super::{Credential, CredentialError, CredentialSources, Secret};

/// One configuration, and where it came from.
pub(super) struct AuthFile {
    origin: String,
    config: Config,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credsStore")]
    creds_store: Option<String>,
    #[serde(rename = "credHelpers")]
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
    registrytoken: Option<Secret>,
}

impl AuthFile {
    /// Reads every source that is there.
    pub(super) fn read_all(sources: &CredentialSources) -> Result<Vec<Self>, CredentialError> {
        let mut files = Vec::new();
        if let Some(inline) = &sources.inline {
            files.push(Self::parse("DOCKER_AUTH_CONFIG".to_owned(), inline.expose().as_bytes())?);
        }
        for path in &sources.files {
            let bytes = match std::fs::read(path) {
                Ok(bytes) => bytes,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) =>
                {
                    continue;
                }
                Err(source) => return Err(CredentialError::Read { path: path.clone(), source }),
            };
            files.push(Self::parse(path.display().to_string(), &bytes)?);
        }
        Ok(files)
    }

    fn parse(origin: String, bytes: &[u8]) -> Result<Self, CredentialError> {
        // An empty file is what `docker logout` on a fresh machine may leave behind.
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self { origin, config: Config::default() });
        }
        match serde_json::from_slice(bytes) {
            Ok(config) => Ok(Self { origin, config }),
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                Err(CredentialError::Parse { origin, line, column })
            }
        }
    }

    /// The credential helper in charge of `key`, if any.
    ///
    /// The store that serves all registries is asked for whole registries only.
    pub(super) fn helper_for(&self, key: &str) -> Option<&str> {
        let own = self.config.cred_helpers.iter().find(|(name, _)| same_key(name, key));
        let is_registry = key.starts_with("https://") || !key.contains('/');
        own.map(|(_, helper)| helper)
            .or_else(|| self.config.creds_store.as_ref().filter(|_| is_registry))
            .map(String::as_str)
            .filter(|helper| !helper.is_empty())
    }

    /// The credentials that stand in the file itself.
    pub(super) fn entry_for(&self, key: &str) -> Result<Option<Credential>, CredentialError> {
        let exact = self.config.auths.get_key_value(key);
        let like = || self.config.auths.iter().find(|(name, _)| same_key(name, key));
        let Some((name, entry)) = exact.or_else(like) else { return Ok(None) };
        if let Some(token) = entry.registrytoken.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Some(Credential::RegistryToken(token.clone())));
        }
        if let Some(token) = entry.identitytoken.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Some(Credential::IdentityToken(token.clone())));
        }
        if let Some(auth) = entry.auth.as_ref().filter(|auth| !auth.is_empty()) {
            let entry =
                || CredentialError::Entry { origin: self.origin.clone(), registry: name.clone() };
            return decode(auth).map(Some).ok_or_else(entry);
        }
        Ok(match (&entry.username, &entry.password) {
            (Some(username), Some(password)) if !username.is_empty() => {
                Some(Credential::Password {
                    username: username.clone(),
                    password: password.clone(),
                })
            }
            _ => None,
        })
    }
}

fn decode(auth: &Secret) -> Option<Credential> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(auth.expose().trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (username, password) = text.split_once(':')?;
    // Docker pads the text with NUL bytes in entries of old versions.
    let password = Secret::new(password.trim_end_matches('\0'));
    Some(Credential::Password { username: username.to_owned(), password })
}

/// Whether a key in a file means the key that is looked for.
///
/// Old entries are URLs such as `https://registry.example/v1/`; the host decides.
fn same_key(name: &str, key: &str) -> bool {
    if name == key {
        return true;
    }
    let bare = |text: &str| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        rest.map(|rest| rest.split('/').next().unwrap_or(rest).to_owned())
    };
    bare(name).is_some_and(|host| host == key)
}
