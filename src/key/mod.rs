//! Content keys: what an image is made from, and finding an image that was made from it.
//!
//! [`graph`] turns a compiled definition into digests that are the same on every machine, with the
//! reads of local files taken out and listed; [`files`] digests exactly the files those reads select;
//! [`ContentKey`] puts both together with the options that shape the image. `docs/content-key.md`
//! describes the computation for others.

pub mod description;
pub mod files;
pub mod graph;
pub mod memory;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::oci::digest::Digest;
use crate::plan::dockerfile::Compiled;
use files::{Directory, FilesError};
use graph::{GraphError, Read};
use memory::Memory;

/// Version of the computation: keys of different versions never agree.
pub const VERSION: u32 = 1;

/// What an image is made from, and the digest of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentKey {
    /// What the key is the digest of: lines of text.
    pub description: String,
    /// The key.
    pub digest: Digest,
}

/// Input of which no key can be computed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum KeyError {
    /// The graph depends on something that is not fixed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Graph(#[from] GraphError),
    /// A file cannot be digested.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Files(#[from] FilesError),
}

impl crate::fault::Classified for KeyError {
    fn fault(&self) -> crate::fault::Fault {
        match self {
            Self::Graph(error) => error.fault(),
            Self::Files(error) => error.fault(),
        }
    }
}

impl ContentKey {
    /// Computes the key of a compiled Dockerfile.
    ///
    /// `options` are settings beside the graph that shape the image, such as its compression.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when the result depends on something that is not fixed, or cannot be read.
    pub fn compute(
        compiled: &Compiled,
        directories: &BTreeMap<String, Directory>,
        options: &BTreeMap<String, String>,
        memory: &mut Memory,
    ) -> Result<Self, KeyError> {
        let mut text = format!("kitwright content key {VERSION}\n");
        for (name, value) in options {
            line(&mut text, &["option", name, value]);
        }
        let mut digests: BTreeMap<Read, Digest> = BTreeMap::new();
        for platform in &compiled.platforms {
            line(&mut text, &["platform", &platform.platform.to_string()]);
            let graph = graph::stabilise(&platform.definition)?;
            for op in &graph.ops {
                line(&mut text, &["op", &op.to_string()]);
            }
            for (read, users) in &graph.reads {
                let known = digests.get(read).copied();
                let digest = match known {
                    Some(digest) => digest,
                    None => files::digest_all(directories, [read], memory)?[0].1,
                };
                digests.insert(read.clone(), digest);
                let users: Vec<String> = users.iter().map(ToString::to_string).collect();
                let fields =
                    ["files", &read.source, &read.path, &users.join(","), &digest.to_string()];
                line(&mut text, &fields);
            }
            let config = shaping_config(&platform.config_json());
            line(&mut text, &["config", &Digest::of(&config).to_string()]);
        }
        let digest = Digest::of(text.as_bytes());
        Ok(Self { description: text, digest })
    }

    /// The tag under which an image with this key is found.
    #[must_use]
    pub fn tag(&self) -> String {
        format!("key-{}", self.digest.hex())
    }
}

/// Labels that say when and from which commit an image was made, not what it is made from.
const PROVENANCE_LABELS: [&str; 2] =
    ["org.opencontainers.image.created", "org.opencontainers.image.revision"];

/// The image config without [`PROVENANCE_LABELS`].
///
/// CI labels every image with its commit. With that in the key no commit would ever find the image
/// of another one, and a merge would never find the image that the pull request tested.
fn shaping_config(json: &[u8]) -> Vec<u8> {
    let Ok(mut config) = serde_json::from_slice::<serde_json::Value>(json) else {
        return json.to_owned();
    };
    let Some(inner) = config.get_mut("config").and_then(|inner| inner.as_object_mut()) else {
        return json.to_owned();
    };
    let Some(labels) = inner.get_mut("Labels").and_then(|labels| labels.as_object_mut()) else {
        return json.to_owned();
    };
    let before = labels.len();
    labels.retain(|name, _| !PROVENANCE_LABELS.contains(&name.as_str()));
    if labels.len() == before {
        return json.to_owned();
    }
    if labels.is_empty() {
        inner.shift_remove("Labels");
    }
    config.to_string().into_bytes()
}

