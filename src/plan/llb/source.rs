//! Sources: where the files of a build come from.
use std::collections::BTreeMap;

use buildkit_rs_proto::pb;

use super::caps;
use super::graph::{Node, Op};
use super::metadata::Metadata;
use crate::oci::go_json;
use crate::oci::platform::Platform;

fn attribute(attrs: &mut BTreeMap<String, String>, key: &str, value: &str) {
    attrs.insert(key.to_owned(), value.to_owned());
}

fn source(identifier: String, attrs: BTreeMap<String, String>, metadata: Metadata) -> Node {
    let op = Op::Source(pb::SourceOp { identifier, attrs });
    Node { op, metadata, ..Node::default() }
}

/// An image in a registry.
///
/// `resolve_mode` is empty for the default; only `pull` is something an engine must know.
#[must_use]
pub fn image(
    reference: &str,
    platform: Option<&Platform>,
    resolve_mode: &str,
    mut metadata: Metadata,
) -> Node {
    metadata.caps.insert(caps::SOURCE_IMAGE);
    let mut attrs = BTreeMap::new();
    if !resolve_mode.is_empty() {
        attribute(&mut attrs, "image.resolvemode", resolve_mode);
        if resolve_mode == "pull" {
            metadata.caps.insert(caps::SOURCE_IMAGE_RESOLVE_MODE);
        }
    }
    let identifier = format!("docker-image://{reference}");
    Node { platform: platform.cloned(), ..source(identifier, attrs, metadata) }
}

/// An image in an OCI layout that a session offers as `store`.
#[must_use]
pub fn oci_layout(
    reference: &str,
    platform: Option<&Platform>,
    session: &str,
    store: &str,
    mut metadata: Metadata,
) -> Node {
    metadata.caps.insert(caps::SOURCE_OCI_LAYOUT);
    let mut attrs = BTreeMap::new();
    if !session.is_empty() {
        attribute(&mut attrs, "oci.session", session);
    }
    attribute(&mut attrs, "oci.store", store);
    let identifier = format!("oci-layout://{reference}");
    Node { platform: platform.cloned(), ..source(identifier, attrs, metadata) }
}

/// A directory of the client.
#[derive(Debug, Clone, Default)]
pub struct Local {
    /// The name under which a session offers it.
    pub name: String,
    /// The session.
    pub session: String,
    /// What tells apart directories that are offered under one name.
    pub shared_key_hint: String,
    /// Patterns of what is left out.
    pub exclude_patterns: Vec<String>,
    /// The paths that are used, and where their symlinks lead; empty for all.
    pub follow_paths: Vec<String>,
    /// Whether all files are sent again, whatever the engine already has.
    pub no_diff: bool,
}

impl Local {
    /// The source of this directory.
    #[must_use]
    pub fn node(&self, mut metadata: Metadata) -> Node {
        let mut attrs = BTreeMap::new();
        metadata.caps.insert(caps::SOURCE_LOCAL);
        let mut add = |key: &str, value: &str, cap: &'static str| {
            if !value.is_empty() {
                attribute(&mut attrs, key, value);
                metadata.caps.insert(cap);
            }
        };
        let list = |list: &[String]| match list {
            [] => String::new(),
            list => go_json::to_string(&list),
        };
        add("local.session", &self.session, caps::SOURCE_LOCAL_SESSION_ID);
        let follow = list(&self.follow_paths);
        add("local.followpaths", &follow, caps::SOURCE_LOCAL_FOLLOW_PATHS);
        let exclude = list(&self.exclude_patterns);
        add("local.excludepatterns", &exclude, caps::SOURCE_LOCAL_EXCLUDE_PATTERNS);
        add("local.sharedkeyhint", &self.shared_key_hint, caps::SOURCE_LOCAL_SHARED_KEY_HINT);
        if self.no_diff {
            attribute(&mut attrs, "local.differ", "none");
        }
        source(format!("local://{}", self.name), attrs, metadata)
    }
}

/// A file to download; `checksum` is empty when it does not matter.
#[must_use]
pub fn http(url: &str, filename: &str, checksum: &str, mut metadata: Metadata) -> Node {
    metadata.caps.insert(caps::SOURCE_HTTP);
    let mut attrs = BTreeMap::new();
    if !checksum.is_empty() {
        attribute(&mut attrs, "http.checksum", checksum);
        metadata.caps.insert(caps::SOURCE_HTTP_CHECKSUM);
    }
    attribute(&mut attrs, "http.filename", filename);
    source(url.to_owned(), attrs, metadata)
}

/// A Git repository.
#[derive(Debug, Clone, Default)]
pub struct Git {
    /// The address without options.
    pub remote: String,
    /// Host, as it stands in the address.
    pub host: String,
    /// Path, as it stands in the address.
    pub path: String,
    /// Whether it is reached by SSH.
    pub ssh: bool,
    /// Branch, tag or commit; empty for the default branch.
    pub reference: String,
    /// Directory inside the repository; empty for all of it.
    pub subdir: String,
    /// Whether `.git` is kept.
    pub keep_git_dir: bool,
    /// Commit that the reference must be; empty when it does not matter.
    pub checksum: String,
    /// Whether submodules are left out.
    pub skip_submodules: bool,
    /// Which times files get; empty for the engine's choice.
    pub mtime: String,
    /// Whether the commit is fetched itself.
    pub fetch_by_commit: bool,
}

impl Git {
    /// The source of this repository.
    ///
    /// The identifier does not tell protocols apart, so that one repository is one source.
    #[must_use]
    pub fn node(&self, mut metadata: Metadata) -> Node {
        let path = if self.path.starts_with('/') { "" } else { "/" };
        let mut identifier = format!("git://{}{path}{}", self.host, self.path);
        if !self.reference.is_empty() || !self.subdir.is_empty() {
            identifier.push('#');
            identifier.push_str(&self.reference);
        }
        if !self.subdir.is_empty() {
            identifier.push(':');
            identifier.push_str(&self.subdir);
        }
        metadata.caps.extend([caps::SOURCE_GIT, caps::SOURCE_GIT_FULL_URL]);
        let mut attrs = BTreeMap::new();
        // Names of secrets that the engine may ask the session for, not secrets.
        attribute(&mut attrs, "git.authheadersecret", "GIT_AUTH_HEADER");
        attribute(&mut attrs, "git.authtokensecret", "GIT_AUTH_TOKEN");
        attribute(&mut attrs, "git.fullurl", &self.remote);
        let mut add = |key: &str, value: &str, cap: &'static str| {
            if !value.is_empty() {
                attribute(&mut attrs, key, value);
                metadata.caps.insert(cap);
            }
        };
        let flag = |set: bool| if set { "true" } else { "" };
        add("git.keepgitdir", flag(self.keep_git_dir), caps::SOURCE_GIT_KEEP_DIR);
        add("git.checksum", &self.checksum, caps::SOURCE_GIT_CHECKSUM);
        add("git.skipsubmodules", flag(self.skip_submodules), caps::SOURCE_GIT_SKIP_SUBMODULES);
        add("git.mtime", &self.mtime, caps::SOURCE_GIT_MTIME);
        add("git.fetchbycommit", flag(self.fetch_by_commit), caps::SOURCE_GIT_FETCH_BY_COMMIT);
        if self.ssh {
            add("git.mountsshsock", "default", caps::SOURCE_GIT_MOUNT_SSH_SOCK);
            metadata.caps.insert(caps::SOURCE_GIT_KNOWN_SSH_HOSTS);
        }
        source(identifier, attrs, metadata)
    }
}
