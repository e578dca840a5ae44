//! The `kitwright` command: parse, run, exit.
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(exit) = kitwright::engine::host_ca::run_as_shim() {
        return exit;
    }
    if let Some(exit) = kitwright::engine::supervisor::run_as_supervisor() {
        return exit;
    }
    kitwright::cli::main()
}
