//! `ADD` and `COPY`.
use buildkit_rs_proto::pb;

use super::super::git_ref::GitRef;
use super::super::instruction::{Add, Copy, SourcesAndDest};
use super::super::lint::Finding;
use super::super::path;
use super::super::url::Url;
use super::chmod::Mode;
use super::context::git_source;
use super::file_op::{file_node, owner};
use super::run::inline_file;
use super::{Command, CompileErrorKind, Compiler, StageId, location};
use crate::oci::digest::Digest;
use crate::plan::llb::metadata::{COMMAND, CUSTOM_NAME};
use crate::plan::llb::{
    FileAction, Metadata, Node, NodeId, Op, ProgressGroup, State, caps, source,
};

/// What both instructions have in common.
struct Request<'c, 'a> {
    command: &'c Command<'a>,
    files: SourcesAndDest,
    /// Where paths are copied from.
    source: Option<NodeId>,
    is_add: bool,
    chown: String,
    mode: Mode,
    has_chmod: bool,
    link: bool,
    exclude: Vec<String>,
    parents: bool,
    /// These two stay set once a URL sets them, for all sources that follow.
    keep_git_dir: Option<bool>,
    checksum: String,
    unpack: Option<bool>,
    state: State,
    dest: String,
    owner: Option<pb::ChownOpt>,
    name: String,
}

impl<'a> Compiler<'a> {
    pub(super) fn dispatch_add(
        &mut self,
        id: StageId,
        command: &Command<'a>,
        add: Add,
    ) -> Result<(), CompileErrorKind> {
        let message = message("ADD", false, &add.chown, &add.chmod);
        let paths = add.files.paths.clone();
        let request = Request {
            source: Some(self.context),
            is_add: true,
            link: add.link,
            exclude: add.exclude,
            parents: false,
            keep_git_dir: add.keep_git_dir,
            checksum: add.checksum,
            unpack: add.unpack,
            ..self.request(id, command, add.files, add.chown, &add.chmod)?
        };
        self.copy_files(id, request, message)?;
        for source in paths {
            if !source.starts_with("http://") && !source.starts_with("https://") {
                self.context_paths.insert(path::join("/", &source));
            }
        }
        Ok(())
    }

    pub(super) fn dispatch_copy(
        &mut self,
        id: StageId,
        command: &Command<'a>,
        copy: Copy,
    ) -> Result<(), CompileErrorKind> {
        let from = command.sources.first().copied();
        let source = match from {
            Some(from) if !self.stage(from).dispatched => {
                let stage = self.stage(id).shown_name.clone();
                return Err(CompileErrorKind::CopyFromLater { from: copy.from, stage });
            }
            Some(from) => self.state(from).node,
            None => Some(self.context),
        };
        let message = message("COPY", copy.parents, &copy.chown, &copy.chmod);
        let paths = copy.files.paths.clone();
        let request = Request {
            source,
            link: copy.link,
            exclude: copy.exclude,
            parents: copy.parents,
            ..self.request(id, command, copy.files, copy.chown, &copy.chmod)?
        };
        self.copy_files(id, request, message)?;
        for source in paths {
            let used = path::join("/", &source);
            match from {
                Some(from) => self.use_path(from, used),
                None => {
                    self.context_paths.insert(used);
                }
            }
        }
        Ok(())
    }

