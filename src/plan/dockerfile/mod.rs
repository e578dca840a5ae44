//! Dockerfiles: parsing, expansion, stages, linting, and compilation to LLB.

pub mod compiled;
pub mod git_ref;
pub mod options;
mod path;
pub mod resolver;
mod url;

pub use compiled::{Compiled, CompiledPlatform, LocalContext, UsedImage};
pub use options::CompileOptions;
pub use resolver::{ImageQuery, ImageResolver, KnownImages, ResolveError, ResolvedImage};
