//! What `ADD` and `COPY` copy from: paths of a context or a stage, repositories, downloads.
use buildkit_rs_proto::pb;

use super::Request;
use crate::plan::dockerfile::compile::context::git_source;
use crate::plan::dockerfile::compile::{CompileErrorKind, Compiler};
use crate::plan::dockerfile::git_ref::GitRef;
use crate::plan::dockerfile::lint::Finding;
use crate::plan::dockerfile::path;
use crate::plan::dockerfile::url::Url;
use crate::plan::llb::metadata::{COMMAND, CUSTOM_NAME};
use crate::plan::llb::{FileAction, Metadata, NodeId, source};

impl<'a> Compiler<'a> {
    /// The copy of one source, whatever that is.
    pub(super) fn copy_source_path(
        &mut self,
        request: &mut Request<'_, 'a>,
        path: &str,
    ) -> Result<FileAction, CompileErrorKind> {
        match GitRef::parse(path)? {
            Some(git) if !git.may_be_path => self.copy_repository(request, &git),
            _ if is_http(path) => self.copy_download(request, path),
            _ => {
                self.warn_ignored(request, path);
                Ok(request.copy_path(path))
            }
        }
    }

    /// Reports a path of the build context that `.dockerignore` leaves out.
    ///
    /// With patterns that take others back, that is too hard to say.
    fn warn_ignored(&mut self, request: &Request<'_, 'a>, path: &str) {
        let patterns = &self.ignored;
        if request.source != Some(self.context) || patterns.is_empty() || patterns.has_negations() {
            return;
        }
        let path = path::clean(path);
        let is_root = path == "." || path == "/";
        let covers_root = |text: &str| matches!(text, "*" | "**" | "**/*");
        if is_root && !patterns.patterns().iter().any(|pattern| covers_root(pattern.text())) {
            return;
        }
        if patterns.matches(path.as_bytes()) {
            let instruction = if request.is_add { "ADD" } else { "COPY" };
            let finding = Finding::CopyIgnoredFile { instruction, path };
            self.linter.warn(&request.command.instruction.origin, finding);
        }
    }

    fn copy_repository(
        &mut self,
        request: &mut Request<'_, 'a>,
        git: &GitRef,
    ) -> Result<FileAction, CompileErrorKind> {
        if !request.is_add {
            return Err(CompileErrorKind::GitForCopy);
        }
        if let Some(keep) = git.keep_git_dir {
            if request.keep_git_dir.is_some_and(|flag| flag != keep) {
                return Err(CompileErrorKind::KeepGitDir);
            }
            request.keep_git_dir = Some(keep);
        }
        if !git.checksum.is_empty() {
            if !request.checksum.is_empty() && request.checksum != git.checksum {
                let (flag, url) = (request.checksum.clone(), git.checksum.clone());
                return Err(CompileErrorKind::ChecksumMismatch { flag, url });
            }
            request.checksum.clone_from(&git.checksum);
        }
        let repository = source::Git {
            checksum: request.checksum.clone(),
            // A choice of file times is only understood in build contexts.
            mtime: String::new(),
            ..git_source(git, request.keep_git_dir == Some(true))
        };
        let node = self.graph.add(repository.node(Metadata::named(request.name.clone())));
        Ok(request.action(Some(node), "/".to_owned(), |_| {}))
    }

