//! An op as JSON, by Protobuf's rules: names of the contract, 64-bit numbers as text, bytes in base64.
use base64::Engine as _;
use buildkit_rs_proto::pb;
use serde_json::{Map, Value, json};

/// Collects the fields of a message that differ from their defaults.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, key: &str, value: Value) -> &mut Self {
        self.0.insert(key.to_owned(), value);
        self
    }

    fn text(&mut self, key: &str, text: &str) -> &mut Self {
        if text.is_empty() { self } else { self.set(key, json!(text)) }
    }

    fn texts(&mut self, key: &str, texts: &[String]) -> &mut Self {
        if texts.is_empty() { self } else { self.set(key, json!(texts)) }
    }

    fn long(&mut self, key: &str, number: i64) -> &mut Self {
        if number == 0 { self } else { self.set(key, json!(number.to_string())) }
    }

    fn number(&mut self, key: &str, number: impl Into<i64>) -> &mut Self {
        match number.into() {
            0 => self,
            number => self.set(key, json!(number)),
        }
    }

    fn flag(&mut self, key: &str, flag: bool) -> &mut Self {
        if flag { self.set(key, json!(true)) } else { self }
    }

    fn name(&mut self, key: &str, number: i32, name: Option<&str>) -> &mut Self {
        match (number, name) {
            (0, _) => self,
            (_, Some(name)) => self.set(key, json!(name)),
            (number, None) => self.set(key, json!(number)),
        }
    }

    fn message(&mut self, key: &str, message: Option<Value>) -> &mut Self {
        match message {
            Some(message) => self.set(key, message),
            None => self,
        }
    }

    fn messages<T>(&mut self, key: &str, items: &[T], write: impl Fn(&T) -> Value) -> &mut Self {
        match items {
            [] => self,
            items => self.set(key, items.iter().map(write).collect()),
        }
    }

    fn done(&mut self) -> Value {
        Value::Object(std::mem::take(&mut self.0))
    }
}

/// The JSON form of `op`.
#[must_use]
pub fn op_json(op: &pb::Op) -> Value {
    let mut fields = Fields::default();
    fields.messages("inputs", &op.inputs, |input| {
        Fields::default().text("digest", &input.digest).long("index", input.index).done()
    });
    match &op.op {
        Some(pb::op::Op::Exec(exec)) => fields.set("exec", exec_json(exec)),
        Some(pb::op::Op::Source(source)) => fields.set("source", source_json(source)),
        Some(pb::op::Op::File(file)) => {
            let mut actions = Fields::default();
            fields.set("file", actions.messages("actions", &file.actions, action_json).done())
        }
        Some(pb::op::Op::Merge(merge)) => {
            let input =
                |input: &pb::MergeInput| Fields::default().long("input", input.input).done();
            fields.set("merge", Fields::default().messages("inputs", &merge.inputs, input).done())
        }
        Some(pb::op::Op::Diff(_)) => fields.set("diff", json!({})),
        Some(pb::op::Op::Build(_)) => fields.set("build", json!({})),
        Some(pb::op::Op::Passthrough(_)) => fields.set("passthrough", json!({})),
        None => &mut fields,
    };
    fields.message("platform", op.platform.as_ref().map(platform_json));
    let constraints = op.constraints.as_ref();
    fields.message(
        "constraints",
        constraints.map(|all| Fields::default().texts("filter", &all.filter).done()),
    );
    fields.done()
}

fn platform_json(platform: &pb::Platform) -> Value {
    Fields::default()
        .text("Architecture", &platform.architecture)
        .text("OS", &platform.os)
        .text("Variant", &platform.variant)
        .text("OSVersion", &platform.os_version)
        .texts("OSFeatures", &platform.os_features)
        .done()
}

fn source_json(source: &pb::SourceOp) -> Value {
    let mut fields = Fields::default();
    fields.text("identifier", &source.identifier);
    if !source.attrs.is_empty() {
        fields.set("attrs", json!(source.attrs));
    }
    fields.done()
}

