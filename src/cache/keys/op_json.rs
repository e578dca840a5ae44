//! Ops in the JSON that BuildKit digests into its cache keys.
//!
//! It is what Go's `encoding/json` makes of the generated structs: their field order, their tags,
//! fields with zero values left out. Where BuildKit writes a message itself (`UserOpt`), so is this.
use base64::Engine as _;
use buildkit_rs_proto::pb;
use pb::file_action::Action;
use pb::user_opt::User;
use serde_json::{Map, Value, json};

use crate::oci::go_json;
use crate::oci::platform::Platform;

/// The fields of a struct, in order, without zero values.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn set(mut self, name: &str, value: Value) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    fn text(self, name: &str, text: &str) -> Self {
        if text.is_empty() { self } else { self.set(name, json!(text)) }
    }

    fn texts(self, name: &str, texts: &[String]) -> Self {
        if texts.is_empty() { self } else { self.set(name, json!(texts)) }
    }

    fn number(self, name: &str, number: impl Into<i64>) -> Self {
        match number.into() {
            0 => self,
            number => self.set(name, json!(number)),
        }
    }

    fn flag(self, name: &str, flag: bool) -> Self {
        if flag { self.set(name, json!(true)) } else { self }
    }

    fn message<T>(self, name: &str, message: Option<&T>, write: impl Fn(&T) -> Self) -> Self {
        match message {
            Some(message) => self.set(name, write(message).value()),
            None => self,
        }
    }

    fn messages<T>(self, name: &str, messages: &[T], write: impl Fn(&T) -> Self) -> Self {
        if messages.is_empty() {
            return self;
        }
        self.set(name, messages.iter().map(|message| write(message).value()).collect())
    }

    fn value(self) -> Value {
        Value::Object(self.0)
    }
}

fn fields() -> Fields {
    Fields::default()
}

/// What the key of an exec op is a digest of.
pub(super) fn exec(op: &pb::ExecOp, platform: &Platform) -> Vec<u8> {
    let fields = fields()
        .set("Type", json!("buildkit.exec.v0"))
        .set("Exec", exec_op(op).value())
        .set("OS", json!(platform.os))
        .set("Arch", json!(platform.architecture));
    go_json::to_vec(&platform_rest(fields, platform).value())
}

/// What the first key of an image is a digest of.
pub(super) fn image(digest: &str, platform: &Platform) -> Vec<u8> {
    let fields = fields()
        .set("Digest", json!(digest))
        .set("OS", json!(platform.os))
        .set("Arch", json!(platform.architecture));
    go_json::to_vec(&platform_rest(fields, platform).value())
}

fn platform_rest(fields: Fields, platform: &Platform) -> Fields {
    fields
        .text("Variant", &platform.variant)
        .text("OSVersion", &platform.os_version)
        .texts("OSFeatures", &platform.os_features)
}

/// What the key of a file op is a digest of: its actions, and how they hang together where that is
/// not what it almost always is.
pub(super) fn file(actions: &[Vec<u8>], indexes: Option<Vec<[i64; 3]>>) -> Vec<u8> {
    let actions: Vec<String> = actions.iter().map(|action| base64(action)).collect();
    let mut fields = fields().set("Type", json!("buildkit.file.v0")).set("Actions", json!(actions));
    if let Some(indexes) = indexes {
        fields = fields.set("indexes", json!(indexes));
    }
    go_json::to_vec(&fields.value())
}

/// What the key of a merge is a digest of.
pub(super) fn merge(op: &pb::MergeOp) -> Vec<u8> {
    let inputs = fields().messages("inputs", &op.inputs, |i| fields().number("input", i.input));
    let fields = fields().set("Type", json!("buildkit.merge.v0")).set("Merge", inputs.value());
    go_json::to_vec(&fields.value())
}

/// What the key of a diff is a digest of.
pub(super) fn diff(op: &pb::DiffOp) -> Vec<u8> {
    let diff = fields()
        .message("lower", op.lower.as_ref(), |lower| fields().number("input", lower.input))
        .message("upper", op.upper.as_ref(), |upper| fields().number("input", upper.input));
    let fields = fields().set("Type", json!("buildkit.diff.v0")).set("Diff", diff.value());
    go_json::to_vec(&fields.value())
}

