//! Cache keys of sources: images, downloads, repositories, directories of the client.
use buildkit_rs_proto::pb;

use super::{ImageChains, Root, local, op_json};
use crate::oci::digest::Digest;
use crate::oci::platform::Platform;

/// The key of a source, as far as it is known without asking the engine.
pub(super) fn root(
    source: &pb::SourceOp,
    platform: Option<&Platform>,
    chains: &ImageChains,
) -> Root {
    let Some((scheme, rest)) = source.identifier.split_once("://") else {
        return Root::Unknown("it is no source that kitwright knows");
    };
    match scheme {
        "local" => Root::Local(local::Request::of(rest, &source.attrs)),
        "docker-image" | "oci-layout" => image(rest, source, platform, chains),
        "http" | "https" => http(source),
        "git" => git(rest, source),
        _ => Root::Unknown("it is no source that kitwright knows"),
    }
}

/// The record of a source of which BuildKit says `key`.
fn key(key: &str) -> Digest {
    Digest::of(format!("buildkit.source.v0:{key}").as_bytes())
}

/// An image goes by its manifest and platform, and by the chain of its layers.
fn image(
    rest: &str,
    source: &pb::SourceOp,
    platform: Option<&Platform>,
    chains: &ImageChains,
) -> Root {
    let digest = rest.rsplit_once('@').and_then(|(_, digest)| digest.parse::<Digest>().ok());
    let (Some(digest), Some(platform)) = (digest, platform) else {
        return Root::Unknown("the image is not pinned to a digest");
    };
    if source.attrs.keys().any(|name| name.ends_with(".layerlimit")) {
        return Root::Unknown("only some layers of the image are used");
    }
    let manifest = Digest::of(&op_json::image(&digest.to_string(), platform));
    let mut keys = vec![key(&manifest.to_string())];
    keys.extend(chains.get(&(digest, platform.clone())).map(|chain| key(&chain.to_string())));
    Root::Known(keys)
}

fn http(source: &pb::SourceOp) -> Root {
    let mut checksum = None;
    let mut filename = "";
    let mut owner = [0; 3];
    for (name, value) in &source.attrs {
        let number = || value.parse().ok();
        let place = match name.as_str() {
            "http.checksum" => {
                checksum = Some(value);
                continue;
            }
            "http.filename" => {
                filename = value;
                continue;
            }
            "http.perm" => 0,
            "http.uid" => 1,
            "http.gid" => 2,
            _ => return Root::Unknown("the download has settings of its own"),
        };
        match number() {
            Some(number) => owner[place] = number,
            None => return Root::Unknown("the download has settings of its own"),
        }
    }
    match checksum {
        Some(checksum) if !filename.is_empty() && !filename.contains('/') => {
            let digest = Digest::of(&op_json::http(filename, owner, checksum));
            Root::Known(vec![key(&digest.to_string())])
        }
        _ => Root::Unknown("the download has no checksum"),
    }
}

fn git(rest: &str, source: &pb::SourceOp) -> Root {
    let fragment = rest.split_once('#').map_or("", |(_, fragment)| fragment);
    let (commit, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
    let is_commit = matches!(commit.len(), 40 | 64)
        && commit.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_commit {
        return Root::Unknown("only the repository knows the commit");
    }
    let attr = |name: &str| source.attrs.get(name).map_or("", String::as_str);
    let mut text = commit.to_owned();
    if attr("git.keepgitdir") == "true" {
        text += &format!(".git#{commit}");
    }
    if !matches!(subdir.trim_end_matches('/'), "" | ".") {
        text += &format!(":{subdir}");
    }
    if attr("git.skipsubmodules") == "true" {
        text += "(skip-submodules)";
    }
    match attr("git.mtime") {
        "" | "checkout" => {}
        mtime => text += &format!("(mtime={mtime})"),
    }
    Root::Known(vec![key(&text)])
}
