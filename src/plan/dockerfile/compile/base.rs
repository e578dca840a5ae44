//! Base images: their configs, their triggers, and the states that stages start from.
use std::collections::BTreeSet;

use super::super::compiled::UsedImage;
use super::super::instruction::InstructionKind;
use super::super::lint::Finding;
use super::super::parse_trigger;
use super::super::resolver::{ImagePlace, ImageQuery, ResolveError, ResolvedImage};
use super::super::source::LineRange;
use super::super::suggest::nearest;
use super::image::Image;
use super::stages::SCRATCH;
use super::{CompileError, CompileErrorKind, Compiler, StageId, Written, location};
use crate::oci::config::ImageConfig;
use crate::oci::platform::Platform;
use crate::oci::reference::ImageReference;
use crate::plan::llb::metadata::{COMMAND, CUSTOM_NAME};
use crate::plan::llb::{EnvList, Metadata, State, source};

/// Images that a mistyped base is compared with.
const COMMON_IMAGES: &[&str] = &[
    "alpine", "busybox", "centos", "debian", "golang", "ubuntu", "fedora", "node", "python", "rust",
];

/// What [`Compiler::resolve`] knows of an image.
pub(super) struct Base {
    pub reference: ImageReference,
    pub digest: crate::oci::digest::Digest,
    pub config: ImageConfig,
}

