//! How each client is told the same work.
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Client, Kind};
use crate::bench::work::Work;
use crate::engine::programs::find_program;
use crate::oci::compression::Compression;
use crate::oci::secret::Secret;

/// What a client is asked to do, once.
#[derive(Clone, Debug)]
pub struct Task<'a> {
    /// What to build.
    pub work: &'a Work,
    /// The engine; none when the client runs its own.
    pub address: Option<&'a str>,
    /// The name under which the image is pushed.
    pub push: Option<String>,
    /// The caches that are imported, in order, as `--cache-from` has them.
    pub cache_from: Vec<String>,
    /// Those that are exported, as `--cache-to` has them.
    pub cache_to: Vec<String>,
    /// The repository that keeps cache mounts.
    pub cache_mounts: Option<String>,
    /// How layers that leave the engine are compressed, for clients that are not to choose.
    pub compression: Option<Compression>,
    /// The file to which the image is exported as an OCI archive.
    pub export: Option<PathBuf>,
    /// Whether kitwright may take an image with the same content key.
    pub reuse: bool,
    /// Further flags.
    pub flags: &'a [String],
    /// Build arguments that name the proxy of the steps.
    pub proxies: Vec<(String, String)>,
    /// Where GitHub's cache service is, as a runner's variables say it.
    pub service: &'a [(String, Secret)],
}

impl<'a> Task<'a> {
    /// A build of `work` without anything besides.
    #[must_use]
    pub const fn new(work: &'a Work, address: Option<&'a str>) -> Self {
        Self {
            work,
            address,
            push: None,
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            cache_mounts: None,
            compression: None,
            export: None,
            reuse: false,
            flags: &[],
            proxies: Vec::new(),
            service: &[],
        }
    }
}

impl Task<'_> {
    /// The attribute for it, as it goes at the end of an output's or a cache's.
    fn packing(&self) -> String {
        let attribute = |compression: Compression| format!(",compression={}", compression.name());
        self.compression.map(attribute).unwrap_or_default()
    }
}

/// A cache with its compression; one that lies in the image has that of the image.
fn packed(cache: &str, packing: &str) -> String {
    let packing = if cache == "type=inline" { "" } else { packing };
    format!("{cache}{packing}")
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
        for (name, value) in task.service {
            invocation.set(name, value.expose());
        }
        invocation
    }

    fn docker_like(&self, task: &Task<'_>) -> Invocation {
        let work = task.work;
        let packing = match self.kind {
            Kind::BuildxDefaults => String::new(),
            _ => task.packing(),
        };
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
        for (name, value) in work.build_args.iter().chain(&task.proxies) {
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
            match packing.is_empty() {
                true => line.arg("--push"),
                false => line.pair("--output", format!("type=registry{packing}")),
            }
        }
        for cache in &task.cache_from {
            line.pair("--cache-from", cache);
        }
        for cache in &task.cache_to {
            line.pair("--cache-to", packed(cache, &packing));
        }
        if let (Kind::Kitwright, Some(repository)) = (self.kind, &task.cache_mounts) {
            line.pair("--cache-mounts", repository);
        }
        if let Some(file) = &task.export {
            line.pair("--output", format!("type=oci,dest={}{packing}", file.display()));
        }
        if task.reuse && self.kind == Kind::Kitwright {
            line.arg("--reuse");
        }
        line.arg(&work.context);
        line
    }

    fn buildctl(&self, task: &Task<'_>) -> Invocation {
        let (work, packing) = (task.work, task.packing());
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
        for (name, value) in work.build_args.iter().chain(&task.proxies) {
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
            line.pair("--output", format!("type=image,name={image},push=true{packing}"));
        }
        if let Some(file) = &task.export {
            line.pair("--output", format!("type=oci,dest={}{packing}", file.display()));
        }
        for cache in &task.cache_from {
            line.pair("--import-cache", cache);
        }
        for cache in &task.cache_to {
            line.pair("--export-cache", packed(cache, &packing));
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
            cache_from: vec!["type=registry,ref=r/i:c".into(), "type=gha,scope=s".into()],
            cache_to: vec!["type=registry,mode=max,ref=r/i:d".into()],
            cache_mounts: Some("r/i/m".into()),
            compression: None,
            export: None,
            reuse: true,
            flags: &["--more".to_owned()],
            proxies: vec![("http_proxy".into(), "http://p".into())],
            service: &[],
        };
        let common = "--file /project/gen.Dockerfile --target app --build-arg A=b c \
                      --build-arg http_proxy=http://p --build-context \
                      base=oci-layout:///l@sha256:0 --tag r/i:t --push --cache-from \
                      type=registry,ref=r/i:c --cache-from type=gha,scope=s --cache-to \
                      type=registry,mode=max,ref=r/i:d";
        assert_eq!(
            line(Kind::Kitwright, &task),
            format!(
                "/bin/client build --progress=rawjson --builder unix:///s {common} --cache-mounts \
                 r/i/m --reuse /project --more"
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
             target=app --opt build-arg:A=b c --opt build-arg:http_proxy=http://p --oci-layout layout0=/l --opt \
             context:base=oci-layout://layout0@sha256:0 --output type=image,name=r/i:t,push=true \
             --import-cache type=registry,ref=r/i:c --import-cache type=gha,scope=s \
             --export-cache type=registry,mode=max,ref=r/i:d \
             --more"
        );
    }

    #[test]
    fn those_who_are_told_compress_images_and_caches_alike() {
        let work = Work {
            context: "/p".into(),
            dockerfile: "/p/Dockerfile".into(),
            target: None,
            build_args: Vec::new(),
            contexts: Vec::new(),
            secrets: Vec::new(),
        };
        let mut task = Task::new(&work, Some("unix:///s"));
        task.push = Some("r/i:t".into());
        task.export = Some("/out".into());
        task.cache_to = vec!["type=registry,ref=r/i:d".into(), "type=inline".into()];
        task.compression = Some(Compression::Zstd);
        let docker_like = "--tag r/i:t --output type=registry,compression=zstd --cache-to \
                           type=registry,ref=r/i:d,compression=zstd --cache-to type=inline --output \
                           type=oci,dest=/out,compression=zstd /p";
        for kind in [Kind::Kitwright, Kind::Buildx] {
            assert!(line(kind, &task).ends_with(docker_like), "{}", line(kind, &task));
        }
        let buildctl = "--output type=image,name=r/i:t,push=true,compression=zstd --output \
                        type=oci,dest=/out,compression=zstd --export-cache \
                        type=registry,ref=r/i:d,compression=zstd --export-cache type=inline";
        assert!(line(Kind::Buildctl, &task).ends_with(buildctl));
        assert!(!line(Kind::BuildxDefaults, &task).contains("zstd"));
        assert!(line(Kind::BuildxDefaults, &task).contains("--tag r/i:t --push "));
    }
}
