//! Names, archives and garbage, without a registry.
use super::*;
use crate::oci::manifest::media;
use crate::oci::platform::Platform;

fn image(store: &Store, seed: u8, annotations: &[(&str, &str)]) -> Descriptor {
    let layer = store.write_blob(media::OCI_LAYER, &[seed; 1000]).unwrap();
    let config = format!(r#"{{"architecture":"amd64","os":"linux","seed":{seed}}}"#);
    let config = store.write_blob(media::OCI_CONFIG, config.as_bytes()).unwrap();
    let annotations = annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.into()),
        artifact_type: None,
        config,
        layers: vec![layer],
        subject: None,
        annotations: annotations.collect(),
    };
    store.write_blob(media::OCI_MANIFEST, &serde_json::to_vec(&manifest).unwrap()).unwrap()
}

fn names(store: &Store) -> Vec<String> {
    store.list().unwrap().iter().map(|image| image.reference.familiar()).collect()
}

#[test]
fn names_come_go_and_move() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert!(names(&store).is_empty());
    let (one, two) = (image(&store, 1, &[]), image(&store, 2, &[]));
    let guard = store.guard().unwrap();
    let name: ImageReference = "app".parse().unwrap();
    store.tag(&guard, &name, &one).unwrap();
    store.tag(&guard, &"ghcr.io/a/b:v1".parse().unwrap(), &one).unwrap();
    assert_eq!(names(&store), ["app:latest", "ghcr.io/a/b:v1"]);
    store.tag(&guard, &name, &two).unwrap();
    assert_eq!(store.find(&name).unwrap().descriptor.digest, two.digest);
    let pinned = name.clone().with_digest(two.digest);
    assert_eq!(store.find(&pinned).unwrap().reference.familiar(), "app:latest");
    store.untag(&name).unwrap();
    assert_eq!(names(&store), ["ghcr.io/a/b:v1"]);
    let error = store.find(&name).unwrap_err();
    assert_eq!(error.to_string(), "`app:latest` is not in the local image store");
}

#[test]
fn garbage_is_what_no_name_reaches() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (kept, gone) = (image(&store, 1, &[]), image(&store, 2, &[]));
    store.tag(&store.guard().unwrap(), &"kept".parse().unwrap(), &kept).unwrap();
    std::fs::write(store.ingest().join("half"), b"half").unwrap();
    let collected = store.collect_garbage().unwrap();
    assert_eq!(collected.removed, 4);
    assert!(store.has_blob(&kept));
    assert!(!store.has_blob(&gone));
    assert!(store.read_blob(kept.digest).is_ok());
    assert_eq!(store.collect_garbage().unwrap(), Collected::default());
}

#[test]
fn garbage_waits_for_whoever_brings_content() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let guard = store.guard().unwrap();
    let image = image(&store, 1, &[]);
    let collector = std::thread::spawn({
        let store = store.clone();
        move || store.collect_garbage().unwrap()
    });
    store.tag(&guard, &"app".parse().unwrap(), &image).unwrap();
    drop(guard);
    assert_eq!(collector.join().unwrap(), Collected::default());
    assert!(store.has_blob(&image));
}

#[test]
fn names_written_at_once_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let image = image(&store, 1, &[]);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (store, image) = (&store, &image);
            scope.spawn(move || {
                let name = format!("app:v{n}").parse().unwrap();
                store.tag(&store.guard().unwrap(), &name, image).unwrap();
            });
        }
    });
    assert_eq!(names(&store).len(), 8);
}

#[test]
fn an_archive_goes_out_and_comes_in_again_as_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("a")).unwrap();
    let image = image(&store, 1, &[]);
    let name = "ghcr.io/a/b:v1".parse().unwrap();
    store.tag(&store.guard().unwrap(), &name, &image).unwrap();
    let platform = Platform::new("linux", "amd64");
    for kind in [ArchiveKind::Oci, ArchiveKind::Docker] {
        let mut archive = Vec::new();
        store.export(&name, kind, &platform, &mut archive).unwrap();
        let mut again = Vec::new();
        store.export(&name, kind, &platform, &mut again).unwrap();
        assert!(archive == again, "{kind:?} archives differ");
        let path = folder.path().join("image.tar");
        std::fs::write(&path, &archive).unwrap();
        let other = Store::open(&folder.path().join(format!("{kind:?}"))).unwrap();
        let images = other.import(&path, None).unwrap();
        assert_eq!(images[0].reference, name);
        assert_eq!(other.find(&name).unwrap().descriptor.digest, image.digest);
        let renamed = other.import(&path, Some(&"new:v2".parse().unwrap())).unwrap();
        assert_eq!(renamed[0].reference.familiar(), "new:v2");
        assert_eq!(other.collect_garbage().unwrap(), Collected::default());
    }
}

#[test]
fn a_layout_that_lies_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("a")).unwrap();
    let image = image(&store, 1, &[]);
    let name: ImageReference = "app".parse().unwrap();
    store.tag(&store.guard().unwrap(), &name, &image).unwrap();
    let other = Store::open(&folder.path().join("b")).unwrap();
    let Manifest::Image(parsed) = store.parse(&image).unwrap() else { panic!("an image") };
    let layer = store.blob_path(parsed.layers[0].digest);
    std::fs::write(&layer, [9; 1000]).unwrap();
    let error = other.import(store.root(), None).unwrap_err();
    assert!(matches!(error, StoreError::Digest { .. }), "{error}");
    std::fs::remove_file(&layer).unwrap();
    let error = other.import(store.root(), None).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    assert!(other.list().unwrap().is_empty());
    let path = folder.path().join("no.tar");
    std::fs::write(&path, b"hello").unwrap();
    let error = other.import(&path, None).unwrap_err();
    assert!(matches!(error, StoreError::NotALayout { .. }), "{error}");
}
