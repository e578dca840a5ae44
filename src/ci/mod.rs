//! The CI logic around the image on GitHub: event, tags, detection, wait, comment, summary.
//!
//! Data flows one way. [`environment`] and [`event`] turn what GitHub tells a job into an
//! [`event::Event`]; [`detect`] asks git whether a pull request touches the image, and [`commit`] for
//! the files of one commit, which its content key is made of; [`tags`] is the
//! pure table that says which image a run uses and which tags it publishes. The rest acts on that:
//! [`wait`] for the build of one commit, [`comment`] on the pull request, [`authorize`] and [`push`]
//! for regeneration, [`summary`] for the job page. [`github`] is the REST client below them,
//! [`git`] runs the real git, and [`publish`] writes outputs the way a runner reads them.
//!
//! Nothing here reads the process environment but [`environment::Environment::of_process`]: the command
//! line hands it in, so that every rule can be tried on a laptop with an event file.

pub mod action;
pub mod authorize;
pub mod comment;
pub mod commit;
pub mod detect;
pub mod environment;
pub mod event;
pub mod git;
pub mod github;
pub mod image;
pub mod login;
pub mod lookup;
pub mod markdown;
pub mod publish;
pub mod push;
pub mod record;
pub mod report;
pub mod settings;
pub mod summary;
pub mod tags;
pub mod wait;
