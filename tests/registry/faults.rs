//! Registries and networks that misbehave.
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use kitwright::fault::{Classified as _, Fault as Blame};
use kitwright::oci::manifest::{Descriptor, media};
use kitwright::oci::registry::{
    BlobOutcome, BlobSource, BlobStream, Client, Options, Precondition, RegistryError, RetryPolicy,
};

use crate::image::{bytes, client, make, options, reference};
use crate::support::proxy::{self, Fault, Proxy, Rule};
use crate::support::registry::{self, Registry};

/// A registry that holds a blob of a megabyte, and a proxy before it.
async fn setup() -> Option<(Registry, Proxy, bytes::Bytes, Descriptor)> {
    let registry = registry::start()?;
    let blob = bytes(1, 1 << 20);
    let descriptor = Descriptor::of("x", &blob);
    let target = reference(&registry.host, "a");
    client().push_blob(&target, &descriptor, &blob, None).await.expect("a pushed blob");
    let proxy = proxy::start(&registry.host);
    Some((registry, proxy, blob, descriptor))
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_broke() {
    let Some((_registry, proxy, blob, descriptor)) = setup().await else { return };
    let target = reference(&proxy.host, "a");
    let faults = [Fault::ResetAfter(300_000), Fault::TruncateAfter(300_000), Fault::ResetAfter(0)];
    for fault in faults {
        proxy.clear();
        proxy.add(Rule::new("GET", "/blobs/").times(1).fault(fault.clone()));
        let read = client().read_blob(&target, &descriptor, 2 << 20).await.unwrap();
        assert_eq!(read, blob, "{fault:?}");
        assert_eq!(proxy.seen("GET", "/blobs/"), 2, "{fault:?}");
        // What had come was not fetched again; a reset may lose what was under way.
        if let Fault::TruncateAfter(at) = fault {
            assert!(proxy.bytes_down() < (1 << 20) + 10_000, "{at}: {}", proxy.bytes_down());
        }
    }
}

#[tokio::test]
async fn a_download_survives_more_breaks_than_tries_as_long_as_it_moves() {
    let Some((_registry, proxy, blob, descriptor)) = setup().await else { return };
    proxy.add(Rule::new("GET", "/blobs/").times(12).fault(Fault::TruncateAfter(50_000)));
    let target = reference(&proxy.host, "a");
    let read = client().read_blob(&target, &descriptor, 2 << 20).await.unwrap();
    assert_eq!(read, blob);
    assert_eq!(proxy.seen("GET", "/blobs/"), 13);
}

#[tokio::test]
async fn a_corrupted_blob_is_fetched_again_and_then_refused() {
    let Some((_registry, proxy, blob, descriptor)) = setup().await else { return };
    let target = reference(&proxy.host, "a");
    proxy.add(Rule::new("GET", "/blobs/").times(1).fault(Fault::CorruptAt(500_000)));
    assert_eq!(client().read_blob(&target, &descriptor, 2 << 20).await.unwrap(), blob);
    proxy.add(Rule::new("GET", "/blobs/").fault(Fault::CorruptAt(500_000)));
    let error = client().read_blob(&target, &descriptor, 2 << 20).await.unwrap_err();
    assert!(matches!(error, RegistryError::Digest { .. }), "{error}");
}

#[tokio::test]
async fn a_corrupted_manifest_is_never_believed() {
    let Some(registry) = registry::start() else { return };
    let image = make(2, "amd64", 10);
    image.push(&client(), &reference(&registry.host, "a:v1")).await;
    let proxy = proxy::start(&registry.host);
    let target = reference(&proxy.host, "a:v1");
    proxy.add(Rule::new("GET", "/manifests/").times(1).fault(Fault::CorruptAt(40)));
    let fetched = client().get_manifest(&target).await.unwrap();
    assert_eq!(fetched.bytes, image.manifest);
    assert_eq!(proxy.seen("GET", "/manifests/"), 2);
    proxy.add(Rule::new("GET", "/manifests/").fault(Fault::CorruptAt(40)));
    let error = client().get_manifest(&target).await.unwrap_err();
    assert!(matches!(error, RegistryError::Digest { .. }), "{error}");
}

#[tokio::test]
async fn passing_errors_are_waited_out() {
    let Some((_registry, proxy, blob, descriptor)) = setup().await else { return };
    let target = reference(&proxy.host, "a");
    for status in [429, 500, 502, 503, 504] {
        proxy.clear();
        proxy.add(Rule::new("", "/v2/").times(3).status(status));
        let read = client().read_blob(&target, &descriptor, 2 << 20).await.unwrap();
        assert_eq!(read, blob, "{status}");
        assert_eq!(proxy.seen("", "/v2/"), 4, "{status}");
    }
    proxy.clear();
    proxy.add(Rule::new("", "/v2/").status(503));
    let error = client().has_blob(&target, descriptor.digest).await.unwrap_err();
    assert_eq!(proxy.seen("", "/v2/"), 5);
    assert!(error.is_retryable(), "{error}");
    assert_eq!(error.fault(), Blame::Environment);
}

#[tokio::test]
async fn retry_after_is_obeyed_within_limits() {
    let Some((_registry, proxy, _blob, descriptor)) = setup().await else { return };
    let target = reference(&proxy.host, "a");
    let wait = |seconds: &str| {
        let headers = vec![("Retry-After".to_owned(), seconds.to_owned())];
        Fault::Status(429, headers, r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#.to_owned())
    };
    proxy.add(Rule::new("", "/v2/").times(1).fault(wait("1")));
    let begun = std::time::Instant::now();
    assert!(client().has_blob(&target, descriptor.digest).await.unwrap());
    assert!(begun.elapsed() >= Duration::from_secs(1), "the registry was not left alone");
    // Nobody waits for an hour: the error says how long it would take.
    proxy.clear();
    proxy.add(Rule::new("", "/v2/").fault(wait("3600")));
    let error = client().has_blob(&target, descriptor.digest).await.unwrap_err();
    assert_eq!(proxy.seen("", "/v2/"), 1);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.ends_with("(try again in 3600 s)"), "{source}");
}

#[tokio::test]
async fn silence_ends_before_and_within_an_answer() {
    let Some((_registry, proxy, _blob, descriptor)) = setup().await else { return };
    let target = reference(&proxy.host, "a");
    let impatient = Client::new(Options {
        silence_timeout: Duration::from_millis(100),
        retry: RetryPolicy::NEVER,
        ..options()
    });
    for fault in [Fault::NoAnswer, Fault::StallAfter(1000)] {
        proxy.clear();
        proxy.add(Rule::new("", "/v2/").fault(fault.clone()));
        let error = impatient.read_blob(&target, &descriptor, 2 << 20).await.unwrap_err();
        assert!(matches!(error, RegistryError::Silent { .. }), "{fault:?}: {error}");
        assert!(error.is_retryable());
    }
}

/// A blob that takes its time: a piece now and then.
struct Slow(bytes::Bytes);

impl BlobSource for Slow {
    fn open(&self) -> BoxFuture<'_, Result<BlobStream, RegistryError>> {
        let pieces: Vec<_> = self.0.chunks(50_000).map(bytes::Bytes::copy_from_slice).collect();
        let slowly = futures_util::stream::iter(pieces).then(|piece| async move {
            tokio::time::sleep(Duration::from_millis(60)).await;
            Ok(piece)
        });
        async move { Ok(slowly.boxed()) }.boxed()
    }

    fn read(&self, offset: u64, length: u64) -> BoxFuture<'_, Result<bytes::Bytes, RegistryError>> {
        self.0.read(offset, length)
    }
}