impl Compiler<'_> {
    /// Resolves the bases of all stages that `target` needs, and adds their triggers.
    ///
    /// Triggers may need further images, so this goes on until nothing new appears.
    pub(super) fn resolve_stages(
        &mut self,
        target: StageId,
    ) -> Result<BTreeSet<StageId>, CompileError> {
        loop {
            let needed = self.needed_stages(target);
            self.resolve_bases(&needed)?;
            if !self.unresolved.is_empty() {
                let missing = std::mem::take(&mut self.unresolved);
                return Err(CompileError::Unresolved(missing.into_iter().collect()));
            }
            let mut found_more = false;
            for id in &needed {
                found_more |= self.add_triggers(*id)?;
            }
            if !found_more {
                return Ok(needed);
            }
        }
    }

    fn resolve_bases(&mut self, needed: &BTreeSet<StageId>) -> Result<(), CompileError> {
        for id in (0..self.stages.len()).map(StageId) {
            let is_needed = needed.contains(&id) || self.options.all_stages;
            let stage = self.stage_mut(id);
            if stage.base.is_some() || stage.dispatched || stage.resolved {
                continue;
            }
            stage.resolved = is_needed;
            let is_image_only = stage.parsed.is_none();
            if stage.base_name == SCRATCH && stage.named_context.is_none() {
                self.start_from_scratch(id);
            } else {
                let lines = stage.lines;
                self.resolve_base(id, is_needed).map_err(|kind| self.error(kind, lines))?;
            }
            if is_image_only {
                self.stage_mut(id).dispatched = true;
            }
        }
        Ok(())
    }

    fn start_from_scratch(&mut self, id: StageId) {
        let platform = self.target_platform.clone();
        let stage = self.stage_mut(id);
        stage.state = Some(State::scratch());
        stage.image = Image::new(ImageConfig::empty(&platform));
        stage.platform = Some(platform);
    }

    fn resolve_base(&mut self, id: StageId, is_needed: bool) -> Result<(), CompileErrorKind> {
        let written = self.stage(id).base_name.clone();
        let reference = ImageReference::parse(&written)
            .map_err(|source| CompileErrorKind::BaseName { name: written.clone(), source })?;
        let own_platform = self.stage(id).platform.clone();
        let mut platform = own_platform.clone().unwrap_or_else(|| self.target_platform.clone());
        let full = reference.tag_name_only().to_string();
        self.stage_mut(id).base_name.clone_from(&full);
        let mut is_scratch = false;
        if is_needed {
            if let Some(context) = self.stage(id).named_context.clone() {
                return self.replace_stage(id, &context);
            }
            if let Some(context) = self.named_context_kind(&full, Some(&platform))? {
                return self.replace_base(id, &context, platform);
            }
            let Some(base) = self.resolve_image(&full, &written, &platform)? else {
                return Ok(());
            };
            if own_platform.is_none() && self.implicit_target {
                platform = self.detect_platform(&base.config, platform);
            }
            is_scratch = is_without_layers(&base.config);
            if !is_scratch {
                self.warn_platform(id, &written, &platform, &base.config);
            }
            let stage = self.stage_mut(id);
            stage.base_name = base.reference.with_digest(base.digest).to_string();
            stage.image = Image::new(without_time(&base.config));
            stage.base_image = Some(base.config);
        }
        let state = if is_scratch { State::scratch() } else { self.image_state(id, &platform) };
        let stage = self.stage_mut(id);
        stage.state = Some(state);
        stage.platform = Some(platform);
        Ok(())
    }

    /// Reports an image that is for another platform than asked for.
    fn warn_platform(
        &mut self,
        id: StageId,
        written: &str,
        platform: &Platform,
        config: &ImageConfig,
    ) {
        if platform.os == config.os && platform.architecture == config.architecture {
            return;
        }
        let stage = self.stage(id);
        let lines = if stage.is_mount { LineRange::default() } else { stage.lines };
        let finding = Finding::InvalidBaseImagePlatform {
            image: written.to_owned(),
            expected: platform.normalize().to_string(),
            actual: config.platform().normalize().to_string(),
        };
        self.linter.warn_file(lines, finding);
    }

    /// The whole stage is replaced by a context.
    fn replace_stage(
        &mut self,
        id: StageId,
        context: &super::NamedContext,
    ) -> Result<(), CompileErrorKind> {
        let paths = self.stage(id).paths;
        let Some((state, config)) = self.load_context(context, paths)? else { return Ok(()) };
        let stage = self.stage_mut(id);
        stage.dispatched = true;
        stage.state = Some(state);
        if let Some(config) = config {
            if !config.architecture.is_empty() && !config.os.is_empty() {
                stage.platform = Some(config.platform());
            }
            stage.image = Image::new(without_time(&config));
        }
        Ok(())
    }

    /// The base of the stage is replaced by a context.
    fn replace_base(
        &mut self,
        id: StageId,
        context: &super::NamedContext,
        platform: Platform,
    ) -> Result<(), CompileErrorKind> {
        let paths = self.stage(id).paths;
        let Some((mut state, config)) = self.load_context(context, paths)? else { return Ok(()) };
        let config = config.unwrap_or_else(|| ImageConfig::empty(&platform));
        state.platform = Some(platform.normalize());
        let stage = self.stage_mut(id);
        stage.image = Image::new(without_time(&config));
        stage.base_image = Some(config);
        stage.state = Some(state);
        stage.platform = Some(platform);
        Ok(())
    }

    fn image_state(&mut self, id: StageId, platform: &Platform) -> State {
        let reference = self.stage(id).base_name.clone();
        let command = self.stage(id).parsed.map_or_else(String::new, |p| p.origin.code.clone());
        let name = format!("FROM {reference}");
        let name = self.name_step(id, &name, Some(platform), &EnvList::default(), false);
        let mut metadata = Metadata::default();
        metadata.description.insert(CUSTOM_NAME, name);
        metadata.description.insert(COMMAND, command);
        let mode = match self.options.resolve_mode {
            super::super::options::ResolveMode::Default => "",
            other => other.as_str(),
        };
        let mut node = source::image(&reference, Some(platform), mode, metadata);
        // An image that is only mounted stands in no line of its own.
        let stage = self.stage(id);
        node.locations = vec![if stage.is_mount { Vec::new() } else { location(stage.lines) }];
        State::source(self.graph.add(node), Some(platform))
    }

    /// Asks for an image that a stage starts from; `None` if the answer is not there yet.
    fn resolve_image(
        &mut self,
        full: &str,
        written: &str,
        platform: &Platform,
    ) -> Result<Option<Base>, CompileErrorKind> {
        let mut prefix = String::from("[");
        if self.options.is_multi_platform() {
            prefix.push_str(&format!("{platform} "));
        }
        let query = ImageQuery {
            reference: full.to_owned(),
            platform: platform.clone(),
            mode: self.options.resolve_mode,
            place: ImagePlace::Registry,
            name: format!("{prefix}internal] load metadata for {full}"),
        };
        let answer = self.resolve(&query).map_err(|error| {
            let options = self.shown_names().chain(COMMON_IMAGES.iter().copied());
            let suggestion = nearest(written, options).into();
            CompileErrorKind::Resolve { error, suggestion }
        })?;
        answer.map(|answer| self.read_answer(&query, &answer)).transpose()
    }

    /// Asks for an image, keeping the question if there is no answer yet.
    pub(super) fn resolve(
        &mut self,
        query: &ImageQuery,
    ) -> Result<Option<ResolvedImage>, ResolveError> {
        let answer = self.resolver.resolve(query)?;
        if answer.is_none() {
            self.unresolved.insert(query.clone());
        }
        Ok(answer)
    }

    /// Reads what is known of an image, and notes that it is used.
    pub(super) fn read_answer(
        &mut self,
        query: &ImageQuery,
        answer: &ResolvedImage,
    ) -> Result<Base, CompileErrorKind> {
        let text = answer.reference.as_ref().unwrap_or(&query.reference);
        let reference = ImageReference::parse(text)
            .map_err(|source| CompileErrorKind::BaseName { name: text.clone(), source })?;
        let config = ImageConfig::parse(&answer.config).map_err(|error| {
            CompileErrorKind::Config { reference: text.clone(), reason: error.to_string() }
        })?;
        self.images.insert(UsedImage {
            reference: query.reference.clone(),
            platform: query.platform.clone(),
            digest: answer.digest,
            chain_id: config.rootfs.chain_id(),
        });
        Ok(Base { reference, digest: answer.digest, config })
    }

    /// Without a target platform, a base for another platform of the engine decides.
    fn detect_platform(&self, config: &ImageConfig, target: Platform) -> Platform {
        let is_same = |p: &&Platform| p.os == config.os && p.architecture == config.architecture;
        if is_same(&&target) {
            return target;
        }
        self.options.build_platforms.iter().find(is_same).cloned().unwrap_or(target)
    }

    /// Puts the triggers of a stage's base in front of its instructions.
    ///
    /// Returns whether they depend on something.
    fn add_triggers(&mut self, id: StageId) -> Result<bool, CompileError> {
        self.inherit(id);
        let mut triggers = std::mem::take(&mut self.stage_mut(id).image.config.config.on_build);
        if let Some(base) = self.stage(id).base
            && !std::mem::replace(&mut self.stage_mut(id).triggers_taken, true)
        {
            triggers.extend(self.stage(base).commands.iter().filter_map(|command| {
                match &command.instruction.kind {
                    InstructionKind::Onbuild(onbuild) => Some(onbuild.expression.clone()),
                    _ => None,
                }
            }));
        }
        if triggers.is_empty() {
            return Ok(false);
        }
        let lines = self.stage(id).lines;
        let mut commands = Vec::with_capacity(triggers.len());
        for trigger in &triggers {
            let instruction =
                parse_trigger(trigger, lines).map_err(|error| self.error(error.into(), lines))?;
            commands.push(self.command(id, Written::Trigger(instruction.into()), lines, true)?);
        }
        let found_more = commands.iter().any(|command| !command.sources.is_empty());
        let stage = self.stage_mut(id);
        stage.steps += commands.len();
        commands.append(&mut stage.commands);
        stage.commands = commands;
        Ok(found_more)
    }

    /// Takes over what a stage starts with from the stage below, if that is its base.
    pub(super) fn inherit(&mut self, id: StageId) {
        let Some(base) = self.stage(id).base else { return };
        let base = self.stage_mut(base);
        let (state, platform, paths) = (base.state.clone(), base.platform.clone(), base.paths);
        let mut image = base.image.inherit();
        let (base_image, workdir_set) = (base.base_image.clone(), base.workdir_set);
        let build_args = base.build_args.clone();
        image.config.config.on_build.clear();
        let stage = self.stage_mut(id);
        stage.state = state;
        stage.platform = platform;
        stage.image = image;
        stage.base_image = base_image;
        stage.paths = paths;
        stage.workdir_set = workdir_set;
        stage.build_args.extend(build_args);
    }
}

/// The config that an image made of it starts with: that has its own time.
fn without_time(config: &ImageConfig) -> ImageConfig {
    ImageConfig { created: None, ..config.clone() }
}

/// Whether an image has no files; images of the first schema have no list of layers.
fn is_without_layers(config: &ImageConfig) -> bool {
    config.rootfs.diff_ids.as_ref().is_none_or(Vec::is_empty)
        && config.history.iter().all(|step| step.empty_layer)
}
