//! The rules by name.

/// A lint rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "`describe` says what each is about")]
pub enum Rule {
    StageNameCasing,
    FromAsCasing,
    NoEmptyContinuation,
    ConsistentInstructionCasing,
    DuplicateStageName,
    ReservedStageName,
    JSONArgsRecommended,
    MaintainerDeprecated,
    UndefinedArgInFrom,
    WorkdirRelativePath,
    UndefinedVar,
    MultipleInstructionsDisallowed,
    LegacyKeyValueFormat,
    InvalidBaseImagePlatform,
    RedundantTargetPlatform,
    SecretsUsedInArgOrEnv,
    InvalidDefaultArgInFrom,
    FromPlatformFlagConstDisallowed,
    CopyIgnoredFile,
    InvalidDefinitionDescription,
    ExposeProtoCasing,
    ExposeInvalidFormat,
    ArgAboveUnrelatedStep,
    CacheMountKeepsNothing,
    UnpinnedBaseImage,
    SecretValueInArgOrEnv,
}

impl Rule {
    /// All rules: BuildKit's, then ours.
    pub const ALL: [Self; 26] = [
        Self::StageNameCasing,
        Self::FromAsCasing,
        Self::NoEmptyContinuation,
        Self::ConsistentInstructionCasing,
        Self::DuplicateStageName,
        Self::ReservedStageName,
        Self::JSONArgsRecommended,
        Self::MaintainerDeprecated,
        Self::UndefinedArgInFrom,
        Self::WorkdirRelativePath,
        Self::UndefinedVar,
        Self::MultipleInstructionsDisallowed,
        Self::LegacyKeyValueFormat,
        Self::InvalidBaseImagePlatform,
        Self::RedundantTargetPlatform,
        Self::SecretsUsedInArgOrEnv,
        Self::InvalidDefaultArgInFrom,
        Self::FromPlatformFlagConstDisallowed,
        Self::CopyIgnoredFile,
        Self::InvalidDefinitionDescription,
        Self::ExposeProtoCasing,
        Self::ExposeInvalidFormat,
        Self::ArgAboveUnrelatedStep,
        Self::CacheMountKeepsNothing,
        Self::UnpinnedBaseImage,
        Self::SecretValueInArgOrEnv,
    ];

