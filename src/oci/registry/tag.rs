//! Listing the tags of a repository, page by page.
use http::header::LINK;
use http::{HeaderMap, Method};
use serde::Deserialize;
use url::Url;

use super::redact::redacted;
use super::scope::{PULL, Scopes};
use super::transport::{Call, Wire};
use super::{Client, RegistryError, path};
use crate::oci::reference::ImageReference;

/// The largest page that is read.
const PAGE_LIMIT: u64 = 16 << 20;
/// The tags that are asked for at once.
const PAGE_SIZE: usize = 1000;
/// The pages of one listing: a registry whose pages go on for ever must not hold us for ever.
const PAGES: usize = 10_000;

#[derive(Deserialize)]
struct TagList {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Client {
    /// Lists the tags of a reference's repository, sorted.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when the repository does not exist or a page does not come.
    pub async fn list_tags(
        &self,
        reference: &ImageReference,
    ) -> Result<Vec<String>, RegistryError> {
        self.read(reference, |wire| async move { list(&wire, reference).await }).await
    }
}

async fn list(wire: &Wire, reference: &ImageReference) -> Result<Vec<String>, RegistryError> {
    let size = PAGE_SIZE.to_string();
    let mut url = wire.host.url(&path(reference, "tags/list"), &[("n", &size)])?;
    let mut tags: Vec<String> = Vec::new();
    for _ in 0..PAGES {
        let (page, next) = fetch_page(wire, reference, &url).await?;
        // A full page without a link may be cut off all the same: some registries never link.
        let cut = next.is_none() && page.len() == PAGE_SIZE;
        let moved = page.last() != tags.last();
        tags.extend(page);
        url = match (next, tags.last()) {
            (Some(next), _) => next,
            (None, Some(last)) if cut && moved => {
                wire.host.url(&path(reference, "tags/list"), &[("n", &size), ("last", last)])?
            }
            _ => {
                // A registry that ignores `last` has sent the same tags again.
                tags.sort_unstable();
                tags.dedup();
                return Ok(tags);
            }
        };
    }
    Err(RegistryError::Protocol {
        url: redacted(&url),
        reason: format!("its list has more than {PAGES} pages"),
    })
}

async fn fetch_page(
    wire: &Wire,
    reference: &ImageReference,
    url: &Url,
) -> Result<(Vec<String>, Option<Url>), RegistryError> {
    let scopes = Scopes::on(reference.repository(), PULL);
    let what = reference.name();
    let call = Call::new(Method::GET, url.clone(), &what, reference.repository(), scopes);
    let page = |headers: &HeaderMap, bytes: bytes::Bytes| {
        let list: TagList = serde_json::from_slice(&bytes).map_err(|error| {
            RegistryError::Protocol { url: redacted(url), reason: error.to_string() }
        })?;
        Ok((list.tags.unwrap_or_default(), next_page(wire, url, headers)?))
    };
    wire.fetch(&call, PAGE_LIMIT, page).await
}

/// The page after this one: RFC 8288, the form that the distribution specification uses.
pub(super) fn next_page(
    wire: &Wire,
    url: &Url,
    headers: &HeaderMap,
) -> Result<Option<Url>, RegistryError> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let Some(target) = links.filter_map(next_link).next() else { return Ok(None) };
    let reason = match url.join(target) {
        Ok(next) if next == *url => "its next page is the same page",
        // Pages are asked for with the registry's token.
        Ok(next) if !wire.host.is_origin_of(&next) => "its next page is at another host",
        Ok(next) => return Ok(Some(next)),
        Err(_) => "its next page is not a URL",
    };
    Err(RegistryError::Protocol { url: redacted(url), reason: reason.to_owned() })
}

fn next_link(text: &str) -> Option<&str> {
    let (target, parameters) = text.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = parameters.split(';').any(|parameter| {
        parameter
            .trim()
            .strip_prefix("rel=")
            .is_some_and(|rel| rel.trim_matches('"').eq_ignore_ascii_case("next"))
    });
    is_next.then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_links_are_found() {
        assert_eq!(
            next_link(r#"</v2/a/tags/list?n=1&last=b>; rel="next""#),
            Some("/v2/a/tags/list?n=1&last=b")
        );
        assert_eq!(next_link("</x>;rel=next"), Some("/x"));
        assert_eq!(next_link("</x>; rel=prev"), None);
        assert_eq!(next_link("nonsense"), None);
    }
}
