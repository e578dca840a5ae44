//! `ADD` and `COPY`.
mod sources;

use buildkit_rs_proto::pb;

use super::super::instruction::{Add, Copy, SourcesAndDest};
use super::super::path;
use super::chmod::Mode;
use super::file_op::{file_node, owner};
use super::run::inline_file;
use super::{Command, CompileErrorKind, Compiler, StageId, location};
use crate::oci::digest::Digest;
use crate::plan::llb::{FileAction, Metadata, Node, NodeId, Op, ProgressGroup, State, caps};
use sources::check_checksum;

pub(super) use sources::is_http;

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
        let command = request.command;
        let group = |weak: bool| {
            let place = format!("{}\0{}\0{}", self.target_platform, command.lines, request.name);
            // Only has to differ from other groups of the same build.
            let id = Digest::of(place.as_bytes()).hex()[..25].to_owned();
            Some(ProgressGroup { id, name: request.name.clone(), weak })
        };
        let (weak, strong) = (group(true), group(false));
        let mut metadata = self.copy_metadata(id, request.name.clone());
        metadata.progress_group = weak;
        let op = Op::File { base: None, actions };
        let copy = self.graph.add(file_node(op, metadata, command.lines));
        let name = self.link_name(id, command, &request.state.env);
        let mut metadata = self.copy_metadata(id, name);
        metadata.progress_group = strong;
        metadata.caps.insert(caps::MERGE_OP);
        let node = Node { metadata, locations: vec![location(command.lines)], ..Node::default() };
        self.graph.merge(&[request.state.node, Some(copy)], node)
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
