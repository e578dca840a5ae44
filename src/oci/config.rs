//! Image configs: what an image says about itself and about containers made of it.
//!
//! [`ImageConfig`] has the fields of the OCI image spec and Docker's extensions of them, and drops the
//! others, as BuildKit does. [`ImageConfig::to_json`] writes them byte by byte as Go would: the digest
//! of an image is the digest of a manifest that holds the digest of this text.
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::digest::Digest;
use super::go_json;
use super::go_time;
use super::platform::Platform;

/// The config of an image.
///
/// Fields stand in the order in which they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "time")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub author: String,
    /// CPU architecture.
    #[serde(deserialize_with = "null_default")]
    pub architecture: String,
    /// Operating system.
    #[serde(deserialize_with = "null_default")]
    pub os: String,
    /// Version of the operating system.
    #[serde(
        rename = "os.version",
        skip_serializing_if = "String::is_empty",
        deserialize_with = "null_default"
    )]
    pub os_version: String,
    /// Features of the operating system.
    #[serde(
        rename = "os.features",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_default"
    )]
    pub os_features: Vec<String>,
    /// Variant of the architecture.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub variant: String,
    /// The layers.
    #[serde(deserialize_with = "null_default")]
    pub rootfs: RootFs,
    /// How the layers came about.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub history: Vec<History>,
    /// What containers get.
    #[serde(deserialize_with = "null_default")]
    pub config: ContainerConfig,
}

/// The layers of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", deserialize_with = "null_default")]
    pub kind: String,
    /// Digests of the uncompressed layers; `None` is written as `null`.
    pub diff_ids: Option<Vec<String>>,
}

impl RootFs {
    /// The chain ID of all layers: one digest for them and their order; `None` without layers.
    #[must_use]
    pub fn chain_id(&self) -> Option<Digest> {
        let layers = self.diff_ids.as_deref().filter(|_| self.kind == "layers")?;
        let parse = |id: &String| id.parse::<Digest>().ok();
        let (first, rest) = layers.split_first()?;
        rest.iter().try_fold(parse(first)?, |chain, id| {
            Some(Digest::of(format!("{chain} {}", parse(id)?).as_bytes()))
        })
    }
}

/// One step of an image's making.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// When it ran.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "time")]
    pub created: Option<String>,
    /// The instruction.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub created_by: String,
    /// Who ran it.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub author: String,
    /// What ran it.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub comment: String,
    /// Whether it made no layer.
    #[serde(skip_serializing_if = "is_false", deserialize_with = "null_default")]
    pub empty_layer: bool,
}

/// A set in the form in which configs write one: keys with empty objects.
pub type Set = BTreeMap<String, Empty>;

/// `{}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// What containers get from an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// User that the process runs as.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub user: String,
    /// Ports, as `80/tcp`.
    #[serde(skip_serializing_if = "Set::is_empty", deserialize_with = "null_default")]
    pub exposed_ports: Set,
    /// Environment, as `KEY=value`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub env: Vec<String>,
    /// Command in front of `cmd`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub entrypoint: Vec<String>,
    /// Command, or the default arguments of `entrypoint`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub cmd: Vec<String>,
    /// Directories that hold data of a container.
    #[serde(skip_serializing_if = "Set::is_empty", deserialize_with = "null_default")]
    pub volumes: Set,
    /// Working directory.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub working_dir: String,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_default")]
    pub labels: BTreeMap<String, String>,
    /// Signal that ends a container.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub stop_signal: String,
    /// Whether `cmd` is already escaped; means something on Windows only.
    #[serde(skip_serializing_if = "is_false", deserialize_with = "null_default")]
    pub args_escaped: bool,
    /// How the engine tells whether a container is healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Instructions that run when the image is a base.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub on_build: Vec<String>,
    /// Shell of instructions in shell form.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub shell: Vec<String>,
}

