//! Moving tags: within a repository, across repositories and registries, and against each other.
use std::time::Duration;

use bytes::Bytes;
use kitwright::oci::digest::Digest;
use kitwright::oci::manifest::{Descriptor, ImageIndex, ImageManifest, media};
use kitwright::oci::promote::{PromoteError, Promotion, Replaces, move_tags, promote};
use kitwright::oci::reference::ImageReference;
use kitwright::oci::registry::{Client, Options, Precondition};

use crate::image::{Image, client, make, options, push_index, reference};
use crate::second;
use crate::support::proxy::{self, Fault, Rule};
use crate::support::registry;

/// A promotion that waits for nobody.
fn to(source: &ImageReference, destinations: &[&ImageReference]) -> Promotion {
    Promotion {
        source: source.clone(),
        destinations: destinations.iter().map(|d| (*d).clone()).collect(),
        expect_digest: None,
        expect_tag: None,
        replaces: Replaces::WhatIsThere,
        allow_backwards: false,
        window: Duration::ZERO,
    }
}

/// An image that says when it was made.
fn dated(seed: u64, created: &str) -> Image {
    let mut image = make(seed, "amd64", 100);
    let mut manifest: ImageManifest = serde_json::from_slice(&image.manifest).unwrap();
    let date = ("org.opencontainers.image.created".to_owned(), created.to_owned());
    manifest.annotations.extend([date]);
    image.manifest = serde_json::to_vec(&manifest).unwrap().into();
    image.descriptor = Descriptor::of(media::OCI_MANIFEST, &image.manifest);
    image
}

#[tokio::test]
async fn an_index_goes_to_a_neighbour_with_all_that_belongs_to_it() {
    for (make_of, registry) in second::each() {
        let client = client();
        let (amd, arm) = (make(1, "amd64", 5000), make(2, "arm64", 5000));
        let source = reference(&registry.host, "ci:key-1");
        let digest = push_index(&client, &source, &[&amd, &arm]).await;
        let referrer = refer(&client, &source, digest, "application/sbom").await;
        let stable = reference(&registry.host, "release/app:v2");
        let promoted = promote(&client, &to(&source, &[&stable])).await.unwrap();
        assert_eq!(promoted.digest, digest, "{make_of}");
        let seen = registry.manifest("release/app", "v2");
        assert_eq!(Digest::of(&seen.body), digest, "{make_of}");
        let index: ImageIndex = serde_json::from_slice(&seen.body).unwrap();
        assert_eq!(index.manifests.len(), 3, "{make_of}");
        for entry in &index.manifests {
            let child = registry.manifest("release/app", &entry.digest.to_string());
            assert_eq!(Digest::of(&child.body), entry.digest, "{make_of}");
            let child: ImageManifest = serde_json::from_slice(&child.body).unwrap();
            for blob in child.layers.iter().chain([&child.config]) {
                let body = registry.blob("release/app", &blob.digest.to_string()).body;
                assert_eq!(Digest::of(&body), blob.digest, "{make_of}");
            }
        }
        let referrers = client.referrers(&stable, digest, None).await.unwrap();
        assert_eq!(referrers.iter().map(|r| r.digest).collect::<Vec<_>>(), [referrer], "{make_of}");
        assert_eq!(promoted.transferred.uploaded, 0, "{make_of}: bytes moved within a registry");
        // Once more: nothing to do.
        let again = promote(&client, &to(&source, &[&stable])).await.unwrap();
        assert_eq!(again.transferred.manifests, 0, "{make_of}");
        assert_eq!(again.tags[0].before, Some(digest), "{make_of}");
    }
}

async fn refer(client: &Client, to: &ImageReference, subject: Digest, kind: &str) -> Digest {
    let blob = Bytes::from_static(b"{\"about\":1}");
    let descriptor = Descriptor::of(kind, &blob);
    client.push_blob(to, &descriptor, &blob, None).await.unwrap();
    let subject = client.get_manifest(&to.name_only().with_digest(subject)).await.unwrap();
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.into()),
        artifact_type: Some(kind.into()),
        config: descriptor.clone(),
        layers: vec![descriptor],
        subject: Some(subject.descriptor),
        annotations: [].into(),
    };
    let (to, bytes) = (to.name_only(), Bytes::from(serde_json::to_vec(&manifest).unwrap()));
    client.put_manifest(&to, media::OCI_MANIFEST, bytes, Precondition::None).await.unwrap()
}

