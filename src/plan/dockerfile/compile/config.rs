//! Instructions that change nothing but the image's config.
use super::super::instruction::{self, CommandLine, KeyValue, Origin};
use super::super::lint::Finding;
use super::{CompileErrorKind, Compiler, StageId, expose, text};
use crate::oci::config::{Empty, Healthcheck};

impl Compiler<'_> {
    pub(super) fn dispatch_label(&mut self, id: StageId, origin: &Origin, pairs: Vec<KeyValue>) {
        let mut message = String::from("LABEL");
        for pair in pairs {
            self.warn_legacy("LABEL", origin, &pair);
            message.push_str(&format!(" {}={}", pair.key, pair.value));
            self.stage_mut(id).image.config.config.labels.insert(pair.key, pair.value);
        }
        self.commit(id, message, false);
    }

    pub(super) fn dispatch_cmd(&mut self, id: StageId, origin: &Origin, line: &CommandLine) {
        self.linter.used_once("CMD", origin, &mut self.stages[id.0].cmd);
        self.warn_shell_form(id, "CMD", origin, line);
        let args = self.with_shell(id, line);
        self.commit(id, format!("CMD {}", text::quoted_list(&args)), false);
        let stage = self.stage_mut(id);
        stage.image.config.config.cmd = args;
        stage.image.config.config.args_escaped = true;
    }

    pub(super) fn dispatch_entrypoint(&mut self, id: StageId, origin: &Origin, line: &CommandLine) {
        self.linter.used_once("ENTRYPOINT", origin, &mut self.stages[id.0].entrypoint);
        self.warn_shell_form(id, "ENTRYPOINT", origin, line);
        let args = self.with_shell(id, line);
        self.commit(id, format!("ENTRYPOINT {}", text::quoted_list(&args)), false);
        let stage = self.stage_mut(id);
        stage.image.config.config.entrypoint = args;
        if stage.cmd.is_none() {
            stage.image.config.config.cmd.clear();
        }
    }

    pub(super) fn dispatch_healthcheck(
        &mut self,
        id: StageId,
        origin: &Origin,
        check: instruction::Healthcheck,
    ) {
        self.linter.used_once("HEALTHCHECK", origin, &mut self.stages[id.0].healthcheck);
        let message = format!(
            "HEALTHCHECK {{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
            text::list(&check.test),
            text::duration(check.interval),
            text::duration(check.timeout),
            text::duration(check.start_period),
            text::duration(check.start_interval),
            check.retries,
        );
        self.commit(id, message, false);
        self.stage_mut(id).image.config.config.healthcheck = Some(Healthcheck {
            test: check.test,
            interval: check.interval,
            timeout: check.timeout,
            start_period: check.start_period,
            start_interval: check.start_interval,
            retries: i64::from(check.retries),
        });
    }

    pub(super) fn dispatch_expose(
        &mut self,
        id: StageId,
        origin: &Origin,
        ports: &[String],
    ) -> Result<(), CompileErrorKind> {
        let env = self.state(id).env;
        let mut words = Vec::new();
        for port in ports {
            words.extend(self.lexer.words(port, &env)?);
        }
        let mut exposed = Vec::new();
        for word in &words {
            exposed.extend(expose::parse_port(word, |finding| self.linter.warn(origin, finding))?);
        }
        self.commit(id, format!("EXPOSE {}", text::list(&exposed)), false);
        let ports = &mut self.stage_mut(id).image.config.config.exposed_ports;
        ports.extend(exposed.into_iter().map(|port| (port, Empty {})));
        Ok(())
    }

    pub(super) fn dispatch_volume(
        &mut self,
        id: StageId,
        volumes: Vec<String>,
    ) -> Result<(), CompileErrorKind> {
        if volumes.iter().any(String::is_empty) {
            return Err(CompileErrorKind::EmptyVolume);
        }
        self.commit(id, format!("VOLUME {}", text::list(&volumes)), false);
        let set = &mut self.stage_mut(id).image.config.config.volumes;
        set.extend(volumes.into_iter().map(|volume| (volume, Empty {})));
        Ok(())
    }

    fn warn_shell_form(
        &mut self,
        id: StageId,
        instruction: &'static str,
        origin: &Origin,
        line: &CommandLine,
    ) {
        if line.shell_form && self.stage(id).image.config.config.shell.is_empty() {
            self.linter.warn(origin, Finding::JSONArgsRecommended { instruction });
        }
    }
}
