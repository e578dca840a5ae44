//! The image that a command runs in, from the local store or a registry.
use buildkit_rs_proto::pb;

use super::{Run, RunError};
use crate::cache::rest::Base;
use crate::cli::image::local_store;
use crate::cli::images;
use crate::cli::report::Failure;
use crate::engine::session::SessionBuilder;
use crate::oci::platform::Platform;
use crate::oci::reference::ImageReference;
use crate::oci::registry::Client;
use crate::oci::store::StoreError;

/// An image as a source op, and what its config says of commands.
pub(super) struct Image {
    pub(super) source: pb::SourceOp,
    pub(super) env: Vec<String>,
    pub(super) user: String,
}

impl Run {
    /// Finds the image: in the local store, else in its registry.
    pub(super) async fn image(
        &self,
        reference: &ImageReference,
        registry: &Client,
        session: SessionBuilder,
    ) -> Result<(Image, Option<Base>, SessionBuilder), Failure> {
        const STORE: &str = "images";
        let platform = Platform::host();
        let store = local_store()?;
        match store.find(reference) {
            Ok(found) => {
                let digest = found.descriptor.digest;
                let config = images::layout_config(store.root(), digest, &platform)
                    .map_err(|reason| RunError::Stored { image: self.image.clone(), reason })?;
                let attrs = [
                    ("oci.session".to_owned(), session.session_id().to_owned()),
                    ("oci.store".to_owned(), STORE.to_owned()),
                ];
                let source = pb::SourceOp {
                    identifier: format!("oci-layout://{}@{digest}", reference.name()),
                    attrs: attrs.into(),
                };
                let session = session.layout(STORE, store.root());
                let base = Base { layout: store.root().to_owned(), digest, platform };
                Ok((Image::new(source, &config)?, Some(base), session))
            }
            Err(StoreError::NoImage(_)) => {
                let resolved = registry.resolve(reference, &platform).await?;
                let pinned = reference.clone().with_digest(resolved.root.digest);
                let source = pb::SourceOp {
                    identifier: format!("docker-image://{pinned}"),
                    attrs: Default::default(),
                };
                Ok((Image::new(source, &resolved.config)?, None, session))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Image {
    fn new(source: pb::SourceOp, config: &[u8]) -> Result<Self, RunError> {
        #[derive(Default, serde::Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        struct Runtime {
            env: Option<Vec<String>>,
            user: Option<String>,
        }
        #[derive(serde::Deserialize)]
        struct Config {
            #[serde(default)]
            config: Runtime,
        }
        let config: Config =
            serde_json::from_slice(config).map_err(|source| RunError::Config { source })?;
        let Runtime { env, user } = config.config;
        Ok(Self { source, env: env.unwrap_or_default(), user: user.unwrap_or_default() })
    }
}
