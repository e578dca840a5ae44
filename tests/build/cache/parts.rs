//! Base images of which the engine has got a part from the client when a build ended.
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::kit::Lab;
use crate::support::base::Base;
use crate::support::engine::{self, Engine, Options};
use crate::support::proxy::{Fault, Rule};

/// What kitwright says when it has the engine go on with a layer.
const REST: &str = "the engine has a part of a base image: fetching the rest";

/// A copy of the base image.
struct Layout {
    context: String,
    layer: PathBuf,
    whole: Vec<u8>,
}

impl Layout {
    fn copy(base: &Base, folder: &Path) -> Self {
        let blobs = folder.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).expect("a folder");
        for file in ["oci-layout", "index.json"] {
            std::fs::copy(base.layout.join(file), folder.join(file)).expect("a copy");
        }
        for entry in std::fs::read_dir(base.layout.join("blobs/sha256")).expect("blobs") {
            let entry = entry.expect("an entry");
            std::fs::copy(entry.path(), blobs.join(entry.file_name())).expect("a copy");
        }
        let blob = |digest: &str| blobs.join(digest.trim_start_matches("sha256:"));
        let manifest = std::fs::read(blob(&base.digest)).expect("a manifest");
        let manifest: Value = serde_json::from_slice(&manifest).expect("a manifest");
        let layer = blob(manifest["layers"][0]["digest"].as_str().expect("a digest"));
        let whole = std::fs::read(&layer).expect("a layer");
        Self { context: format!("busybox=oci-layout://{}:latest", folder.display()), layer, whole }
    }

    /// Has `engine` fetch half of the layer, after which no more of it comes.
    fn half_fetch(&self, lab: &Lab, engine: &Engine) {
        lab.project.write("half.Dockerfile", "FROM busybox\nRUN true\n");
        std::fs::write(&self.layer, &self.whole[..self.whole.len() / 2]).expect("a written file");
        let flags = ["-f", "half.Dockerfile", "--build-context", &self.context];
        lab.build(engine, &flags).fails(1, &["short read"]);
        std::fs::write(&self.layer, &self.whole).expect("a written file");
    }
}

/// An engine that removes no garbage by itself.
fn untidy() -> Option<Engine> {
    let config = "[worker.oci]\ngc = false\n".to_owned();
    engine::start(Options { config, ..Options::default() })
}

#[test]
fn the_rest_of_a_base_image_is_fetched() {
    let (Some(engine), Some(lab)) = (untidy(), Lab::new("half")) else { return };
    let layout = Layout::copy(lab.project.base, &lab.project.path("layout"));
    layout.half_fetch(&lab, &engine);
    let flags = ["--build-context", &layout.context, "-o", "out"];
    let ended = lab.build(&engine, &flags).ok();
    assert!(ended.stderr.contains(REST), "{}", ended.stderr);
    assert_eq!(lab.project.read("out/last"), "1\n");
    assert!(!lab.build(&engine, &flags).ok().stderr.contains(REST));
}

#[test]
fn a_cache_that_breaks_beside_a_half_fetched_base_image_fails_no_build() {
    let Some(lab) = Lab::new("half-and-broken") else { return };
    if lab.fill("c").is_none() {
        return;
    }
    let layout = Layout::copy(lab.project.base, &lab.project.path("layout"));
    let from = lab.through("c");
    for fault in [Fault::Status(404, Vec::new(), String::new()), Fault::StallAfter(200_000)] {
        let Some(engine) = untidy() else { return };
        layout.half_fetch(&lab, &engine);
        lab.proxy.clear();
        lab.proxy.add(Rule::new("GET", &lab.layer("c")).by("buildkit").fault(fault.clone()));
        let flags = ["--build-context", &layout.context, "--cache-from", &from];
        let flags = [&flags[..], &["--cache-stall-timeout=2s", "--build-arg", "LAST=2"]].concat();
        let ended = lab.build(&engine, &[&flags[..], &["-o", "out"]].concat()).ok();
        let line = format!("building on without the cache `{from}`");
        assert!(ended.stderr.contains(&line), "{fault:?}: {}", ended.stderr);
        assert_eq!(lab.project.read("out/last"), "2\n", "{fault:?}");
    }
}
