//! A small base image: Debian's static busybox, its applets, and nothing that changes.
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::registry::Registry;
use super::{tool, watched};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The busybox image.
#[derive(Debug)]
pub struct Base {
    /// Its OCI layout, with the tag `latest`.
    pub layout: PathBuf,
    /// The manifest's digest.
    pub digest: String,
    /// The image config, as its bytes in the layout.
    pub config: Vec<u8>,
    manifest: Vec<u8>,
    layer: Vec<u8>,
}

/// The busybox image, made on first use, the same bytes every time on one machine.
pub fn busybox() -> Option<&'static Base> {
    static BASE: OnceLock<Base> = OnceLock::new();
    let [busybox] = tool::need(["busybox"])?;
    Some(BASE.get_or_init(|| make(&busybox)))
}

impl Base {
    /// Pushes the image and returns its reference, for example `127.0.0.1:PORT/busybox:latest`.
    pub fn push(&self, registry: &Registry, repository: &str, tag: &str) -> String {
        self.put(registry, repository, tag, &self.manifest)
    }

    /// Pushes the same image behind a manifest with another digest.
    pub fn push_renamed(&self, registry: &Registry, repository: &str, tag: &str) -> String {
        let mut manifest: serde_json::Value =
            serde_json::from_slice(&self.manifest).expect("a manifest");
        manifest["annotations"] = json!({ "renamed": "yes" });
        self.put(registry, repository, tag, manifest.to_string().as_bytes())
    }

    fn put(&self, registry: &Registry, repository: &str, tag: &str, manifest: &[u8]) -> String {
        for blob in [&self.layer, &self.config] {
            push_blob(registry, repository, blob);
        }
        let path = format!("/v2/{repository}/manifests/{tag}");
        let answer = registry.request("PUT", &path, &[("Content-Type", MANIFEST)], manifest);
        assert_eq!(answer.status, 201, "PUT {path}: {}", String::from_utf8_lossy(&answer.body));
        format!("{}/{repository}:{tag}", registry.host)
    }
}

fn push_blob(registry: &Registry, repository: &str, blob: &[u8]) {
    let start = registry.request("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], b"");
    assert_eq!(start.status, 202, "an upload starts: {}", String::from_utf8_lossy(&start.body));
    let location = &start.headers["location"];
    let path = location.split_once(&registry.host).map_or(location.as_str(), |(_, path)| path);
    let joint = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{joint}digest={}", digest(blob));
    let headers = [("Content-Type", "application/octet-stream")];
    let answer = registry.request("PUT", &path, &headers, blob);
    assert_eq!(answer.status, 201, "PUT {path}: {}", String::from_utf8_lossy(&answer.body));
}

fn make(busybox: &Path) -> Base {
    let tar = root_filesystem(busybox);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).expect("compression in memory");
    let layer = gzip.finish().expect("compression in memory");
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": { "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": [digest(&tar)] },
        "history": [{ "created": "2026-01-01T00:00:00Z", "created_by": "busybox for tests" }],
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config),
        "layers": [descriptor(LAYER, &layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let layout = watched::shared_folder().join("busybox");
    let mut entry = descriptor(MANIFEST, &manifest);
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    entry["platform"] = json!({ "architecture": architecture, "os": "linux" });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    });
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).expect("a folder");
    for blob in [&layer, &config, &manifest] {
        std::fs::write(blobs.join(&digest(blob)["sha256:".len()..]), blob).expect("a written blob");
    }
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
        .expect("a written file");
    std::fs::write(layout.join("index.json"), index.to_string()).expect("a written index");
    Base { layout, digest: digest(&manifest), config, manifest, layer }
}

fn descriptor(media_type: &str, content: &[u8]) -> serde_json::Value {
    json!({ "mediaType": media_type, "digest": digest(content), "size": content.len() })
}

/// The digest of some bytes, in the form registries use.
pub fn digest(content: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(content).iter().fold(String::from("sha256:"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn root_filesystem(busybox: &Path) -> Vec<u8> {
    let applets = Command::new(busybox).arg("--list").output().expect("busybox runs").stdout;
    let applets = String::from_utf8(applets).expect("names of applets");
    let mut tar = tar::Builder::new(Vec::new());
    for (folder, mode) in
        [("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777), ("var", 0o755)]
    {
        let mut header = entry(tar::EntryType::Directory, mode, 0);
        tar.append_data(&mut header, format!("{folder}/"), std::io::empty())
            .expect("a written entry");
    }
    let program = std::fs::read(busybox).expect("a readable busybox");
    for (path, mode, content) in [
        ("bin/busybox", 0o755, program.as_slice()),
        ("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\nkit:x:1000:1000:kit:/tmp:/bin/sh\n"),
        ("etc/group", 0o644, b"root:x:0:\nkit:x:1000:\n"),
    ] {
        let mut header = entry(tar::EntryType::Regular, mode, content.len() as u64);
        tar.append_data(&mut header, path, content).expect("a written entry");
    }
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        let mut header = entry(tar::EntryType::Symlink, 0o777, 0);
        tar.append_link(&mut header, format!("bin/{applet}"), "busybox").expect("a written entry");
    }
    tar.into_inner().expect("a finished archive")
}

fn entry(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(1_767_225_600);
    header.set_uid(0);
    header.set_gid(0);
    header
}