/// Adds a line of fields, each a JSON string, so that no value can look like two.
fn line(text: &mut String, fields: &[&str]) {
    for (at, field) in fields.iter().enumerate() {
        let gap = if at == 0 { "" } else { " " };
        if at == 0 {
            text.push_str(field);
        } else {
            // A String takes everything.
            let _ = write!(text, "{gap}{}", serde_json::Value::from(*field));
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_and_the_time_in_labels_do_not_count_and_other_labels_do() {
        let config = |labels: &str| {
            let json = format!(r#"{{"config":{{"Env":["A=b"]{labels}}},"os":"linux"}}"#);
            String::from_utf8(shaping_config(json.as_bytes())).unwrap()
        };
        let bare = config("");
        let revision = r#""org.opencontainers.image.revision":"abc""#;
        let created = r#""org.opencontainers.image.created":"now""#;
        assert_eq!(config(&format!(r#","Labels":{{{revision},{created}}}"#)), bare);
        let own = config(r#","Labels":{"a":"b"}"#);
        assert_ne!(own, bare);
        assert_eq!(config(&format!(r#","Labels":{{{revision},"a":"b"}}"#)), own);
    }

    use crate::plan::dockerfile::resolver::KnownImages;
    use crate::plan::dockerfile::{CompileOptions, compile, parse};

    /// The key of a Dockerfile over the folder `root`.
    fn key(root: &std::path::Path, dockerfile: &str, options: &[(&str, &str)]) -> ContentKey {
        let options = options.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let dockerfile = parse(dockerfile.as_bytes(), "Dockerfile").unwrap();
        let compile_options = CompileOptions::from_frontend(&BTreeMap::new()).unwrap();
        let compiled = compile(&dockerfile, &compile_options, &KnownImages::new()).unwrap();
        let context = Directory { root: root.to_owned(), exclude: Vec::new() };
        let directories = BTreeMap::from([("context".to_owned(), context)]);
        ContentKey::compute(&compiled, &directories, &options.collect(), &mut Memory::empty())
            .unwrap()
    }

    #[test]
    fn options_and_the_image_config_count() {
        let folder = tempfile::tempdir().unwrap();
        let of = |text: &str, options: &[(&str, &str)]| key(folder.path(), text, options);
        let plain = of("FROM scratch\nCOPY . /\n", &[]);
        assert_eq!(of("FROM scratch AS other\n# note\nCOPY . /\n", &[]), plain);
        let others = [
            of("FROM scratch\nCOPY . /\n", &[("exporter:compression", "zstd")]),
            of("FROM scratch\nCOPY . /\n", &[("exporter:compression", "gzip")]),
            of("FROM scratch\nCOPY . /\nENTRYPOINT [\"/x\"]\n", &[]),
            of("FROM scratch\nCOPY . /\nEXPOSE 80\n", &[]),
        ];
        let mut digests: Vec<Digest> = others.iter().map(|key| key.digest).collect();
        digests.push(plain.digest);
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 5);
    }

    #[test]
    fn a_mount_counts_with_what_it_mounts() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["used/file", "unused/file"] {
            let path = folder.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "one").unwrap();
        }
        let text = "FROM scratch\nRUN --mount=type=bind,source=used,target=/in cat /in/file\n";
        let before = key(folder.path(), text, &[]);
        assert!(before.description.contains(r#"files "context" "/used" "#), "{before:?}");
        fs_err::write(folder.path().join("unused/file"), "two").unwrap();
        assert_eq!(key(folder.path(), text, &[]), before);
        fs_err::write(folder.path().join("used/file"), "two").unwrap();
        assert_ne!(key(folder.path(), text, &[]), before);
    }
}
