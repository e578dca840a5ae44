//! The names that progress output shows.
use super::{Command, Compiler, StageId, text};
use crate::oci::platform::Platform;
use crate::plan::llb::EnvList;

impl Compiler<'_> {
    /// The name of the step that `command` is, with its variables expanded as far as that goes.
    pub(super) fn command_name(
        &mut self,
        id: StageId,
        command: &Command<'_>,
        env: &EnvList,
    ) -> String {
        let name = self.expanded_code(command, env);
        let platform = self.stage(id).platform.clone().unwrap_or_default();
        self.name_step(id, &name, Some(&platform), env, command.is_trigger)
    }

    /// The name of what lays a linked copy over the files of its stage; it has the copy's number.
    pub(super) fn link_name(
        &mut self,
        id: StageId,
        command: &Command<'_>,
        env: &EnvList,
    ) -> String {
        let name = format!("LINK {}", self.expanded_code(command, env));
        let stage = self.stage_mut(id);
        stage.step -= usize::from(stage.steps != 0);
        let platform = stage.platform.clone().unwrap_or_default();
        self.name_step(id, &name, Some(&platform), env, command.is_trigger)
    }

    fn expanded_code(&self, command: &Command<'_>, env: &EnvList) -> String {
        let code = &command.instruction.origin.code;
        let expanded = self.lexer.expand(code, env);
        text::uppercase_first_word(expanded.as_deref().unwrap_or(code))
    }

    /// Counts a step of a stage and puts stage and number in front of `text`.
    ///
    /// A stage without steps has no numbers.
    pub(super) fn name_step(
        &mut self,
        id: StageId,
        text: &str,
        platform: Option<&Platform>,
        env: &EnvList,
        is_trigger: bool,
    ) -> String {
        let shows_platform = self.options.is_multi_platform();
        let stage = self.stage_mut(id);
        if stage.steps == 0 {
            return text.to_owned();
        }
        stage.step += 1;
        let mut name = String::from("[");
        if let Some(platform) = platform.filter(|_| shows_platform) {
            name.push_str(&platform.to_string());
            name.push_str(&cross_target(platform, env));
            name.push(' ');
        }
        if !stage.shown_name.is_empty() {
            name.push_str(&stage.shown_name);
            name.push(' ');
        }
        let width = stage.steps.ilog10() as usize + 1;
        name.push_str(&format!("{:width$}/{}] ", stage.step, stage.steps));
        if is_trigger {
            name.push_str("ONBUILD ");
        }
        name.push_str(text);
        name
    }
}

/// `->arm64` when the environment says that the step compiles for another platform than its own.
fn cross_target(own: &Platform, env: &EnvList) -> String {
    let Some(mut target) = declared_target(env) else { return String::new() };
    if target.os.is_empty() {
        target.os.clone_from(&own.os);
    }
    if target.architecture.is_empty() {
        target.architecture.clone_from(&own.architecture);
    }
    let target = target.normalize();
    if target.os != own.os {
        return format!("->{target}");
    }
    if target.architecture == own.architecture {
        return String::new();
    }
    match &*target.variant {
        "" => format!("->{}", target.architecture),
        variant => format!("->{}/{variant}", target.architecture),
    }
}

/// The target platform as far as `TARGET*` arguments have been declared.
fn declared_target(env: &EnvList) -> Option<Platform> {
    let mut target: Option<Platform> = None;
    for (key, value) in env.iter() {
        match key {
            "TARGETPLATFORM" => {
                if let Ok(platform) = Platform::parse(value) {
                    return Some(platform);
                }
            }
            "TARGETOS" => value.clone_into(&mut target.get_or_insert_default().os),
            "TARGETARCH" => value.clone_into(&mut target.get_or_insert_default().architecture),
            "TARGETVARIANT" => value.clone_into(&mut target.get_or_insert_default().variant),
            _ => {}
        }
    }
    target
}