#[tokio::test]
async fn a_slow_upload_is_not_silence() {
    let Some(registry) = registry::start() else { return };
    let blob = bytes(3, 500_000);
    let descriptor = Descriptor::of("x", &blob);
    let target = reference(&registry.host, "a");
    // The whole takes longer than silence may last, each piece does not.
    let silence_timeout = Duration::from_millis(400);
    let client = Client::new(Options { silence_timeout, retry: RetryPolicy::NEVER, ..options() });
    let outcome = client.push_blob(&target, &descriptor, &Slow(blob), None).await.unwrap();
    assert_eq!(outcome, BlobOutcome::Uploaded);
}

#[tokio::test]
async fn a_broken_upload_is_made_again_in_whole_or_in_pieces() {
    let Some(registry) = registry::start() else { return };
    let proxy = proxy::start(&registry.host);
    let target = reference(&proxy.host, "a");
    for (seed, chunk_size, method) in [(4, None, "PUT"), (5, Some(200_000), "PATCH")] {
        let blob = bytes(seed, 1 << 20);
        let descriptor = Descriptor::of("x", &blob);
        proxy.clear();
        let broken = Rule::new(method, "/blobs/uploads/").skip(seed - 4).times(1);
        proxy.add(broken.fault(Fault::ResetUploadAfter(100_000)));
        let client = Client::new(Options { chunk_size, ..options() });
        let outcome = client.push_blob(&target, &descriptor, &blob, None).await.unwrap();
        assert_eq!(outcome, BlobOutcome::Uploaded, "{method}");
        assert_eq!(registry.blob("a", &descriptor.digest.to_string()).body, blob, "{method}");
        assert!(proxy.requests().iter().any(|seen| seen.faulty), "{method}: nothing broke");
    }
}

