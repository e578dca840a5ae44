//! `WORKDIR`.
use buildkit_rs_proto::pb;

use super::super::lint::Finding;
use super::super::path;
use super::file_op::{file_node, owner};
use super::{Command, Compiler, StageId};
use crate::plan::llb::{FileAction, Metadata, Op};

impl Compiler<'_> {
    pub(super) fn dispatch_workdir(&mut self, id: StageId, command: &Command<'_>, dir: &str) {
        if !self.stage(id).workdir_set && !dir.starts_with('/') {
            let finding = Finding::WorkdirRelativePath { path: dir.to_owned() };
            self.linter.warn(&command.instruction.origin, finding);
        }
        let current = self.stage(id).image.config.config.working_dir.clone();
        let current = path::join("/", &current);
        let dir = path::normalize(&current, dir, false);
        let stage = self.stage_mut(id);
        stage.workdir_set = true;
        stage.image.config.config.working_dir.clone_from(&dir);
        self.set_state(id, |state| state.dir = dir.as_str().into());
        let makes_layer = dir != "/";
        if makes_layer {
            self.make_workdir(id, command, &dir);
        }
        self.commit(id, format!("WORKDIR {dir}"), makes_layer);
    }

    fn make_workdir(&mut self, id: StageId, command: &Command<'_>, dir: &str) {
        let state = self.state(id);
        let name = self.command_name(id, command, &state.env);
        let user = &self.stage(id).image.config.config.user;
        let owner =
            Some(&**user).filter(|user| !user.is_empty()).map(|user| owner(user, state.node));
        let mkdir = pb::FileActionMkDir {
            path: path::clean(dir),
            mode: 0o755,
            make_parents: true,
            owner,
            timestamp: self.epoch.map_or(-1, |seconds| seconds.wrapping_mul(1_000_000_000)),
        };
        let action = FileAction { source: None, action: pb::file_action::Action::Mkdir(mkdir) };
        let op = Op::File { base: state.node, actions: vec![action] };
        let node = file_node(op, Metadata::named(name), command.lines);
        let node = self.graph.add(node);
        self.set_state(id, |state| state.node = Some(node));
    }
}
