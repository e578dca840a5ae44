//! The samples file: one JSON line for each sample, written as soon as it is taken.
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::report::{Machine, Results, VERSION};
use super::sample::{Contender, Sample};
use crate::fault::{Classified, Fault};

/// The first line: whose samples these are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the format.
    pub version: u32,
    /// The machine.
    pub machine: Machine,
    /// Names and versions of the programs.
    pub programs: Vec<String>,
    /// Whom the others are divided by.
    pub reference: Contender,
    /// A digest of what is built and of the scenarios.
    pub plan: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Header(Header),
    Sample(Sample),
    Note(String),
}

/// An open samples file and what it holds.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: fs_err::File,
    /// All that was found so far.
    pub results: Results,
}

/// A samples file that cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum JournalError {
    /// It cannot be read or written.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It holds samples of something else.
    #[error("`{}` cannot be resumed: {differs}", path.display())]
    #[diagnostic(help(
        "leave `--resume` out to begin anew, or name another folder with `--output`"
    ))]
    Differs {
        /// The file.
        path: PathBuf,
        /// What is another than it was.
        differs: String,
    },
}

impl Classified for JournalError {
    fn fault(&self) -> Fault {
        match self {
            Self::File { .. } => Fault::Environment,
            Self::Differs { .. } => Fault::Usage,
        }
    }
}

impl Journal {
    /// Begins a new file; an older one is replaced.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn create(path: &Path, header: Header) -> Result<Self, JournalError> {
        let failed = |source| JournalError::File { action: "write", path: path.into(), source };
        let file = fs_err::File::create(path).map_err(failed)?;
        let mut results =
            Results::new(header.machine.clone(), header.programs.clone(), header.reference.clone());
        results.version = header.version;
        let mut journal = Self { path: path.to_owned(), file, results };
        journal.write(&Line::Header(header))?;
        Ok(journal)
    }

    /// Goes on with a file that a run has left, or begins one if there is none.
    ///
    /// A last line that was not written to its end is dropped with the sample that it meant.
    ///
    /// # Errors
    ///
    /// When it cannot be used or its samples are of something else.
    pub fn resume(path: &Path, header: Header) -> Result<Self, JournalError> {
        let text = match fs_err::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Self::create(path, header);
            }
            Err(source) => {
                return Err(JournalError::File { action: "read", path: path.into(), source });
            }
        };
        let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let Some(Ok(Line::Header(found))) = lines.next().map(serde_json::from_str) else {
            let differs = "it does not begin as a samples file of this version does".to_owned();
            return Err(JournalError::Differs { path: path.into(), differs });
        };
        found.must_equal(&header, path)?;
        let mut journal = Self::create(path, found)?;
        // Written anew without a broken last line; the others word for word.
        let mut kept = String::new();
        for line in lines {
            match serde_json::from_str(line) {
                Ok(Line::Sample(sample)) => journal.results.samples.push(sample),
                Ok(Line::Note(note)) => journal.results.notes.push(note),
                Ok(Line::Header(_)) | Err(_) => continue,
            }
            kept.push_str(line);
        }
        journal.append(kept.as_bytes())?;
        Ok(journal)
    }

    /// Whether this sample has been taken.
    #[must_use]
    pub fn has(&self, scenario: &str, contender: &str, round: u32) -> bool {
        self.results.samples.iter().any(|sample| {
            sample.scenario == scenario && sample.contender.0 == contender && sample.round == round
        })
    }

    /// Keeps a sample; it is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn add(&mut self, sample: Sample) -> Result<(), JournalError> {
        self.results.samples.push(sample.clone());
        self.write(&Line::Sample(sample))
    }

    /// Keeps a note for those who read the figures; the same note once.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn note(&mut self, note: String) -> Result<(), JournalError> {
        if self.results.notes.contains(&note) {
            return Ok(());
        }
        self.results.notes.push(note.clone());
        self.write(&Line::Note(note))
    }

    fn write(&mut self, line: &Line) -> Result<(), JournalError> {
        let mut bytes = serde_json::to_vec(line).map_err(|error| self.failed(error.into()))?;
        bytes.push(b'\n');
        self.append(&bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        written.map_err(|error| self.failed(error))
    }

    fn failed(&self, source: std::io::Error) -> JournalError {
        JournalError::File { action: "write", path: self.path.clone(), source }
    }
}

impl Header {
    /// Describes a run.
    #[must_use]
    pub fn new(
        machine: Machine,
        programs: Vec<String>,
        reference: Contender,
        plan: String,
    ) -> Self {
        Self { version: VERSION, machine, programs, reference, plan }
    }

    fn must_equal(&self, now: &Self, path: &Path) -> Result<(), JournalError> {
        let machine = |header: &Self| (header.machine.processor.clone(), header.machine.cores);
        let differs = if self.version != now.version {
            format!("its format is version {}, not {}", self.version, now.version)
        } else if machine(self) != machine(now) {
            format!("its samples are of another machine, {}", self.machine.processor)
        } else if self.programs != now.programs {
            format!("its samples are of other programs: {}", self.programs.join(", "))
        } else if self.reference != now.reference {
            format!("its reference is {}", self.reference.0)
        } else if self.plan != now.plan {
            "what is built, or a scenario, has changed since".to_owned()
        } else {
            return Ok(());
        };
        Err(JournalError::Differs { path: path.to_owned(), differs })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn header() -> Header {
        let reference = Contender("buildx".into());
        Header::new(Machine::default(), vec!["buildx 1".into()], reference, "plan".into())
    }

    fn sample(round: u32) -> Sample {
        Sample {
            scenario: "noop".into(),
            contender: Contender("buildx".into()),
            round,
            wall: 0.5,
            // Not every reader of JSON gives this number back.
            cpu: 0.027_361_000_000_000_003,
            memory: 1,
            registry: None,
            packages: None,
            phases: BTreeMap::new(),
            critical_path: None,
            steps: None,
            load: 0.0,
        }
    }

    #[test]
    fn a_killed_run_goes_on_where_it_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.jsonl");
        let mut journal = Journal::create(&path, header()).unwrap();
        journal.add(sample(1)).unwrap();
        journal.note("noisy".into()).unwrap();
        journal.add(sample(2)).unwrap();
        let whole = fs_err::read(&path).unwrap();
        fs_err::write(&path, &whole[..whole.len() - 10]).unwrap();
        let journal = Journal::resume(&path, header()).unwrap();
        assert!(journal.has("noop", "buildx", 1) && !journal.has("noop", "buildx", 2));
        assert_eq!(journal.results.notes, ["noisy"]);
        let mut journal = Journal::resume(&path, header()).unwrap();
        journal.add(sample(2)).unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), whole);
    }

    #[test]
    fn samples_of_something_else_are_not_mixed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.jsonl");
        Journal::create(&path, header()).unwrap();
        let other = Header { plan: "other".into(), ..header() };
        let error = Journal::resume(&path, other).unwrap_err().to_string();
        assert!(error.ends_with("what is built, or a scenario, has changed since"), "{error}");
        fs_err::write(&path, "not a samples file\n").unwrap();
        assert!(matches!(Journal::resume(&path, header()), Err(JournalError::Differs { .. })));
    }
}
