//! URLs as they may be shown.
use url::Url;

/// Query parameters whose values say nothing secret.
const HARMLESS: &[&str] =
    &["n", "last", "digest", "mount", "from", "ns", "scope", "service", "artifactType"];

/// Prints a URL without user, password, fragment and the values of unknown query parameters.
///
/// Redirects to blob storage carry their permission in the query, and tokens may stand there too.
pub(super) fn redacted(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_fragment(None);
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    if url.query().is_some() {
        let pairs = url.query_pairs().map(|(name, value)| {
            if HARMLESS.contains(&name.as_ref()) {
                format!("{name}={value}")
            } else {
                format!("{name}=***")
            }
        });
        let query = pairs.collect::<Vec<_>>().join("&");
        shown.set_query(None);
        return format!("{shown}?{query}");
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_helps_and_hides_what_opens_doors() {
        let show = |text: &str| redacted(&Url::parse(text).unwrap());
        assert_eq!(
            show("https://u:p@r.io/v2/a/blobs/uploads/?mount=sha256:00&from=b&_state=xyz#f"),
            "https://r.io/v2/a/blobs/uploads/?mount=sha256:00&from=b&_state=***"
        );
        assert_eq!(
            show("https://cdn.io/x?X-Amz-Signature=s"),
            "https://cdn.io/x?X-Amz-Signature=***"
        );
        assert_eq!(show("http://r.io/v2/"), "http://r.io/v2/");
    }
}