    fn copy_download(
        &mut self,
        request: &Request<'_, 'a>,
        url: &str,
    ) -> Result<FileAction, CompileErrorKind> {
        if !request.is_add {
            return Err(CompileErrorKind::UrlForCopy);
        }
        let filename = match Url::parse(url) {
            Some(parsed) => match path::base(&parsed.path) {
                "." | "/" => "__unnamed__".to_owned(),
                base => base.to_owned(),
            },
            None => "__unnamed__".to_owned(),
        };
        if filename.contains(char::REPLACEMENT_CHARACTER) && !url.contains(&filename) {
            return Err(CompileErrorKind::UrlFilename(url.to_owned()));
        }
        if !request.checksum.is_empty() && !is_digest(&request.checksum) {
            return Err(CompileErrorKind::Checksum(request.checksum.clone()));
        }
        let mut metadata = Metadata::default();
        metadata.description.insert(CUSTOM_NAME, request.name.clone());
        metadata.description.insert(COMMAND, String::new());
        let node = source::http(url, &filename, &request.checksum, metadata);
        let node = self.graph.add(node);
        let unpack = request.unpack == Some(true);
        Ok(request.action(Some(node), path::join("/", &filename), |copy| {
            copy.attempt_unpack_docker_compatibility = unpack;
        }))
    }
}

impl Request<'_, '_> {
    /// A copy of `src` of `source`, with what all copies of the instruction have in common.
    pub(super) fn action(
        &self,
        source: Option<NodeId>,
        src: String,
        change: impl FnOnce(&mut pb::FileActionCopy),
    ) -> FileAction {
        let (mode, mode_str) = self.mode.fields();
        let mut copy = pb::FileActionCopy {
            src,
            dest: self.dest.clone(),
            owner: self.owner.clone(),
            mode,
            mode_str,
            create_dest_path: true,
            timestamp: -1,
            exclude_patterns: self.exclude.clone(),
            ..pb::FileActionCopy::default()
        };
        change(&mut copy);
        FileAction { source, action: pb::file_action::Action::Copy(copy) }
    }

    fn copy_path(&self, path: &str) -> FileAction {
        let mut src = path;
        let mut include = Vec::new();
        let mut required = Vec::new();
        if self.parents {
            let (pivot, pattern) = path.split_once("/./").unwrap_or(("/", path));
            let pattern = path::normalize("/", pattern, false);
            src = pivot;
            if !has_wildcard(src) && !has_wildcard(&pattern) {
                required.push(path::normalize("/", &path::join(src, &pattern), false));
            }
            include.push(pattern.strip_prefix('/').unwrap_or(&pattern).to_owned());
        }
        let src = path::join("/", &path::clean(&path::normalize("/", src, false)));
        self.action(self.source, src, |copy| {
            copy.follow_symlink = true;
            copy.dir_copy_contents = true;
            copy.allow_wildcard = true;
            copy.allow_empty_wildcard = true;
            copy.include_patterns = include;
            copy.required_paths = required;
            copy.attempt_unpack_docker_compatibility = self.unpack.unwrap_or(self.is_add);
        })
    }
}

/// Refuses `--checksum` for anything but one download or repository.
pub(super) fn check_checksum(request: &Request<'_, '_>) -> Result<(), CompileErrorKind> {
    if request.checksum.is_empty() {
        return Ok(());
    }
    match &request.files.paths[..] {
        [only] if is_http(only) || matches!(GitRef::parse(only), Ok(Some(_))) => Ok(()),
        [_] => Err(CompileErrorKind::ChecksumForPath),
        _ => Err(CompileErrorKind::ChecksumForSeveral),
    }
}

/// Whether `path` is the URL of a file, not of a repository.
pub(in crate::plan::dockerfile::compile) fn is_http(path: &str) -> bool {
    (path.starts_with("http://") || path.starts_with("https://"))
        && !matches!(GitRef::parse(path), Ok(Some(_)))
}

/// Whether `text` is a digest of an algorithm that engines know.
fn is_digest(text: &str) -> bool {
    let length = match text.split_once(':') {
        Some(("sha256", _)) => 64,
        Some(("sha384", _)) => 96,
        Some(("sha512", _)) => 128,
        _ => return false,
    };
    let hex = &text[7..];
    hex.len() == length && hex.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether `path` has a wildcard that is not escaped.
fn has_wildcard(path: &str) -> bool {
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'*' | b'?' | b'[' => return true,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
    false
}
