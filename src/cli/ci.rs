//! `kitwright ci`: the CI logic around the image, for workflows and for trying it on a laptop.
use clap::{Args, Subcommand};

use super::report::Failure;

mod action;
mod authorize;
mod comment;
mod context;
mod image;
mod key;
mod login;
mod push;
mod react;
mod summary;

/// Tags, detection, waiting, comments and summaries in CI
#[derive(Debug, Args)]
pub(super) struct Ci {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Tags(image::Tags),
    Image(image::Image),
    Wait(image::Wait),
    Comment(comment::Comment),
    Authorize(authorize::Authorize),
    Push(push::Push),
    React(react::React),
    Summary(summary::Summary),
    Build(action::Build),
    Login(login::Login),
}

impl Ci {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Tags(command) => command.run(),
            Command::Image(command) => command.run(),
            Command::Wait(command) => command.run(),
            Command::Comment(command) => command.run(),
            Command::Authorize(command) => command.run(),
            Command::Push(command) => command.run(),
            Command::React(command) => command.run(),
            Command::Summary(command) => command.run(),
            Command::Build(command) => command.run(),
            Command::Login(command) => command.run(),
        }
    }
}
