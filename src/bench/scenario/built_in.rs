//! The scenarios that every project has.
use super::{Caches, Empty, Engine, Generate, Scenario};

/// The scenarios that run when nothing else is said.
pub(super) const USUAL: [&str; 7] =
    ["cold", "warm", "fresh", "incremental", "noop", "reuse", "export"];

/// The scenario that stands for one of each stage.
pub const INCREMENTAL: &str = "incremental";

/// The scenarios that every project has.
#[must_use]
pub fn built_in() -> Vec<Scenario> {
    let new = || Scenario {
        engine: Engine::New,
        push: true,
        cache_to: Caches::Registry(true),
        cache_from: Caches::Registry(true),
        ..Scenario::default()
    };
    let generated = |generate| Scenario { generate: Some(generate), ..Scenario::default() };
    let named = |name: &str, scenario: Scenario| Scenario { name: name.to_owned(), ..scenario };
    vec![
        named("cold", Scenario { cache_from: Caches::default(), ..new() }),
        named("warm", Scenario { engine: Engine::Same, ..new() }),
        named("fresh", new()),
        named(INCREMENTAL, new()),
        named("noop", Scenario::default()),
        named("reuse", Scenario { reuse: true, cache_to: Caches::default(), ..new() }),
        named("export", Scenario { export: true, ..Scenario::default() }),
        named(
            "context-first",
            Scenario { empty: Some(Empty::All), ..generated(Generate::Files(50_000)) },
        ),
        named("context-again", generated(Generate::Files(50_000))),
        named("file", Scenario { empty: Some(Empty::All), ..generated(Generate::Bytes(1 << 30)) }),
        named("graph", generated(Generate::Steps(10_000))),
        named("private", Scenario { engine: Engine::Own, ..Scenario::default() }),
    ]
}
