//! Named contexts, and the build context.
use super::super::compiled::LocalContext;
use super::super::git_ref::{GitRef, Remote};
use super::super::options::{MainContext, parse_bool};
use super::super::path;
use super::super::resolver::{ImagePlace, ImageQuery};
use super::super::text::equal_fold;
use super::image::key_value;
use super::stages::SCRATCH;
use super::{CompileError, CompileErrorKind, Compiler, PathsId};
use crate::oci::config::ImageConfig;
use crate::oci::digest::Digest;
use crate::oci::platform::Platform;
use crate::oci::reference::ImageReference;
use crate::plan::llb::source::{self, Local};
use crate::plan::llb::{FileAction, Metadata, Node, NodeId, Op, State};
use buildkit_rs_proto::pb;

/// A context that stands for an image or a stage of some name.
#[derive(Debug, Clone)]
pub(super) struct NamedContext {
    /// Where it comes from.
    source: String,
    /// The name it was found by, as people write it.
    name: String,
    /// The name, with the platform if it is for one only.
    full_name: String,
    /// The platform asked for.
    platform: Option<Platform>,
}

/// A local directory whose paths are known only when all instructions have been compiled.
pub(super) struct PendingLocal {
    node: NodeId,
    name: String,
    full_name: String,
    paths: Option<PathsId>,
}