#[tokio::test]
async fn an_image_goes_from_one_make_of_registry_to_the_other() {
    let both = second::each();
    let [(_, first), (_, second)] = &both[..] else { return };
    for (from, into) in [(first, second), (second, first)] {
        let client = client();
        let image = make(3, "amd64", 300_000);
        let (source, target) = (reference(&from.host, "a:v1"), reference(&into.host, "b/c:v1"));
        let digest = push_index(&client, &source, &[&image]).await;
        let promoted = promote(&client, &to(&source, &[&target])).await.unwrap();
        assert_eq!(promoted.digest, digest);
        assert_eq!(Digest::of(&into.manifest("b/c", "v1").body), digest);
        assert_eq!(into.blob("b/c", &Digest::of(&image.layer).to_string()).body, image.layer);
        assert_eq!(promoted.transferred.uploaded, 4);
        assert!(promoted.transferred.bytes > 300_000);
    }
}

#[tokio::test]
async fn moving_tags_in_a_repository_costs_one_request_each() {
    let Some(registry) = registry::start() else { return };
    let client = client();
    let source = reference(&registry.host, "ci:key-1");
    let digest = push_index(&client, &source, &[&make(4, "amd64", 100)]).await;
    let before = client.requests();
    let fetched = client.get_manifest(&source).await.unwrap();
    let tags = ["ci:pr-7", "ci:sha-abc"].map(|name| reference(&registry.host, name));
    move_tags(&client, &source, &fetched, &tags).await.unwrap();
    assert_eq!(client.requests() - before, 3);
    for tag in ["pr-7", "sha-abc"] {
        assert_eq!(Digest::of(&registry.manifest("ci", tag).body), digest);
    }
}

#[tokio::test]
async fn the_wrong_source_is_not_promoted() {
    let Some(registry) = registry::start() else { return };
    let client = client();
    let source = reference(&registry.host, "ci:pr-1");
    let (image, other) = (make(5, "amd64", 10), make(6, "amd64", 10));
    image.push(&client, &source).await;
    other.push(&client, &reference(&registry.host, "ci:key-b")).await;
    image.push(&client, &reference(&registry.host, "ci:key-a")).await;
    let target = reference(&registry.host, "ci:v2");
    let (good, bad) = (image.descriptor.digest, other.descriptor.digest);
    let mut promotion = to(&source, &[&target]);
    promotion.expect_digest = Some(bad);
    let error = promote(&client, &promotion).await.unwrap_err();
    assert_eq!(error.to_string(), format!("`{source}` is `{good}`, not `{bad}`"));
    promotion.expect_digest = Some(good);
    for (key, reason) in [
        ("key-b", format!("`{bad}` has it, the source is `{good}`")),
        ("key-c", "no image in this repository has it".to_owned()),
    ] {
        promotion.expect_tag = Some(key.to_owned());
        let error = promote(&client, &promotion).await.unwrap_err().to_string();
        assert!(error.ends_with(&reason), "{error}");
    }
    assert_eq!(registry.manifest("ci", "v2").status, 404);
    promotion.expect_tag = Some("key-a".to_owned());
    promote(&client, &promotion).await.unwrap();
    assert_eq!(registry.manifest("ci", "v2").status, 200);
}

#[tokio::test]
async fn a_tag_goes_backwards_only_when_told() {
    let Some(registry) = registry::start() else { return };
    let client = client();
    let (old, new) = (dated(7, "2026-01-01T00:00:00Z"), dated(8, "2026-02-01T00:00:00Z"));
    let names = ["app:old", "app:new", "app:stable"].map(|name| reference(&registry.host, name));
    let [old_name, new_name, stable] = &names;
    old.push(&client, old_name).await;
    new.push(&client, new_name).await;
    promote(&client, &to(old_name, &[stable])).await.unwrap();
    promote(&client, &to(new_name, &[stable])).await.unwrap();
    let mut back = to(old_name, &[stable]);
    let error = promote(&client, &back).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "`{stable}` would go backwards: it was made 2026-02-01T00:00:00Z, the source \
             2026-01-01T00:00:00Z"
        )
    );
    assert_eq!(Digest::of(&registry.manifest("app", "stable").body), new.descriptor.digest);
    back.allow_backwards = true;
    promote(&client, &back).await.unwrap();
    assert_eq!(Digest::of(&registry.manifest("app", "stable").body), old.descriptor.digest);
}

