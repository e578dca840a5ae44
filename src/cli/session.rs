//! Puts the session of a command together: everything that the engine may ask the client for.
use std::path::PathBuf;

use super::args::SecretArgs;
use super::report::Failure;
use crate::attributes;
use crate::engine::session::SessionBuilder;
use crate::engine::session::auth::RegistryAuth;
use crate::engine::session::secrets::Secrets;
use crate::engine::session::ssh::SshAgents;
use crate::fault::{Classified, Fault};
use crate::oci::credentials::{CredentialSources, CredentialStore};
use crate::oci::registry::Client;

/// A secret or agent that is not well named.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("`{flag} {value}`: {reason}")]
struct SessionFlagError {
    flag: &'static str,
    value: String,
    reason: String,
}

impl Classified for SessionFlagError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

/// Offers registry credentials, secrets and agents.
///
/// # Errors
///
/// Flags that are wrong, secrets that are not there.
pub(super) fn with_services(
    session: SessionBuilder,
    args: &SecretArgs,
    registry: Client,
) -> Result<SessionBuilder, Failure> {
    let credentials = CredentialStore::new(CredentialSources::from_env());
    let mut session = session.attach(RegistryAuth::new(credentials, registry));
    let secrets = secrets(&args.secret)?;
    if !secrets.is_empty() {
        session = session.attach(secrets);
    }
    let agents = agents(&args.ssh)?;
    if !agents.is_empty() {
        session = session.attach(agents);
    }
    Ok(session)
}

fn secrets(values: &[String]) -> Result<Secrets, Failure> {
    let mut secrets = Secrets::default();
    for value in values {
        // The value names a secret and where it is, and is not the secret itself.
        let wrong =
            |reason: String| SessionFlagError { flag: "--secret", value: value.clone(), reason };
        let mut fields = attributes::parse(value).map_err(|error| wrong(error.to_string()))?;
        let kind = fields.remove("type");
        let mut path = fields.remove("source").or_else(|| fields.remove("src"));
        let mut variable = fields.remove("env");
        let id = fields.remove("id").or_else(|| path.clone()).or_else(|| variable.clone());
        if let Some(key) = fields.keys().next() {
            return Err(wrong(format!("it has the unknown key `{key}`")).into());
        }
        let id = id.filter(|id| !id.is_empty()).ok_or_else(|| wrong("it has no `id`".into()))?;
        match kind.as_deref() {
            Some("env") if variable.is_none() => variable = path.take(),
            None | Some("env" | "file") => {}
            Some(_) => return Err(wrong("its type is neither `file` nor `env`".into()).into()),
        }
        // As in buildx: a variable of the id's name comes before a file of that name.
        if variable.is_none() && path.is_none() && std::env::var_os(&id).is_some() {
            variable = Some(id.clone());
        }
        match variable {
            Some(variable) => {
                let content = std::env::var(&variable).map_err(|_| {
                    wrong(format!("the variable `{variable}` is not set, or not as text"))
                })?;
                secrets.value(&id, content)?;
            }
            None => secrets.file(&id, PathBuf::from(path.unwrap_or_else(|| id.clone())))?,
        }
    }
    Ok(secrets)
}

fn agents(values: &[String]) -> Result<SshAgents, Failure> {
    let mut agents = SshAgents::default();
    for value in values {
        let (id, paths) = value.split_once('=').unwrap_or((value, ""));
        let mut paths: Vec<PathBuf> =
            paths.split(',').filter(|path| !path.is_empty()).map(PathBuf::from).collect();
        if paths.is_empty() {
            paths.extend(std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from));
        }
        agents.add(id, paths)?;
    }
    Ok(agents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_from_files_and_variables() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs_err::write(&file, "x").unwrap();
        let file = file.to_str().unwrap();
        let given = [
            format!("id=a,src={file}"),
            format!("type=file,id=b,source={file}"),
            "id=c,env=PATH".to_owned(),
            "type=env,id=d,src=PATH".to_owned(),
            "id=PATH".to_owned(),
        ];
        let read = secrets(&given).unwrap();
        assert_eq!(format!("{read:?}"), r#"{"PATH", "a", "b", "c", "d"}"#);
    }

    #[test]
    fn a_secret_that_is_not_there_is_an_error() {
        for bad in ["src=", "id=a,src=/no/such/file", "id=a,env=NO_SUCH_VARIABLE", "id=a,x=y", "id"]
        {
            assert!(secrets(&[bad.to_owned()]).is_err(), "{bad}");
        }
        assert!(agents(&["x=/no/such/socket".to_owned()]).is_err());
    }
}
