//! Platforms: parsing, normalisation and their text form.
//!
//! The rules are containerd's, because BuildKit keeps platforms inside digested bytes: whether
//! `linux/arm` gains the variant `v7` decides the digest of a vertex. [`Platform::parse`] keeps what
//! was written, [`Platform::normalize`] makes two spellings of one platform equal.
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An operating system and a CPU architecture, as OCI image configs write them.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// CPU architecture in Go's spelling, such as `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// Operating system in Go's spelling, such as `linux`.
    #[serde(default)]
    pub os: String,
    /// Version of the operating system; used by Windows images.
    #[serde(rename = "os.version", default, skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// Features that the operating system must have; used by Windows images.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// Variant of the architecture, such as `v7`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

/// A text that names no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum PlatformError {
    /// Wildcards have no meaning yet.
    #[error("platform `{0}` has a wildcard")]
    #[diagnostic(help("name one platform, such as `linux/amd64`"))]
    Wildcard(String),
    /// A part has characters that none of the parts may have.
    #[error("platform `{specifier}` has the invalid component `{component}`")]
    #[diagnostic(help("write it as `os[/architecture[/variant]]`, such as `linux/arm/v7`"))]
    Component {
        /// The whole text.
        specifier: String,
        /// The part between two slashes.
        component: String,
    },
    /// A single word is neither a known operating system nor a known architecture.
    #[error("platform `{0}` is no known operating system or architecture")]
    #[diagnostic(help("write it as `os/architecture`, such as `linux/amd64`"))]
    Unknown(String),
    /// More than three parts.
    #[error("platform `{0}` has more than three parts")]
    #[diagnostic(help("write it as `os[/architecture[/variant]]`, such as `linux/arm/v7`"))]
    TooManyParts(String),
}

const KNOWN_OS: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

const KNOWN_ARCHITECTURES: &[&str] = &[
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "ppc64",
    "ppc64le",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

impl Platform {
    /// A platform without a variant.
    #[must_use]
    pub fn new(os: &str, architecture: &str) -> Self {
        Self { os: os.to_owned(), architecture: architecture.to_owned(), ..Self::default() }
    }

    /// The platform that this program runs on; images are built for Linux everywhere.
    #[must_use]
    pub fn host() -> Self {
        Self::new("linux", host_architecture())
    }

    /// Reads `os[(version+feature…)]`, an architecture, or `os/architecture[/variant]`.
    ///
    /// Spellings such as `x86_64` are translated; variants are kept as written apart from those that
    /// mean nothing (`amd64/v1`), because BuildKit keeps them as well.
    ///
    /// # Errors
    ///
    /// [`PlatformError`] when the text is no platform.
    pub fn parse(specifier: &str) -> Result<Self, PlatformError> {
        if specifier.contains('*') {
            return Err(PlatformError::Wildcard(specifier.to_owned()));
        }
        let parts: Vec<&str> = specifier.splitn(4, '/').collect();
        let bad = |component: &str| PlatformError::Component {
            specifier: specifier.to_owned(),
            component: component.to_owned(),
        };
        let mut platform = parse_os(parts[0]).ok_or_else(|| bad(parts[0]))?;
        for part in &parts[1..] {
            if part.is_empty()
                || !part.bytes().all(|c| c.is_ascii_alphanumeric() || b"_.-".contains(&c))
            {
                return Err(bad(part));
            }
        }
        match parts[..] {
            [word] => platform.complete(specifier, word),
            [_, architecture] => {
                platform.set_architecture(architecture, "");
                if platform.architecture == "arm" && platform.variant == "v7" {
                    platform.variant.clear();
                }
                Ok(platform)
            }
            [_, architecture, variant] => {
                platform.set_architecture(architecture, variant);
                if platform.architecture == "arm64" && platform.variant.is_empty() {
                    platform.variant = "v8".to_owned();
                }
                Ok(platform)
            }
            _ => Err(PlatformError::TooManyParts(specifier.to_owned())),
        }
    }

    fn complete(mut self, specifier: &str, word: &str) -> Result<Self, PlatformError> {
        if KNOWN_OS.contains(&self.os.as_str()) {
            self.architecture = host_architecture().to_owned();
            return Ok(self);
        }
        self.set_architecture(word, "");
        if self.architecture == "arm" && self.variant == "v7" {
            self.variant.clear();
        }
        if !KNOWN_ARCHITECTURES.contains(&self.architecture.as_str()) {
            return Err(PlatformError::Unknown(specifier.to_owned()));
        }
        "linux".clone_into(&mut self.os);
        Ok(self)
    }

    fn set_architecture(&mut self, architecture: &str, variant: &str) {
        (self.architecture, self.variant) = normal_architecture(architecture, variant);
    }

    /// The canonical spelling: `linux/arm` becomes `linux/arm/v7`, `linux/arm64/v8` `linux/arm64`.
    #[must_use]
    pub fn normalize(&self) -> Self {
        let mut normal = Self { os: normal_os(&self.os), ..self.clone() };
        normal.set_architecture(&self.architecture, &self.variant);
        normal.os_features.sort_unstable();
        normal.os_features.dedup();
        normal
    }

    /// `os/architecture/variant`, leaving out version and features of the operating system.
    #[must_use]
    pub fn short(&self) -> String {
        if self.os.is_empty() {
            return "unknown".to_owned();
        }
        let mut text = self.os.clone();
        self.push_architecture(&mut text);
        text
    }

    fn push_architecture(&self, text: &mut String) {
        for part in [&self.architecture, &self.variant] {
            if !part.is_empty() {
                text.push('/');
                text.push_str(part);
            }
        }
    }

    /// Whether an image of `other` runs on this platform: the same after normalisation.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        let (this, other) = (self.normalize(), other.normalize());
        this.os == other.os
            && this.architecture == other.architecture
            && this.variant == other.variant
            && other.os_features.iter().all(|feature| this.os_features.contains(feature))
    }
}

