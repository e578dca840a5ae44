//! The checked flags of a build that do not decide its LLB: outputs, attestations, rights.
use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use super::Build;
use crate::attributes::{self, AttributesError};
use crate::cli::args::LoadInto;
use crate::fault::{Classified, Fault};
use crate::oci::reference::{ImageReference, ReferenceError};
use crate::output::exporter::{self, Output, OutputError};

/// What a build does with its result, and what it may use.
#[derive(Debug)]
pub(super) struct Request {
    /// Outputs, in order.
    pub outputs: Vec<Output>,
    /// Frontend options that ask for attestations.
    pub attestations: BTreeMap<String, String>,
    /// Rights of steps.
    pub entitlements: Vec<String>,
}

impl Request {
    /// The first name that the image is pushed under.
    pub(super) fn pushed_name(&self) -> Option<ImageReference> {
        let pushed = self.outputs.iter().find(|output| output.pushes())?;
        let name = pushed.attributes.get("name")?.split(',').next()?;
        ImageReference::parse(name).ok()
    }
}

/// A flag that cannot be understood.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(super) enum RequestError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Output(#[from] OutputError),
    #[error("invalid tag `{tag}`")]
    #[diagnostic(help("a tag is written `[REGISTRY/]NAME[:TAG]`, in lower case"))]
    Tag { tag: String, source: ReferenceError },
    #[error("invalid value `{value}` of `{flag}`")]
    Syntax { flag: &'static str, value: String, source: AttributesError },
    #[error("`{flag} {value}`: {reason}")]
    Value { flag: &'static str, value: String, reason: &'static str },
}

impl Classified for RequestError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

impl Request {
    /// Checks the flags.
    ///
    /// # Errors
    ///
    /// [`RequestError`], which names the flag.
    pub(super) fn new(args: &Build) -> Result<Self, RequestError> {
        let tags: Vec<String> =
            args.output.tag.iter().map(|t| full_name(t)).collect::<Result<_, _>>()?;
        let terminal = std::io::stdout().is_terminal();
        let output = &args.output;
        let load = output.load.and_then(LoadInto::image_store);
        let mut outputs = exporter::outputs(&output.output, output.push, load, &tags, terminal)?;
        let annotations = annotations(&output.annotation)?;
        for output in outputs.iter_mut().filter(|output| output.makes_image()) {
            output.attributes.extend(annotations.clone());
        }
        let mut entitlements = args.engine.allow.clone();
        if args.source.network.as_deref() == Some("host") {
            entitlements.push("network.host".into());
        }
        Ok(Self { outputs, attestations: attestations(output)?, entitlements })
    }
}

fn full_name(tag: &str) -> Result<String, RequestError> {
    let parsed = ImageReference::parse(tag)
        .map_err(|source| RequestError::Tag { tag: tag.to_owned(), source })?;
    Ok(parsed.tag_name_only().to_string())
}

/// Exporter attributes for `--annotation [TYPE[PLATFORM]:]KEY=VALUE`.
fn annotations(values: &[String]) -> Result<BTreeMap<String, String>, RequestError> {
    const FLAG: &str = "--annotation";
    const TYPES: [&str; 4] = ["index", "index-descriptor", "manifest", "manifest-descriptor"];
    let mut attributes = BTreeMap::new();
    for value in values {
        let wrong = |reason| RequestError::Value { flag: FLAG, value: value.clone(), reason };
        let (key, text) =
            value.split_once('=').ok_or_else(|| wrong("it is written `[TYPE:]KEY=VALUE`"))?;
        let Some((types, key)) = key.split_once(':') else {
            attributes.insert(format!("annotation.{key}"), text.to_owned());
            continue;
        };
        for kind in types.split(',') {
            let (name, platform) = match kind.split_once('[') {
                Some((name, platform)) => (name, platform.strip_suffix(']')),
                None => (kind, Some("")),
            };
            let platform = platform.ok_or_else(|| wrong("its platform has no closing `]`"))?;
            if !TYPES.contains(&name) {
                return Err(wrong(
                    "types are `index`, `index-descriptor`, `manifest` and `manifest-descriptor`",
                ));
            }
            let platform =
                if platform.is_empty() { String::new() } else { format!("[{platform}]") };
            attributes.insert(format!("annotation-{name}{platform}.{key}"), text.to_owned());
        }
    }
    Ok(attributes)
}

/// Frontend options for `--attest`, `--provenance` and `--sbom`.
fn attestations(
    args: &crate::cli::args::OutputArgs,
) -> Result<BTreeMap<String, String>, RequestError> {
    let mut options = BTreeMap::new();
    for value in &args.attest {
        let syntax =
            |source| RequestError::Syntax { flag: "--attest", value: value.clone(), source };
        let attributes = attributes::parse(value).map_err(syntax)?;
        let reason = "it has no `type`";
        let kind = attributes.get("type").ok_or_else(|| RequestError::Value {
            flag: "--attest",
            value: value.clone(),
            reason,
        })?;
        let kind = kind.clone();
        attestation(&mut options, &kind, value);
    }
    if let Some(value) = &args.provenance {
        attestation(&mut options, "provenance", &shorthand(value));
    }
    if let Some(value) = &args.sbom {
        attestation(&mut options, "sbom", &shorthand(value));
    }
    Ok(options)
}

/// `true` and `false` switch; all else are attributes.
fn shorthand(value: &str) -> String {
    match value {
        "true" => String::new(),
        "false" => "disabled=true".to_owned(),
        "min" | "max" => format!("mode={value}"),
        attributes => attributes.to_owned(),
    }
}

fn attestation(options: &mut BTreeMap<String, String>, kind: &str, attributes: &str) {
    let key = format!("attest:{kind}");
    let kept: Vec<&str> = attributes
        .split(',')
        .filter(|field| !field.is_empty() && !field.starts_with("type="))
        .collect();
    if kept.contains(&"disabled=true") {
        options.remove(&key);
    } else {
        options.insert(key, kept.join(","));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_name_their_object_and_platform() {
        let read =
            annotations(&["a=b".into(), "index,manifest[linux/amd64]:c=d=e".into()]).unwrap();
        let expected = [
            ("annotation-index.c", "d=e"),
            ("annotation-manifest[linux/amd64].c", "d=e"),
            ("annotation.a", "b"),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(read, BTreeMap::from(expected));
        assert!(annotations(&["layer:c=d".into()]).is_err());
    }

    #[test]
    fn attestations_can_be_switched_off_again() {
        let mut options = BTreeMap::new();
        attestation(&mut options, "provenance", "type=provenance,mode=max");
        assert_eq!(options["attest:provenance"], "mode=max");
        attestation(&mut options, "provenance", &shorthand("false"));
        assert!(options.is_empty());
    }
}
