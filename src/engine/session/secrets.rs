//! Build secrets: handed to the daemon when a step mounts them, and kept nowhere else.
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use buildkit_rs_proto::moby::buildkit::secrets::v1 as wire;
use bytes::Bytes;
use hyper::body::Incoming;
use tonic::{Request, Response, Status};
use wire::secrets_server::SecretsServer;

use super::attachable::{Attachable, ResponseFuture, serve};
use super::{Scope, SessionError};

/// The largest secret that BuildKit takes.
pub const SIZE_LIMIT: u64 = 500 << 10;

/// The secrets of a build by their ids.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<String, Source>);

#[derive(Clone)]
enum Source {
    File(PathBuf),
    Value(Bytes),
}

impl std::fmt::Debug for Secrets {
    /// Prints ids alone.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Secrets {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a secret that is a file; it is read anew for each step that mounts it.
    ///
    /// # Errors
    ///
    /// [`SessionError::Secret`] when the file is missing or too large, before anything is built.
    pub fn file(&mut self, id: &str, path: PathBuf) -> Result<(), SessionError> {
        read(id, &path)?;
        self.0.insert(id.to_owned(), Source::File(path));
        Ok(())
    }

    /// Adds a secret whose value is at hand, such as that of an environment variable.
    ///
    /// # Errors
    ///
    /// [`SessionError::Secret`] when it is too large.
    pub fn value(&mut self, id: &str, value: impl Into<Bytes>) -> Result<(), SessionError> {
        let value = value.into();
        if value.len() as u64 > SIZE_LIMIT {
            return Err(too_large(id));
        }
        self.0.insert(id.to_owned(), Source::Value(value));
        Ok(())
    }
}

fn too_large(id: &str) -> SessionError {
    let problem = format!("it is larger than {} KiB, BuildKit's limit", SIZE_LIMIT >> 10);
    SessionError::Secret { id: id.to_owned(), problem }
}

fn read(id: &str, path: &Path) -> Result<Bytes, SessionError> {
    let failed = |error: std::io::Error| SessionError::Secret {
        id: id.to_owned(),
        // fs_err's message names the path and the reason.
        problem: error.to_string(),
    };
    let file = fs_err::File::open(path).map_err(failed)?;
    let mut value = Vec::new();
    file.take(SIZE_LIMIT + 1).read_to_end(&mut value).map_err(failed)?;
    if value.len() as u64 > SIZE_LIMIT {
        return Err(too_large(id));
    }
    Ok(value.into())
}

impl Attachable for Secrets {
    fn methods(&self) -> &'static [&'static str] {
        &["/moby.buildkit.secrets.v1.Secrets/GetSecret"]
    }

    fn call(&self, request: http::Request<Incoming>, scope: &Scope) -> ResponseFuture {
        serve(SecretsServer::new(Service { secrets: self.clone(), scope: scope.clone() }), request)
    }
}

struct Service {
    secrets: Secrets,
    scope: Scope,
}

#[tonic::async_trait]
impl wire::secrets_server::Secrets for Service {
    async fn get_secret(
        &self,
        request: Request<wire::GetSecretRequest>,
    ) -> Result<Response<wire::GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        let data = match self.secrets.0.get(&id) {
            Some(Source::Value(value)) => value.clone(),
            Some(Source::File(path)) => {
                read(&id, path).map_err(|error| self.scope.failures().record(error))?
            }
            // The daemon decides whether the step can do without.
            None => return Err(Status::not_found(format!("secret {id} is not part of the build"))),
        };
        Ok(Response::new(wire::GetSecretResponse { data }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_never_printed_and_have_a_limit() {
        let mut secrets = Secrets::default();
        secrets.value("token", "hunter2").unwrap();
        assert_eq!(format!("{secrets:?}"), r#"{"token"}"#);
        let error = secrets.value("big", vec![0; (500 << 10) + 1]).unwrap_err();
        assert!(error.to_string().contains("500 KiB"), "{error}");
    }

    #[test]
    fn a_missing_file_is_found_before_the_build() {
        let error = Secrets::default().file("key", "/none/key".into()).unwrap_err();
        assert!(error.to_string().contains("`key`"), "{error}");
        assert!(error.to_string().contains("/none/key"), "{error}");
    }
}