impl Compiler<'_> {
    /// The context that replaces the stage `name`, if there is one.
    pub(super) fn named_context(
        &self,
        name: &str,
        platform: Option<&Platform>,
    ) -> Result<Option<NamedContext>, CompileError> {
        Ok(self.named_context_kind(name, platform)?)
    }

    /// The context that replaces the stage or image `name`, if there is one.
    pub(super) fn named_context_kind(
        &self,
        name: &str,
        platform: Option<&Platform>,
    ) -> Result<Option<NamedContext>, CompileErrorKind> {
        if equal_fold(name, SCRATCH) || equal_fold(name, super::super::options::CONTEXT_NAME) {
            return Ok(None);
        }
        let platform = match platform {
            Some(platform) => Some(platform.clone()),
            None if self.implicit_target => None,
            None => Some(self.target_platform.clone()),
        };
        let reference = ImageReference::parse(name)
            .map_err(|source| CompileErrorKind::ContextName { name: name.to_owned(), source })?;
        if self.options.named_contexts.is_empty() {
            return Ok(None);
        }
        let familiar = reference.familiar();
        let short = familiar.strip_suffix(":latest").unwrap_or(&familiar);
        let for_platform = platform.as_ref().map_or_else(Platform::host, Platform::normalize);
        let full_name = format!("{short}::{for_platform}");
        let found = [full_name, short.to_owned()].into_iter().find_map(|full_name| {
            let source = self.options.named_contexts.get(&full_name)?.clone();
            let platform = platform.clone();
            Some(NamedContext { source, name: short.to_owned(), full_name, platform })
        });
        Ok(found)
    }

    /// The state of a context, with the config of its image if it is one.
    ///
    /// `None` if its image has not been looked up yet.
    pub(super) fn load_context(
        &mut self,
        context: &NamedContext,
        paths: Option<PathsId>,
    ) -> Result<Option<(State, Option<ImageConfig>)>, CompileErrorKind> {
        let error = |reason: &str| context.error(reason);
        let Some((scheme, rest)) = context.source.split_once(':') else {
            return Err(error("it has no `:`"));
        };
        let scheme = if scheme.starts_with("git@") { "git" } else { scheme };
        let title = format!("[context {}] ", context.full_name);
        let node = match scheme {
            "docker-image" => return self.load_image(context, rest.trim_start_matches("//")),
            "oci-layout" => return self.load_layout(context, rest.trim_start_matches("//")),
            "local" => {
                let node = self.graph.reserve();
                let (name, full_name) = (rest.to_owned(), context.full_name.clone());
                self.locals.push(PendingLocal { node, name, full_name, paths });
                node
            }
            "git" | "http" | "https" => match GitRef::parse(&context.source)? {
                Some(git) => {
                    let metadata = internal(&format!("load git source {}", context.source));
                    let keep = git.keep_git_dir == Some(true);
                    self.graph.add(git_source(&git, keep).node(metadata))
                }
                None if scheme == "git" => return Err(error("it is no git reference")),
                None => {
                    let metadata = Metadata::named(title + &context.source);
                    self.graph.add(source::http(&context.source, "context", "", metadata))
                }
            },
            other => return Err(error(&format!("`{other}` is no known kind of source"))),
        };
        Ok(Some((State::source(node, None), None)))
    }

    fn load_image(
        &mut self,
        context: &NamedContext,
        text: &str,
    ) -> Result<Option<(State, Option<ImageConfig>)>, CompileErrorKind> {
        if text == SCRATCH {
            return Ok(Some((State::scratch(), None)));
        }
        let reference = ImageReference::parse(text)
            .map_err(|error| context.error(&error.to_string()))?
            .tag_name_only();
        let query = ImageQuery {
            reference: reference.to_string(),
            platform: context.platform.clone().unwrap_or_else(|| self.target_platform.clone()),
            mode: self.options.resolve_mode,
            place: ImagePlace::Registry,
            name: format!("[context {}] load metadata for {text}", context.full_name),
        };
        let Some(answer) = self.resolve_context(&query)? else { return Ok(None) };
        let reference = answer.reference.tag_name_only().to_string();
        let metadata = Metadata::named(format!("[context {}] {text}", context.full_name));
        let node = source::image(&reference, context.platform.as_ref(), "", metadata);
        // What is reported as the base has lost its time; that of a layout has not.
        let config = ImageConfig { created: None, ..answer.config };
        Ok(Some(self.image_context(node, context.platform.as_ref(), config)))
    }

    fn load_layout(
        &mut self,
        context: &NamedContext,
        text: &str,
    ) -> Result<Option<(State, Option<ImageConfig>)>, CompileErrorKind> {
        let (name, digest) = text
            .split_once('@')
            .ok_or_else(|| context.error("it has no digest: write `oci-layout://path@sha256:…`"))?;
        let digest: Digest = digest
            .parse()
            .map_err(|error: crate::oci::digest::DigestError| context.error(&error.to_string()))?;
        let is_tag = |tail: &str| !tail.contains('/');
        let store = match name.rsplit_once(':') {
            Some((store, tag)) if is_tag(tag) => store,
            _ => name,
        };
        if store.is_empty() {
            return Err(context.error("it has no name"));
        }
        // The name of the context stands in for one, as the layout has none that people know.
        let reference = ImageReference::parse(&context.name)
            .map_err(|error| context.error(&error.to_string()))?
            .with_digest(digest)
            .to_string();
        let query = ImageQuery {
            reference: reference.clone(),
            platform: context.platform.clone().unwrap_or_else(|| self.target_platform.clone()),
            mode: self.options.resolve_mode,
            place: ImagePlace::OciLayout { store: store.to_owned(), digest },
            name: format!("[context {}] load metadata for {reference}", context.full_name),
        };
        let Some(answer) = self.resolve_context(&query)? else { return Ok(None) };
        let metadata =
            Metadata::named(format!("[context {}] OCI load from client", context.full_name));
        let platform = context.platform.as_ref();
        let session = &self.options.session_id;
        let node = source::oci_layout(&reference, platform, session, store, metadata);
        Ok(Some(self.image_context(node, platform, answer.config)))
    }

    fn resolve_context(
        &mut self,
        query: &ImageQuery,
    ) -> Result<Option<super::base::Base>, CompileErrorKind> {
        let answer = self
            .resolve(query)
            .map_err(|error| CompileErrorKind::Resolve { error, suggestion: None.into() })?;
        answer.map(|answer| self.read_answer(query, &answer)).transpose()
    }

    /// The state of an image with what its config says of commands.
    fn image_context(
        &mut self,
        node: Node,
        platform: Option<&Platform>,
        config: ImageConfig,
    ) -> (State, Option<ImageConfig>) {
        let mut state = State::source(self.graph.add(node), platform);
        for entry in &config.config.env {
            let (key, value) = key_value(entry);
            if !key.is_empty() {
                state.env.set(key, value);
            }
        }
        state.dir = path::normalize("/", &config.config.working_dir, false).into();
        if !config.architecture.is_empty() && !config.os.is_empty() {
            state.platform = Some(config.platform().normalize());
        }
        (state, Some(config))
    }

    /// Describes the build context and all local directories, as all their paths are known now.
    pub(super) fn fill_contexts(&mut self) -> Result<Vec<LocalContext>, CompileErrorKind> {
        let mut locals = Vec::new();
        self.fill_main_context(&mut locals)?;
        for pending in std::mem::take(&mut self.locals) {
            let options = self.options;
            let paths = pending.paths.map(|paths| &self.paths[paths.0]);
            let shared_key = options.shared_keys.get(&pending.full_name).map_or("", String::as_str);
            let local = Local {
                session: options.session_of(&pending.name).to_owned(),
                shared_key_hint: format!("context:{}-{shared_key}", pending.full_name),
                exclude_patterns: options
                    .named_dockerignores
                    .get(&pending.full_name)
                    .cloned()
                    .unwrap_or_default(),
                follow_paths: paths.map(follow_paths).unwrap_or_default(),
                name: pending.name,
                no_diff: false,
            };
            let title = format!("[context {}] load from client", pending.full_name);
            self.graph.fill(pending.node, local.node(Metadata::named(title)));
            locals.push(used_local(local));
        }
        Ok(locals)
    }

    fn fill_main_context(
        &mut self,
        locals: &mut Vec<LocalContext>,
    ) -> Result<(), CompileErrorKind> {
        let options = self.options;
        let node = match &options.context {
            MainContext::Local(name) => {
                let local = Local {
                    name: name.clone(),
                    session: options.session_of(name).to_owned(),
                    shared_key_hint: name.clone(),
                    exclude_patterns: options.dockerignore.clone(),
                    follow_paths: follow_paths(&self.context_paths),
                    no_diff: false,
                };
                let node = local.node(internal("load build context"));
                locals.push(used_local(local));
                self.graph.fill(self.context, node);
                return Ok(());
            }
            MainContext::Git(text) => {
                let Some(git) = GitRef::parse(text)? else {
                    return Err(CompileErrorKind::Context {
                        name: super::super::options::CONTEXT_NAME.to_owned(),
                        source_text: text.clone(),
                        reason: "it is no git reference".to_owned(),
                    });
                };
                self.main_git_context(text, &git)
            }
            MainContext::Http { url, archive } => {
                let node = source::http(url, "context", "", internal("load remote build context"));
                if *archive {
                    let source = self.graph.add(node);
                    copy_node(source, "/context", |copy| {
                        copy.attempt_unpack_docker_compatibility = true;
                    })
                } else {
                    node
                }
            }
        };
        let node = match &options.context_subdir {
            Some(subdir) => {
                let source = self.graph.add(node);
                let subdir = path::join("/", subdir);
                copy_node(source, &subdir, |copy| copy.dir_copy_contents = true)
            }
            None => node,
        };
        self.graph.fill(self.context, node);
        Ok(())
    }

    fn main_git_context(&self, text: &str, git: &GitRef) -> Node {
        let argument = |name: &str| self.options.build_args.get(name).map(String::as_str);
        let keep = argument("BUILDKIT_CONTEXT_KEEP_GIT_DIR").and_then(parse_bool) == Some(true);
        let mut repository = git_source(git, keep || git.keep_git_dir == Some(true));
        repository.mtime.clone_from(&git.mtime);
        if repository.mtime.is_empty()
            && argument("SOURCE_DATE_EPOCH").is_some_and(|epoch| !epoch.is_empty())
        {
            "commit".clone_into(&mut repository.mtime);
        }
        repository.node(internal(&format!("load git source {text}")))
    }
}

