//! The graph that is solved: image and working tree, the command, and the difference that it makes.
use std::collections::BTreeMap;

use buildkit_rs_proto::pb;
use bytes::Bytes;

use super::Run;
use super::image::Image;
use crate::oci::digest::Digest;
use crate::oci::platform::Platform;
use crate::plan::llb::wire;

/// The name of the command's vertex, by which its output is told from the rest.
pub(super) const RUN_NAME: &str = "run command";

impl Run {
    /// The graph: image and tree, the command, and the difference that it makes to the tree.
    pub(super) fn definition(
        &self,
        image: Image,
        session: &str,
        hidden: &[String],
    ) -> pb::Definition {
        let platform = pb::Platform::from(&Platform::host());
        let tree = pb::SourceOp {
            identifier: "local://context".to_owned(),
            attrs: [
                ("local.session".to_owned(), session.to_owned()),
                ("local.sharedkeyhint".to_owned(), "run".to_owned()),
                ("local.excludepatterns".to_owned(), serde_json::json!(hidden).to_string()),
            ]
            .into(),
        };
        let mut graph = Graph::default();
        let tree = graph.add(Vec::new(), pb::op::Op::Source(tree), None, "load working tree");
        let root = pb::op::Op::Source(image.source.clone());
        let name = format!("load {}", self.image);
        let root = graph.add(Vec::new(), root, Some(platform.clone()), &name);
        let exec = pb::op::Op::Exec(self.exec(&image));
        let exec = graph.add(vec![(root, 0), (tree, 0)], exec, Some(platform), RUN_NAME);
        let diff = pb::DiffOp {
            lower: Some(pb::LowerDiffInput { input: 0 }),
            upper: Some(pb::UpperDiffInput { input: 1 }),
        };
        let inputs = vec![(tree, 0), (exec, 1)];
        let diff = graph.add(inputs, pb::op::Op::Diff(diff), None, "compare working trees");
        // It runs because it was asked to run, whatever the cache says.
        graph.metadata.entry(exec.to_string()).or_default().ignore_cache = true;
        graph.finish(diff)
    }

    fn exec(&self, image: &Image) -> pb::ExecOp {
        let mount = |input, dest: &str, output| pb::Mount {
            input,
            dest: dest.to_owned(),
            output,
            ..Default::default()
        };
        let mut env = image.env.clone();
        for variable in &self.env {
            match variable.split_once('=') {
                Some(_) => env.push(variable.clone()),
                None => {
                    env.extend(std::env::var(variable).map(|value| format!("{variable}={value}")))
                }
            }
        }
        pb::ExecOp {
            meta: Some(pb::Meta {
                args: self.command.clone(),
                env,
                cwd: self.workdir.clone(),
                user: image.user.clone(),
                remove_mount_stubs_recursive: true,
                ..Default::default()
            }),
            mounts: vec![mount(0, "/", 0), mount(1, &self.workdir, 1)],
            ..Default::default()
        }
    }
}

/// A definition in the making.
#[derive(Default)]
struct Graph {
    ops: Vec<Bytes>,
    metadata: BTreeMap<String, pb::OpMetadata>,
}

impl Graph {
    fn add(
        &mut self,
        inputs: Vec<(Digest, i64)>,
        op: pb::op::Op,
        platform: Option<pb::Platform>,
        name: &str,
    ) -> Digest {
        let input =
            |(digest, index): (Digest, i64)| pb::Input { digest: digest.to_string(), index };
        let op = pb::Op {
            inputs: inputs.into_iter().map(input).collect(),
            platform,
            constraints: Some(pb::WorkerConstraints::default()),
            op: Some(op),
        };
        let bytes = wire::encode_op(&op);
        let digest = Digest::of(&bytes);
        self.ops.push(bytes.into());
        let metadata = self.metadata.entry(digest.to_string()).or_default();
        metadata.description.insert("llb.customname".to_owned(), name.to_owned());
        digest
    }

    fn finish(mut self, result: Digest) -> pb::Definition {
        let input = pb::Input { digest: result.to_string(), index: 0 };
        let terminal = pb::Op { inputs: vec![input], ..Default::default() };
        self.ops.push(wire::encode_op(&terminal).into());
        pb::Definition { def: self.ops, metadata: self.metadata, source: None }
    }
}
