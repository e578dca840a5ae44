//! What a rule found.

use super::Rule;

/// A broken rule, with what its message needs.
///
/// It displays as the message; [`fix`](Self::fix) says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is described at its rule")]
pub enum Finding {
    StageNameCasing { name: String },
    FromAsCasing { from: String, keyword: String },
    NoEmptyContinuation,
    ConsistentInstructionCasing { keyword: String, lower: bool },
    DuplicateStageName { name: String },
    ReservedStageName { name: String },
    JSONArgsRecommended { instruction: &'static str },
    MaintainerDeprecated,
    UndefinedArgInFrom { name: String, suggestion: Option<String> },
    WorkdirRelativePath { path: String },
    UndefinedVar { name: String, suggestion: Option<String> },
    MultipleInstructionsDisallowed { instruction: &'static str },
    LegacyKeyValueFormat { instruction: &'static str, key: String },
    InvalidBaseImagePlatform { image: String, expected: String, actual: String },
    RedundantTargetPlatform { platform: String },
    SecretsUsedInArgOrEnv { instruction: &'static str, key: String },
    InvalidDefaultArgInFrom { base: String },
    FromPlatformFlagConstDisallowed { platform: String },
    CopyIgnoredFile { instruction: &'static str, path: String },
    InvalidDefinitionDescription { instruction: &'static str, name: String },
    ExposeProtoCasing { port: String },
    ExposeInvalidFormat { port: String },
    ArgAboveUnrelatedStep { name: String, steps: usize, used: Option<u32> },
    CacheMountKeepsNothing { target: String, cause: String, fix: String },
    UnpinnedBaseImage { image: String },
    SecretValueInArgOrEnv { instruction: &'static str, key: String, kind: &'static str },
}

impl Finding {
    /// Returns the rule that is broken.
    pub const fn rule(&self) -> Rule {
        match self {
            Self::StageNameCasing { .. } => Rule::StageNameCasing,
            Self::FromAsCasing { .. } => Rule::FromAsCasing,
            Self::NoEmptyContinuation => Rule::NoEmptyContinuation,
            Self::ConsistentInstructionCasing { .. } => Rule::ConsistentInstructionCasing,
            Self::DuplicateStageName { .. } => Rule::DuplicateStageName,
            Self::ReservedStageName { .. } => Rule::ReservedStageName,
            Self::JSONArgsRecommended { .. } => Rule::JSONArgsRecommended,
            Self::MaintainerDeprecated => Rule::MaintainerDeprecated,
            Self::UndefinedArgInFrom { .. } => Rule::UndefinedArgInFrom,
            Self::WorkdirRelativePath { .. } => Rule::WorkdirRelativePath,
            Self::UndefinedVar { .. } => Rule::UndefinedVar,
            Self::MultipleInstructionsDisallowed { .. } => Rule::MultipleInstructionsDisallowed,
            Self::LegacyKeyValueFormat { .. } => Rule::LegacyKeyValueFormat,
            Self::InvalidBaseImagePlatform { .. } => Rule::InvalidBaseImagePlatform,
            Self::RedundantTargetPlatform { .. } => Rule::RedundantTargetPlatform,
            Self::SecretsUsedInArgOrEnv { .. } => Rule::SecretsUsedInArgOrEnv,
            Self::InvalidDefaultArgInFrom { .. } => Rule::InvalidDefaultArgInFrom,
            Self::FromPlatformFlagConstDisallowed { .. } => Rule::FromPlatformFlagConstDisallowed,
            Self::CopyIgnoredFile { .. } => Rule::CopyIgnoredFile,
            Self::InvalidDefinitionDescription { .. } => Rule::InvalidDefinitionDescription,
            Self::ExposeProtoCasing { .. } => Rule::ExposeProtoCasing,
            Self::ExposeInvalidFormat { .. } => Rule::ExposeInvalidFormat,
            Self::ArgAboveUnrelatedStep { .. } => Rule::ArgAboveUnrelatedStep,
            Self::CacheMountKeepsNothing { .. } => Rule::CacheMountKeepsNothing,
            Self::UnpinnedBaseImage { .. } => Rule::UnpinnedBaseImage,
            Self::SecretValueInArgOrEnv { .. } => Rule::SecretValueInArgOrEnv,
        }
    }

    /// Says what to do about it, as a `help:` line does.
    pub fn fix(&self) -> String {
        match self {
            Self::StageNameCasing { name } => format!("name it `{}`", name.to_lowercase()),
            Self::FromAsCasing { from, keyword } => match from.chars().any(char::is_uppercase) {
                true => format!("write `{}`", keyword.to_uppercase()),
                false => format!("write `{}`", keyword.to_lowercase()),
            },
            Self::NoEmptyContinuation => "remove the empty line, or make it a comment".to_owned(),
            Self::ConsistentInstructionCasing { keyword, lower } => match lower {
                true => format!("write `{}`", keyword.to_lowercase()),
                false => format!("write `{}`", keyword.to_uppercase()),
            },
            Self::DuplicateStageName { .. } | Self::ReservedStageName { .. } => {
                "rename the stage".to_owned()
            }
            Self::JSONArgsRecommended { instruction } => {
                format!("write `{instruction} [\"executable\", \"argument\"]`")
            }
            Self::MaintainerDeprecated => {
                "write `LABEL org.opencontainers.image.authors=\"…\"`".to_owned()
            }
            Self::UndefinedArgInFrom { name, .. } => {
                format!("declare `ARG {name}` above the first FROM")
            }
            Self::WorkdirRelativePath { path } => format!("write `WORKDIR /{path}`"),
            Self::UndefinedVar { name, .. } => {
                format!("declare it in this stage with `ARG {name}` or `ENV {name}=…`")
            }
            Self::MultipleInstructionsDisallowed { instruction } => {
                format!("keep only the last {instruction}")
            }
            Self::LegacyKeyValueFormat { instruction, key } => {
                format!("write `{instruction} {key}=\"…\"`")
            }
            Self::InvalidBaseImagePlatform { expected, .. } => {
                format!("use an image for {expected}, or set `FROM --platform`")
            }
            Self::RedundantTargetPlatform { .. } => "leave `--platform` out".to_owned(),
            Self::SecretsUsedInArgOrEnv { key, .. } | Self::SecretValueInArgOrEnv { key, .. } => {
                format!(
                    "pass it with `RUN --mount=type=secret,id={key},env={key}` and `--secret id={key}`"
                )
            }
            Self::InvalidDefaultArgInFrom { .. } => {
                "give the ARG a default that makes a valid image name".to_owned()
            }
            Self::FromPlatformFlagConstDisallowed { .. } => {
                "use $BUILDPLATFORM, or leave `--platform` out and build with `--platform`"
                    .to_owned()
            }
            Self::CopyIgnoredFile { path, .. } => {
                format!("remove the pattern from .dockerignore, or add `!{path}` to it")
            }
            Self::InvalidDefinitionDescription { name, .. } => {
                format!("write `# {name} <description>`, or leave an empty comment line in between")
            }
            Self::ExposeProtoCasing { port } => format!("write `{}`", port.to_lowercase()),
            Self::ExposeInvalidFormat { .. } => {
                "name the container's port alone, and map it with `docker run -p`".to_owned()
            }
            Self::ArgAboveUnrelatedStep { name, used: Some(line), .. } => {
                format!("move `ARG {name}` down to line {line}")
            }
            Self::ArgAboveUnrelatedStep { name, .. } => {
                format!("remove `ARG {name}`, or move it below the steps that do not need it")
            }
            Self::CacheMountKeepsNothing { fix, .. } => fix.clone(),
            Self::UnpinnedBaseImage { image } => {
                let name = image.strip_suffix(":latest").unwrap_or(image);
                format!(
                    "name a version, as `{name}:VERSION`, or pin the digest with `kitwright lock`"
                )
            }
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::StageNameCasing { name } => write!(f, "stage name `{name}` is not lower case"),
            Self::FromAsCasing { from, keyword } => {
                write!(f, "`{keyword}` is not written in the case of `{from}`")
            }
            Self::NoEmptyContinuation => write!(f, "empty line inside a continued instruction"),
            Self::ConsistentInstructionCasing { keyword, lower } => {
                let case = if *lower { "lower" } else { "upper" };
                write!(f, "`{keyword}` is not in {case} case as most instructions are")
            }
            Self::DuplicateStageName { name } => write!(f, "another stage is named `{name}` too"),
            Self::ReservedStageName { name } => write!(f, "the stage name `{name}` is reserved"),
            Self::JSONArgsRecommended { instruction } => {
                write!(f, "{instruction} in shell form does not pass signals on to the command")
            }
            Self::MaintainerDeprecated => write!(f, "MAINTAINER is deprecated"),
            Self::UndefinedArgInFrom { name, suggestion } => {
                write!(f, "FROM uses `{name}`, which no ARG declares{}", did_you_mean(suggestion))
            }
            Self::WorkdirRelativePath { path } => {
                write!(f, "WORKDIR `{path}` is relative to the working directory of the base image")
            }
            Self::UndefinedVar { name, suggestion } => {
                write!(f, "variable `${name}` is not defined{}", did_you_mean(suggestion))
            }
            Self::MultipleInstructionsDisallowed { instruction } => {
                write!(f, "a later {instruction} in this stage replaces this one")
            }
            Self::LegacyKeyValueFormat { instruction, key } => {
                write!(
                    f,
                    "{instruction} `{key}` is separated from its value by a space, not by `=`"
                )
            }
            Self::InvalidBaseImagePlatform { image, expected, actual } => {
                write!(f, "base image `{image}` is for {actual}, but the build is for {expected}")
            }
            Self::RedundantTargetPlatform { platform } => {
                write!(f, "`--platform={platform}` is what FROM uses anyway")
            }
            Self::SecretsUsedInArgOrEnv { instruction, key } => {
                write!(
                    f,
                    "{instruction} `{key}` seems to hold a secret, which the image would show"
                )
            }
            Self::InvalidDefaultArgInFrom { base } => {
                write!(f, "with default arguments `{base}` is no valid image name")
            }
            Self::FromPlatformFlagConstDisallowed { platform } => {
                write!(f, "`--platform={platform}` is fixed, whatever the build is for")
            }
            Self::CopyIgnoredFile { instruction, path } => {
                write!(f, "{instruction} takes `{path}`, which .dockerignore leaves out")
            }
            Self::InvalidDefinitionDescription { instruction, name } => {
                write!(f, "the comment above {instruction} `{name}` does not start with the name")
            }
            Self::ExposeProtoCasing { port } => {
                write!(f, "the protocol of port `{port}` is not lower case")
            }
            Self::ExposeInvalidFormat { port } => {
                write!(f, "EXPOSE `{port}` names an address or a port of the host")
            }
            Self::ArgAboveUnrelatedStep { name, steps, used } => {
                let these =
                    if *steps == 1 { "1 step".to_owned() } else { format!("{steps} steps") };
                match used {
                    Some(line) => write!(
                        f,
                        "changing ARG `{name}` reruns {these} above line {line}, where it is first used"
                    ),
                    None => {
                        write!(f, "changing ARG `{name}` reruns {these}, none of which name it")
                    }
                }
            }
            Self::CacheMountKeepsNothing { target, cause, .. } => {
                write!(f, "the cache mount `{target}` keeps nothing: {cause}")
            }
            Self::UnpinnedBaseImage { image } => match image.ends_with(":latest") {
                true => write!(f, "`{image}` changes without notice"),
                false => write!(f, "`{image}` has no version, so it means `{image}:latest`"),
            },
            Self::SecretValueInArgOrEnv { instruction, key, kind } => {
                write!(f, "{instruction} `{key}` holds what looks like {kind}")
            }
        }
    }
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map(|word| format!(" (did you mean `{word}`?)")).unwrap_or_default()
}