#[tokio::test]
async fn a_destination_must_hold_what_it_should() {
    let Some(registry) = registry::start() else { return };
    let client = client();
    let (one, two) = (make(9, "amd64", 10), make(10, "amd64", 10));
    let source = reference(&registry.host, "app:one");
    one.push(&client, &source).await;
    let stable = reference(&registry.host, "app:stable");
    let mut promotion = to(&source, &[&stable]);
    promotion.replaces = Replaces::Exactly(two.descriptor.digest);
    let error = promote(&client, &promotion).await.unwrap_err();
    let message = format!("`{stable}` is not there, and should be `{}`", two.descriptor.digest);
    assert_eq!(error.to_string(), message);
    two.push(&client, &stable).await;
    promotion.replaces = Replaces::Nothing;
    let error = promote(&client, &promotion).await.unwrap_err();
    assert!(matches!(error, PromoteError::Changed { .. }), "{error}");
    promotion.replaces = Replaces::Exactly(two.descriptor.digest);
    promote(&client, &promotion).await.unwrap();
    assert_eq!(Digest::of(&registry.manifest("app", "stable").body), one.descriptor.digest);
}

/// Many promotions to one tag at once: whoever is told of success owns the tag, all others know
/// that they do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_update_is_lost_silently() {
    for (make_of, registry) in second::each() {
        for round in 0..5 {
            let stable = reference(&registry.host, &format!("app:stable-{round}"));
            let mut tasks = tokio::task::JoinSet::new();
            for n in 0..6 {
                let source = reference(&registry.host, &format!("app:candidate-{n}"));
                let image = make(100 + n, "amd64", 10);
                if round == 0 {
                    image.push(&client(), &source).await;
                }
                let mut promotion = to(&source, &[&stable]);
                promotion.window = Duration::from_millis(700);
                // Each has connections of its own, like another machine.
                tasks.spawn(async move { (n, promote(&client(), &promotion).await) });
            }
            let results = tasks.join_all().await;
            let end = Digest::of(&registry.manifest("app", &format!("stable-{round}")).body);
            let mut winners = 0;
            for (n, result) in results {
                match result {
                    Ok(promoted) => {
                        assert_eq!(promoted.digest, end, "{make_of}: {n} believes it has won");
                        winners += 1;
                    }
                    Err(
                        PromoteError::Changed { .. }
                        | PromoteError::Overtaken { .. }
                        | PromoteError::Slow { .. },
                    ) => {}
                    Err(error) => panic!("{make_of}: {n}: {error:?}"),
                }
            }
            assert!(winners <= 1, "{make_of}: {winners} winners");
        }
    }
}

#[tokio::test]
async fn an_update_between_reading_and_writing_is_noticed() {
    let Some(registry) = registry::start() else { return };
    let client = client();
    let (ours, theirs) = (make(11, "amd64", 10), make(12, "amd64", 10));
    let source = reference(&registry.host, "app:ours");
    ours.push(&client, &source).await;
    theirs.push(&client, &reference(&registry.host, "app:theirs")).await;
    let stable = reference(&registry.host, "app:stable");
    ours.push(&client, &stable).await;
    // Ours is there, so that nothing has to be written: the source is theirs now.
    let proxy = proxy::start(&registry.host);
    let through = |name: &str| reference(&proxy.host, name);
    // The promotion reads the tag (GET), looks again (HEAD), writes (PUT), looks again (HEAD).
    proxy
        .add(Rule::new("PUT", "/manifests/stable").fault(Fault::Delay(Duration::from_millis(300))));
    let mut promotion = to(&through("app:theirs"), &[&through("app:stable")]);
    promotion.window = Duration::from_millis(100);
    let error = promote(&client, &promotion).await.unwrap_err();
    assert!(matches!(error, PromoteError::Slow { .. }), "{error}");
    // Somebody moves the tag on before the last look.
    promotion.destinations = vec![through("app:other")];
    promotion.window = Duration::from_secs(1);
    let intruder = async {
        while registry.manifest("app", "other").status != 200 {
            tokio::task::yield_now().await;
        }
        ours.push(&client, &reference(&registry.host, "app:other")).await;
    };
    let (result, ()) = tokio::join!(promote(&client, &promotion), intruder);
    let error = result.unwrap_err();
    assert!(matches!(error, PromoteError::Overtaken { .. }), "{error}");
}

