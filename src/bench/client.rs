//! The clients that are measured, and how each is told the same work.
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::work::Work;
use crate::engine::programs::{ProgramsError, find_program, version_of};
use crate::fault::{Classified, Fault};

/// A client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its name in the results.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The program.
    pub program: PathBuf,
    /// What it says its version is.
    pub version: String,
}

/// What kind of command line a client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Kitwright, this one or another version of it.
    Kitwright,
    /// `docker buildx` without Docker, with the same options as kitwright.
    Buildx,
    /// The same, with its own defaults where it has others: a provenance attestation.
    BuildxDefaults,
    /// BuildKit's own client.
    Buildctl,
}

/// A client that cannot be measured.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ClientError {
    /// The program is not there.
    #[error("`--against {name}`: there is no `{program}` on PATH")]
    #[diagnostic(help("say where it is: `--against {name}=/path/to/{program}`"))]
    Missing {
        /// The name as given.
        name: String,
        /// The program.
        program: &'static str,
    },
    /// A name that is neither known nor comes with a program.
    #[error("`--against {name}`: only `buildx`, `buildx-defaults` and `buildctl` are known")]
    #[diagnostic(help("another kitwright is given with its path: `--against {name}=/path/to/it`"))]
    Unknown {
        /// The name.
        name: String,
    },
    /// Two clients of one name.
    #[error("`--against` names `{name}` twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// The program does not run.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Program(#[from] ProgramsError),
}

impl Classified for ClientError {
    fn fault(&self) -> Fault {
        match self {
            Self::Program(error) => error.fault(),
            Self::Missing { .. } => Fault::Environment,
            Self::Unknown { .. } | Self::Twice { .. } => Fault::Usage,
        }
    }
}

/// The name of the kitwright that runs the benchmark.
pub const OWN: &str = "kitwright";

impl Client {
    /// The running kitwright itself.
    #[must_use]
    pub fn own(program: PathBuf) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { name: OWN.to_owned(), kind: Kind::Kitwright, program, version }
    }

    /// Reads `NAME` or `NAME=PROGRAM`.
    ///
    /// # Errors
    ///
    /// When the name says nothing or the program is not there.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let (name, program) = match text.split_once('=') {
            Some((name, program)) => (name, Some(PathBuf::from(program))),
            None => (text, None),
        };
        let (kind, file) = match name {
            "buildx" => (Kind::Buildx, "buildx"),
            "buildx-defaults" => (Kind::BuildxDefaults, "buildx"),
            "buildctl" => (Kind::Buildctl, "buildctl"),
            OWN => return Err(ClientError::Twice { name: name.to_owned() }),
            _ if program.is_some() => (Kind::Kitwright, "kitwright"),
            _ => return Err(ClientError::Unknown { name: name.to_owned() }),
        };
        let missing = || ClientError::Missing { name: name.to_owned(), program: file };
        let program =
            program.or_else(|| find_program(file)).or_else(|| plugin(file)).ok_or_else(missing)?;
        let version = match kind {
            Kind::Buildx | Kind::BuildxDefaults => buildx_version(&program)?,
            Kind::Kitwright | Kind::Buildctl => version_of(&program)?,
        };
        Ok(Self { name: name.to_owned(), kind, program, version })
    }

    /// `NAME VERSION`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}

/// Where Docker keeps its plugins.
fn plugin(file: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
    let system = ["/usr/libexec/docker", "/usr/lib/docker", "/usr/local/lib/docker"];
    home.into_iter()
        .chain(system.map(PathBuf::from))
        .map(|folder| folder.join("cli-plugins").join(format!("docker-{file}")))
        .find(|path| path.is_file())
}

fn buildx_version(program: &Path) -> Result<String, ClientError> {
    let output = std::process::Command::new(program).arg("version").output();
    let output = output.map_err(|source| ProgramsError::Unusable {
        action: "run",
        path: program.to_owned(),
        source,
    })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(1).unwrap_or("unknown");
    Ok(version.trim_start_matches('v').to_owned())
}

/// What a client is asked to do, once.
#[derive(Clone, Debug)]
pub struct Task<'a> {
    /// What to build.
    pub work: &'a Work,
    /// The engine; none when the client runs its own.
    pub address: Option<&'a str>,
    /// The name under which the image is pushed.
    pub push: Option<String>,
    /// The reference whose cache is imported.
    pub cache_from: Option<String>,
    /// The reference to which the cache is exported.
    pub cache_to: Option<String>,
    /// The file to which the image is exported as an OCI archive.
    pub export: Option<PathBuf>,
    /// Whether kitwright may take an image with the same content key.
    pub reuse: bool,
    /// Further flags.
    pub flags: &'a [String],
}

