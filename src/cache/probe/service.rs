//! Asks GitHub's cache service for what it holds of a cache.
use std::time::Duration;

use super::{Answer, Place, ProbedRef, Unusable};
use crate::cache::github::{Cache, Found, IndexError, Patience, Service, ServiceError};
use crate::cache::hierarchy;
use crate::engine::solve::CacheEntry;

/// How often the service is asked for each index.
const ATTEMPTS: u32 = 3;

/// Reads the cache. What only the engine may make sense of is left to it: an address that is none, a
/// certificate that it alone trusts, an index that is too large to be handed on.
pub(super) async fn ask(
    entry: CacheEntry,
    timeout: Duration,
    is_direct: bool,
) -> Result<Answer, Unusable> {
    let Some(service) = Service::of(&entry, is_direct) else { return Ok(Answer::Unprobed(entry)) };
    let name = hierarchy::name(&entry);
    let patience = Patience { attempts: ATTEMPTS, limit: timeout };
    match Cache::read(service, &name, patience).await {
        Ok(Found::Cache(cache, config)) => {
            let place = Place::Github(cache.into());
            Ok(Answer::Ready(Box::new(ProbedRef { name, entry, place, config })))
        }
        Ok(Found::Nothing) => Err(Unusable::Missing),
        Ok(Found::TooLarge) | Err(IndexError::Service(ServiceError::Untrusted { .. })) => {
            Ok(Answer::Unprobed(entry))
        }
        Err(IndexError::Service(error)) => Err(Unusable::Service(error)),
        Err(IndexError::Config(error)) => Err(Unusable::Corrupt(error)),
    }
}
