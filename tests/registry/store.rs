//! Pulling into the local image store and pushing from it, through the command line.
use std::path::Path;
use std::process::{Command, Output};

use kitwright::oci::digest::Digest;
use kitwright::oci::store::{PullEvent, Store};

use crate::image::{client, make, push_index, reference};
use crate::support::proxy::{self, Fault, Rule};
use crate::support::{registry, tool};

fn kitwright(state: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kitwright"))
        .arg("image")
        .args(args)
        .env_clear()
        .env("HOME", state)
        .env("KITWRIGHT_STATE_DIR", state)
        .output()
        .unwrap()
}

fn succeed(state: &Path, args: &[&str]) -> String {
    let output = kitwright(state, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn an_index_goes_from_a_registry_to_the_store_to_another_registry() {
    let (Some(from), Some(into)) = (registry::start(), registry::start()) else { return };
    let images = [make(1, "amd64", 50_000), make(2, "arm64", 50_000)];
    let source = reference(&from.host, "app:v1");
    let digest = push_index(&client(), &source, &[&images[0], &images[1]]).await;
    let state = tempfile::tempdir().unwrap();
    let name = source.to_string();
    let printed = succeed(state.path(), &["pull", "--all-platforms", &name]);
    assert_eq!(printed.trim(), digest.to_string());
    assert_eq!(succeed(state.path(), &["list"]), format!("{digest} {name}\n"));
    let target = reference(&into.host, "copy:v2").to_string();
    assert_eq!(succeed(state.path(), &["push", &name, &target]).trim(), digest.to_string());
    assert_eq!(Digest::of(&into.manifest("copy", "v2").body), digest);
    let blob = Digest::of(&images[1].layer).to_string();
    assert_eq!(into.blob("copy", &blob).body, images[1].layer);

    // One platform is one manifest.
    let printed = succeed(state.path(), &["pull", "--platform", "linux/arm64", &name]);
    assert_eq!(printed.trim(), images[1].descriptor.digest.to_string());
    succeed(state.path(), &["prune"]);
    let left = succeed(state.path(), &["list", "--format", "json"]);
    let left: serde_json::Value = serde_json::from_str(&left).unwrap();
    assert_eq!(left[0]["descriptor"]["platform"]["architecture"], "arm64");
    succeed(state.path(), &["remove", &name]);
    succeed(state.path(), &["prune"]);
    let blobs = std::fs::read_dir(state.path().join("images/blobs/sha256")).unwrap().count();
    assert_eq!(blobs, 0);
}

#[tokio::test]
async fn a_pull_that_was_cut_off_goes_on_where_it_was() {
    let Some(registry) = registry::start() else { return };
    let image = make(3, "amd64", 3_000_000);
    image.push(&client(), &reference(&registry.host, "app:v1")).await;
    let proxy = proxy::start(&registry.host);
    let name = reference(&proxy.host, "app:v1");
    let layer = Digest::of(&image.layer);
    let path = format!("/blobs/{layer}");
    // Every answer breaks after two megabytes, and the second one says that it is over.
    proxy.add(Rule::new("GET", &path).times(1).fault(Fault::TruncateAfter(2_000_000)));
    proxy.add(Rule::new("GET", &path).times(1).status(404));
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let quiet = |_: PullEvent| {};
    store.pull(&client(), &name, None, &quiet).await.unwrap_err();
    let partial = folder.path().join("ingest").join(layer.hex());
    assert_eq!(std::fs::metadata(&partial).unwrap().len(), 2_000_000);
    assert!(store.list().unwrap().is_empty(), "half an image has a name");

    proxy.clear();
    let pulled = store.pull(&client(), &name, None, &quiet).await.unwrap();
    assert!(proxy.bytes_down() < 1_010_000, "{} bytes came again", proxy.bytes_down());
    assert!(pulled.bytes < 1_001_000, "{pulled:?}");
    assert_eq!(std::fs::read(store.blob_path(layer)).unwrap(), image.layer);
    assert!(!partial.exists());
    assert_eq!(store.find(&name).unwrap().descriptor.digest, image.descriptor.digest);
}

#[tokio::test]
async fn what_lies_damaged_in_the_store_is_fetched_anew() {
    let Some(registry) = registry::start() else { return };
    let image = make(4, "amd64", 100_000);
    let name = reference(&registry.host, "app:v1");
    image.push(&client(), &name).await;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let layer = Digest::of(&image.layer);
    std::fs::write(folder.path().join("ingest").join(layer.hex()), vec![7; 60_000]).unwrap();
    store.pull(&client(), &name, None, &|_: PullEvent| {}).await.unwrap();
    assert_eq!(std::fs::read(store.blob_path(layer)).unwrap(), image.layer);
}

#[tokio::test]
async fn two_pulls_at_once_fetch_each_blob_once() {
    let Some(registry) = registry::start() else { return };
    let image = make(5, "amd64", 1_000_000);
    image.push(&client(), &reference(&registry.host, "app:v1")).await;
    let proxy = proxy::start(&registry.host);
    let name = reference(&proxy.host, "app:v1");
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let quiet = |_: PullEvent| {};
    let (one, two) = (client(), client());
    let (a, b) =
        tokio::join!(store.pull(&one, &name, None, &quiet), store.pull(&two, &name, None, &quiet));
    assert_eq!(a.unwrap().fetched + b.unwrap().fetched, 2);
    assert_eq!(proxy.seen("GET", "/blobs/"), 2);
}

/// Another implementation reads what the store writes, and the store what it writes.
#[tokio::test]
async fn skopeo_reads_the_archives_and_the_store_reads_skopeos() {
    let Some([skopeo]) = tool::need(["skopeo"]) else { return };
    let (Some(registry), Some(base)) = (registry::start(), crate::support::base::busybox()) else {
        return;
    };
    let name = base.push(&registry, "busybox", "latest");
    let state = tempfile::tempdir().unwrap();
    succeed(state.path(), &["pull", &name]);
    let run = |args: &[&str]| {
        let output = Command::new(&skopeo).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    for (kind, transport) in [("oci", "oci-archive"), ("docker", "docker-archive")] {
        let path = state.path().join(format!("{kind}.tar"));
        let path = path.to_str().unwrap();
        succeed(state.path(), &["export", "--kind", kind, "--output", path, &name]);
        let shown = run(&["inspect", "--config", "--raw", &format!("{transport}:{path}")]);
        assert_eq!(shown.trim_end().as_bytes(), base.config, "{kind}");
    }
    let theirs = state.path().join("theirs.tar");
    let theirs = theirs.to_str().unwrap();
    let from = format!("oci:{}:latest", base.layout.display());
    run(&["copy", "--quiet", &from, &format!("oci-archive:{theirs}:v1")]);
    let printed = succeed(state.path(), &["import", "--name", "mine:v3", theirs]);
    assert_eq!(printed, format!("{} mine:v3\n", base.digest));
}
