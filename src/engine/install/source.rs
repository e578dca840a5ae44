//! Builds from source through Go's module proxy.
//!
//! `go install PACKAGE@VERSION` refuses BuildKit, whose `go.mod` has `exclude` directives. So a
//! module of our own requires it, with every version and digest pinned in `go.mod` and `go.sum`.
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::super::programs::{BUILDKIT_VERSION, Origin, Program, find_program};
use super::super::state::StateError;
use super::{BuildKit, InstallError, Options, installed};

/// A module of ours that requires another's programs.
struct Module {
    program: &'static str,
    go_mod: &'static str,
    go_sum: &'static str,
    packages: &'static [&'static str],
    /// Given to the linker, besides leaving out debug information.
    link: String,
}

/// Builds `buildkitd` and `buildctl`. The runtime is not Go alone and comes from elsewhere.
pub(super) async fn buildkit(target: &Path, options: &Options) -> Result<BuildKit, InstallError> {
    let module = Module {
        program: "buildkit",
        go_mod: include_str!("buildkit/go.mod"),
        go_sum: include_str!("buildkit/go.sum"),
        packages: &[
            "github.com/moby/buildkit/cmd/buildkitd",
            "github.com/moby/buildkit/cmd/buildctl",
        ],
        link: format!("-X github.com/moby/buildkit/version.Version=v{BUILDKIT_VERSION}"),
    };
    build(&module, target, options).await?;
    Ok(BuildKit {
        buildkitd: installed(target.join("buildkitd"), Origin::Go)?,
        buildctl: Some(installed(target.join("buildctl"), Origin::Go)?),
        runtime: None,
    })
}

/// Builds `rootlesskit`.
pub(super) async fn rootlesskit(target: &Path, options: &Options) -> Result<Program, InstallError> {
    let module = Module {
        program: "rootlesskit",
        go_mod: include_str!("rootlesskit/go.mod"),
        go_sum: include_str!("rootlesskit/go.sum"),
        packages: &["github.com/rootless-containers/rootlesskit/v3/cmd/rootlesskit"],
        link: String::new(),
    };
    build(&module, target, options).await?;
    installed(target.join("rootlesskit"), Origin::Go)
}

async fn build(module: &Module, target: &Path, options: &Options) -> Result<(), InstallError> {
    let program = module.program;
    let go = find_program("go").ok_or(InstallError::NoGo { program })?;
    let folder =
        tempfile::tempdir_in(target).map_err(StateError::io("create a folder in", target))?;
    for (name, content) in [("go.mod", module.go_mod), ("go.sum", module.go_sum)] {
        let path = folder.path().join(name);
        fs_err::write(&path, content).map_err(StateError::io("write", &path))?;
    }
    (options.notice)(&format!(
        "building {program} from source through Go's module proxy; this takes a minute or two"
    ));
    let mut command = Command::new(&go);
    command.args(["build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags"]);
    command.arg(format!("-s -w {}", module.link)).arg("-o").arg(target).args(module.packages);
    command.current_dir(folder.path()).stdin(Stdio::null()).kill_on_drop(true);
    // The user's settings for other modules would spoil this one. Where modules come from and what
    // vouches for them (GOPROXY, GOSUMDB, GOPRIVATE) stays theirs.
    for name in ["GOFLAGS", "GOWORK", "GOOS", "GOARCH", "GOEXPERIMENT", "GO111MODULE", "GOBIN"] {
        command.env_remove(name);
    }
    command.env("GOWORK", "off").env("CGO_ENABLED", "0");
    // Images of Go forbid it to fetch the newer version that `go.mod` asks for.
    command.env("GOTOOLCHAIN", "auto");
    let output = command.output().await.map_err(StateError::io("run", &go))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> =
        text.lines().filter(|line| !line.starts_with("go: downloading ")).collect();
    let output = lines[lines.len().saturating_sub(10)..].join("\n");
    Err(InstallError::GoBuild { program, output })
}
