//! The cache of a reused image: whoever takes the image takes the cache that it was built with.
//!
//! A pull request writes a cache of its own. When it is merged nothing is built, because the image is
//! found, so nobody would ever write its steps into the cache that all read. Each cache therefore
//! gets the key of its image as a second tag, and a hit moves the run's own tag to what that names.
use super::Reuse;
use crate::cache::hierarchy::SHARED_TAG;
use crate::cli::build::Job;
use crate::cli::report::Failure;
use crate::oci::promote::move_tags;
use crate::oci::reference::ImageReference;

impl Job<'_> {
    /// Gives the cache that this build has written the image's key, unless it is among the `unwritten`.
    pub(in crate::cli::build) async fn keep_cache(
        &self,
        reuse: Option<&Reuse>,
        unwritten: &[String],
    ) {
        if let (Some(reuse), Some(home)) = (reuse, &self.caches.home)
            && !unwritten.contains(&home.to_string())
        {
            self.display.notes(reuse.keep_cache(home).await).await;
        }
    }
}

impl Reuse {
    /// Gives the cache under `home`, which this build has written, the key of the image; a line for
    /// people if that fails.
    pub(in crate::cli::build) async fn keep_cache(&self, home: &ImageReference) -> Option<String> {
        match self.copy_cache(home, &self.keyed_cache(home).ok()?).await {
            Ok(_) => None,
            Err(failure) => Some(format!(
                "WARNING: the cache `{home}` will not be found by its image: {}",
                failure.line()
            )),
        }
    }

    /// Moves `home` to the cache that the image was built with, if that is known; a line for people
    /// about what happened.
    pub(in crate::cli::build) async fn take_cache(&self, home: &ImageReference) -> Option<String> {
        match self.copy_cache(&self.keyed_cache(home).ok()?, home).await {
            Ok(true) => Some(format!("the cache `{home}` is now what the image was built with")),
            Ok(false) => None,
            Err(failure) => {
                Some(format!("WARNING: the cache `{home}` stays as it is: {}", failure.line()))
            }
        }
    }

    fn keyed_cache(&self, home: &ImageReference) -> Result<ImageReference, Failure> {
        Ok(home.name_only().with_tag(&format!("{SHARED_TAG}-{}", self.key.tag()))?)
    }

    /// Whether there is something at `from` that `to` was not.
    async fn copy_cache(
        &self,
        from: &ImageReference,
        to: &ImageReference,
    ) -> Result<bool, Failure> {
        let (fetched, there) = tokio::join!(
            self.client.get_upstream_manifest(from),
            self.client.head_upstream_manifest(to),
        );
        let Some(fetched) = fetched? else { return Ok(false) };
        if there?.is_some_and(|there| there.digest == fetched.descriptor.digest) {
            return Ok(false);
        }
        move_tags(&self.client, from, &fetched, std::slice::from_ref(to)).await?;
        Ok(true)
    }
}