impl NamedContext {
    /// Whether it is a Git repository or a download, which have a time.
    pub(super) fn is_remote(&self) -> bool {
        let known = ["docker-image:", "oci-layout:", "local:"];
        !known.iter().any(|scheme| self.source.starts_with(scheme))
    }

    fn error(&self, reason: &str) -> CompileErrorKind {
        CompileErrorKind::Context {
            name: self.full_name.clone(),
            source_text: self.source.clone(),
            reason: reason.to_owned(),
        }
    }
}

/// Metadata of what no instruction asks for by itself.
pub(super) fn internal(name: &str) -> Metadata {
    Metadata::named(format!("[internal] {name}"))
}

/// The repository of a reference, as sources name it.
pub(super) fn git_source(git: &GitRef, keep_git_dir: bool) -> source::Git {
    let remote =
        Remote::parse(&git.remote).or_else(|| Remote::parse(&format!("https://{}", git.remote)));
    let base = match remote {
        Some(remote) => source::Git {
            ssh: remote.scheme == "ssh",
            path: path::join("/", &remote.path),
            host: remote.host,
            remote: remote.text,
            ..source::Git::default()
        },
        None => source::Git { remote: git.remote.clone(), ..source::Git::default() },
    };
    source::Git {
        reference: git.reference.clone(),
        subdir: git.subdir.clone(),
        keep_git_dir,
        checksum: git.checksum.clone(),
        skip_submodules: git.submodules == Some(false),
        fetch_by_commit: git.fetch_by_commit,
        mtime: git.mtime.clone(),
        ..base
    }
}

/// A file op that copies `src` of `source` to the root of an empty directory.
fn copy_node(source: NodeId, src: &str, change: impl Fn(&mut pb::FileActionCopy)) -> Node {
    let mut copy = pb::FileActionCopy {
        src: src.to_owned(),
        dest: "/".to_owned(),
        mode: -1,
        timestamp: -1,
        ..pb::FileActionCopy::default()
    };
    change(&mut copy);
    let action = FileAction { source: Some(source), action: pb::file_action::Action::Copy(copy) };
    let op = Op::File { base: None, actions: vec![action] };
    let mut metadata = Metadata::default();
    metadata.caps.insert(crate::plan::llb::caps::FILE_BASE);
    Node { op, metadata, ..Node::default() }
}

/// The paths in the form of sources: relative and sorted; none if all are used.
fn follow_paths(paths: &std::collections::BTreeSet<String>) -> Vec<String> {
    if paths.contains("/") {
        return Vec::new();
    }
    let mut relative: Vec<String> = paths.iter().map(|path| path::join(".", path)).collect();
    relative.sort_unstable();
    relative
}

fn used_local(local: Local) -> LocalContext {
    LocalContext {
        name: local.name,
        follow_paths: local.follow_paths,
        exclude_patterns: local.exclude_patterns,
    }
}
