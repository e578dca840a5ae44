//! What the clients build, and the changes that scenarios make to it, always in copies.
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::scenario::Change;
use crate::fault::{Classified, Fault};
use crate::plan::dockerfile::error::ParseError;
use crate::plan::dockerfile::instruction::{Dockerfile, InstructionKind, Stage};
use crate::plan::dockerfile::parse;
use crate::plan::dockerfile::source::Located;
use crate::plan::pattern::Patterns;

mod copy;

use copy::copy_context;

/// A build, in the terms that every client understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The directory that is the build context.
    pub context: PathBuf,
    /// The Dockerfile.
    pub dockerfile: PathBuf,
    /// The stage.
    pub target: Option<String>,
    /// Build arguments.
    pub build_args: Vec<(String, String)>,
    /// Named contexts; the layouts among them with the digest that they stand for.
    pub contexts: Vec<(String, String)>,
    /// Secrets, as `--secret` has them.
    pub secrets: Vec<String>,
}

/// Work that cannot be prepared.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum WorkError {
    /// A file could not be read, copied or written.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The Dockerfile is none.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Dockerfile(#[from] Located<ParseError>),
    /// A change names a stage that there is not.
    #[error("`{}` has no stage `{stage}` to change", dockerfile.display())]
    Stage {
        /// The Dockerfile.
        dockerfile: PathBuf,
        /// The name.
        stage: String,
    },
    /// An OCI layout is none.
    #[error("build context `{name}`: `{}` is not an OCI layout with one image", path.display())]
    Layout {
        /// The context's name.
        name: String,
        /// The folder.
        path: PathBuf,
    },
}

impl Classified for WorkError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> WorkError + 'a {
    move |source| WorkError::File { action, path: path.to_owned(), source }
}

impl Work {
    /// Reads and parses the Dockerfile.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is none.
    pub fn parse(&self) -> Result<Dockerfile, WorkError> {
        let text =
            fs_err::read(&self.dockerfile).map_err(failed("read Dockerfile", &self.dockerfile))?;
        Ok(parse(&text, &self.dockerfile.to_string_lossy())?)
    }

    /// For each stage that the target needs and that runs something, by its name or number: what is
    /// changed when one of its tools is.
    ///
    /// That is the first file of the context that the stage reads, its list of tools; all of the
    /// stage where it reads none.
    ///
    /// # Errors
    ///
    /// When the Dockerfile cannot be read or is none.
    pub fn stage_changes(&self) -> Result<Vec<(String, Change)>, WorkError> {
        let dockerfile = self.parse()?;
        let runs = |stage: &Stage| {
            stage.instructions.iter().any(|one| matches!(one.kind, InstructionKind::Run(_)))
        };
        let mut changes = Vec::new();
        for index in needed(&dockerfile.stages, self.target.as_deref()) {
            let stage = &dockerfile.stages[index];
            if !runs(stage) {
                continue;
            }
            let name = stage_name(stage, index);
            let file = files_read(stage).find(|file| self.context.join(file).is_file());
            let change = match file {
                Some(file) => Change::File { file: file.into(), append: None },
                None => Change::Stage { stage: name.clone() },
            };
            changes.push((name, change));
        }
        Ok(changes)
    }

    /// The work after `change`, which is made in `folder`. `number` is another for each sample.
    ///
    /// # Errors
    ///
    /// When the change makes no sense or cannot be written.
    pub fn changed(
        &self,
        change: &Change,
        number: usize,
        folder: &Path,
        ignored: &Patterns,
    ) -> Result<Self, WorkError> {
        let mut work = self.clone();
        fs_err::create_dir_all(folder).map_err(failed("make", folder))?;
        match change {
            Change::Arg { arg, values } => {
                let value = values[number % values.len()].clone();
                work.build_args.retain(|(name, _)| name != arg);
                work.build_args.push((arg.clone(), value));
            }
            Change::File { file, append } => {
                work.context = folder.join("context");
                if !work.context.is_dir() {
                    copy_context(&self.context, &work.context, ignored)?;
                }
                let added = match append {
                    Some(text) => text.replace("{n}", &number.to_string()) + "\n",
                    None => "\n".repeat(number),
                };
                self.append(file, &work.context.join(file), &added)?;
            }
            Change::Stage { stage } => work.dockerfile = self.rerun(stage, number, folder)?,
        }
        Ok(work)
    }