/// What the key of a download with a checksum is a digest of.
pub(super) fn http(filename: &str, [perm, uid, gid]: [i64; 3], checksum: &str) -> Vec<u8> {
    go_json::to_vec(&json!({
        "Filename": filename, "Perm": perm, "UID": uid, "GID": gid, "Checksum": checksum,
    }))
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn exec_op(op: &pb::ExecOp) -> Fields {
    fields()
        .message("meta", op.meta.as_ref(), meta)
        .messages("mounts", &op.mounts, mount)
        .number("network", op.network)
        .number("security", op.security)
        .messages("secretenv", &op.secretenv, |secret| {
            let fields = fields().text("ID", &secret.id).text("name", &secret.name);
            fields.flag("optional", secret.optional)
        })
        .messages("cdiDevices", &op.cdi_devices, |device| {
            fields().text("name", &device.name).flag("optional", device.optional)
        })
}

fn meta(meta: &pb::Meta) -> Fields {
    fields()
        .texts("args", &meta.args)
        .texts("env", &meta.env)
        .text("cwd", &meta.cwd)
        .text("user", &meta.user)
        .messages("extraHosts", &meta.extra_hosts, |host| {
            fields().text("Host", &host.host).text("IP", &host.ip)
        })
        .text("hostname", &meta.hostname)
        .messages("ulimit", &meta.ulimit, |limit| {
            let fields = fields().text("Name", &limit.name);
            fields.number("Soft", limit.soft).number("Hard", limit.hard)
        })
        .text("cgroupParent", &meta.cgroup_parent)
        .flag("removeMountStubsRecursive", meta.remove_mount_stubs_recursive)
        .numbers("validExitCodes", &meta.valid_exit_codes)
}

impl Fields {
    fn numbers(self, name: &str, numbers: &[i32]) -> Self {
        if numbers.is_empty() { self } else { self.set(name, json!(numbers)) }
    }
}

fn mount(mount: &pb::Mount) -> Fields {
    fields()
        .number("input", mount.input)
        .text("selector", &mount.selector)
        .text("dest", &mount.dest)
        .number("output", mount.output)
        .flag("readonly", mount.readonly)
        .number("mountType", mount.mount_type)
        .message("TmpfsOpt", mount.tmpfs_opt.as_ref(), |tmpfs| fields().number("size", tmpfs.size))
        .message("cacheOpt", mount.cache_opt.as_ref(), |cache| {
            fields().text("ID", &cache.id).number("sharing", cache.sharing)
        })
        .message("secretOpt", mount.secret_opt.as_ref(), |secret| {
            owned(&secret.id, [secret.uid, secret.gid, secret.mode], secret.optional)
        })
        .message("SSHOpt", mount.ssh_opt.as_ref(), |ssh| {
            owned(&ssh.id, [ssh.uid, ssh.gid, ssh.mode], ssh.optional)
        })
        .text("resultID", &mount.result_id)
        .number("contentCache", mount.content_cache)
}

fn owned(id: &str, [uid, gid, mode]: [u32; 3], optional: bool) -> Fields {
    let fields = fields().text("ID", id).number("uid", uid).number("gid", gid);
    fields.number("mode", mode).flag("optional", optional)
}

/// One action of a file op. The source of a copy counts by its last element: the rest is its
/// selector, and its content counts anyway.
pub(super) fn action(action: &Action) -> Vec<u8> {
    let fields = match action {
        Action::Copy(copy) => copied(copy),
        Action::Mkfile(file) => fields()
            .text("path", &file.path)
            .number("mode", file.mode)
            .text("data", &base64(&file.data))
            .message("owner", file.owner.as_ref(), owner)
            .number("timestamp", file.timestamp),
        Action::Mkdir(dir) => fields()
            .text("path", &dir.path)
            .number("mode", dir.mode)
            .flag("makeParents", dir.make_parents)
            .message("owner", dir.owner.as_ref(), owner)
            .number("timestamp", dir.timestamp),
        Action::Rm(rm) => fields()
            .text("path", &rm.path)
            .flag("allowNotFound", rm.allow_not_found)
            .flag("allowWildcard", rm.allow_wildcard),
        Action::Symlink(link) => fields()
            .text("oldpath", &link.oldpath)
            .text("newpath", &link.newpath)
            .message("owner", link.owner.as_ref(), owner)
            .number("timestamp", link.timestamp),
    };
    go_json::to_vec(&fields.value())
}

fn copied(copy: &pb::FileActionCopy) -> Fields {
    fields()
        .text("src", &copy.src)
        .text("dest", &copy.dest)
        .message("owner", copy.owner.as_ref(), owner)
        .number("mode", copy.mode)
        .flag("followSymlink", copy.follow_symlink)
        .flag("dirCopyContents", copy.dir_copy_contents)
        .flag("attemptUnpackDockerCompatibility", copy.attempt_unpack_docker_compatibility)
        .flag("createDestPath", copy.create_dest_path)
        .flag("allowWildcard", copy.allow_wildcard)
        .flag("allowEmptyWildcard", copy.allow_empty_wildcard)
        .number("timestamp", copy.timestamp)
        .texts("include_patterns", &copy.include_patterns)
        .texts("exclude_patterns", &copy.exclude_patterns)
        .flag("alwaysReplaceExistingDestPaths", copy.always_replace_existing_dest_paths)
        .text("modeStr", &copy.mode_str)
        .texts("required_paths", &copy.required_paths)
}

fn owner(owner: &pb::ChownOpt) -> Fields {
    fields().message("user", owner.user.as_ref(), user).message("group", owner.group.as_ref(), user)
}

fn user(user: &pb::UserOpt) -> Fields {
    let inner = match &user.user {
        Some(User::ByName(named)) => fields().message("byName", Some(named), |named| {
            fields().text("name", &named.name).number("input", named.input)
        }),
        Some(User::ById(id)) => fields().number("byId", *id),
        None => fields(),
    };
    fields().set("User", inner.value())
}
