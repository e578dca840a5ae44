//! `ENV` and `ARG`.
use super::super::instruction::{Arg, KeyValue, Origin};
use super::super::options::parse_bool;
use super::{CompileErrorKind, Compiler, StageId, StageState};

/// Build arguments that say what to scan, and stay out of the environment.
const SCAN_CONTEXT: &str = "BUILDKIT_SBOM_SCAN_CONTEXT";
const SCAN_STAGE: &str = "BUILDKIT_SBOM_SCAN_STAGE";

impl Compiler<'_> {
    pub(super) fn dispatch_env(&mut self, id: StageId, origin: &Origin, pairs: &[KeyValue]) {
        let mut message = String::from("ENV");
        for pair in pairs {
            self.warn_legacy("ENV", origin, pair);
            self.linter.secret_name("ENV", origin, &pair.key);
            message.push_str(&format!(" {}={}", pair.key, pair.value));
            self.set_state(id, |state| state.env.set(&pair.key, &pair.value));
            self.stage_mut(id).image.set_env(&pair.key, &pair.value);
        }
        self.commit(id, message, false);
    }

    pub(super) fn dispatch_arg(
        &mut self,
        id: StageId,
        origin: &Origin,
        arg: &Arg,
    ) -> Result<(), CompileErrorKind> {
        let mut message = String::from("ARG");
        for pair in &arg.args {
            self.linter.secret_name("ARG", origin, &pair.key);
            let value = match (self.build_args.get(&pair.key), &pair.value) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => {
                    let env = self.state(id).env;
                    Some(self.expand_word(id, origin, self.lexer, default, &env)?.into_owned())
                }
                (None, None) => self.global_args.get(&pair.key).map(str::to_owned),
            };
            message.push(' ');
            message.push_str(&pair.key);
            if let Some(value) = &value {
                message.push('=');
                message.push_str(value);
                if ![SCAN_CONTEXT, SCAN_STAGE].contains(&&*pair.key) {
                    self.set_state(id, |state| state.env.set(&pair.key, value));
                }
            }
            self.stage_mut(id).build_args.push((pair.key.clone(), value));
        }
        self.commit(id, message, false);
        Ok(())
    }

    /// Notes what the arguments of a finished stage say of scanning it.
    pub(super) fn read_scan_arguments(&mut self, id: StageId) {
        let shown_name = self.stage(id).shown_name.clone();
        let enabled = |name: &str, stage: &StageState<'_>| {
            let values = stage.build_args.iter().filter(|(key, _)| key == name);
            let last = values.filter_map(|(_, value)| value.as_deref()).next_back();
            let value = last.or_else(|| self.global_args.get(name));
            value.is_some_and(|value| is_enabled_for(&shown_name, value))
        };
        let stage = self.stage(id);
        let (context, scan) = (enabled(SCAN_CONTEXT, stage), enabled(SCAN_STAGE, stage));
        let stage = self.stage_mut(id);
        stage.scan_context |= context;
        stage.scan_stage |= scan;
    }
}

/// Whether a value, a boolean or a list of stages, covers `stage`.
fn is_enabled_for(stage: &str, value: &str) -> bool {
    parse_bool(value).unwrap_or_else(|| value.split(',').any(|name| name == stage))
}
