//! The `[ci]` table of `kitwright.toml`: what a repository calls its image, and what is part of it.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::fault::{Classified, Fault};
use crate::oci::compression::Compression;
use crate::oci::reference::{ImageReference, ReferenceError};

/// The name of the file that holds the table, beside the Dockerfile.
pub const FILE_NAME: &str = "kitwright.toml";

/// What a repository says about the CI around its image. Every field has a default.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The image's repository, without a tag. `ghcr.io/<owner>/<repository>/ci` when unset.
    pub image: Option<String>,
    /// The image's definition.
    pub dockerfile: String,
    /// The workflow that builds and publishes the image: a file name in `.github/workflows`.
    pub workflow: String,
    /// Globs of the files that are part of the image; unset means the usual ones.
    pub touch: Option<Vec<String>>,
    /// Branches whose every push moves a tag, and that tag.
    pub branches: BTreeMap<String, String>,
    /// How the layers of published images are compressed.
    pub compression: Compression,
    /// How many digits of a commit `{branch}-sha-{commit}` carries.
    pub short_sha: usize,
    /// The first word of a comment that asks for regeneration.
    pub command: String,
    /// The author of kitwright's own comments.
    pub comment_author: String,
    /// What people run to generate with the pull request's image; `{image}` is the reference.
    pub try_it: String,
}

