//! Images for the tests: made of known bytes, pushed through the client under test.
use std::time::Duration;

use bytes::Bytes;
use kitwright::oci::digest::Digest;
use kitwright::oci::manifest::{
    ATTESTATION_SUBJECT, ATTESTATION_TYPE, Descriptor, ImageIndex, ImageManifest, media,
};
use kitwright::oci::platform::Platform;
use kitwright::oci::reference::ImageReference;
use kitwright::oci::registry::{Client, Options, Precondition, RetryPolicy};

/// Options that do not look at the machine, and hardly pause.
pub fn options() -> Options {
    Options {
        retry: RetryPolicy {
            attempts: 5,
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_secs(2),
        },
        system_proxy: false,
        ..Options::default()
    }
}

pub fn client() -> Client {
    Client::new(options())
}

pub fn reference(host: &str, name: &str) -> ImageReference {
    format!("{host}/{name}").parse().expect("a reference")
}

/// Bytes that do not repeat, so that a piece at the wrong place is noticed.
pub fn bytes(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(length).collect()
}

/// An image of one layer: what it consists of.
pub struct Image {
    pub layer: Bytes,
    pub config: Bytes,
    pub manifest: Bytes,
    pub descriptor: Descriptor,
}

/// Makes an image for `architecture` whose layer has `length` bytes.
pub fn make(seed: u64, architecture: &str, length: usize) -> Image {
    let layer = bytes(seed, length);
    let config = serde_json::json!({
        "architecture": architecture, "os": "linux", "config": {"Env": [format!("SEED={seed}")]},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]},
    });
    let config = Bytes::from(config.to_string());
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.into()),
        artifact_type: None,
        config: Descriptor::of(media::OCI_CONFIG, &config),
        layers: vec![Descriptor::of(media::OCI_LAYER, &layer)],
        subject: None,
        annotations: [("seed".to_owned(), seed.to_string())].into(),
    };
    let manifest = Bytes::from(serde_json::to_vec(&manifest).expect("JSON"));
    let mut descriptor = Descriptor::of(media::OCI_MANIFEST, &manifest);
    let (os, architecture) = ("linux".to_owned(), architecture.to_owned());
    descriptor.platform = Some(Platform { os, architecture, ..Platform::default() });
    Image { layer, config, manifest, descriptor }
}

impl Image {
    /// Pushes the blobs, then the manifest under the reference's tag or by its digest.
    pub async fn push(&self, client: &Client, reference: &ImageReference) {
        for blob in [&self.layer, &self.config] {
            let descriptor = Descriptor::of("x", blob);
            client.push_blob(reference, &descriptor, blob, None).await.expect("a pushed blob");
        }
        let put = client.put_manifest(
            reference,
            media::OCI_MANIFEST,
            self.manifest.clone(),
            Precondition::None,
        );
        assert_eq!(put.await.expect("a pushed manifest"), self.descriptor.digest);
    }
}

/// An index over `images` and an attestation about the first of them, pushed under `reference`.
pub async fn push_index(client: &Client, reference: &ImageReference, images: &[&Image]) -> Digest {
    let name = reference.name_only();
    let mut entries = Vec::new();
    for image in images {
        image.push(client, &name).await;
        entries.push(image.descriptor.clone());
    }
    let attestation = make(900 + entries.len() as u64, "unknown", 100);
    attestation.push(client, &name).await;
    let mut entry = attestation.descriptor.clone();
    entry.platform = Some(Platform {
        os: "unknown".into(),
        architecture: "unknown".into(),
        ..Platform::default()
    });
    entry.annotations = [
        (ATTESTATION_TYPE.to_owned(), "attestation-manifest".to_owned()),
        (ATTESTATION_SUBJECT.to_owned(), images[0].descriptor.digest.to_string()),
    ]
    .into();
    entries.push(entry);
    let bytes = Bytes::from(serde_json::to_vec(&ImageIndex::new(entries)).expect("JSON"));
    client
        .put_manifest(reference, media::OCI_INDEX, bytes, Precondition::None)
        .await
        .expect("a pushed index")
}