/// Whatever breaks on the way, the tag is the last thing that is written.
#[tokio::test]
async fn a_transfer_that_ends_early_publishes_nothing() {
    let (Some(from), Some(into)) = (registry::start(), registry::start()) else { return };
    let impatient =
        Client::new(Options { retry: kitwright::oci::registry::RetryPolicy::NEVER, ..options() });
    let source = reference(&from.host, "app:v1");
    let images = [make(13, "amd64", 200_000), make(14, "arm64", 200_000)];
    let digest = push_index(&client(), &source, &[&images[0], &images[1]]).await;
    let proxy = proxy::start(&into.host);
    let faults = [
        ("PUT", "/blobs/uploads/", 0, Fault::ResetUploadAfter(1)),
        ("PUT", "/blobs/uploads/", 3, Fault::Status(500, vec![], String::new())),
        ("POST", "/blobs/uploads/", 2, Fault::Status(429, vec![], String::new())),
        ("PUT", "/manifests/sha256:", 0, Fault::Status(503, vec![], String::new())),
        ("PUT", "/manifests/sha256:", 2, Fault::Status(503, vec![], String::new())),
        ("PUT", "/manifests/sha256:", 3, Fault::Status(503, vec![], String::new())),
        ("PUT", "/manifests/v1", 0, Fault::Status(503, vec![], String::new())),
    ];
    for (n, (method, path, skip, fault)) in faults.into_iter().enumerate() {
        proxy.clear();
        let target = reference(&proxy.host, &format!("app{n}:v1"));
        let name = format!("{method} {path} {skip}");
        proxy.add(Rule::new(method, path).skip(skip).times(1).fault(fault));
        promote(&impatient, &to(&source, &[&target])).await.expect_err(&name);
        let repository = format!("app{n}");
        let status = into.manifest(&repository, "v1").status;
        assert_eq!(status, 404, "{name}: half an image has a name");
        // The next attempt goes on with what is there.
        proxy.clear();
        promote(&impatient, &to(&source, &[&target])).await.unwrap();
        assert_eq!(Digest::of(&into.manifest(&repository, "v1").body), digest, "{name}");
    }
}

/// Registries that honour conditions answer 412.
#[tokio::test]
async fn a_refused_condition_is_looked_into() {
    let Some(registry) = registry::start() else { return };
    let proxy = proxy::start(&registry.host);
    let image = make(15, "amd64", 10);
    image.push(&client(), &reference(&registry.host, "app:pr-1")).await;
    let (source, target) = (reference(&proxy.host, "app:pr-1"), reference(&proxy.host, "app:v1"));
    // The tag still holds what it held: the registry's entity tags are something else.
    proxy.add(Rule::new("PUT", "/manifests/v1").times(1).status(412));
    promote(&client(), &to(&source, &[&target])).await.unwrap();
    assert_eq!(Digest::of(&registry.manifest("app", "v1").body), image.descriptor.digest);
    assert_eq!(proxy.seen("PUT", "/manifests/v1"), 2);

    let target = reference(&proxy.host, "app:v2");
    proxy.add(Rule::new("PUT", "/manifests/v2").status(412));
    let error = promote(&client(), &to(&source, &[&target])).await.unwrap_err();
    assert!(matches!(error, PromoteError::Registry { .. }), "{error}");
    assert_eq!(registry.manifest("app", "v2").status, 404);
}
