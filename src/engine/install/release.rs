//! Release tarballs, by their pinned digests.
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::super::http;
use super::super::programs::{Origin, Program, hex};
use super::super::state::StateError;
use super::{BuildKit, InstallError, Options, installed};

/// A closed network must cost seconds, not minutes.
const CONNECT: Duration = Duration::from_secs(2);
/// The same for a network that accepts and never answers.
const ANSWER: Duration = Duration::from_secs(6);
/// How long nothing may come in the middle of a download.
const IDLE: Duration = Duration::from_secs(30);

/// A tarball and its digest as published.
struct Tarball {
    program: &'static str,
    architecture: &'static str,
    url: &'static str,
    sha256: &'static str,
}

/// BuildKit v0.32.2 and RootlessKit v3.1.0.
const TARBALLS: &[Tarball] = &[
    Tarball {
        program: "buildkit",
        architecture: "x86_64",
        url: "https://github.com/moby/buildkit/releases/download/v0.32.2/buildkit-v0.32.2.linux-amd64.tar.gz",
        sha256: "2975d0f651ad96ba8b80b9992ae1f9a964f4408569af5b6dc36544165c3926af",
    },
    Tarball {
        program: "buildkit",
        architecture: "aarch64",
        url: "https://github.com/moby/buildkit/releases/download/v0.32.2/buildkit-v0.32.2.linux-arm64.tar.gz",
        sha256: "9e8f46bf309ec0ab262967be5538a4dbe06be756a82621f98253933bac5dcf92",
    },
    Tarball {
        program: "rootlesskit",
        architecture: "x86_64",
        url: "https://github.com/rootless-containers/rootlesskit/releases/download/v3.1.0/rootlesskit-x86_64.tar.gz",
        sha256: "b1302b7395918266d561b9e3053771253f20761807e042ae80a1868d6e86b71c",
    },
    Tarball {
        program: "rootlesskit",
        architecture: "aarch64",
        url: "https://github.com/rootless-containers/rootlesskit/releases/download/v3.1.0/rootlesskit-aarch64.tar.gz",
        sha256: "42d1c22a34be7bb458f9ae7363d68dd05d553422d95392b44d0be7fa1fd76bf0",
    },
];

/// Installs BuildKit's release, which brings its own `runc`.
pub(super) async fn buildkit(target: &Path, options: &Options) -> Result<BuildKit, InstallError> {
    let names = ["buildkitd", "buildctl", "buildkit-runc"];
    unpack_release("buildkit", &names, target, options).await?;
    Ok(BuildKit {
        buildkitd: installed(target.join("buildkitd"), Origin::Release)?,
        buildctl: Some(installed(target.join("buildctl"), Origin::Release)?),
        runtime: Some(installed(target.join("buildkit-runc"), Origin::Release)?),
    })
}

/// Installs RootlessKit's release.
pub(super) async fn rootlesskit(target: &Path, options: &Options) -> Result<Program, InstallError> {
    unpack_release("rootlesskit", &["rootlesskit"], target, options).await?;
    installed(target.join("rootlesskit"), Origin::Release)
}

async fn unpack_release(
    program: &'static str,
    names: &[&str],
    target: &Path,
    options: &Options,
) -> Result<(), InstallError> {
    let architecture = std::env::consts::ARCH;
    let tarball = TARBALLS
        .iter()
        .find(|tarball| tarball.program == program && tarball.architecture == architecture)
        .ok_or(InstallError::NoRelease { program, architecture })?;
    (options.notice)(&format!("fetching {}", tarball.url));
    let mut file = tempfile::tempfile_in(target).map_err(StateError::io("write in", target))?;
    fetch(tarball.url, tarball.sha256, &mut file).await?;
    let unpack = |source| InstallError::Unpack { url: tarball.url.to_owned(), source };
    unpack_programs(&file, names, target).map_err(unpack)
}