    /// Writes the file anew with more at its end; what may be a hard link is not written through.
    fn append(&self, file: &Path, to: &Path, added: &str) -> Result<(), WorkError> {
        let original = self.context.join(file);
        let mut content = fs_err::read(&original).map_err(failed("change", &original))?;
        content.extend_from_slice(added.as_bytes());
        let mode = fs_err::metadata(&original).map_err(failed("change", &original))?.permissions();
        if let Some(above) = to.parent() {
            fs_err::create_dir_all(above).map_err(failed("make", above))?;
        }
        match fs_err::remove_file(to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed("replace", to)(error));
            }
            _ => {}
        }
        fs_err::write(to, content).map_err(failed("write", to))?;
        fs_err::set_permissions(to, mode).map_err(failed("write", to))
    }

    /// Writes a Dockerfile in which all of a stage runs again.
    fn rerun(&self, stage: &str, number: usize, folder: &Path) -> Result<PathBuf, WorkError> {
        let dockerfile = self.parse()?;
        let mut stages = dockerfile.stages.iter().enumerate();
        let found = stages.find(|(index, known)| stage_name(known, *index) == stage);
        let (_, found) = found.ok_or_else(|| WorkError::Stage {
            dockerfile: self.dockerfile.clone(),
            stage: stage.to_owned(),
        })?;
        let text =
            fs_err::read(&self.dockerfile).map_err(failed("read Dockerfile", &self.dockerfile))?;
        let mut changed = Vec::with_capacity(text.len() + 64);
        for (line, bytes) in (1..).zip(text.split_inclusive(|byte| *byte == b'\n')) {
            changed.extend_from_slice(bytes);
            if line == found.origin.lines.end {
                // A Vec takes all that is written to it.
                let _ = write!(changed, "\nENV KITWRIGHT_BENCH={number}\n");
            }
        }
        let name = self.dockerfile.file_name().unwrap_or_default();
        let path = folder.join(name);
        fs_err::write(&path, changed).map_err(failed("write", &path))?;
        let mut ignore = self.dockerfile.clone().into_os_string();
        ignore.push(".dockerignore");
        if Path::new(&ignore).is_file() {
            let beside = folder.join(Path::new(&ignore).file_name().unwrap_or_default());
            fs_err::copy(&ignore, &beside).map_err(failed("write", &beside))?;
        }
        Ok(path)
    }
}

fn stage_name(stage: &Stage, index: usize) -> String {
    if stage.name.is_empty() { index.to_string() } else { stage.name.clone() }
}

/// The stages that `target`, or the last one, is made from, in order.
fn needed(stages: &[Stage], target: Option<&str>) -> BTreeSet<usize> {
    let named = |name: &str, before: usize| {
        let name = name.to_ascii_lowercase();
        let by_name = stages[..before].iter().rposition(|stage| stage.name == name);
        by_name.or_else(|| name.parse().ok().filter(|index| *index < before))
    };
    let last = stages.len().saturating_sub(1);
    let mut open = vec![target.and_then(|name| named(name, stages.len())).unwrap_or(last)];
    let mut found = BTreeSet::new();
    while let Some(index) = open.pop() {
        if !found.insert(index) {
            continue;
        }
        let stage = &stages[index];
        let mut sources = vec![stage.base_name.as_str()];
        for instruction in &stage.instructions {
            match &instruction.kind {
                InstructionKind::Copy(copy) => sources.push(&copy.from),
                InstructionKind::Run(run) => {
                    sources.extend(run.mount_specs.iter().map(|mount| mount.from.as_str()));
                }
                _ => {}
            }
        }
        open.extend(sources.into_iter().filter_map(|name| named(name, index)));
    }
    found
}

/// Paths in the context that a stage mounts or copies, as written, mounts first.
fn files_read(stage: &Stage) -> impl Iterator<Item = String> {
    let mut mounted = Vec::new();
    let mut copied = Vec::new();
    for instruction in &stage.instructions {
        match &instruction.kind {
            InstructionKind::Run(run) => {
                for mount in run.mount_specs.iter().filter(|mount| mount.from.is_empty()) {
                    let field = |names: [&str; 2]| {
                        mount.text.split(',').find_map(|field| {
                            let (name, value) = field.split_once('=')?;
                            names.contains(&name).then_some(value)
                        })
                    };
                    if field(["type", "type"]).is_none_or(|kind| kind == "bind") {
                        mounted.extend(field(["source", "src"]).map(str::to_owned));
                    }
                }
            }
            InstructionKind::Copy(copy) if copy.from.is_empty() => {
                copied.extend(copy.files.paths.iter().cloned());
            }
            InstructionKind::Add(add) => copied.extend(add.files.paths.iter().cloned()),
            _ => {}
        }
    }
    let plain = |path: &String| !path.contains(['$', '*', '?', '[', ':']);
    mounted
        .into_iter()
        .chain(copied)
        .map(|path| path.trim_start_matches('/').to_owned())
        .filter(plain)
}