fn exec_json(exec: &pb::ExecOp) -> Value {
    let network = pb::NetMode::try_from(exec.network).ok();
    let security = pb::SecurityMode::try_from(exec.security).ok();
    Fields::default()
        .message("meta", exec.meta.as_ref().map(meta_json))
        .messages("mounts", &exec.mounts, mount_json)
        .name("network", exec.network, network.map(|mode| mode.as_str_name()))
        .name("security", exec.security, security.map(|mode| mode.as_str_name()))
        .messages("secretenv", &exec.secretenv, |secret| {
            Fields::default()
                .text("ID", &secret.id)
                .text("name", &secret.name)
                .flag("optional", secret.optional)
                .done()
        })
        .messages("cdiDevices", &exec.cdi_devices, |device| {
            Fields::default().text("name", &device.name).flag("optional", device.optional).done()
        })
        .done()
}

fn meta_json(meta: &pb::Meta) -> Value {
    Fields::default()
        .texts("args", &meta.args)
        .texts("env", &meta.env)
        .text("cwd", &meta.cwd)
        .text("user", &meta.user)
        .message("proxyEnv", meta.proxy_env.as_ref().map(proxy_json))
        .messages("extraHosts", &meta.extra_hosts, |host| {
            Fields::default().text("Host", &host.host).text("IP", &host.ip).done()
        })
        .text("hostname", &meta.hostname)
        .messages("ulimit", &meta.ulimit, |limit| {
            Fields::default()
                .text("Name", &limit.name)
                .long("Soft", limit.soft)
                .long("Hard", limit.hard)
                .done()
        })
        .text("cgroupParent", &meta.cgroup_parent)
        .flag("removeMountStubsRecursive", meta.remove_mount_stubs_recursive)
        .messages("validExitCodes", &meta.valid_exit_codes, |code| json!(code))
        .done()
}

fn proxy_json(proxy: &pb::ProxyEnv) -> Value {
    Fields::default()
        .text("httpProxy", &proxy.http_proxy)
        .text("httpsProxy", &proxy.https_proxy)
        .text("ftpProxy", &proxy.ftp_proxy)
        .text("noProxy", &proxy.no_proxy)
        .text("allProxy", &proxy.all_proxy)
        .done()
}

fn mount_json(mount: &pb::Mount) -> Value {
    let kind = pb::MountType::try_from(mount.mount_type).ok();
    let content = pb::MountContentCache::try_from(mount.content_cache).ok();
    Fields::default()
        .long("input", mount.input)
        .text("selector", &mount.selector)
        .text("dest", &mount.dest)
        .long("output", mount.output)
        .flag("readonly", mount.readonly)
        .name("mountType", mount.mount_type, kind.map(|kind| kind.as_str_name()))
        .message(
            "TmpfsOpt",
            mount.tmpfs_opt.map(|tmpfs| Fields::default().long("size", tmpfs.size).done()),
        )
        .message("cacheOpt", mount.cache_opt.as_ref().map(cache_json))
        .message("secretOpt", mount.secret_opt.as_ref().map(secret_json))
        .message("SSHOpt", mount.ssh_opt.as_ref().map(ssh_json))
        .text("resultID", &mount.result_id)
        .name("contentCache", mount.content_cache, content.map(|mode| mode.as_str_name()))
        .done()
}

fn cache_json(cache: &pb::CacheOpt) -> Value {
    let sharing = pb::CacheSharingOpt::try_from(cache.sharing).ok();
    Fields::default()
        .text("ID", &cache.id)
        .name("sharing", cache.sharing, sharing.map(|sharing| sharing.as_str_name()))
        .done()
}

fn secret_json(secret: &pb::SecretOpt) -> Value {
    Fields::default()
        .text("ID", &secret.id)
        .number("uid", secret.uid)
        .number("gid", secret.gid)
        .number("mode", secret.mode)
        .flag("optional", secret.optional)
        .done()
}

