//! Results that the client receives: archives, streams, directories.
use std::collections::BTreeSet;
use std::path::Path;

use kitwright::engine::session::SessionBuilder;
use kitwright::engine::solve::{ExportTarget, SolveRequest};

use crate::lab::{Graph, build, client, export};

fn context() -> tempfile::TempDir {
    let from = tempfile::tempdir().unwrap();
    std::fs::create_dir(from.path().join("dir")).unwrap();
    std::fs::write(from.path().join("dir/file"), b"content").unwrap();
    // Larger than what any buffer between here and there holds.
    std::fs::write(from.path().join("large"), vec![7; 5 << 20]).unwrap();
    from
}

fn request(from: &Path) -> (SolveRequest, SessionBuilder) {
    let mut graph = Graph::default();
    let session = SessionBuilder::new().directory("context", from);
    let id = session.session_id().to_owned();
    let source = graph.source("local://context", &[("local.session", &id)]);
    (SolveRequest::definition(graph.finish(&source)), session)
}

fn tar_names(path: &Path) -> BTreeSet<String> {
    let mut archive = tar::Archive::new(std::fs::File::open(path).unwrap());
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| {
            entry.unwrap().path().unwrap().to_str().unwrap().trim_end_matches('/').to_owned()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_appear_when_they_are_complete() {
    let Some(client) = client().await else { return };
    let (from, to) = (context(), tempfile::tempdir().unwrap());
    for (kind, expected) in
        [("tar", "dir/file"), ("oci", "oci-layout"), ("docker", "manifest.json")]
    {
        let (mut request, session) = request(from.path());
        let path = to.path().join(format!("new/{kind}.tar"));
        request.exports.push(export(kind, &[], ExportTarget::File(path.clone())));
        let result = build(&client, request, session).await.0.unwrap();
        assert!(tar_names(&path).contains(expected), "{kind}");
        assert_eq!(result.image_digest().is_some(), kind != "tar", "{kind}");
    }
    let left: Vec<_> = std::fs::read_dir(to.path().join("new")).unwrap().collect();
    assert_eq!(left.len(), 3, "no temporary files: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_results_go_to_their_own_places() {
    let Some(client) = client().await else { return };
    let (from, to) = (context(), tempfile::tempdir().unwrap());
    let (mut request, session) = request(from.path());
    let file = to.path().join("a.tar");
    let directory = to.path().join("tree");
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    request.exports = vec![
        export("tar", &[], ExportTarget::File(file.clone())),
        export("local", &[], ExportTarget::Directory { path: directory.clone(), delete: false }),
        export("tar", &[], ExportTarget::Stream(Box::new(ours))),
    ];
    let piped = to.path().join("piped.tar");
    let mut sink = tokio::fs::File::create(&piped).await.unwrap();
    let mut theirs = theirs;
    let (built, copied) =
        tokio::join!(build(&client, request, session), tokio::io::copy(&mut theirs, &mut sink));
    built.0.unwrap();
    assert!(copied.unwrap() > 5 << 20);
    assert_eq!(tar_names(&file), tar_names(&piped));
    assert_eq!(std::fs::read(directory.join("large")).unwrap(), vec![7; 5 << 20]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_merged_into_or_mirrored() {
    let Some(client) = client().await else { return };
    let from = context();
    for delete in [false, true] {
        let to = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("file"), b"outside").unwrap();
        std::fs::create_dir(to.path().join("large")).unwrap();
        std::fs::write(to.path().join("large/in the way"), b"").unwrap();
        std::fs::write(to.path().join("other"), b"mine").unwrap();
        // A link where the result has a directory must not be written through.
        std::os::unix::fs::symlink(outside.path(), to.path().join("dir")).unwrap();
        let (mut request, session) = request(from.path());
        let mode = if delete { "delete" } else { "copy" };
        let target = ExportTarget::Directory { path: to.path().to_owned(), delete };
        request.exports.push(export("local", &[("mode", mode)], target));
        build(&client, request, session).await.0.unwrap();
        assert_eq!(to.path().join("other").exists(), !delete);
        assert_eq!(std::fs::read(to.path().join("dir/file")).unwrap(), b"content");
        assert_eq!(std::fs::read(outside.path().join("file")).unwrap(), b"outside");
        assert_eq!(std::fs::metadata(to.path().join("large")).unwrap().len(), 5 << 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unwritable_place_is_named() {
    let Some(client) = client().await else { return };
    let (from, to) = (context(), tempfile::tempdir().unwrap());
    let blocked = to.path().join("file");
    std::fs::write(&blocked, b"").unwrap();
    for target in [
        ExportTarget::File(blocked.join("out.tar")),
        ExportTarget::Directory { path: blocked.join("tree"), delete: false },
    ] {
        let kind = if matches!(target, ExportTarget::File(_)) { "tar" } else { "local" };
        let (mut request, session) = request(from.path());
        request.exports.push(export(kind, &[], target));
        let error = build(&client, request, session).await.0.unwrap_err();
        assert!(error.to_string().contains(blocked.to_str().unwrap()), "{error}");
    }
}