#[tokio::test]
async fn an_unreachable_host_is_said_to_be_one_soon() {
    let host = proxy::refusing();
    let target = reference(&host, "a:v1");
    let error = client().get_manifest(&target).await.unwrap_err();
    assert!(matches!(error, RegistryError::Connect { .. }), "{error}");
    assert!(
        error.to_string().starts_with(&format!("cannot connect to `http://{host}/")),
        "{error}"
    );
    let target = "kitwright-nowhere.invalid/a:v1".parse().unwrap();
    let error = client().get_manifest(&target).await.unwrap_err();
    assert!(matches!(error, RegistryError::Connect { .. }), "{error}");
    assert_eq!(error.fault(), Blame::Environment);
}

#[tokio::test]
async fn a_manifest_write_whose_answer_is_lost_is_written_again() {
    let Some(registry) = registry::start() else { return };
    let proxy = proxy::start(&registry.host);
    let image = make(6, "amd64", 10);
    let direct = reference(&registry.host, "a");
    image.push(&client(), &direct).await;
    proxy.add(Rule::new("PUT", "/manifests/").times(1).fault(Fault::ResetUploadAfter(10)));
    let target = reference(&proxy.host, "a:v1");
    let (kind, bytes) = (media::OCI_MANIFEST, image.manifest.clone());
    client().put_manifest(&target, kind, bytes, Precondition::None).await.unwrap();
    assert_eq!(registry.manifest("a", "v1").body, image.manifest);
    assert_eq!(proxy.seen("PUT", "/manifests/v1"), 2);
}

#[tokio::test]
async fn an_upload_that_never_succeeds_is_given_up() {
    let Some(registry) = registry::start() else { return };
    let proxy = proxy::start(&registry.host);
    let target = reference(&proxy.host, "a");
    let blob = bytes(7, 300_000);
    let descriptor = Descriptor::of("x", &blob);
    let cases = [
        (None, "POST", 503),
        (None, "PUT", 500),
        (Some(100_000), "PATCH", 502),
        (Some(100_000), "PATCH", 416),
    ];
    for (chunk_size, method, status) in cases {
        proxy.clear();
        proxy.add(Rule::new(method, "/blobs/uploads/").status(status));
        let client = Client::new(Options { chunk_size, ..options() });
        client.push_blob(&target, &descriptor, &blob, None).await.unwrap_err();
        let tried = proxy.seen(method, "/blobs/uploads/");
        assert!((5..=25).contains(&tried), "{method} {status}: {tried} times");
        assert_eq!(registry.blob("a", &descriptor.digest.to_string()).status, 404);
    }
}

#[tokio::test]
async fn a_blob_that_a_mirror_begins_the_registry_ends() {
    let (Some(mirror), Some(upstream)) = (registry::start(), registry::start()) else { return };
    let blob = bytes(8, 1 << 20);
    let descriptor = Descriptor::of("x", &blob);
    for host in [&mirror.host, &upstream.host] {
        let target = reference(host, "a");
        client().push_blob(&target, &descriptor, &blob, None).await.unwrap();
    }
    let (first, second) = (proxy::start(&mirror.host), proxy::start(&upstream.host));
    first.add(Rule::new("GET", "/blobs/").times(1).fault(Fault::TruncateAfter(700_000)));
    first.add(Rule::new("GET", "/blobs/").status(404));
    let mut options = options();
    options.add_mirror(&format!("{}=http://{}", second.host, first.host)).unwrap();
    let target = reference(&second.host, "a");
    let read = Client::new(options).read_blob(&target, &descriptor, 2 << 20).await.unwrap();
    assert_eq!(read, blob);
    assert_eq!(second.seen("GET", "/blobs/"), 1);
    assert!(second.bytes_down() < 360_000, "{} bytes came twice", second.bytes_down());
}
