//! The command line: the clap tree, one file per subcommand, error reports and exit codes.
//!
//! stdout carries data only (digests, JSON), stderr everything for people.
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod report;

mod args;
mod bench;
mod build;
mod builder;
mod caching;
mod ci;
mod compilation;
mod compile;
mod completions;
mod display;
mod doctor;
mod engine;
mod explaining;
mod image;
mod images;
mod keys;
mod lock;
mod locking;
mod plan;
mod prediction;
mod run;
mod runtime;
mod session;
mod source;

use report::Failure;

/// Builds container images with BuildKit, without a Docker daemon.
#[derive(Debug, Parser)]
#[command(name = "kitwright", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The same with the one command that is called again and again.
#[derive(Debug, Parser)]
#[command(name = "kitwright", version, propagate_version = true, max_term_width = 100)]
struct BuildCli {
    #[command(subcommand)]
    command: BuildCommand,
}

#[derive(Debug, Subcommand)]
enum BuildCommand {
    Build(build::Build),
}

#[derive(Debug, Subcommand)]
enum Command {
    Build(build::Build),
    Compile(compile::Compile),
    Lock(lock::Lock),
    Plan(plan::Plan),
    Engine(engine::Engine),
    Run(run::Run),
    Image(image::Image),
    Ci(ci::Ci),
    Bench(bench::Bench),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
}

/// Runs the command line and returns the process's exit code.
#[must_use]
pub fn main() -> ExitCode {
    match dispatch(parse().unwrap_or_else(|error| error.exit())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.print(),
    }
}

/// Reads the command line.
///
/// Laying out the flags of all commands takes longer than a build that has nothing to do takes to be planned.
fn parse() -> Result<Command, clap::Error> {
    let arguments = || std::env::args_os();
    match arguments().nth(1) {
        Some(name) if name == "build" => {
            let BuildCommand::Build(build) = BuildCli::try_parse_from(arguments())?.command;
            Ok(Command::Build(build))
        }
        _ => Ok(Cli::try_parse_from(arguments())?.command),
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Build(command) => command.run(),
        Command::Compile(command) => command.run(),
        Command::Lock(command) => command.run(),
        Command::Plan(command) => command.run(),
        Command::Engine(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Image(command) => command.run(),
        Command::Ci(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Completions(command) => command.run(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_build_command_is_the_same_alone() {
        let help = |mut command: clap::Command| {
            command.build();
            let build = command.find_subcommand_mut("build").unwrap();
            (build.render_long_help().to_string(), build.render_version())
        };
        assert_eq!(help(BuildCli::command()), help(Cli::command()));
    }
}
