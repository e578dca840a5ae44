//! LLB: every kind of op, definitions and their metadata.
use crate::agree;

agree!(image_source: pb::Op = pb::Op {
    op: Some(pb::op::Op::Source(pb::SourceOp {
        identifier: "docker-image://docker.io/library/golang:1.26-bookworm".into(),
        attrs: map([("image.resolvemode", "local".to_owned()), ("image.recordtype", "frontend".to_owned())]),
    })),
    platform: Some(pb::Platform {
        architecture: "arm".into(),
        os: "linux".into(),
        variant: "v7".into(),
        os_version: "6.1".into(),
        os_features: vec!["a".into(), "b".into()],
    }),
    constraints: Some(pb::WorkerConstraints { filter: vec!["platform==linux/arm/v7".into()] }),
    ..Default::default()
});

agree!(local_source: pb::Op = pb::Op {
    op: Some(pb::op::Op::Source(pb::SourceOp {
        identifier: "local://context".into(),
        attrs: map([
            ("local.followpaths", r#"["go.mod","stages"]"#.to_owned()),
            ("local.sharedkeyhint", "context".to_owned()),
            ("local.session", "kitwright".to_owned()),
        ]),
    })),
    ..Default::default()
});

agree!(exec: pb::Op = pb::Op {
    inputs: vec![
        pb::Input { digest: "sha256:01".into(), index: 0 },
        pb::Input { digest: "sha256:02".into(), index: 3 },
    ],
    op: Some(pb::op::Op::Exec(pb::ExecOp {
        meta: Some(pb::Meta {
            args: vec!["/bin/sh".into(), "-c".into(), "make".into()],
            env: vec!["PATH=/bin".into(), "EMPTY=".into()],
            cwd: "/src".into(),
            user: "1000:1000".into(),
            proxy_env: Some(pb::ProxyEnv {
                http_proxy: "http".into(),
                https_proxy: "https".into(),
                ftp_proxy: "ftp".into(),
                no_proxy: "no".into(),
                all_proxy: "all".into(),
            }),
            extra_hosts: vec![pb::HostIp { host: "host".into(), ip: "10.0.0.1".into() }],
            hostname: "builder".into(),
            ulimit: vec![pb::Ulimit { name: "nofile".into(), soft: 1024, hard: 2048 }],
            cgroup_parent: "/parent".into(),
            remove_mount_stubs_recursive: true,
            ..Default::default()
        }),
        network: pb::NetMode::None as i32,
        security: pb::SecurityMode::Insecure as i32,
        secretenv: vec![pb::SecretEnv { id: "id".into(), name: "TOKEN".into(), optional: true }],
        mounts: vec![pb::Mount { input: 0, dest: "/".into(), output: 0, ..Default::default() }],
        ..Default::default()
    })),
    ..Default::default()
});

agree!(mounts: pb::ExecOp = pb::ExecOp {
    mounts: vec![
        pb::Mount {
            input: 1,
            selector: "/stages".into(),
            dest: "/bind".into(),
            output: -1,
            readonly: true,
            result_id: "result".into(),
            ..Default::default()
        },
        pb::Mount {
            input: -1,
            dest: "/cache".into(),
            output: -1,
            mount_type: pb::MountType::Cache as i32,
            cache_opt: Some(pb::CacheOpt { id: "go-mod".into(), sharing: pb::CacheSharingOpt::Locked as i32 }),
            ..Default::default()
        },
        pb::Mount {
            dest: "/tmp".into(),
            mount_type: pb::MountType::Tmpfs as i32,
            tmpfs_opt: Some(pb::TmpfsOpt { size: 1 << 40 }),
            ..Default::default()
        },
        pb::Mount {
            dest: "/run/secrets/token".into(),
            mount_type: pb::MountType::Secret as i32,
            secret_opt: Some(pb::SecretOpt { id: "token".into(), uid: 1, gid: 2, mode: 0o400, optional: true }),
            ..Default::default()
        },
        pb::Mount {
            dest: "/run/ssh".into(),
            mount_type: pb::MountType::Ssh as i32,
            ssh_opt: Some(pb::SshOpt { id: "default".into(), uid: 3, gid: 4, mode: 0o600, optional: true }),
            ..Default::default()
        },
    ],
    ..Default::default()
});

agree!(copy: pb::FileOp = pb::FileOp {
    actions: vec![pb::FileAction {
        input: 0,
        secondary_input: 1,
        output: 2,
        action: Some(pb::file_action::Action::Copy(pb::FileActionCopy {
            src: "/from".into(),
            dest: "/to".into(),
            owner: Some(pb::ChownOpt {
                user: Some(pb::UserOpt {
                    user: Some(pb::user_opt::User::ByName(pb::NamedUserOpt { name: "user".into(), input: 5 })),
                }),
                group: Some(pb::UserOpt { user: Some(pb::user_opt::User::ById(1001)) }),
            }),
            mode: 0o755,
            follow_symlink: true,
            dir_copy_contents: true,
            attempt_unpack_docker_compatibility: true,
            create_dest_path: true,
            allow_wildcard: true,
            allow_empty_wildcard: true,
            timestamp: 1_700_000_000_123_456_789,
            include_patterns: vec!["**/*.go".into()],
            exclude_patterns: vec!["vendor".into(), "!vendor/keep".into()],
            ..Default::default()
        })),
    }],
});

agree!(other_file_actions: pb::FileOp = pb::FileOp {
    actions: vec![
        pb::FileAction {
            input: 0,
            secondary_input: -1,
            output: -1,
            action: Some(pb::file_action::Action::Mkfile(pb::FileActionMkFile {
                path: "/file".into(),
                mode: 0o644,
                data: bytes("content\n"),
                owner: None,
                timestamp: -1,
            })),
        },
        pb::FileAction {
            input: 1,
            secondary_input: -1,
            output: -1,
            action: Some(pb::file_action::Action::Mkdir(pb::FileActionMkDir {
                path: "/dir".into(),
                mode: 0o1777,
                make_parents: true,
                owner: Some(pb::ChownOpt {
                    user: Some(pb::UserOpt { user: Some(pb::user_opt::User::ById(0)) }),
                    group: None,
                }),
                timestamp: 7,
            })),
        },
        pb::FileAction {
            input: 2,
            secondary_input: -1,
            output: 0,
            action: Some(pb::file_action::Action::Rm(pb::FileActionRm {
                path: "/gone*".into(),
                allow_not_found: true,
                allow_wildcard: true,
            })),
        },
    ],
});

agree!(build: pb::Op = pb::Op {
    op: Some(pb::op::Op::Build(pb::BuildOp {
        builder: 1,
        inputs: map([("context", pb::BuildInput { input: 2 })]),
        def: Some(pb::Definition { def: vec![bytes("inner")], ..Default::default() }),
        attrs: map([("llbbuild.filename", "Dockerfile".to_owned())]),
    })),
    ..Default::default()
});

agree!(merge: pb::Op = pb::Op {
    op: Some(pb::op::Op::Merge(pb::MergeOp {
        inputs: vec![pb::MergeInput { input: 0 }, pb::MergeInput { input: 1 }],
    })),
    ..Default::default()
});

agree!(diff: pb::Op = pb::Op {
    op: Some(pb::op::Op::Diff(pb::DiffOp {
        lower: Some(pb::LowerDiffInput { input: -1 }),
        upper: Some(pb::UpperDiffInput { input: 4 }),
    })),
    ..Default::default()
});

agree!(definition: pb::Definition = pb::Definition {
    def: vec![bytes("first"), bytes("second")],
    metadata: map([(
        "sha256:01",
        pb::OpMetadata {
            ignore_cache: true,
            description: map([("llb.customname", "[stage 1/2] RUN make".to_owned())]),
            export_cache: Some(pb::ExportCache { value: true }),
            caps: map([("exec.meta.base", true), ("source.image", true)]),
            progress_group: Some(pb::ProgressGroup { id: "group".into(), name: "copies".into(), weak: true }),
            ..Default::default()
        },
    )]),
    source: Some(pb::Source {
        locations: map([(
            "sha256:01",
            pb::Locations {
                locations: vec![pb::Location {
                    source_index: 1,
                    ranges: vec![pb::Range {
                        start: Some(pb::Position { line: 3, character: 0 }),
                        end: Some(pb::Position { line: 5, character: 12 }),
                    }],
                }],
            },
        )]),
        infos: vec![pb::SourceInfo {
            filename: "gen.Dockerfile".into(),
            data: bytes("FROM scratch\n"),
            definition: Some(pb::Definition { def: vec![bytes("file")], ..Default::default() }),
            ..Default::default()
        }],
    }),
});

/// BuildKit has added fields since; a reader that does not know them sees everything else.
#[test]
fn newer_fields_are_skipped() {
    use buildkit_rs_proto::pb;
    use prost::Message as _;
    use prost_011::Message as _;

    let plain = pb::Meta { args: vec!["make".into()], cwd: "/".into(), ..Default::default() };
    let newer = pb::Meta { valid_exit_codes: vec![0, 3], ..plain.clone() };
    let seen = published::pb::Meta::decode(newer.encode_to_vec().as_slice()).expect("readable");
    assert_eq!(seen.encode_to_vec(), plain.encode_to_vec());
}
