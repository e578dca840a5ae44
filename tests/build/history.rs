//! Whether a daemon keeps a record of a build.
use std::collections::BTreeSet;

use kitwright::engine::address::Address;
use kitwright::engine::connect::connect;
use serde_json::Value;

use crate::kit::{Project, files_of};

/// The builds that the daemon of the project has a record of.
fn recorded(project: &Project) -> BTreeSet<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let address: Address = project.address().parse().expect("an address");
        let client = connect(&address).await.expect("a daemon");
        let builds = client.builds(false).await.expect("a list");
        builds.into_iter().map(|record| record.r#ref).collect()
    })
}

#[test]
fn a_record_is_kept_on_request_alone() {
    let Some(project) = Project::new("FROM scratch\nCOPY f /f\n") else { return };
    project.write("f", "content");
    let on = [("KITWRIGHT_HISTORY", "true")];
    let cases: [(&[&str], &[_], bool); 6] = [
        (&[], &[], false),
        (&["--history"], &[], true),
        (&[], &on, true),
        (&["--no-history"], &on, false),
        (&["--no-history", "--history"], &[], true),
        (&["--history", "--no-history"], &[], false),
    ];
    for (flags, env, expected) in cases {
        let args = [flags, &["--metadata-file", "meta.json"]].concat();
        project.build_with_env(&args, env).ok();
        let metadata: Value = serde_json::from_str(&project.read("meta.json")).expect("JSON");
        let build = metadata["buildx.build.ref"].as_str().expect("a build");
        assert_eq!(recorded(&project).contains(build), expected, "{flags:?} {env:?}");
    }
}

#[test]
fn attestations_need_no_record() {
    let Some(project) = Project::new("FROM scratch\nARG X=1\nCOPY f /f\n") else { return };
    project.write("f", "content");
    let mut found = Vec::new();
    for flag in ["--no-history", "--history"] {
        let flags = ["--provenance=mode=max", "-o", "type=oci,dest=image.tar", flag];
        project.build(&flags).ok();
        let files = files_of(&project.path("image.tar"));
        let statement = files.values().find_map(|bytes| {
            let json: Value = serde_json::from_slice(bytes).ok()?;
            json.get("predicate").cloned()
        });
        let statement = statement.expect("a provenance");
        let parts: BTreeSet<_> =
            statement.as_object().expect("an object").keys().cloned().collect();
        let definition = statement["buildDefinition"].clone();
        assert!(definition.is_object(), "{statement:#}");
        found.push((
            parts,
            definition["buildType"].clone(),
            definition["externalParameters"].clone(),
        ));
    }
    assert_eq!(found[0], found[1]);
}