    fn request<'c>(
        &self,
        id: StageId,
        command: &'c Command<'a>,
        files: SourcesAndDest,
        chown: String,
        chmod: &str,
    ) -> Result<Request<'c, 'a>, CompileErrorKind> {
        let state = self.state(id);
        let written = match &*files.dest {
            "" | "." => "./",
            dest => dest,
        };
        let dest = destination(&state.dir, written);
        Ok(Request {
            command,
            files,
            source: None,
            is_add: false,
            chown,
            mode: Mode::parse(chmod)?,
            has_chmod: !chmod.is_empty(),
            link: false,
            exclude: Vec::new(),
            parents: false,
            keep_git_dir: None,
            checksum: String::new(),
            unpack: None,
            state,
            dest,
            owner: None,
            name: String::new(),
        })
    }

    fn copy_files(
        &mut self,
        id: StageId,
        mut request: Request<'_, 'a>,
        mut message: String,
    ) -> Result<(), CompileErrorKind> {
        check_checksum(&request)?;
        let is_linked = request.link && !request.has_chmod;
        let base = request.state.node.filter(|_| !is_linked);
        if !request.chown.is_empty() {
            request.owner = Some(owner(&request.chown, base));
        }
        let command = request.command;
        request.name = self.command_name(id, command, &request.state.env);
        let mut actions = Vec::new();
        for at in 0..request.files.paths.len() {
            let path = request.files.paths[at].clone();
            message.push(' ');
            message.push_str(&path);
            actions.push(self.copy_source_path(&mut request, &path)?);
        }
        for content in std::mem::take(&mut request.files.contents) {
            message.push_str(" <<");
            message.push_str(&content.path);
            let node = self.graph.add(inline_file(&content.path, &content.data, 0o644));
            let src = path::join("/", &content.path);
            actions.push(request.action(Some(node), src, |_| {}));
        }
        message.push(' ');
        message.push_str(&request.files.dest);
        let node = match is_linked {
            true => self.link_files(id, &request, actions),
            false => {
                let op = Op::File { base, actions };
                let metadata = self.copy_metadata(id, request.name.clone());
                Some(self.graph.add(file_node(op, metadata, command.lines)))
            }
        };
        self.set_state(id, |state| state.node = node);
        message.push_str(" # buildkit");
        self.commit(id, message, true);
        Ok(())
    }

    fn copy_metadata(&self, id: StageId, name: String) -> Metadata {
        Metadata { ignore_cache: self.stage(id).ignore_cache, ..Metadata::named(name) }
    }

    /// Copies into an empty directory and lays that over the stage's files.
    ///
    /// The copy does not depend on what is below, and stays cached when that changes.
    fn link_files(
        &mut self,
        id: StageId,
        request: &Request<'_, 'a>,
        actions: Vec<FileAction>,
    ) -> Option<NodeId> {
        let group = |weak: bool| {
            let lines = request.command.lines;
            let place = format!("{}\0{}\0{}", self.target_platform, lines, request.name);
            // Only has to differ from other groups of the same build.
            let id = Digest::of(place.as_bytes()).hex()[..25].to_owned();
            Some(ProgressGroup { id, name: request.name.clone(), weak })
        };
        let (weak, strong) = (group(true), group(false));
        let mut metadata = self.copy_metadata(id, request.name.clone());
        metadata.progress_group = weak;
        let op = Op::File { base: None, actions };
        let copy = self.graph.add(file_node(op, metadata, request.command.lines));
        let command = request.command;
        let name = self.link_name(id, command, &request.state.env);
        let mut metadata = self.copy_metadata(id, name);
        metadata.progress_group = strong;
        metadata.caps.insert(caps::MERGE_OP);
        let node = Node { metadata, locations: vec![location(command.lines)], ..Node::default() };
        self.graph.merge(&[request.state.node, Some(copy)], node)
    }

    fn copy_source_path(
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
    fn action(
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

/// The beginning of a history entry.
fn message(keyword: &str, parents: bool, chown: &str, chmod: &str) -> String {
    let mut message = keyword.to_owned();
    if parents {
        message.push_str(" --parents");
    }
    for (flag, value) in [("chown", chown), ("chmod", chmod)] {
        if !value.is_empty() {
            message.push_str(&format!(" --{flag}={value}"));
        }
    }
    message
}

/// The absolute destination, which keeps a trailing slash or `/.`: it tells a directory from a file.
fn destination(dir: &str, written: &str) -> String {
    let absolute = path::normalize(dir, written, true);
    let mut clean = path::clean(&absolute);
    path::keep_trailing_slash(&absolute, &mut clean);
    clean
}

fn check_checksum(request: &Request<'_, '_>) -> Result<(), CompileErrorKind> {
    if request.checksum.is_empty() {
        return Ok(());
    }
    match &request.files.paths[..] {
        [only] if is_http(only) || matches!(GitRef::parse(only), Ok(Some(_))) => Ok(()),
        [_] => Err(CompileErrorKind::ChecksumForPath),
        _ => Err(CompileErrorKind::ChecksumForSeveral),
    }
}

pub(super) fn is_http(path: &str) -> bool {
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
