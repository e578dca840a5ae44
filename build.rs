//! Compiles the program that works inside cache mounts, which kitwright carries within itself.
//!
//! Its source is `src/cache/mounts/helper`. It runs in the engine on an empty root file system, so it
//! needs neither a standard library nor libc: the compiler's own `core` and `alloc` for the target are
//! enough. A target on which that does not work gets an empty one, and says so at run time.
use std::env;
use std::path::Path;
use std::process::Command;

const SOURCE: &str = "src/cache/mounts/helper";
/// Everything that keeps it small and free of what a host's loader would bring: the compiler reads its
/// arguments from this file.
const ARGUMENTS: &str = "rustc.args";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let program = Path::new(&variable("OUT_DIR")).join("mounts-helper");
    let known = ["x86_64", "aarch64"].contains(&variable("CARGO_CFG_TARGET_ARCH").as_str());
    let built = variable("CARGO_CFG_TARGET_OS") == "linux" && known && compile(&program, variable);
    if !built {
        println!(
            "cargo::warning=this kitwright cannot keep cache mounts: its helper does not build"
        );
        if let Err(error) = std::fs::write(&program, []) {
            println!("cargo::error=cannot write `{}`: {error}", program.display());
        }
    }
}

fn compile(program: &Path, variable: impl Fn(&str) -> String) -> bool {
    let mut rustc = Command::new(variable("RUSTC"));
    rustc
        .arg(format!("@{SOURCE}/{ARGUMENTS}"))
        .args(["--target", &variable("TARGET")])
        .arg("-o")
        .arg(program);
    if variable("CARGO_CFG_TARGET_ENV") == "musl" {
        // Such a target would bring its libc's start, besides the program's own.
        rustc.arg("-Clink-self-contained=no");
    }
    let linker = variable("RUSTC_LINKER");
    if !linker.is_empty() {
        rustc.arg(format!("-Clinker={linker}"));
    }
    rustc.arg(Path::new(SOURCE).join("main.rs"));
    rustc.status().is_ok_and(|status| status.success())
}
