//! What the gateway carries beside LLB: solves, results, source policies, file metadata, workers.
use crate::agree;

agree!(file_metadata: fsutil::types::Stat = fsutil::types::Stat {
    path: "dir/link".into(),
    mode: (1 << 27) | 0o777,
    uid: 1000,
    gid: 1001,
    size: 1 << 33,
    mod_time: 1_700_000_000_123_456_789,
    linkname: "../target".into(),
    devmajor: 8,
    devminor: 1,
    xattrs: map([("security.capability", bytes("\u{1}\0")), ("user.note", bytes("text"))]),
});

agree!(solve_request: moby::buildkit::v1::frontend::SolveRequest =
moby::buildkit::v1::frontend::SolveRequest {
    definition: Some(pb::Definition { def: vec![bytes("op")], ..Default::default() }),
    frontend: "dockerfile.v0".into(),
    frontend_opt: map([("filename", "gen.Dockerfile".to_owned()), ("target", String::new())]),
    allow_result_return: true,
    allow_result_array_ref: true,
    r#final: true,
    exporter_attr: bytes("{}"),
    cache_imports: vec![moby::buildkit::v1::frontend::CacheOptionsEntry {
        r#type: "registry".into(),
        attrs: map([("ref", "ghcr.io/o/r:buildcache".to_owned())]),
    }],
    frontend_inputs: map([(
        "context",
        pb::Definition { def: vec![bytes("input")], ..Default::default() },
    )]),
    evaluate: true,
    source_policies: vec![moby::buildkit::v1::sourcepolicy::Policy {
        version: 1,
        ..Default::default()
    }],
});

agree!(source_policy: moby::buildkit::v1::sourcepolicy::Policy =
moby::buildkit::v1::sourcepolicy::Policy {
    version: 1,
    rules: vec![moby::buildkit::v1::sourcepolicy::Rule {
        action: moby::buildkit::v1::sourcepolicy::PolicyAction::Convert as i32,
        selector: Some(moby::buildkit::v1::sourcepolicy::Selector {
            identifier: "docker-image://docker.io/library/node:*".into(),
            match_type: moby::buildkit::v1::sourcepolicy::MatchType::Regex as i32,
            constraints: vec![moby::buildkit::v1::sourcepolicy::AttrConstraint {
                key: "key".into(),
                value: "value".into(),
                condition: moby::buildkit::v1::sourcepolicy::AttrMatch::Matches as i32,
            }],
        }),
        updates: Some(moby::buildkit::v1::sourcepolicy::Update {
            identifier: "docker-image://docker.io/library/node@sha256:00".into(),
            attrs: map([("http.checksum", "sha256:00".to_owned())]),
        }),
    }],
});

agree!(return_request: moby::buildkit::v1::frontend::ReturnRequest =
moby::buildkit::v1::frontend::ReturnRequest {
    result: Some(moby::buildkit::v1::frontend::Result {
        metadata: map([("containerimage.config", bytes(r#"{"os":"linux"}"#))]),
        attestations: map([(
            "linux/amd64",
            moby::buildkit::v1::frontend::Attestations {
                attestation: vec![moby::buildkit::v1::frontend::Attestation {
                    metadata: map([("reason", bytes("sbom"))]),
                    path: "/sbom.json".into(),
                    in_toto_predicate_type: "spdx".into(),
                    in_toto_subjects: vec![moby::buildkit::v1::frontend::InTotoSubject {
                        digest: vec!["sha256:00".into()],
                        name: "subject".into(),
                        ..Default::default()
                    }],
                    ..Default::default()
                }],
            },
        )]),
        result: Some(moby::buildkit::v1::frontend::result::Result::Refs(
            moby::buildkit::v1::frontend::RefMap {
                refs: map([(
                    "linux/amd64",
                    moby::buildkit::v1::frontend::Ref { id: "ref".into(), def: None },
                )]),
            },
        )),
    }),
    error: Some(google::rpc::Status { code: 5, message: "not found".into(), details: vec![] }),
});

agree!(worker: moby::buildkit::v1::types::WorkerRecord = moby::buildkit::v1::types::WorkerRecord {
    id: "worker".into(),
    labels: map([("org.mobyproject.buildkit.worker.executor", "oci".to_owned())]),
    platforms: vec![pb::Platform {
        os: "linux".into(),
        architecture: "amd64".into(),
        ..Default::default()
    }],
    gc_policy: vec![moby::buildkit::v1::types::GcPolicy {
        all: true,
        keep_duration: 3600,
        filters: vec!["type==source.local".into()],
        ..Default::default()
    }],
    buildkit_version: Some(moby::buildkit::v1::types::BuildkitVersion {
        package: "github.com/moby/buildkit".into(),
        version: "v0.32.2".into(),
        revision: "00".into(),
        ..Default::default()
    }),
    ..Default::default()
});

agree!(capability: moby::buildkit::v1::apicaps::ApiCap = moby::buildkit::v1::apicaps::ApiCap {
    id: "exec.mount.cache".into(),
    enabled: true,
    deprecated: true,
    disabled_reason: "reason".into(),
    disabled_reason_msg: "message".into(),
    disabled_alternative: "alternative".into(),
});

agree!(warning: moby::buildkit::v1::frontend::WarnRequest =
moby::buildkit::v1::frontend::WarnRequest {
    digest: "sha256:01".into(),
    level: 1,
    short: bytes("short"),
    detail: vec![bytes("one"), bytes("two")],
    url: "https://example.com/rule".into(),
    info: Some(pb::SourceInfo { filename: "Dockerfile".into(), ..Default::default() }),
    ranges: vec![pb::Range {
        start: Some(pb::Position { line: 1, character: 2 }),
        end: None,
    }],
});

agree!(container: moby::buildkit::v1::frontend::NewContainerRequest =
moby::buildkit::v1::frontend::NewContainerRequest {
    container_id: "container".into(),
    mounts: vec![pb::Mount { dest: "/".into(), ..Default::default() }],
    network: pb::NetMode::Host as i32,
    extra_hosts: vec![pb::HostIp { host: "h".into(), ip: "::1".into() }],
    ..Default::default()
});
