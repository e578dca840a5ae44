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
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.print(),
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
