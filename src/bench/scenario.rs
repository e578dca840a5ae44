//! What is measured: the built-in scenarios, and those of the `[bench]` table of `kitwright.toml`.
//!
//! A scenario is plain data: in which state the engine is, what the client is asked to do besides
//! building, and what changed since the last time. The built-in ones are written in the same terms
//! as a project's own.
mod built_in;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::refs::Caches;
use crate::fault::{Classified, Fault};
use crate::oci::compression::Compression;

use built_in::USUAL;
pub use built_in::{INCREMENTAL, built_in};

/// The `[bench]` table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The build context.
    pub context: Option<PathBuf>,
    /// The Dockerfile.
    pub dockerfile: Option<PathBuf>,
    /// The stage to build.
    pub target: Option<String>,
    /// How often each scenario is measured.
    pub rounds: Option<u32>,
    /// How layers that are pushed and exported are compressed; what is each client's default when
    /// unset. `buildx-defaults` is never told.
    pub compression: Option<Compression>,
    /// Which scenarios run when the command line names none.
    pub scenarios: Vec<String>,
    /// The stages that `incremental` changes; all that can be changed when empty.
    pub stages: Vec<String>,
    /// The project's own scenarios.
    pub scenario: Vec<Scenario>,
}

/// In which state a sample finds the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// One engine for all samples, on which each client has built before.
    #[default]
    Same,
    /// An engine of its own that has never built anything, started before the sample.
    New,
    /// The client's affair: kitwright's private engine, `buildctl-daemonless.sh`. Its state has seen
    /// the build before; starting and stopping it is part of the sample.
    Own,
}

/// Where an engine of a sample's own keeps its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// In the state folder.
    #[default]
    Disk,
    /// In memory, so that no disk decides what is measured.
    Memory,
}

/// What is removed from the engine before each sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Empty {
    /// Everything.
    All,
    /// The contents of cache mounts.
    Mounts,
}

/// Something that changed since the last build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", untagged)]
pub enum Change {
    /// A build argument: sample by sample the next of these values.
    Arg {
        /// Its name.
        arg: String,
        /// Its values; none of them the Dockerfile's own.
        values: Vec<String>,
    },
    /// A file of the context: it gets this text at its end, in a copy of the context.
    File {
        /// Its path in the context.
        file: PathBuf,
        /// What is added; `{n}` stands for a number that no other sample has. An empty line for each
        /// sample so far when not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        append: Option<String>,
    },
    /// A stage of the Dockerfile: all of it runs again.
    Stage {
        /// Its name.
        stage: String,
    },
}

/// A context that is made for the scenario instead of the project's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Generate {
    /// So many small files, all copied into the image.
    Files(u32),
    /// One file of so many bytes that no compression shrinks.
    Bytes(u64),
    /// A Dockerfile of so many steps in stages of a hundred.
    Steps(u32),
}

/// One scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// Its name in the results.
    pub name: String,
    /// The engine's state.
    pub engine: Engine,
    /// Where a new engine keeps it.
    pub engine_state: Storage,
    /// Which caches of an earlier build are imported.
    pub cache_from: Caches,
    /// Which caches are exported.
    pub cache_to: Caches,
    /// Whether kitwright restores and saves cache mounts, those of an earlier build; other clients
    /// cannot.
    pub cache_mounts: bool,
    /// Whether what package servers send to the steps is counted.
    pub count_packages: bool,
    /// Whether the image is pushed.
    pub push: bool,
    /// Whether the image is brought to the client, as an OCI archive.
    pub export: bool,
    /// Whether kitwright looks for an image with the same content key; for other clients, which
    /// cannot, the state is that of a new engine with the registry cache.
    pub reuse: bool,
    /// What is removed from the engine before each sample.
    pub empty: Option<Empty>,
    /// How many steps the engine runs at once.
    pub max_parallelism: Option<u32>,
    /// What changed since the last build.
    pub change: Option<Change>,
    /// Another Dockerfile than the project's.
    pub dockerfile: Option<PathBuf>,
    /// Another stage than the project's.
    pub target: Option<String>,
    /// Further build arguments.
    pub build_args: BTreeMap<String, String>,
    /// A generated context.
    pub generate: Option<Generate>,
    /// Further flags, by client.
    pub flags: BTreeMap<String, Vec<String>>,
    /// The clients that are measured, all when empty.
    pub clients: Vec<String>,
    /// How often it is measured, if not as often as the others.
    pub rounds: Option<u32>,
}

