//! `--host-ca`: this machine's CA certificates inside RUN steps, outside layers and cache keys.
//!
//! Behind a proxy that signs with its own CA, a step that downloads over TLS needs that CA. Copying
//! it into the image or mounting it in the Dockerfile would change layers and cache keys, so kitwright
//! does it one level lower: the private engine is told that the OCI runtime is a link to kitwright
//! named [`SHIM_NAME`]. Called under that name, kitwright adds the mount and the variables to the
//! container's `config.json` (OCI runtime specification 1.x) and then becomes the real runtime.
//!
//! The bundle appears below `/dev`, which is a tmpfs in every step: no mount point stays behind in
//! the layer. Tools find it through their environment variables, which a step that sets one of them
//! itself keeps.
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::{Value, json};

/// The name under which kitwright acts as the OCI runtime of its private engine.
pub const SHIM_NAME: &str = "kitwright-oci-runtime";
/// Tells the shim which runtime to become.
pub const RUNTIME_VARIABLE: &str = "KITWRIGHT_OCI_RUNTIME";
/// Tells the shim which bundle of certificates to mount.
pub const BUNDLE_VARIABLE: &str = "KITWRIGHT_HOST_CA";

const BUNDLE_IN_STEP: &str = "/dev/kitwright-ca-certificates.crt";

/// The variables by which OpenSSL, Go, curl, Python, pip, Node, Git, Cargo and the AWS tools find a
/// bundle.
const POINTERS: &[&str] = &[
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
];

/// Where distributions keep the bundle of all trusted certificates.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Finds this machine's bundle of CA certificates: `SSL_CERT_FILE`, else the distribution's.
#[must_use]
pub fn bundle() -> Option<PathBuf> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let usual = BUNDLES.iter().map(PathBuf::from);
    named.into_iter().chain(usual).find(|path| path.is_file())
}

/// Acts as the OCI runtime when this process was started under [`SHIM_NAME`].
///
/// Returns only if it was not, or if the real runtime cannot be started.
#[must_use]
pub fn run_as_shim() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    let name = arguments.next()?;
    if Path::new(&name).file_name() != Some(OsStr::new(SHIM_NAME)) {
        return None;
    }
    let arguments: Vec<OsString> = arguments.collect();
    Some(match become_runtime(&arguments) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("{SHIM_NAME}: {error}");
            ExitCode::from(crate::fault::Fault::Environment.exit_code())
        }
    })
}

#[derive(Debug, thiserror::Error)]
enum ShimError {
    #[error("`{RUNTIME_VARIABLE}` is not set")]
    NoRuntime,
    #[error("cannot start `{}`: {source}", runtime.display())]
    Start { runtime: PathBuf, source: std::io::Error },
    #[error("cannot change `{}`: {source}", config.display())]
    Config { config: PathBuf, source: std::io::Error },
}

fn become_runtime(arguments: &[OsString]) -> Result<std::convert::Infallible, ShimError> {
    let runtime = std::env::var_os(RUNTIME_VARIABLE).ok_or(ShimError::NoRuntime)?;
    if let (Some(bundle), Some(config)) = (std::env::var_os(BUNDLE_VARIABLE), created(arguments)) {
        let changed = change_config(&config, Path::new(&bundle));
        changed.map_err(|source| ShimError::Config { config, source })?;
    }
    let source = Command::new(&runtime).args(arguments).exec();
    Err(ShimError::Start { runtime: runtime.into(), source })
}

/// The `config.json` of the container that `runtime run` or `runtime create` is about to make.
fn created(arguments: &[OsString]) -> Option<PathBuf> {
    let creates = |argument: &OsString| argument == "run" || argument == "create";
    let command = arguments.iter().position(creates)?;
    let rest = &arguments[command + 1..];
    let at = rest.iter().position(|argument| argument == "--bundle" || argument == "-b")?;
    Some(Path::new(rest.get(at + 1)?).join("config.json"))
}

fn change_config(path: &Path, bundle: &Path) -> std::io::Result<()> {
    let mut config: Value = serde_json::from_slice(&fs_err::read(path)?)?;
    inject(&mut config, bundle);
    fs_err::write(path, serde_json::to_vec(&config)?)
}

fn inject(config: &mut Value, bundle: &Path) {
    if let Some(mounts) = config.get_mut("mounts").and_then(Value::as_array_mut) {
        mounts.push(json!({
            "destination": BUNDLE_IN_STEP,
            "type": "bind",
            "source": bundle,
            "options": ["rbind", "ro", "nosuid", "nodev", "noexec"],
        }));
    }
    if let Some(env) = config.pointer_mut("/process/env").and_then(Value::as_array_mut) {
        for pointer in POINTERS {
            let set = |entry: &Value| {
                let name = entry.as_str().and_then(|entry| entry.split('=').next());
                name == Some(pointer)
            };
            if !env.iter().any(set) {
                env.push(format!("{pointer}={BUNDLE_IN_STEP}").into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_run_and_create_are_changed() {
        let found = |line: &str| created(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        let config = Some(PathBuf::from("/x/config.json"));
        assert_eq!(found("--log l --log-format json run --bundle /x --keep id"), config);
        assert_eq!(found("create -b /x id"), config);
        assert_eq!(found("kill id 9"), None);
    }

    #[test]
    fn a_step_keeps_the_variables_that_it_sets() {
        let mut config = json!({
            "process": {"env": ["PATH=/bin", "PIP_CERT=/mine"]},
            "mounts": [{"destination": "/dev"}],
        });
        inject(&mut config, Path::new("/host.crt"));
        let env = config["process"]["env"].as_array().unwrap();
        assert_eq!(env.len(), 2 + POINTERS.len() - 1);
        assert!(env.contains(&"PIP_CERT=/mine".into()));
        assert!(env.contains(&"SSL_CERT_FILE=/dev/kitwright-ca-certificates.crt".into()));
        assert_eq!(config["mounts"][1]["source"], "/host.crt");
    }
}