    /// Returns the name by which a `check=` directive knows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StageNameCasing => "StageNameCasing",
            Self::FromAsCasing => "FromAsCasing",
            Self::NoEmptyContinuation => "NoEmptyContinuation",
            Self::ConsistentInstructionCasing => "ConsistentInstructionCasing",
            Self::DuplicateStageName => "DuplicateStageName",
            Self::ReservedStageName => "ReservedStageName",
            Self::JSONArgsRecommended => "JSONArgsRecommended",
            Self::MaintainerDeprecated => "MaintainerDeprecated",
            Self::UndefinedArgInFrom => "UndefinedArgInFrom",
            Self::WorkdirRelativePath => "WorkdirRelativePath",
            Self::UndefinedVar => "UndefinedVar",
            Self::MultipleInstructionsDisallowed => "MultipleInstructionsDisallowed",
            Self::LegacyKeyValueFormat => "LegacyKeyValueFormat",
            Self::InvalidBaseImagePlatform => "InvalidBaseImagePlatform",
            Self::RedundantTargetPlatform => "RedundantTargetPlatform",
            Self::SecretsUsedInArgOrEnv => "SecretsUsedInArgOrEnv",
            Self::InvalidDefaultArgInFrom => "InvalidDefaultArgInFrom",
            Self::FromPlatformFlagConstDisallowed => "FromPlatformFlagConstDisallowed",
            Self::CopyIgnoredFile => "CopyIgnoredFile",
            Self::InvalidDefinitionDescription => "InvalidDefinitionDescription",
            Self::ExposeProtoCasing => "ExposeProtoCasing",
            Self::ExposeInvalidFormat => "ExposeInvalidFormat",
            Self::ArgAboveUnrelatedStep => "ArgAboveUnrelatedStep",
            Self::CacheMountKeepsNothing => "CacheMountKeepsNothing",
            Self::UnpinnedBaseImage => "UnpinnedBaseImage",
            Self::SecretValueInArgOrEnv => "SecretValueInArgOrEnv",
        }
    }

    /// Says what is wrong about breaking it.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::StageNameCasing => {
                "a stage name has upper-case letters, but is known in lower case"
            }
            Self::FromAsCasing => "FROM and its AS are written in different case",
            Self::NoEmptyContinuation => {
                "an empty line inside a continued instruction is deprecated and will be an error"
            }
            Self::ConsistentInstructionCasing => {
                "instructions are written in different case within one Dockerfile"
            }
            Self::DuplicateStageName => {
                "two stages have one name, so the first cannot be referred to"
            }
            Self::ReservedStageName => "`context` and `scratch` mean something else than a stage",
            Self::JSONArgsRecommended => {
                "in shell form the shell gets the signals that are meant for the command"
            }
            Self::MaintainerDeprecated => "MAINTAINER is deprecated in favour of a label",
            Self::UndefinedArgInFrom => "FROM uses an argument that no ARG above it declares",
            Self::WorkdirRelativePath => {
                "a relative WORKDIR depends on the working directory of the base image"
            }
            Self::UndefinedVar => "a variable is used that nothing above defines",
            Self::MultipleInstructionsDisallowed => {
                "of several such instructions in a stage only the last one counts"
            }
            Self::LegacyKeyValueFormat => {
                "a key and its value are separated by a space instead of `=`"
            }
            Self::InvalidBaseImagePlatform => {
                "the base image is for another platform than the build"
            }
            Self::RedundantTargetPlatform => "the target platform is what FROM uses anyway",
            Self::SecretsUsedInArgOrEnv => "what ARG and ENV hold can be read from the image",
            Self::InvalidDefaultArgInFrom => {
                "with the defaults of its arguments FROM has no valid image name"
            }
            Self::FromPlatformFlagConstDisallowed => {
                "a fixed platform in FROM ignores the platform the build is for"
            }
            Self::CopyIgnoredFile => "a file is copied that .dockerignore leaves out",
            Self::InvalidDefinitionDescription => {
                "a comment above FROM or ARG describes it if its first word is the name"
            }
            Self::ExposeProtoCasing => "the protocol of an exposed port has upper-case letters",
            Self::ExposeInvalidFormat => {
                "EXPOSE takes neither addresses nor ports of the host; they will be an error"
            }
            Self::ArgAboveUnrelatedStep => {
                "an ARG enters the cache key of every RUN below it, also of those that do not use it"
            }
            Self::CacheMountKeepsNothing => "a cache mount is emptied before the step ends",
            Self::UnpinnedBaseImage => "an image without a version changes without notice",
            Self::SecretValueInArgOrEnv => "a secret stands in the Dockerfile and in the image",
        }
    }

    /// Returns where it is documented; nothing for rules that are documented nowhere else.
    pub fn url(self) -> Option<String> {
        if self.is_ours() || self == Self::InvalidBaseImagePlatform {
            return None;
        }
        let mut kebab = String::new();
        let name = self.name().replace("JSON", "Json");
        for c in name.chars() {
            if c.is_ascii_uppercase() && !kebab.is_empty() {
                kebab.push('-');
            }
            kebab.push(c.to_ascii_lowercase());
        }
        Some(format!("https://docs.docker.com/go/dockerfile/rule/{kebab}/"))
    }

    /// Tells whether it counts only when asked for.
    pub const fn is_experimental(self) -> bool {
        matches!(self, Self::InvalidDefinitionDescription)
    }

    /// Tells whether BuildKit does not know it.
    pub const fn is_ours(self) -> bool {
        matches!(
            self,
            Self::ArgAboveUnrelatedStep
                | Self::CacheMountKeepsNothing
                | Self::UnpinnedBaseImage
                | Self::SecretValueInArgOrEnv
        )
    }
}
