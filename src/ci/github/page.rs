//! What an answer of the API holds: a page of a list, or why there is none.
use std::sync::Arc;

use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::ApiError;

/// One answer: its body, and where the list goes on.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) body: Arc<[u8]>,
    pub(super) next: Option<String>,
}

/// The address of the next page in a `Link` header.
pub(super) fn next_link(headers: &HeaderMap) -> Option<String> {
    let links = headers.get("link")?.to_str().ok()?;
    links.split(',').find_map(|link| {
        let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let next = parameters.split(';').any(|parameter| {
            let parameter = parameter.trim();
            parameter == "rel=\"next\"" || parameter == "rel=next"
        });
        next.then(|| address.to_owned())
    })
}

/// What the body of a refusal says, in one line.
pub(super) fn message(body: &[u8]) -> String {
    let value: Option<Value> = serde_json::from_slice(body).ok();
    let text = value.as_ref().and_then(|value| value.get("message")?.as_str());
    let text = text.map_or_else(|| String::from_utf8_lossy(body), std::borrow::Cow::Borrowed);
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() { "no reason given".to_owned() } else { line.chars().take(300).collect() }
}

/// Reads the whole body of an answer.
pub(super) fn decode<T: DeserializeOwned>(endpoint: &str, body: &[u8]) -> Result<T, ApiError> {
    let endpoint = || endpoint.to_owned();
    serde_json::from_slice(body).map_err(|source| ApiError::Decode { endpoint: endpoint(), source })
}

/// Reads the items of a list: the answer itself, or its field `within`.
pub(super) fn items<T: DeserializeOwned>(
    endpoint: &str,
    body: &[u8],
    within: Option<&'static str>,
) -> Result<Vec<T>, ApiError> {
    let Some(field) = within else { return decode(endpoint, body) };
    let mut value: Value = decode(endpoint, body)?;
    let items = value.get_mut(field).map(Value::take);
    let items = items.ok_or_else(|| ApiError::Field { endpoint: endpoint.to_owned(), field })?;
    serde_json::from_value(items)
        .map_err(|source| ApiError::Decode { endpoint: endpoint.to_owned(), source })
}