/// A named context as every client takes it: a layout with the digest of its image.
///
/// # Errors
///
/// When the folder is not a layout, or one of several images.
pub fn named_context(name: &str, place: &str) -> Result<(String, String), WorkError> {
    let Some(layout) = place.strip_prefix("oci-layout://") else {
        return Ok((name.to_owned(), place.to_owned()));
    };
    let (path, digest) = match layout.split_once('@') {
        Some((path, digest)) => (path, Some(digest.to_owned())),
        None => (layout, None),
    };
    let (path, tag) = match path.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (path, None),
    };
    let digest = digest.or_else(|| layout_digest(Path::new(path), tag));
    let digest =
        digest.ok_or_else(|| WorkError::Layout { name: name.to_owned(), path: path.into() })?;
    let path = std::path::absolute(path).map_err(failed("find", Path::new(path)))?;
    Ok((name.to_owned(), format!("oci-layout://{}@{digest}", path.display())))
}

fn layout_digest(path: &Path, tag: Option<&str>) -> Option<String> {
    let index = fs_err::read(path.join("index.json")).ok()?;
    let index: serde_json::Value = serde_json::from_slice(&index).ok()?;
    let manifests = index["manifests"].as_array()?;
    let wanted = tag.unwrap_or("latest");
    let tagged = manifests.iter().find(|manifest| {
        manifest["annotations"]["org.opencontainers.image.ref.name"].as_str() == Some(wanted)
    });
    let found = match (tagged, tag, &manifests[..]) {
        (Some(tagged), _, _) => tagged,
        (None, None, [only]) => only,
        _ => return None,
    };
    found["digest"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKERFILE: &str = "FROM a AS tools\nRUN --mount=type=cache,target=/c \
        --mount=type=bind,source=tools/list.txt,target=/l cat /l\nFROM b AS other\nRUN x\n\
        FROM c AS unused\nRUN y\nFROM \\\n  scratch\nCOPY --from=tools / /\nCOPY --from=other / /\n\
        RUN z\n";

    fn work(folder: &Path) -> Work {
        fs_err::create_dir_all(folder.join("tools")).unwrap();
        fs_err::write(folder.join("tools/list.txt"), "one").unwrap();
        fs_err::write(folder.join("tools/big.log"), "").unwrap();
        fs_err::write(folder.join("Dockerfile"), DOCKERFILE).unwrap();
        fs_err::write(folder.join("Dockerfile.dockerignore"), "*.log\n").unwrap();
        Work {
            context: folder.to_owned(),
            dockerfile: folder.join("Dockerfile"),
            target: None,
            build_args: vec![("A".into(), "0".into())],
            contexts: Vec::new(),
            secrets: Vec::new(),
        }
    }

    #[test]
    fn each_needed_stage_has_something_to_change() {
        let folder = tempfile::tempdir().unwrap();
        let changes = work(folder.path()).stage_changes().unwrap();
        let names: Vec<&str> = changes.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["tools", "other", "3"]);
        let file = Change::File { file: "tools/list.txt".into(), append: None };
        assert_eq!(changes[0].1, file);
        assert_eq!(changes[1].1, Change::Stage { stage: "other".into() });
    }

    #[test]
    fn changes_are_made_in_copies() {
        let folder = tempfile::tempdir().unwrap();
        let (project, copies) = (folder.path().join("project"), folder.path().join("copies"));
        let work = work(&project);
        let ignored = Patterns::parse(["**/*.log"]).unwrap();
        let change = |change: Change, number| work.changed(&change, number, &copies, &ignored);
        let list = Change::File { file: "tools/list.txt".into(), append: Some("# {n}".into()) };
        for number in [1, 2] {
            let changed = change(list.clone(), number).unwrap();
            let text = fs_err::read_to_string(changed.context.join("tools/list.txt")).unwrap();
            assert_eq!(text, format!("one# {number}\n"));
            assert!(!changed.context.join("tools/big.log").exists());
        }
        assert_eq!(fs_err::read_to_string(project.join("tools/list.txt")).unwrap(), "one");
        let changed = change(Change::Stage { stage: "3".into() }, 7).unwrap();
        let text = fs_err::read_to_string(&changed.dockerfile).unwrap();
        assert!(text.contains("  scratch\n\nENV KITWRIGHT_BENCH=7\nCOPY"), "{text}");
        assert!(copies.join("Dockerfile.dockerignore").exists());
        let arg = Change::Arg { arg: "A".into(), values: vec!["1".into(), "2".into()] };
        assert_eq!(change(arg, 3).unwrap().build_args, [("A".into(), "2".into())]);
        let error = change(Change::Stage { stage: "nope".into() }, 1).unwrap_err();
        assert!(error.to_string().ends_with("has no stage `nope` to change"), "{error}");
    }
}
