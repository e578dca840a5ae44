//! Writing and reading content, at both makes of registry.
use bytes::Bytes;
use kitwright::oci::digest::Digest;
use kitwright::oci::manifest::{Descriptor, ImageManifest, Manifest, media};
use kitwright::oci::registry::{BlobOutcome, Client, FileSource, Precondition, RegistryError};

use crate::image::{bytes, client, make, options, push_index, reference};
use crate::support::base;
use crate::{second, support::registry};

#[tokio::test]
async fn what_is_pushed_is_there_for_others_to_see() {
    for (make_of, registry) in second::each() {
        let client = client();
        let image = make(1, "amd64", 100_000);
        let target = reference(&registry.host, "a/b:v1");
        image.push(&client, &target).await;
        let seen = registry.manifest("a/b", "v1");
        assert_eq!((seen.status, seen.body.as_slice()), (200, &*image.manifest), "{make_of}");
        let blob = registry.blob("a/b", &Digest::of(&image.layer).to_string());
        assert_eq!(blob.body, image.layer, "{make_of}");

        let head = client.head_manifest(&target).await.unwrap().expect("a head");
        assert_eq!(head.digest, image.descriptor.digest, "{make_of}");
        assert_eq!(head.media_type, media::OCI_MANIFEST, "{make_of}");
        let fetched = client.get_manifest(&target).await.unwrap();
        assert_eq!(fetched.bytes, image.manifest, "{make_of}");
        let layer = Descriptor::of("x", &image.layer);
        assert_eq!(client.read_blob(&target, &layer, 1 << 20).await.unwrap(), image.layer);
        let again = client.push_blob(&target, &layer, &image.layer, None).await.unwrap();
        assert_eq!(again, BlobOutcome::Present, "{make_of}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_apart_from_what_fails() {
    for (make_of, registry) in second::each() {
        let client = client();
        let missing = reference(&registry.host, "a/b:none");
        assert_eq!(client.head_manifest(&missing).await.unwrap(), None, "{make_of}");
        let error = client.get_manifest(&missing).await.unwrap_err();
        assert!(error.is_not_found() && !error.is_retryable(), "{make_of}: {error}");
        assert_eq!(error.to_string(), format!("`{missing}` is not in the registry"));
        assert!(!client.has_blob(&missing, Digest::of(b"x")).await.unwrap(), "{make_of}");
    }
}

#[tokio::test]
async fn an_index_resolves_to_the_platforms_image() {
    for (make_of, registry) in second::each() {
        let client = client();
        let (amd, arm) = (make(1, "amd64", 1000), make(2, "arm64", 1000));
        let target = reference(&registry.host, "multi:latest");
        let index = push_index(&client, &target, &[&amd, &arm]).await;
        let before = client.requests();
        let resolved = client.resolve(&target, &"linux/arm64".parse().unwrap()).await.unwrap();
        assert_eq!(client.requests() - before, 3, "{make_of}: index, manifest, config");
        assert_eq!(resolved.root.digest, index, "{make_of}");
        assert_eq!(resolved.manifest.digest, arm.descriptor.digest, "{make_of}");
        assert_eq!(resolved.config, arm.config, "{make_of}");
        assert_eq!(resolved.config_digest, Digest::of(&arm.config), "{make_of}");
        let error = client.resolve(&target, &"linux/s390x".parse().unwrap()).await.unwrap_err();
        let message = format!("`{target}` has no image for platform `linux/s390x`");
        assert_eq!(error.to_string(), message, "{make_of}");
        let pinned = target.clone().with_digest(amd.descriptor.digest);
        let resolved = client.resolve(&pinned, &"linux/amd64".parse().unwrap()).await.unwrap();
        assert_eq!(resolved.root.digest, amd.descriptor.digest, "{make_of}");
    }
}

#[tokio::test]
async fn an_image_of_another_tool_resolves() {
    let (Some(registry), Some(base)) = (registry::start(), base::busybox()) else { return };
    let target = base.push(&registry, "busybox", "latest").parse().unwrap();
    let platform = kitwright::oci::platform::Platform::host();
    let resolved = client().resolve(&target, &platform).await.unwrap();
    assert_eq!(resolved.manifest.digest.to_string(), base.digest);
    assert_eq!(resolved.config, base.config);
}

#[tokio::test]
async fn blobs_are_mounted_from_a_repository_next_door() {
    for (make_of, registry) in second::each() {
        let client = client();
        let blob = bytes(3, 50_000);
        let descriptor = Descriptor::of("x", &blob);
        let (from, to) = (reference(&registry.host, "from"), reference(&registry.host, "to"));
        client.push_blob(&from, &descriptor, &blob, None).await.unwrap();
        let nothing = Bytes::new();
        let outcome = client.push_blob(&to, &descriptor, &nothing, Some(&from)).await.unwrap();
        // The second registry keeps one heap of blobs for all repositories.
        let expected = match make_of {
            "docker-registry" => BlobOutcome::Mounted,
            _ => BlobOutcome::Present,
        };
        assert_eq!(outcome, expected, "{make_of}");
        assert_eq!(registry.blob("to", &descriptor.digest.to_string()).body, blob, "{make_of}");
        // What is not there cannot be mounted, and is sent.
        let other = bytes(4, 1000);
        let descriptor = Descriptor::of("x", &other);
        let outcome = client.push_blob(&to, &descriptor, &other, Some(&from)).await.unwrap();
        assert_eq!(outcome, BlobOutcome::Uploaded, "{make_of}");
    }
}

#[tokio::test]
async fn a_file_goes_up_in_pieces() {
    for (make_of, registry) in second::each() {
        let client = Client::new(kitwright::oci::registry::Options {
            chunk_size: Some(100_000),
            ..options()
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        let blob = bytes(5, 350_001);
        std::fs::write(&path, &blob).unwrap();
        let descriptor = Descriptor::of("x", &blob);
        let target = reference(&registry.host, "pieces");
        let outcome = client.push_blob(&target, &descriptor, &FileSource(path), None).await;
        assert_eq!(outcome.unwrap(), BlobOutcome::Uploaded, "{make_of}");
        assert_eq!(client.requests(), 1 + 1 + 4 + 1, "{make_of}: head, post, pieces, put");
        assert_eq!(registry.blob("pieces", &descriptor.digest.to_string()).body, blob, "{make_of}");
    }
}

#[tokio::test]
async fn tags_come_page_by_page() {
    for (make_of, registry) in second::each() {
        let client = client();
        let image = make(6, "amd64", 10);
        let name = reference(&registry.host, "many");
        image.push(&client, &name.with_tag("t0").unwrap()).await;
        // More than one page of a thousand.
        let mut expected: Vec<String> = (0..1005).map(|n| format!("t{n}")).collect();
        expected.sort();
        for tag in &expected {
            let target = name.with_tag(tag).unwrap();
            let (kind, bytes) = (media::OCI_MANIFEST, image.manifest.clone());
            client.put_manifest(&target, kind, bytes, Precondition::None).await.unwrap();
        }
        let before = client.requests();
        let tags = client.list_tags(&name).await.unwrap();
        assert!(tags == expected, "{make_of}: {} tags", tags.len());
        // Debian's registry gives all tags at once, however few it is asked for.
        let pages = if make_of == "docker-registry" { 1 } else { 2 };
        assert_eq!(client.requests() - before, pages, "{make_of}");
    }
}

/// Pushes a small artifact about `subject`.
async fn refer(client: &Client, name: &str, subject: &Descriptor, kind: &str) -> Digest {
    let target = name.parse().unwrap();
    let config = Bytes::from_static(b"{}");
    // The second registry tells an artifact's type by its config alone.
    let empty = Descriptor::of(kind, &config);
    client.push_blob(&target, &empty, &config, None).await.unwrap();
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.into()),
        artifact_type: Some(kind.into()),
        config: empty.clone(),
        layers: vec![empty],
        subject: Some(Descriptor::new(&subject.media_type, subject.digest, subject.size)),
        annotations: [("about".to_owned(), kind.to_owned())].into(),
    };
    let bytes = serde_json::to_vec(&manifest).unwrap().into();
    client.put_manifest(&target, media::OCI_MANIFEST, bytes, Precondition::None).await.unwrap()
}

#[tokio::test]
async fn referrers_are_found_with_and_without_the_registrys_help() {
    for (make_of, registry) in second::each() {
        let client = client();
        let image = make(7, "amd64", 10);
        let name = reference(&registry.host, "subject");
        image.push(&client, &name.with_tag("v1").unwrap()).await;
        let text = name.to_string();
        assert!(client.referrers(&name, image.descriptor.digest, None).await.unwrap().is_empty());
        let a = refer(&client, &text, &image.descriptor, "application/a").await;
        let b = refer(&client, &text, &image.descriptor, "application/b").await;
        // A second time changes nothing.
        assert_eq!(refer(&client, &text, &image.descriptor, "application/b").await, b);
        let all = client.referrers(&name, image.descriptor.digest, None).await.unwrap();
        let mut digests: Vec<_> = all.iter().map(|entry| entry.digest).collect();
        digests.sort();
        let mut expected = vec![a, b];
        expected.sort();
        assert_eq!(digests, expected, "{make_of}");
        let only = client.referrers(&name, image.descriptor.digest, Some("application/a")).await;
        let only = only.unwrap();
        assert_eq!(only.len(), 1, "{make_of}");
        assert_eq!(only[0].digest, a, "{make_of}");
        // Only the registry without a list of its own has the tag that stands for it.
        let tag = format!("sha256-{}", image.descriptor.digest.hex());
        let tagged = registry.manifest("subject", &tag).status == 200;
        assert_eq!(tagged, make_of == "docker-registry", "{make_of}");
    }
}

#[tokio::test]
async fn manifests_are_removed_by_digest() {
    for (make_of, registry) in second::each() {
        let client = client();
        let image = make(8, "amd64", 10);
        let target = reference(&registry.host, "gone:v1");
        image.push(&client, &target).await;
        let pinned = target.name_only().with_digest(image.descriptor.digest);
        client.delete_manifest(&pinned).await.unwrap();
        assert_eq!(client.head_manifest(&pinned).await.unwrap(), None, "{make_of}");
    }
}

#[tokio::test]
async fn a_registry_refuses_a_manifest_whose_blobs_it_lacks() {
    let Some(registry) = registry::start() else { return };
    let image = make(9, "amd64", 10);
    let target = reference(&registry.host, "half:v1");
    let (client, kind) = (client(), media::OCI_MANIFEST);
    let put = client.put_manifest(&target, kind, image.manifest.clone(), Precondition::None);
    let error = put.await.unwrap_err();
    let RegistryError::Status { source, .. } = &error else { panic!("{error:?}") };
    assert!(source.has_code("MANIFEST_BLOB_UNKNOWN"), "{source}");
    assert_eq!(registry.manifest("half", "v1").status, 404);
}

#[tokio::test]
async fn mirrors_serve_reads_and_the_registry_what_they_lack() {
    let (Some(mirror), Some(upstream)) = (registry::start(), registry::start()) else { return };
    let image = make(10, "amd64", 1000);
    let (plain, name) = (client(), "app:v1");
    let target = reference(&upstream.host, name);
    image.push(&plain, &target).await;
    // The mirror has another image under the same name: who reads shows which one answered.
    let other = make(11, "amd64", 1000);
    other.push(&plain, &reference(&mirror.host, name)).await;
    let mut options = options();
    options.add_mirror(&format!("{}=http://{}", upstream.host, mirror.host)).unwrap();
    options.add_mirror(&format!("*={}", crate::support::proxy::refusing())).unwrap();
    let client = Client::new(options);
    let fetched = client.get_manifest(&target).await.unwrap();
    assert_eq!(fetched.descriptor.digest, other.descriptor.digest);
    let pinned = target.clone().with_digest(image.descriptor.digest);
    let Manifest::Image(found) = client.get_manifest(&pinned).await.unwrap().parse().unwrap()
    else {
        panic!("an image was pushed");
    };
    let blob = client.read_blob(&pinned, &found.layers[0], 1 << 20).await.unwrap();
    assert_eq!(blob, image.layer);
    let missing = reference(&upstream.host, "none:v1");
    let error = client.get_manifest(&missing).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert!(error.to_string().contains(&format!("`{}`", mirror.host)), "{error}");
}
