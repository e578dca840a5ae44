//! The end of a compilation: labels, contexts, platform, and the definition itself.
use std::collections::BTreeMap;

use super::super::compiled::CompiledPlatform;
use super::{CompileError, CompileErrorKind, Compiler, StageId};
use crate::oci::config::ImageConfig;
use crate::plan::llb::{Definition, NodeId, SourceFile};

impl Compiler<'_> {
    /// Turns the state of `target` into a result.
    pub(super) fn finish(mut self, target: StageId) -> Result<CompiledPlatform, CompileError> {
        // The whole result is used.
        self.use_path(target, "/".to_owned());
        let fatal = self.linter.fatal_rules();
        if !fatal.is_empty() {
            let rules = fatal.into_iter().map(str::to_owned).collect();
            return Err(CompileErrorKind::Lint(rules).into());
        }
        let locals = self.fill_contexts()?;
        let config = self.finish_config(target);
        let needed = self.needed_stages(target);
        let mut extras: BTreeMap<String, NodeId> = BTreeMap::new();
        let mut ignore_cache = self.stage(target).ignore_cache;
        if self.stage(target).scan_context {
            extras.insert("context".to_owned(), self.context);
        }
        for id in needed.into_iter().filter(|id| *id != target) {
            let stage = self.stage(id);
            if stage.scan_stage {
                ignore_cache |= stage.ignore_cache;
                if let Some(node) = stage.state.as_ref().and_then(|state| state.node) {
                    extras.insert(stage.shown_name.clone(), node);
                }
            }
        }
        let node = self.state(target).node;
        let definition = self.marshal(node);
        let sbom_extras =
            extras.into_iter().map(|(name, node)| (name, self.marshal(Some(node)))).collect();
        Ok(CompiledPlatform {
            platform: self.target_platform.normalize(),
            definition,
            config,
            base_config: self.stage_mut(target).base_image.take(),
            images: std::mem::take(&mut self.images).into_iter().collect(),
            locals,
            epoch: self.epoch,
            ignore_cache,
            sbom_extras,
            secrets: std::mem::take(&mut self.secrets),
            ssh: std::mem::take(&mut self.ssh),
        })
    }

    fn marshal(&mut self, node: Option<NodeId>) -> Definition {
        let source = SourceFile {
            filename: self.file.source.name().to_owned(),
            language: "Dockerfile".to_owned(),
            data: self.file.source.text().to_vec().into(),
            definition: None,
        };
        self.graph.marshal(node, &self.target_platform, Some(source))
    }

    fn finish_config(&mut self, target: StageId) -> ImageConfig {
        let mut config = self.stage(target).image.finish();
        let labels = self.options.labels.iter();
        config.config.labels.extend(labels.map(|(key, value)| (key.clone(), value.clone())));
        if !self.implicit_target {
            let platform = &self.target_platform;
            let is_same = platform.os == config.os && platform.architecture == config.architecture;
            config.os.clone_from(&platform.os);
            config.architecture.clone_from(&platform.architecture);
            if !platform.variant.is_empty() || !is_same {
                config.variant.clone_from(&platform.variant);
            }
            if !platform.os_version.is_empty() || !is_same {
                config.os_version.clone_from(&platform.os_version);
            }
            if !platform.os_features.is_empty() {
                config.os_features.clone_from(&platform.os_features);
            }
        }
        let normal = config.platform().normalize();
        config.set_platform(&normal);
        config
    }
}
