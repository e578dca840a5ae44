//! Asks GitHub's cache service for the index of a cache, before the engine asks for more.
//!
//! The engine has no deadline for the service: where it does not answer, or says "later" (429), a build
//! stands still before its first step. So the questions with which the engine would begin are put
//! first, as the engine puts them: where the index is, and for its first byte, because the blobs are
//! another service's. Only whether there is an answer counts: what the service holds, the engine has to
//! find out, with keys that are its own affair.
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RANGE};
use serde_json::{Value, json};
use url::Url;

use super::{Answer, Unusable};
use crate::engine::solve::CacheEntry;
use crate::oci::digest::Digest;

/// What BuildKit's client calls the version of all that it stores: SHA-256 of `|go-actionscache-1.0`.
const VERSION: &[u8] = b"|go-actionscache-1.0";
/// The scope of caches whose flag names none.
const SCOPE: &str = "buildkit";
/// How often a service that broke down is asked, and how long in between.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

/// Whether the service answers; an answer that the cache is not there is one.
pub(super) async fn ask(entry: CacheEntry) -> Result<Answer, Unusable> {
    let Some((url, is_second)) = address(&entry) else { return Ok(Answer::Unprobed(entry)) };
    reach(&url).await?;
    // What only the engine can do, such as trusting a certificate, it may still do.
    let Some(client) = client() else { return Ok(Answer::Unprobed(entry)) };
    let index = put(|| question(&client, &url, is_second, &entry)).await?;
    let index = match index {
        Some(answer) => answer.bytes().await.ok(),
        None => None,
    };
    let index = index.and_then(|body| serde_json::from_slice(&body).ok());
    let place = |index: Value| -> Option<Url> {
        let field = if is_second { "signed_download_url" } else { "archiveLocation" };
        Url::parse(index[field].as_str()?).ok()
    };
    if let Some(place) = index.and_then(place) {
        put(|| Some(client.get(place.clone()).header(RANGE, "bytes=0-0"))).await?;
    }
    Ok(Answer::Unprobed(entry))
}

/// Puts a question, again where the service broke down; nothing where there is none to put, or where the
/// engine may have more luck with it.
async fn put(
    question: impl Fn() -> Option<reqwest::RequestBuilder>,
) -> Result<Option<reqwest::Response>, Unusable> {
    for attempt in 1..=ATTEMPTS {
        let Some(request) = question() else { break };
        let Ok(answer) = request.send().await else { break };
        let status = answer.status();
        if !(status.is_client_error() || status.is_server_error()) {
            return Ok(Some(answer));
        }
        if attempt == ATTEMPTS || !status.is_server_error() {
            return Err(Unusable::Refused(status));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(None)
}

/// Where the engine finds the service, and whether it has version 2.
fn address(entry: &CacheEntry) -> Option<(Url, bool)> {
    let get = |name: &str| entry.attributes.get(name);
    let second = get("url_v2").filter(|_| get("version").is_none_or(|version| version != "1"));
    let url = Url::parse(second.or_else(|| get("url"))?).ok()?;
    url.host_str()?;
    let is_githubs = url.host_str() == Some("results-receiver.actions.githubusercontent.com");
    Some((url, second.is_some() || is_githubs))
}

async fn reach(url: &Url) -> Result<(), Unusable> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(443);
    let unreachable = |source| Unusable::Unreachable { host: host.to_owned(), source };
    tokio::net::TcpStream::connect((host, port)).await.map(drop).map_err(unreachable)
}

fn client() -> Option<reqwest::Client> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy();
    builder.redirect(reqwest::redirect::Policy::none()).build().ok()
}

/// The request for the index of the cache.
fn question(
    client: &reqwest::Client,
    url: &Url,
    is_second: bool,
    entry: &CacheEntry,
) -> Option<reqwest::RequestBuilder> {
    let token = entry.attributes.get("token")?;
    let scope = entry.attributes.get("scope").map_or(SCOPE, String::as_str);
    let reference = Digest::of(first_scope(token)?.as_bytes()).hex();
    let key = format!("index-{scope}-1-{}", &reference[..8]);
    let version = Digest::of(VERSION).hex();
    let base = url.as_str().trim_end_matches('/');
    let request = if is_second {
        let call = "twirp/github.actions.results.api.v1.CacheService/GetCacheEntryDownloadURL";
        let body = json!({ "key": key, "restore_keys": [key], "version": version });
        let request = client.post(format!("{base}/{call}"));
        request.header(CONTENT_TYPE, "application/json").body(body.to_string())
    } else {
        let mut url = Url::parse(&format!("{base}/_apis/artifactcache/cache")).ok()?;
        url.query_pairs_mut().append_pair("keys", &key).append_pair("version", &version);
        client.get(url).header(ACCEPT, "application/json;api-version=6.0-preview.1")
    };
    Some(request.header(AUTHORIZATION, format!("Bearer {token}")))
}

/// The first of the refs that a runner's token opens.
fn first_scope(token: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let scopes: Value = serde_json::from_str(claims["ac"].as_str()?).ok()?;
    scopes[0]["Scope"].as_str().map(str::to_owned)
}

impl Unusable {
    /// What is said of a status.
    pub(super) fn status(status: StatusCode) -> String {
        match status {
            StatusCode::TOO_MANY_REQUESTS => "its service asks to wait (429)".into(),
            other => format!("its service answers {}", other.as_u16()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn entry(attributes: &[(&str, &str)]) -> CacheEntry {
        let owned = attributes.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        CacheEntry { kind: "gha".into(), attributes: owned.collect::<BTreeMap<_, _>>() }
    }

    #[test]
    fn the_service_is_asked_as_the_engine_asks_it() {
        let claims = r#"{"ac":"[{\"Scope\":\"refs/heads/main\",\"Permission\":3}]"}"#;
        let token = format!("x.{}.y", URL_SAFE_NO_PAD.encode(claims));
        let common = [("token", token.as_str()), ("url", "http://h/one/"), ("scope", "ci")];
        let first = entry(&common);
        let (url, is_second) = address(&first).unwrap();
        assert!(!is_second);
        let client = client().unwrap();
        let request = question(&client, &url, false, &first).unwrap().build().unwrap();
        let version = "693bb7016429d80366022f036f84856888c9f13e00145f5f6f4dce303a38d6f2";
        let asked = format!("cache?keys=index-ci-1-f921bd05&version={version}");
        assert!(request.url().as_str().ends_with(&asked), "{}", request.url());
        let second = entry(&[&common[..], &[("url_v2", "http://h/two/")]].concat());
        let (url, is_second) = address(&second).unwrap();
        assert!(is_second && url.as_str() == "http://h/two/");
        let request = question(&client, &url, true, &second).unwrap().build().unwrap();
        assert_eq!(request.method(), "POST");
        let old = entry(&[("url", "http://h/"), ("url_v2", "http://i/"), ("version", "1")]);
        assert_eq!(address(&old).unwrap().0.as_str(), "http://h/");
        let hosted = entry(&[("url", "https://results-receiver.actions.githubusercontent.com/x/")]);
        assert!(address(&hosted).unwrap().1);
        assert!(first_scope("a.b.c").is_none() && first_scope("").is_none());
    }
}
