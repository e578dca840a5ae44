//! The `kitwright` command: parse, run, exit.
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(exit) = kitwright::engine::host_ca::run_as_shim() {
        return exit;
    }
    kitwright::cli::main()
}