/// Prints the platform with everything it has: `windows(10.0.17763)/amd64`.
impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut features: Vec<&str> =
            self.os_features.iter().map(String::as_str).filter(|f| !f.is_empty()).collect();
        if self.os.is_empty() || self.os_version.is_empty() && features.is_empty() {
            return f.write_str(&self.short());
        }
        features.sort_unstable();
        features.dedup();
        let mut text = format!("{}({}", self.os, encode_option(&self.os_version));
        for feature in features {
            text.push('+');
            text.push_str(&encode_option(feature));
        }
        text.push(')');
        self.push_architecture(&mut text);
        f.write_str(&text)
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        Self::parse(text)
    }
}

/// The architecture of this program in Go's spelling.
fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        other => other,
    }
}

fn parse_os(part: &str) -> Option<Platform> {
    let word = |text: &str, more: &[u8]| {
        text.bytes().all(|c| c.is_ascii_alphanumeric() || more.contains(&c))
    };
    let (name, options) = match part.split_once('(') {
        Some((name, rest)) => (name, Some(rest.strip_suffix(')')?)),
        None => (part, None),
    };
    if name.is_empty() || !word(name, b"_-") {
        return None;
    }
    let mut platform = Platform { os: normal_os(name), ..Platform::default() };
    if let Some(options) = options {
        let mut options = options.split('+');
        let version = options.next().filter(|text| word(text, b"_.%-"))?;
        platform.os_version = decode_option(version)?;
        for feature in options {
            if feature.is_empty() || !word(feature, b"_.%-") {
                return None;
            }
            platform.os_features.push(decode_option(feature)?);
        }
    }
    Some(platform)
}

fn normal_os(os: &str) -> String {
    match os.to_lowercase() {
        empty if empty.is_empty() => "linux".to_owned(),
        mac if mac == "macos" => "darwin".to_owned(),
        other => other,
    }
}

fn normal_architecture(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = (architecture.to_lowercase(), variant.to_lowercase());
    let (architecture, variant): (&str, Cow<'_, str>) = match (&*architecture, &*variant) {
        ("i386", _) => ("386", "".into()),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", "".into()),
        ("x86_64" | "x86-64" | "amd64", other) => ("amd64", other.into()),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", "".into()),
        ("aarch64" | "arm64", "9" | "9.0" | "v9.0") => ("arm64", "v9".into()),
        ("aarch64" | "arm64", other) => ("arm64", other.into()),
        ("armhf", _) => ("arm", "v7".into()),
        ("armel", _) => ("arm", "v6".into()),
        ("arm", "" | "7") => ("arm", "v7".into()),
        ("arm", number @ ("5" | "6" | "8")) => ("arm", format!("v{number}").into()),
        (architecture, variant) => (architecture, variant.into()),
    };
    (architecture.to_owned(), variant.into_owned())
}

/// Escapes what would end an option early.
fn encode_option(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '%' => text.push_str("%25"),
            '+' => text.push_str("%2B"),
            '(' => text.push_str("%28"),
            ')' => text.push_str("%29"),
            '/' => text.push_str("%2F"),
            other => text.push(other),
        }
    }
    text
}

fn decode_option(value: &str) -> Option<String> {
    let mut bytes = value.bytes();
    let mut decoded = Vec::with_capacity(value.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
            decoded.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_was_written_and_translates_spellings() {
        for (text, parsed, normal) in [
            ("linux/amd64", "linux/amd64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3", "linux/amd64/v3"),
            ("linux/x86_64", "linux/amd64", "linux/amd64"),
            ("linux/arm", "linux/arm", "linux/arm/v7"),
            ("linux/arm/v7", "linux/arm/v7", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6", "linux/arm/v6"),
            ("linux/armel", "linux/arm/v6", "linux/arm/v6"),
            ("linux/arm64", "linux/arm64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64/v8", "linux/arm64"),
            ("Linux/AArch64", "linux/arm64", "linux/arm64"),
            ("arm64", "linux/arm64", "linux/arm64"),
            ("i386", "linux/386", "linux/386"),
            ("macos/arm64", "darwin/arm64", "darwin/arm64"),
            (
                "windows(10.0.17763+win32k)/amd64",
                "windows(10.0.17763+win32k)/amd64",
                "windows(10.0.17763+win32k)/amd64",
            ),
        ] {
            let platform = Platform::parse(text).unwrap();
            assert_eq!(platform.to_string(), parsed, "{text}");
            assert_eq!(platform.normalize().to_string(), normal, "{text}");
        }
    }

    #[test]
    fn an_operating_system_alone_gets_the_host_architecture() {
        assert_eq!(Platform::parse("linux").unwrap(), Platform::host());
    }

    #[test]
    fn refuses_what_is_no_platform() {
        for bad in ["", "linux/", "linux/a/b/c", "plan42", "linux/*", "lin ux/amd64", "windows(1"] {
            assert!(Platform::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn matches_after_normalisation() {
        let arm = Platform::parse("linux/arm").unwrap();
        assert!(arm.matches(&Platform::parse("linux/arm/v7").unwrap()));
        assert!(!arm.matches(&Platform::parse("linux/arm/v6").unwrap()));
    }
}