/// Downloads `url` into `file` and checks its digest.
async fn fetch(
    url: &str,
    pinned: &'static str,
    file: &mut std::fs::File,
) -> Result<(), InstallError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| InstallError::Fetch {
        url: url.to_owned(),
        source,
    };
    let client = client().map_err(failed)?;
    let answer = tokio::time::timeout(ANSWER, client.get(url).send()).await;
    let answer = answer.map_err(|_| failed("no answer in time".into()))?;
    let mut answer = answer
        .and_then(reqwest::Response::error_for_status)
        .map_err(|error| failed(error.without_url().into()))?;
    let mut hasher = Sha256::new();
    while let Some(chunk) =
        answer.chunk().await.map_err(|error| failed(error.without_url().into()))?
    {
        hasher.update(&chunk);
        file.write_all(&chunk).map_err(|error| failed(error.into()))?;
    }
    let found = hex(&hasher.finalize());
    if found != pinned {
        return Err(InstallError::Digest { url: url.to_owned(), found, pinned });
    }
    file.rewind().map_err(|error| failed(error.into()))
}

fn client() -> Result<reqwest::Client, Box<dyn std::error::Error + Send + Sync>> {
    Ok(http::client()?.connect_timeout(CONNECT).read_timeout(IDLE).build()?)
}

/// Unpacks the named programs, wherever in the tarball they are.
fn unpack_programs(tarball: &std::fs::File, names: &[&str], target: &Path) -> std::io::Result<()> {
    let mut missing: Vec<&str> = names.to_vec();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(tarball));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(at) = missing.iter().position(|missing| *missing == name) {
            let mut file = fs_err::OpenOptions::new();
            std::os::unix::fs::OpenOptionsExt::mode(file.options_mut(), 0o755);
            let mut file = file.write(true).create_new(true).open(target.join(name))?;
            std::io::copy(&mut entry, &mut file)?;
            missing.swap_remove(at);
        }
    }
    match missing.first() {
        None => Ok(()),
        Some(name) => Err(std::io::Error::other(format!("there is no `{name}` in it"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tarball(entries: &[(&str, &str)]) -> Vec<u8> {
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        for (path, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o755);
            tar.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    /// Answers one request with `body`.
    fn serve(body: Vec<u8>) -> String {
        use std::io::Read as _;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/buildkit.tar.gz", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).unwrap();
        });
        url
    }

    #[tokio::test]
    async fn a_tarball_with_another_digest_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = tempfile::tempfile_in(folder.path()).unwrap();
        let body = tarball(&[("bin/buildkitd", "daemon")]);
        let found = hex(&Sha256::digest(&body));
        let error = fetch(&serve(body), "0123", &mut file).await.unwrap_err();
        assert!(
            matches!(&error, InstallError::Digest { found: digest, pinned: "0123", .. } if *digest == found)
        );
    }

    #[tokio::test]
    async fn a_tarball_with_the_pinned_digest_is_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = tempfile::tempfile_in(folder.path()).unwrap();
        let body =
            tarball(&[("bin/other", "x"), ("bin/buildkitd", "daemon"), ("buildctl", "client")]);
        let pinned = hex(&Sha256::digest(&body)).leak();
        fetch(&serve(body), pinned, &mut file).await.unwrap();
        unpack_programs(&file, &["buildctl", "buildkitd"], folder.path()).unwrap();
        assert_eq!(fs_err::read_to_string(folder.path().join("buildkitd")).unwrap(), "daemon");
        assert_eq!(fs_err::read_to_string(folder.path().join("buildctl")).unwrap(), "client");
        assert!(!folder.path().join("other").exists());
        file.rewind().unwrap();
        let error = unpack_programs(&file, &["runc"], folder.path()).unwrap_err();
        assert_eq!(error.to_string(), "there is no `runc` in it");
    }

    #[tokio::test]
    async fn a_refused_connection_names_the_tarball() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = tempfile::tempfile_in(folder.path()).unwrap();
        let error = fetch("http://127.0.0.1:1/x.tar.gz", "0123", &mut file).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot fetch `http://127.0.0.1:1/x.tar.gz`");
    }
}