/// A scenario, or the file that describes it, which cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ScenarioError {
    /// The settings file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The settings file is not what it should be.
    #[error("cannot parse the `[bench]` table of `{}`", path.display())]
    #[diagnostic(help("docs/bench.md lists the fields"))]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A scenario of the settings says what cannot be.
    #[error("scenario `{name}`: {problem}")]
    #[diagnostic(help("docs/bench.md lists the fields"))]
    Invalid {
        /// The scenario.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The command line or the settings name a scenario that there is not.
    #[error("there is no scenario `{name}`")]
    #[diagnostic(help("there are {known}"))]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
}

impl Classified for ScenarioError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    bench: Settings,
}

impl Settings {
    /// Reads the `[bench]` table of `path`; without a file all is default, unless it must be there.
    ///
    /// # Errors
    ///
    /// A [`ScenarioError`] that names the file and the field.
    pub fn load(path: &Path, required: bool) -> Result<Self, ScenarioError> {
        let read = |source| ScenarioError::Read { path: path.to_owned(), source };
        let text = match fs_err::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => {
                return Ok(Self::default());
            }
            Err(source) => return Err(read(source)),
        };
        let parsed: Result<File, _> = toml::from_str(&text);
        let settings = parsed
            .map_err(|source| ScenarioError::Parse {
                path: path.to_owned(),
                source: Box::new(source),
            })?
            .bench;
        for scenario in &settings.scenario {
            scenario.check()?;
        }
        Ok(settings)
    }

    /// The scenarios of these names, or those that the settings or kitwright itself find usual.
    ///
    /// # Errors
    ///
    /// [`ScenarioError::Unknown`].
    pub fn choose(&self, names: &[String]) -> Result<Vec<Scenario>, ScenarioError> {
        let usual: Vec<String> = match (names, &self.scenarios[..]) {
            ([], []) if self.scenario.is_empty() => USUAL.map(str::to_owned).into(),
            ([], []) => self.scenario.iter().map(|scenario| scenario.name.clone()).collect(),
            ([], chosen) => chosen.to_vec(),
            (names, _) => names.to_vec(),
        };
        usual.iter().map(|name| self.find(name)).collect()
    }

    fn find(&self, name: &str) -> Result<Scenario, ScenarioError> {
        let built_in = built_in();
        let mut known = self.scenario.iter().chain(&built_in);
        if let Some(scenario) = known.clone().find(|scenario| scenario.name == name) {
            return Ok(scenario.clone());
        }
        // `incremental:STAGE` is one of those that `incremental` stands for.
        if let Some(stage) = name.strip_prefix(INCREMENTAL).and_then(|rest| rest.strip_prefix(':'))
            && let Some(all) = known.find(|scenario| scenario.name == INCREMENTAL)
        {
            let change = Some(Change::Stage { stage: stage.to_owned() });
            return Ok(Scenario { name: name.to_owned(), change, ..all.clone() });
        }
        let mut known: Vec<_> =
            self.scenario.iter().chain(&built_in).map(|scenario| scenario.name.as_str()).collect();
        known.dedup();
        Err(ScenarioError::Unknown { name: name.to_owned(), known: known.join(", ") })
    }
}

