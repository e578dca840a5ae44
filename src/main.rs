//! The `kitwright` command: parse, run, exit.
use std::process::ExitCode;

fn main() -> ExitCode {
    // Kitwright starts itself anew under these guises, which must cost as little as they can.
    let guise = kitwright::engine::host_ca::run_as_shim()
        .or_else(kitwright::bench::measure::run_as_launcher)
        .or_else(kitwright::engine::unsynced::run_as_launcher)
        .or_else(kitwright::engine::supervisor::run_as_supervisor);
    if let Some(exit) = guise {
        return exit;
    }
    kitwright::cli::main()
}
