//! File ops, as `COPY`, `ADD` and `WORKDIR` become them.
use buildkit_rs_proto::pb;

use super::super::source::LineRange;
use super::location;
use crate::plan::llb::{Metadata, Node, NodeId, Op, base_input, caps};

/// A file op of an instruction.
pub(super) fn file_node(op: Op, mut metadata: Metadata, lines: LineRange) -> Node {
    metadata.caps.insert(caps::FILE_BASE);
    Node { op, metadata, locations: vec![location(lines)], ..Node::default() }
}

/// The owner `user[:group]` of files that are made on top of `base`.
///
/// A name is looked up in the base's own files; a number, and root, need no looking up.
pub(super) fn owner(text: &str, base: Option<NodeId>) -> pb::ChownOpt {
    let user = |name: &str| {
        let by_id = match name {
            "" | "root" => Some(0),
            name => name.parse::<i32>().ok().map(i32::cast_unsigned),
        };
        let user = match by_id {
            Some(id) => pb::user_opt::User::ById(id),
            None => pb::user_opt::User::ByName(pb::NamedUserOpt {
                name: name.to_owned(),
                input: base_input(base),
            }),
        };
        pb::UserOpt { user: Some(user) }
    };
    match text.split_once(':') {
        Some((name, group)) => pb::ChownOpt { user: Some(user(name)), group: Some(user(group)) },
        None => pb::ChownOpt { user: Some(user(text)), group: None },
    }
}