fn ssh_json(agent: &pb::SshOpt) -> Value {
    Fields::default()
        .text("ID", &agent.id)
        .number("uid", agent.uid)
        .number("gid", agent.gid)
        .number("mode", agent.mode)
        .flag("optional", agent.optional)
        .done()
}

fn action_json(action: &pb::FileAction) -> Value {
    let mut fields = Fields::default();
    fields
        .long("input", action.input)
        .long("secondaryInput", action.secondary_input)
        .long("output", action.output);
    match &action.action {
        Some(pb::file_action::Action::Copy(copy)) => fields.set("copy", copy_json(copy)),
        Some(pb::file_action::Action::Mkdir(dir)) => fields.set("mkdir", mkdir_json(dir)),
        Some(pb::file_action::Action::Mkfile(file)) => fields.set("mkfile", mkfile_json(file)),
        Some(pb::file_action::Action::Rm(rm)) => {
            let mut value = Fields::default();
            value
                .text("path", &rm.path)
                .flag("allowNotFound", rm.allow_not_found)
                .flag("allowWildcard", rm.allow_wildcard);
            fields.set("rm", value.done())
        }
        Some(pb::file_action::Action::Symlink(link)) => {
            let mut value = Fields::default();
            value
                .text("oldpath", &link.oldpath)
                .text("newpath", &link.newpath)
                .message("owner", link.owner.as_ref().map(owner_json))
                .long("timestamp", link.timestamp);
            fields.set("symlink", value.done())
        }
        None => &mut fields,
    };
    fields.done()
}

fn copy_json(copy: &pb::FileActionCopy) -> Value {
    Fields::default()
        .text("src", &copy.src)
        .text("dest", &copy.dest)
        .message("owner", copy.owner.as_ref().map(owner_json))
        .number("mode", copy.mode)
        .flag("followSymlink", copy.follow_symlink)
        .flag("dirCopyContents", copy.dir_copy_contents)
        .flag("attemptUnpackDockerCompatibility", copy.attempt_unpack_docker_compatibility)
        .flag("createDestPath", copy.create_dest_path)
        .flag("allowWildcard", copy.allow_wildcard)
        .flag("allowEmptyWildcard", copy.allow_empty_wildcard)
        .long("timestamp", copy.timestamp)
        .texts("includePatterns", &copy.include_patterns)
        .texts("excludePatterns", &copy.exclude_patterns)
        .flag("alwaysReplaceExistingDestPaths", copy.always_replace_existing_dest_paths)
        .text("modeStr", &copy.mode_str)
        .texts("requiredPaths", &copy.required_paths)
        .done()
}

fn mkdir_json(dir: &pb::FileActionMkDir) -> Value {
    Fields::default()
        .text("path", &dir.path)
        .number("mode", dir.mode)
        .flag("makeParents", dir.make_parents)
        .message("owner", dir.owner.as_ref().map(owner_json))
        .long("timestamp", dir.timestamp)
        .done()
}

fn mkfile_json(file: &pb::FileActionMkFile) -> Value {
    let data = base64::engine::general_purpose::STANDARD.encode(&file.data);
    Fields::default()
        .text("path", &file.path)
        .number("mode", file.mode)
        .text("data", &data)
        .message("owner", file.owner.as_ref().map(owner_json))
        .long("timestamp", file.timestamp)
        .done()
}

fn owner_json(owner: &pb::ChownOpt) -> Value {
    Fields::default()
        .message("user", owner.user.as_ref().map(user_json))
        .message("group", owner.group.as_ref().map(user_json))
        .done()
}

fn user_json(user: &pb::UserOpt) -> Value {
    match &user.user {
        Some(pb::user_opt::User::ByName(named)) => {
            let by_name =
                Fields::default().text("name", &named.name).long("input", named.input).done();
            json!({ "byName": by_name })
        }
        Some(pb::user_opt::User::ById(id)) => json!({ "byID": id }),
        None => json!({}),
    }
}
