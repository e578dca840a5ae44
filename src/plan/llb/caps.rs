//! Names of the capabilities that ops need of the engine, as their metadata lists them.
//!
//! An engine refuses a definition that names a capability it does not know, and ignores missing ones.

/// Every op: worker constraints.
pub const CONSTRAINTS: &str = "constraints";
/// Every op: platforms.
pub const PLATFORM: &str = "platform";
/// Metadata: a vertex that must not be taken from the cache.
pub const META_IGNORE_CACHE: &str = "meta.ignorecache";
/// Metadata: descriptions.
pub const META_DESCRIPTION: &str = "meta.description";
/// Metadata: per-vertex cache export.
pub const META_EXPORT_CACHE: &str = "meta.exportcache";

/// Image sources.
pub const SOURCE_IMAGE: &str = "source.image";
/// Image sources that must be pulled anew.
pub const SOURCE_IMAGE_RESOLVE_MODE: &str = "source.image.resolvemode";
/// Local sources.
pub const SOURCE_LOCAL: &str = "source.local";
/// Local sources: the session that holds the directory.
pub const SOURCE_LOCAL_SESSION_ID: &str = "source.local.sessionid";
/// Local sources: follow paths.
pub const SOURCE_LOCAL_FOLLOW_PATHS: &str = "source.local.followpaths";
/// Local sources: exclude patterns.
pub const SOURCE_LOCAL_EXCLUDE_PATTERNS: &str = "source.local.excludepatterns";
/// Local sources: shared key hint.
pub const SOURCE_LOCAL_SHARED_KEY_HINT: &str = "source.local.sharedkeyhint";
/// Git sources.
pub const SOURCE_GIT: &str = "source.git";
/// Git sources: keep `.git`.
pub const SOURCE_GIT_KEEP_DIR: &str = "source.git.keepgitdir";
/// Git sources: the whole URL.
pub const SOURCE_GIT_FULL_URL: &str = "source.git.fullurl";
/// Git sources: known hosts of SSH.
pub const SOURCE_GIT_KNOWN_SSH_HOSTS: &str = "source.git.knownsshhosts";
/// Git sources: SSH agent socket.
pub const SOURCE_GIT_MOUNT_SSH_SOCK: &str = "source.git.mountsshsock";
/// Git sources: commit checksum.
pub const SOURCE_GIT_CHECKSUM: &str = "source.git.checksum";
/// Git sources: without submodules.
pub const SOURCE_GIT_SKIP_SUBMODULES: &str = "source.git.skipsubmodules";
/// Git sources: file times.
pub const SOURCE_GIT_MTIME: &str = "source.git.mtime";
/// Git sources: fetch the commit itself.
pub const SOURCE_GIT_FETCH_BY_COMMIT: &str = "source.git.fetchbycommit";
/// HTTP sources.
pub const SOURCE_HTTP: &str = "source.http";
/// HTTP sources: checksum.
pub const SOURCE_HTTP_CHECKSUM: &str = "source.http.checksum";
/// OCI layout sources.
pub const SOURCE_OCI_LAYOUT: &str = "source.ocilayout";

/// Exec ops.
pub const EXEC_META_BASE: &str = "exec.meta.base";
/// Exec ops: proxies.
pub const EXEC_META_PROXY: &str = "exec.meta.proxyenv";
/// Exec ops: network mode.
pub const EXEC_META_NETWORK: &str = "exec.meta.network";
/// Exec ops: security mode.
pub const EXEC_META_SECURITY: &str = "exec.meta.security";
/// Exec ops: the engine sets a default `PATH`.
pub const EXEC_META_SETS_DEFAULT_PATH: &str = "exec.meta.setsdefaultpath";
/// Exec ops: limits.
pub const EXEC_META_ULIMIT: &str = "exec.meta.ulimit";
/// Exec ops: CPU and memory limits.
pub const EXEC_META_LINUX_RESOURCES: &str = "exec.meta.linux.resources";
/// Exec ops: CDI devices.
pub const EXEC_META_CDI: &str = "exec.meta.cdi";
/// Exec ops: bind mounts.
pub const EXEC_MOUNT_BIND: &str = "exec.mount.bind";
/// Exec ops: cache mounts.
pub const EXEC_MOUNT_CACHE: &str = "exec.mount.cache";
/// Exec ops: sharing of cache mounts.
pub const EXEC_MOUNT_CACHE_SHARING: &str = "exec.mount.cache.sharing";
/// Exec ops: sub-paths of mounts.
pub const EXEC_MOUNT_SELECTOR: &str = "exec.mount.selector";
/// Exec ops: tmpfs mounts.
pub const EXEC_MOUNT_TMPFS: &str = "exec.mount.tmpfs";
/// Exec ops: size of tmpfs mounts.
pub const EXEC_MOUNT_TMPFS_SIZE: &str = "exec.mount.tmpfs.size";
/// Exec ops: secret mounts.
pub const EXEC_MOUNT_SECRET: &str = "exec.mount.secret";
/// Exec ops: SSH agent mounts.
pub const EXEC_MOUNT_SSH: &str = "exec.mount.ssh";
/// Exec ops: secrets as environment variables.
pub const EXEC_SECRET_ENV: &str = "exec.secretenv";

/// File ops.
pub const FILE_BASE: &str = "file.base";
/// Merge ops.
pub const MERGE_OP: &str = "mergeop";
/// Diff ops.
pub const DIFF_OP: &str = "diffop";
