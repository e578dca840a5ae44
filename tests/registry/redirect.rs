//! Blob storage at another host: what is sent there, and what is not.
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use kitwright::oci::credentials::{CredentialSources, CredentialStore, Secret};
use kitwright::oci::manifest::Descriptor;
use kitwright::oci::registry::{Client, Options};

use crate::image::{bytes, options, reference};
use crate::support::registry;

/// Serves the registry's own files, as a bucket or a CDN would, and keeps what it was sent.
struct Storage {
    host: String,
    root: Arc<OnceLock<PathBuf>>,
    requests: Arc<Mutex<Vec<String>>>,
}

fn storage() -> Storage {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    // Another name for this machine, so another host for whoever compares hosts.
    let port = listener.local_addr().expect("an address").port();
    let storage = Storage {
        host: format!("localhost:{port}"),
        root: Arc::default(),
        requests: Arc::default(),
    };
    let (root, requests) = (Arc::clone(&storage.root), Arc::clone(&storage.requests));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            serve(stream, root.get().expect("the registry runs"), &requests);
        }
    });
    storage
}

fn serve(stream: TcpStream, root: &std::path::Path, requests: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default().trim_start_matches('/');
    let content = std::fs::read(root.join(path));
    requests.lock().expect("no handler died").push(head);
    let (status, body) = match content {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let mut stream = reader.into_inner();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

#[tokio::test]
async fn what_a_registry_may_see_does_not_follow_to_its_storage() {
    let storage = storage();
    let folder = tempfile::tempdir().unwrap();
    let htpasswd = folder.path().join("htpasswd");
    std::fs::write(&htpasswd, "kit:$2b$04$jmznOfZ1dkO4dnzmWas2xetRN/OLLPG5ch4l6SmhCR285fMbvE4Ie\n")
        .unwrap();
    let config = format!(
        "middleware:\n  storage:\n    - name: redirect\n      options:\n        baseurl: \
         http://{}/\nauth: {{htpasswd: {{realm: test, path: {htpasswd:?}}}}}\n",
        storage.host
    );
    let Some(registry) = registry::start_with(&config) else { return };
    storage.root.set(registry.root.clone()).unwrap();
    let config = serde_json::json!({"auths": {
        &registry.host: {"username": "kit", "password": "wright"},
        &storage.host: {"username": "kit", "password": "not-for-storage"},
    }});
    let inline = Some(Secret::new(config.to_string()));
    let credentials = CredentialStore::new(CredentialSources { inline, files: Vec::new() });
    let client = Client::new(Options { credentials, ..options() });
    let blob = bytes(1, 200_000);
    let descriptor = Descriptor::of("x", &blob);
    let target = reference(&registry.host, "a");
    client.push_blob(&target, &descriptor, &blob, None).await.unwrap();
    let read = client.read_blob(&target, &descriptor, 1 << 20).await.unwrap();
    assert_eq!(read, blob);
    let requests = storage.requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 1, "the registry did not redirect: {requests:?}");
    assert!(requests[0].starts_with("GET "), "{requests:?}");
    assert!(!requests[0].to_ascii_lowercase().contains("authorization"), "{requests:?}");
}
