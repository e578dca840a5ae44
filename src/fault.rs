//! Whose fault an error is: the one thing about it that the exit code tells.

/// The kind of an error, as scripts see it in kitwright's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The user's build failed: a step, a check, a command that ran in an image. Exit code 1.
    Build,
    /// Usage or bad input: flags, Dockerfile, missing context file. Exit code 2.
    Usage,
    /// The environment: engine, registry, network, disk; a retry may help. Exit code 3.
    Environment,
    /// Kitwright's own bug. Exit code 70.
    Internal,
    /// The user interrupted the command. Exit code 130.
    Interrupted,
}

impl Fault {
    /// The process exit code of this kind.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Build => 1,
            Self::Usage => 2,
            Self::Environment => 3,
            Self::Internal => 70,
            Self::Interrupted => 130,
        }
    }
}

/// An error with all its causes in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// An error that a command can end with.
///
/// Every module's error enum implements it, so that the command line can turn any of them into a
/// report and an exit code with `?`.
pub trait Classified: miette::Diagnostic + Send + Sync + 'static {
    /// Tells whose fault the error is.
    fn fault(&self) -> Fault;
}