impl Default for Settings {
    fn default() -> Self {
        let branches = [("main", "latest"), ("master", "latest"), ("v2", "v2")];
        Self {
            image: None,
            dockerfile: "gen.Dockerfile".to_owned(),
            workflow: "build-ci-image.yml".to_owned(),
            touch: None,
            branches: branches.map(|(branch, tag)| (branch.to_owned(), tag.to_owned())).into(),
            compression: Compression::Zstd,
            short_sha: 7,
            command: "/regen".to_owned(),
            comment_author: "github-actions[bot]".to_owned(),
            try_it: "make docker-pull gen DOCKER_CI_IMAGE={image}".to_owned(),
        }
    }
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum SettingsError {
    /// The file is there and cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The settings file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or its `[ci]` table has a field of the wrong name or type.
    #[error("cannot parse the `[ci]` table of `{}`", path.display())]
    #[diagnostic(help("docs/ci.md lists the fields"))]
    Parse {
        /// The settings file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// The image is not a repository name.
    #[error("`image = \"{image}\"` in the `[ci]` settings is not an image repository")]
    Image {
        /// The value.
        image: String,
        /// Why not.
        source: Box<ReferenceError>,
    },
    /// The image names a tag, which the rules choose.
    #[error("`image = \"{image}\"` in the `[ci]` settings has a tag or digest")]
    #[diagnostic(help("name the repository alone: the event decides on the tag"))]
    ImageTag {
        /// The value.
        image: String,
    },
    /// A branch's tag is none, or one that means something else.
    #[error("branch `{branch}` cannot move the tag `{tag}`: {why}")]
    Tag {
        /// The branch.
        branch: String,
        /// Its tag.
        tag: String,
        /// What is wrong with the tag.
        why: &'static str,
    },
    /// A commit's abbreviation is too short to be telling, or longer than a commit id.
    #[error("`short-sha = {0}` in the `[ci]` settings is not between 7 and 40")]
    ShortSha(usize),
    /// A glob git would read as something else.
    #[error("`{0}` in `touch` is not a path pattern")]
    #[diagnostic(help("write a path or glob from the top of the repository, such as `stages/**`"))]
    Touch(String),
}

impl Classified for SettingsError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

#[derive(serde::Deserialize)]
struct File {
    #[serde(default)]
    ci: Settings,
}

impl Settings {
    /// Reads the `[ci]` table of `dir`'s settings file; without a file all is default.
    ///
    /// # Errors
    ///
    /// A [`SettingsError`] that names the file and the field.
    pub fn load(dir: &Path) -> Result<Self, SettingsError> {
        let path = dir.join(FILE_NAME);
        match fs_err::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(SettingsError::Read { path, source }),
        }
    }

    /// How images are pushed, as `--output` has it.
    #[must_use]
    pub fn output(&self) -> String {
        match self.compression {
            // The engine does that anyway: the image's content key is then that of a plain `--push`.
            Compression::Gzip => "type=registry".to_owned(),
            other => format!("type=registry,compression={}", other.name()),
        }
    }

    /// Parses the text of a settings file; other tables of it are not ours.
    ///
    /// # Errors
    ///
    /// A [`SettingsError`] that names the field.
    pub fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        let file: File = toml::from_str(text).map_err(|source| SettingsError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        file.ci.check()?;
        Ok(file.ci)
    }

    fn check(&self) -> Result<(), SettingsError> {
        if !(7..=40).contains(&self.short_sha) {
            return Err(SettingsError::ShortSha(self.short_sha));
        }
        for (branch, tag) in &self.branches {
            if let Some(why) = reserved(tag) {
                let (branch, tag) = (branch.clone(), tag.clone());
                return Err(SettingsError::Tag { branch, tag, why });
            }
        }
        let bad = |glob: &&String| glob.is_empty() || glob.starts_with(':') || glob.contains('\0');
        if let Some(glob) = self.touch.iter().flatten().find(bad) {
            return Err(SettingsError::Touch(glob.clone()));
        }
        match &self.image {
            Some(image) => parse_image(image).map(drop),
            None => Ok(()),
        }
    }

    /// The globs of the files whose change touches the image.
    #[must_use]
    pub fn touch_globs(&self) -> Vec<String> {
        if let Some(touch) = &self.touch {
            return touch.clone();
        }
        let dockerfile = &self.dockerfile;
        vec![
            dockerfile.clone(),
            format!("{dockerfile}.lock"),
            format!("{dockerfile}.dockerignore"),
            ".dockerignore".to_owned(),
            "stages/**".to_owned(),
            format!(".github/workflows/{}", self.workflow),
        ]
    }

    /// The image's repository: the configured one, or GitHub's registry under the repository's name.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Image`] or [`SettingsError::ImageTag`] when it is no plain repository.
    pub fn image_repository(
        &self,
        github_repository: &str,
    ) -> Result<ImageReference, SettingsError> {
        match &self.image {
            Some(image) => parse_image(image),
            None => parse_image(&format!("ghcr.io/{}/ci", github_repository.to_lowercase())),
        }
    }
}

fn parse_image(image: &str) -> Result<ImageReference, SettingsError> {
    let reference = ImageReference::parse(image).map_err(|source| SettingsError::Image {
        image: image.to_owned(),
        source: Box::new(source),
    })?;
    if reference.tag().is_some() || reference.digest().is_some() {
        return Err(SettingsError::ImageTag { image: image.to_owned() });
    }
    Ok(reference)
}

/// Why `tag` cannot be a branch's moving tag; two meanings of one tag would overwrite each other.
fn reserved(tag: &str) -> Option<&'static str> {
    if let Some(meaning) = super::tags::meaning(tag) {
        Some(meaning)
    } else if tag.contains("-sha-") {
        Some("`…-sha-…` is the image of one commit")
    } else if super::tags::is_valid_tag(tag) {
        None
    } else {
        Some("it is not a tag that registries accept")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(text, Path::new("kitwright.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_without_the_table_means_the_defaults() {
        assert_eq!(parse("[bench]\nruns = 3\n"), Ok(Settings::default()));
        let globs = Settings::default().touch_globs();
        assert!(globs.contains(&"gen.Dockerfile.lock".to_owned()), "{globs:?}");
        assert!(globs.contains(&".github/workflows/build-ci-image.yml".to_owned()), "{globs:?}");
    }

    #[test]
    fn the_image_defaults_to_the_repositorys_own_registry_in_lower_case() {
        let image = Settings::default().image_repository("FlyteOrg/Flyte").expect("a repository");
        assert_eq!(image.to_string(), "ghcr.io/flyteorg/flyte/ci");
    }

    #[test]
    fn tags_with_another_meaning_are_refused() {
        let taken = ["pr-7", "key-00", "a-sha-b", "buildcache", "buildcache-pr-7", "mount-00"];
        for tag in taken.into_iter().chain(["sha256-00", "-x", "a b", ""]) {
            let error = parse(&format!("[ci.branches]\nmain = \"{tag}\"")).expect_err(tag);
            assert!(error.contains("branch `main` cannot move the tag"), "{error}");
        }
        for tag in ["pr-x", "buildcaches", "keys", "mounts"] {
            assert!(parse(&format!("[ci.branches]\nmain = \"{tag}\"")).is_ok(), "{tag}");
        }
    }

    #[test]
    fn misspelled_fields_and_bad_values_are_refused() {
        assert!(parse("[ci]\nimages = \"x\"").is_err());
        assert!(parse("[ci]\nimage = \"ghcr.io/a/b:v2\"").expect_err("tag").contains("has a tag"));
        assert!(parse("[ci]\ncompression = \"lzma\"").is_err());
        assert!(parse("[ci]\nshort-sha = 3").expect_err("short").contains("between 7 and 40"));
        assert!(parse("[ci]\ntouch = [\":(top)x\"]").expect_err("glob").contains("path pattern"));
    }
}
