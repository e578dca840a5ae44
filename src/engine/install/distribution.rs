//! What only the distribution can give: an OCI runtime, and the helpers that map user ids.
use std::path::Path;

use tokio::process::Command;

use super::super::programs::find_program;
use super::{InstallError, Options};

/// Installs `runc` with apt, as root.
pub(super) async fn install_runc(options: &Options) -> Result<(), InstallError> {
    if !rustix::process::geteuid().is_root() {
        return Err(InstallError::NoRuntime { reason: String::new() });
    }
    let Some(apt) = find_program("apt-get") else {
        return Err(InstallError::NoRuntime { reason: ", and no `apt-get` to install one".into() });
    };
    (options.notice)("installing runc with apt-get");
    let install = ["install", "-y", "--no-install-recommends", "runc"];
    if run(&apt, &install).await? {
        return Ok(());
    }
    // A fresh image has no package lists.
    if run(&apt, &["update"]).await? && run(&apt, &install).await? {
        return Ok(());
    }
    Err(InstallError::NoRuntime { reason: ", and `apt-get install runc` failed".into() })
}

async fn run(apt: &Path, arguments: &[&str]) -> Result<bool, InstallError> {
    let output = Command::new(apt)
        .args(["-q", "-o", "DPkg::Lock::Timeout=60"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    let output =
        output.map_err(|source| InstallError::NoRuntime { reason: format!(": {source}") })?;
    Ok(output.status.success())
}

/// Checks what an ordinary user needs to have more than one user id in a namespace.
pub(super) fn check_user_mapping() -> Result<(), InstallError> {
    if find_program("newuidmap").is_none() || find_program("newgidmap").is_none() {
        return Err(InstallError::Rootless {
            what: "`newuidmap` and `newgidmap`".into(),
            command: "apt-get install uidmap".into(),
        });
    }
    let user = super::super::doctor::user_name();
    for file in ["/etc/subuid", "/etc/subgid"] {
        if !super::super::doctor::has_sub_ids(Path::new(file), &user) {
            return Err(InstallError::Rootless {
                what: format!("a range of subordinate ids for `{user}` in `{file}`"),
                command: format!(
                    "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
                ),
            });
        }
    }
    Ok(())
}
