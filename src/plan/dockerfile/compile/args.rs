//! Arguments before the first stage: those of the platform, those of the file, and the epoch.
use std::collections::BTreeMap;

use buildkit_rs_proto::pb;

use super::super::lint::Finding;
use super::{CompileError, Compiler};
use crate::oci::platform::Platform;
use crate::oci::reference::ImageReference;
use crate::plan::llb::EnvList;

impl Compiler<'_> {
    /// Computes what `FROM` instructions, and `ARG` instructions without a value, may refer to.
    pub(super) fn read_global_args(&mut self, build: &Platform) -> Result<(), CompileError> {
        let last = self.file.stages.last().map_or("", |stage| &*stage.name);
        let stage = match self.options.target.as_deref().unwrap_or(last) {
            "" => "default",
            name => name,
        };
        let target = &self.target_platform;
        let defaults = [
            ("BUILDPLATFORM", build.short()),
            ("BUILDOS", build.os.clone()),
            ("BUILDOSVERSION", build.os_version.clone()),
            ("BUILDARCH", build.architecture.clone()),
            ("BUILDVARIANT", build.variant.clone()),
            ("TARGETPLATFORM", target.to_string()),
            ("TARGETOS", target.os.clone()),
            ("TARGETOSVERSION", target.os_version.clone()),
            ("TARGETARCH", target.architecture.clone()),
            ("TARGETVARIANT", target.variant.clone()),
            ("TARGETSTAGE", stage.to_owned()),
        ];
        for (key, value) in defaults {
            self.global_args.set(key, self.build_args.get(key).unwrap_or(&value));
        }
        self.warn_default_bases();
        self.global_args = self.declare(&self.build_args)?;
        self.read_epoch()
    }

    /// The arguments of the platform and those that the file declares, with the values `given`.
    fn declare(&self, given: &BTreeMap<String, String>) -> Result<EnvList, CompileError> {
        let mut args = self.global_args.clone();
        for global in &self.file.global_args {
            for arg in &global.arg.args {
                let value = match (given.get(&arg.key), &arg.value) {
                    (Some(value), _) => value.clone(),
                    (None, Some(default)) => self
                        .lexer
                        .expand(default, &args)
                        .map_err(|error| self.error(error.into(), global.origin.lines))?
                        .into_owned(),
                    (None, None) => continue,
                };
                args.set(&arg.key, &value);
            }
        }
        Ok(args)
    }

    /// Reports bases that are no image names unless build arguments are given.
    fn warn_default_bases(&mut self) {
        let Ok(args) = self.declare(&BTreeMap::new()) else { return };
        for stage in &self.file.stages {
            let Ok(name) = self.lexer.expand(&stage.base_name, &args) else { return };
            if ImageReference::parse(&name).is_err() {
                let finding = Finding::InvalidDefaultArgInFrom { base: stage.base_name.clone() };
                self.linter.warn_file(stage.origin.lines, finding);
            }
        }
    }
}

/// The proxies among the build arguments; of several spellings the last in byte order counts.
pub(super) fn proxy_env(build_args: &BTreeMap<String, String>) -> Option<pb::ProxyEnv> {
    let mut proxy = None;
    for (key, value) in build_args {
        let field: fn(&mut pb::ProxyEnv) -> &mut String = match key.to_lowercase().as_str() {
            "http_proxy" => |proxy| &mut proxy.http_proxy,
            "https_proxy" => |proxy| &mut proxy.https_proxy,
            "ftp_proxy" => |proxy| &mut proxy.ftp_proxy,
            "no_proxy" => |proxy| &mut proxy.no_proxy,
            "all_proxy" => |proxy| &mut proxy.all_proxy,
            _ => continue,
        };
        value.clone_into(field(proxy.get_or_insert_default()));
    }
    proxy
}
