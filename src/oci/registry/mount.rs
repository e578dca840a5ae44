//! Having a registry take a blob over from another of its repositories.
use http::{Method, StatusCode};

use super::scope::{PULL_PUSH, Scopes};
use super::transport::Call;
use super::{Client, RegistryError, path};
use crate::oci::digest::Digest;
use crate::oci::reference::ImageReference;

impl Client {
    /// Mounts a blob of the repository of `from`, at the same registry, into that of `to`; tells whether
    /// the registry did so.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when the registry gives no answer, or none but a refusal.
    pub async fn mount_blob(
        &self,
        to: &ImageReference,
        digest: Digest,
        from: &ImageReference,
    ) -> Result<bool, RegistryError> {
        let wire = self.upstream(to)?;
        let text = digest.to_string();
        let query = [("mount", text.as_str()), ("from", from.repository())];
        let url = wire.host.url(&path(to, "blobs/uploads/"), &query)?;
        let what = format!("{}@{digest}", to.name());
        let scopes = Scopes::on(to.repository(), PULL_PUSH).and_pull(from.repository());
        let call = Call::new(Method::POST, url, &what, to.repository(), scopes);
        match wire.send(&call).await {
            Ok(response) => Ok(response.status() == StatusCode::CREATED),
            Err(RegistryError::Denied { .. } | RegistryError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