/// A command line and the variables that go with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Variables that are set.
    pub environment: Vec<(OsString, OsString)>,
}

impl Invocation {
    fn new(program: &Path) -> Self {
        Self { command: vec![program.into()], environment: Vec::new() }
    }

    fn arg(&mut self, argument: impl Into<OsString>) {
        self.command.push(argument.into());
    }

    fn pair(&mut self, flag: &str, value: impl Into<OsString>) {
        self.arg(flag);
        self.arg(value);
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.environment.push((name.into(), value.into()));
    }
}

/// The builder that buildx is told to use; its configuration knows the address.
pub const BUILDX_BUILDER: &str = "kitwright-bench";

impl Client {
    /// The command that makes an engine known to buildx, whose configuration is in `folder`.
    #[must_use]
    pub fn registration(&self, address: &str, folder: &Path) -> Option<Invocation> {
        if !matches!(self.kind, Kind::Buildx | Kind::BuildxDefaults) {
            return None;
        }
        let mut invocation = Invocation::new(&self.program);
        for argument in ["create", "--name", BUILDX_BUILDER, "--driver", "remote", address] {
            invocation.arg(argument);
        }
        invocation.set("BUILDX_CONFIG", folder);
        Some(invocation)
    }

    /// The command that does `task`. `folder` holds the client's own files.
    #[must_use]
    pub fn invocation(&self, task: &Task<'_>, folder: &Path) -> Invocation {
        let mut invocation = match self.kind {
            Kind::Buildctl => self.buildctl(task),
            Kind::Kitwright | Kind::Buildx | Kind::BuildxDefaults => self.docker_like(task),
        };
        match self.kind {
            Kind::Kitwright => invocation.set("KITWRIGHT_STATE_DIR", folder),
            Kind::Buildx | Kind::BuildxDefaults => invocation.set("BUILDX_CONFIG", folder),
            Kind::Buildctl => {}
        }
        invocation.command.extend(task.flags.iter().map(OsString::from));
        invocation
    }

    fn docker_like(&self, task: &Task<'_>) -> Invocation {
        let work = task.work;
        let mut line = Invocation::new(&self.program);
        line.arg("build");
        line.arg("--progress=rawjson");
        match (self.kind, task.address) {
            (Kind::Kitwright, Some(address)) => line.pair("--builder", address),
            (Kind::Kitwright, None) => {}
            _ => line.pair("--builder", BUILDX_BUILDER),
        }
        if self.kind == Kind::Buildx {
            line.arg("--provenance=false");
        }
        line.pair("--file", &work.dockerfile);
        if let Some(target) = &work.target {
            line.pair("--target", target);
        }
        for (name, value) in &work.build_args {
            line.pair("--build-arg", format!("{name}={value}"));
        }
        for (name, place) in &work.contexts {
            line.pair("--build-context", format!("{name}={place}"));
        }
        for secret in &work.secrets {
            line.pair("--secret", secret);
        }
        if let Some(image) = &task.push {
            line.pair("--tag", image);
            line.arg("--push");
        }
        if let Some(cache) = &task.cache_from {
            line.pair("--cache-from", format!("type=registry,ref={cache}"));
        }
        if let Some(cache) = &task.cache_to {
            line.pair("--cache-to", format!("type=registry,mode=max,ref={cache}"));
        }
        if let Some(file) = &task.export {
            line.pair("--output", format!("type=oci,dest={}", file.display()));
        }
        if task.reuse && self.kind == Kind::Kitwright {
            line.arg("--reuse");
        }
        line.arg(&work.context);
        line
    }

    fn buildctl(&self, task: &Task<'_>) -> Invocation {
        let work = task.work;
        let mut line = Invocation::new(&self.program);
        if let Some(address) = task.address {
            line.pair("--addr", address);
        }
        for argument in ["build", "--progress=rawjson", "--frontend=dockerfile.v0"] {
            line.arg(argument);
        }
        let local = |name: &str, path: &Path| {
            let mut value = OsString::from(format!("{name}="));
            value.push(path);
            value
        };
        let folder = match work.dockerfile.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        line.pair("--local", local("context", &work.context));
        line.pair("--local", local("dockerfile", folder));
        let name = work.dockerfile.file_name().unwrap_or_default();
        line.pair("--opt", local("filename", Path::new(name)));
        if let Some(target) = &work.target {
            line.pair("--opt", format!("target={target}"));
        }
        for (name, value) in &work.build_args {
            line.pair("--opt", format!("build-arg:{name}={value}"));
        }
        for (index, (name, place)) in work.contexts.iter().enumerate() {
            if let Some(layout) = place.strip_prefix("oci-layout://") {
                let (path, digest) = layout.split_once('@').unwrap_or((layout, ""));
                line.pair("--oci-layout", format!("layout{index}={path}"));
                line.pair("--opt", format!("context:{name}=oci-layout://layout{index}@{digest}"));
            } else if Path::new(place).is_dir() {
                line.pair("--local", local(name, Path::new(place)));
                line.pair("--opt", format!("context:{name}=local:{name}"));
            } else {
                line.pair("--opt", format!("context:{name}={place}"));
            }
        }
        for secret in &work.secrets {
            line.pair("--secret", secret);
        }
        if let Some(image) = &task.push {
            line.pair("--output", format!("type=image,name={image},push=true"));
        }
        if let Some(file) = &task.export {
            line.pair("--output", format!("type=oci,dest={}", file.display()));
        }
        if let Some(cache) = &task.cache_from {
            line.pair("--import-cache", format!("type=registry,ref={cache}"));
        }
        if let Some(cache) = &task.cache_to {
            line.pair("--export-cache", format!("type=registry,mode=max,ref={cache}"));
        }
        line
    }

