//! The `kitwright` command: parse, run, exit.
use std::process::ExitCode;

fn main() -> ExitCode {
    kitwright::cli::main()
}