/// How an engine tells whether a container is healthy; durations are nanoseconds, zero inherits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Healthcheck {
    /// The test: `NONE`, `CMD` with arguments, or `CMD-SHELL` with a command.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub test: Vec<String>,
    /// Time between tests.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_default")]
    pub interval: i64,
    /// Time after which a test has failed.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_default")]
    pub timeout: i64,
    /// Time in which failures do not count.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_default")]
    pub start_period: i64,
    /// Time between tests in that time.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_default")]
    pub start_interval: i64,
    /// Failures in a row that make a container unhealthy.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_default")]
    pub retries: i64,
}

impl ImageConfig {
    /// Reads a config; unknown fields are dropped.
    ///
    /// # Errors
    ///
    /// Text that is no JSON object, or whose fields have other types.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// The config of an empty image for `platform`.
    #[must_use]
    pub fn empty(platform: &Platform) -> Self {
        let mut config = Self::default();
        config.set_platform(platform);
        "layers".clone_into(&mut config.rootfs.kind);
        "/".clone_into(&mut config.config.working_dir);
        config.config.env.push(format!("PATH={DEFAULT_PATH}"));
        config
    }

    /// The platform that the image is for.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform {
            architecture: self.architecture.clone(),
            os: self.os.clone(),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
            variant: self.variant.clone(),
        }
    }

    /// Changes the platform that the image is for.
    pub fn set_platform(&mut self, platform: &Platform) {
        self.architecture.clone_from(&platform.architecture);
        self.os.clone_from(&platform.os);
        self.os_version.clone_from(&platform.os_version);
        self.os_features.clone_from(&platform.os_features);
        self.variant.clone_from(&platform.variant);
    }

    /// The JSON text, byte by byte as Go writes it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        go_json::to_vec(self)
    }
}

/// Where commands are looked for when an image does not say.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Go reads `null` as the zero value.
fn null_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text: Option<std::borrow::Cow<'de, str>> = Option::deserialize(deserializer)?;
    text.map(|text| go_time::normalize(&text).ok_or_else(|| bad_time(&text))).transpose()
}

fn bad_time<E: serde::de::Error>(text: &str) -> E {
    E::custom(format!("`{text}` is no RFC 3339 time"))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(value: &i64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_fields_in_order_and_drops_unknown_ones() {
        let json = br#"{"container":"x","config":{"Shell":["/bin/sh"],"Labels":{"b":"<2>","a":"1"},
            "Healthcheck":{"Test":["NONE"],"Retries":3},"ArgsEscaped":true,"Memory":1,"Env":null},
            "history":[{"created":"2024-01-01T00:00:00.120000000Z","created_by":"x","empty_layer":true}],
            "os":"linux","architecture":"arm","variant":"v7","created":null,
            "rootfs":{"type":"layers","diff_ids":["sha256:1"]}}"#;
        let text = String::from_utf8(ImageConfig::parse(json).unwrap().to_json()).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"architecture":"arm","os":"linux","variant":"v7","#,
                r#""rootfs":{"type":"layers","diff_ids":["sha256:1"]},"#,
                r#""history":[{"created":"2024-01-01T00:00:00.12Z","created_by":"x","empty_layer":true}],"#,
                r#""config":{"Labels":{"a":"1","b":"\u003c2\u003e"},"ArgsEscaped":true,"#,
                r#""Healthcheck":{"Test":["NONE"],"Retries":3},"Shell":["/bin/sh"]}}"#
            )
        );
    }

    #[test]
    fn an_empty_image_has_no_layers_at_all() {
        let config = ImageConfig::empty(&Platform::new("linux", "amd64"));
        let text = String::from_utf8(config.to_json()).unwrap();
        assert!(text.contains(r#""diff_ids":null"#), "{text}");
    }

    #[test]
    fn refuses_fields_of_other_types() {
        for bad in [r#"{"os":1}"#, r#"{"created":"yesterday"}"#, r#"{"config":1}"#, ""] {
            assert!(ImageConfig::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