    /// What this client runs when it has to bring an engine of its own, given the programs of ours
    /// and a folder for its state; none when it cannot.
    #[must_use]
    pub fn with_own_engine(
        &self,
        task: &Task<'_>,
        folder: &Path,
        buildkitd: &Path,
    ) -> Option<Invocation> {
        match self.kind {
            Kind::Kitwright => Some(self.invocation(task, folder)),
            Kind::Buildx | Kind::BuildxDefaults => None,
            Kind::Buildctl => {
                let script = "buildctl-daemonless.sh";
                let beside = self.program.with_file_name(script);
                let script = find_program(script).or_else(|| beside.is_file().then_some(beside))?;
                let mut line = self.invocation(task, folder);
                line.command[0] = script.into();
                line.set("BUILDCTL", &self.program);
                line.set("BUILDKITD", buildkitd);
                line.set("BUILDKITD_FLAGS", format!("--root={}", folder.display()));
                Some(line)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: Kind, task: &Task<'_>) -> String {
        let client =
            Client { name: "x".into(), kind, program: "/bin/client".into(), version: "1".into() };
        let invocation = client.invocation(task, Path::new("/own"));
        let words = invocation.command.iter().map(|word| word.to_string_lossy());
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_client_is_told_the_same() {
        let work = Work {
            context: "/project".into(),
            dockerfile: "/project/gen.Dockerfile".into(),
            target: Some("app".into()),
            build_args: vec![("A".into(), "b c".into())],
            contexts: vec![("base".into(), "oci-layout:///l@sha256:0".into())],
            secrets: Vec::new(),
        };
        let task = Task {
            work: &work,
            address: Some("unix:///s"),
            push: Some("r/i:t".into()),
            cache_from: Some("r/i:c".into()),
            cache_to: Some("r/i:d".into()),
            export: None,
            reuse: true,
            flags: &["--more".to_owned()],
        };
        let common = "--file /project/gen.Dockerfile --target app --build-arg A=b c --build-context \
                      base=oci-layout:///l@sha256:0 --tag r/i:t --push --cache-from \
                      type=registry,ref=r/i:c --cache-to type=registry,mode=max,ref=r/i:d";
        assert_eq!(
            line(Kind::Kitwright, &task),
            format!(
                "/bin/client build --progress=rawjson --builder unix:///s {common} --reuse \
                 /project --more"
            )
        );
        assert_eq!(
            line(Kind::Buildx, &task),
            format!(
                "/bin/client build --progress=rawjson --builder kitwright-bench \
                 --provenance=false {common} /project --more"
            )
        );
        assert_eq!(
            line(Kind::Buildctl, &task),
            "/bin/client --addr unix:///s build --progress=rawjson --frontend=dockerfile.v0 --local \
             context=/project --local dockerfile=/project --opt filename=gen.Dockerfile --opt \
             target=app --opt build-arg:A=b c --oci-layout layout0=/l --opt \
             context:base=oci-layout://layout0@sha256:0 --output type=image,name=r/i:t,push=true \
             --import-cache type=registry,ref=r/i:c --export-cache type=registry,mode=max,ref=r/i:d \
             --more"
        );
    }

    #[test]
    fn clients_are_named_with_or_without_a_program() {
        let known = Client::parse("old=/bin/true").unwrap();
        assert_eq!((known.name.as_str(), known.kind), ("old", Kind::Kitwright));
        assert!(matches!(Client::parse("podman"), Err(ClientError::Unknown { .. })));
        assert!(matches!(Client::parse("kitwright=/x"), Err(ClientError::Twice { .. })));
        assert!(matches!(Client::parse("buildctl=/no/such"), Err(ClientError::Program(_))));
    }
}