impl Scenario {
    fn check(&self) -> Result<(), ScenarioError> {
        let invalid = |problem| Err(ScenarioError::Invalid { name: self.name.clone(), problem });
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.: ".contains(c);
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return invalid("`name` is not made of letters, digits, spaces and `-_.:`");
        }
        if self.engine == Engine::Own && self.empty.is_some() {
            return invalid("`empty` needs an engine that the benchmark runs");
        }
        if self.engine != Engine::New && self.engine_state == Storage::Memory {
            return invalid("`engine-state = \"memory\"` needs a new engine");
        }
        if self.engine == Engine::New && self.empty == Some(Empty::All) {
            return invalid("`empty = \"all\"` says nothing about a new engine");
        }
        if matches!(&self.change, Some(Change::Arg { values, .. }) if values.is_empty()) {
            return invalid("`change` has no values");
        }
        if let Some(problem) = self.cache_from.unreadable().or(self.cache_to.unwritable()) {
            return invalid(problem);
        }
        if self.generate.is_some() && self.change.is_some() {
            return invalid("a generated context cannot change");
        }
        Ok(())
    }

    /// Whether `client` takes part.
    #[must_use]
    pub fn includes(&self, client: &str) -> bool {
        self.clients.is_empty() || self.clients.iter().any(|named| named == client)
    }

    /// Whether GitHub's cache service takes part.
    #[must_use]
    pub fn has_github(&self) -> bool {
        self.cache_from.has_github() || self.cache_to.has_github()
    }

    /// Whether the registry must hold the image and the cache of an earlier build.
    #[must_use]
    pub fn needs_registry_state(&self) -> bool {
        !self.cache_from.is_empty() || self.cache_mounts || self.reuse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, ScenarioError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), text).unwrap();
        Settings::load(file.path(), true)
    }

    #[test]
    fn built_in_scenarios_can_be_written_down() {
        for scenario in built_in() {
            scenario.check().unwrap();
            let text = toml::to_string(&scenario).unwrap();
            assert_eq!(toml::from_str::<Scenario>(&text).unwrap(), scenario, "{text}");
        }
        assert_eq!(Settings::default().choose(&[]).unwrap().len(), USUAL.len());
    }

    #[test]
    fn a_project_has_its_own() {
        let settings = parse(
            "[ci]\nimage = \"x\"\n[bench]\nrounds = 2\n[[bench.scenario]]\nname = \"one at a time\"\n\
             engine = \"new\"\nmax-parallelism = 1\n[[bench.scenario]]\nname = \"bump\"\n\
             change = { file = \"a.txt\", append = \"# {n}\" }\n",
        )
        .unwrap();
        let chosen = settings.choose(&[]).unwrap();
        assert_eq!(chosen[0].max_parallelism, Some(1));
        assert!(matches!(&chosen[1].change, Some(Change::File { append: Some(_), .. })));
        let chosen = settings.choose(&["incremental:go".into(), "noop".into()]).unwrap();
        assert_eq!(chosen[0].change, Some(Change::Stage { stage: "go".into() }));
        assert!(!chosen[0].cache_from.is_empty() && chosen[1].name == "noop");
        let unknown = settings.choose(&["nope".into()]).unwrap_err();
        assert_eq!(unknown.to_string(), "there is no scenario `nope`");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (text, expected) in [
            ("[bench]\nround = 1", "cannot parse the `[bench]` table"),
            ("[[bench.scenario]]\nengine = \"new\"", "scenario ``: `name` is not made of"),
            ("[[bench.scenario]]\nname = \"a, b\"", "scenario `a, b`: `name` is not made of"),
            (
                "[[bench.scenario]]\nname = \"x\"\nengine = \"new\"\nempty = \"all\"",
                "says nothing about a new engine",
            ),
            ("[[bench.scenario]]\nname = \"x\"\nengine-state = \"memory\"", "needs a new engine"),
            ("[[bench.scenario]]\nname = \"x\"\ncache-to = [\"v2\"]", "`cache-to` takes"),
            (
                "[[bench.scenario]]\nname = \"x\"\nchange = { arg = \"A\", values = [] }",
                "`change` has no values",
            ),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
