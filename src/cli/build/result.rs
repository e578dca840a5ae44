//! What a finished build writes: metadata file, image ID file, and the ID on stdout.
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{Build, Built};
use crate::cli::report::{Failure, StdoutError};
use crate::fault::{Classified, Fault};
use crate::oci::digest::Digest;
use crate::oci::manifest::Descriptor;

/// A result file that cannot be written.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot write `{}`", path.display())]
pub(super) struct ResultError {
    path: PathBuf,
    source: std::io::Error,
}

impl Classified for ResultError {
    fn fault(&self) -> Fault {
        Fault::Environment
    }
}

impl Build {
    /// Writes the result files, and the image ID to stdout if that is asked for.
    pub(super) fn report(&self, built: &Built) -> Result<(), Failure> {
        let response = &built.result.exporter_response;
        if let Some(path) = &self.output.metadata_file {
            let metadata = metadata(response, &built.solve_ref);
            write(path, &format!("{metadata:#}"))?;
        }
        let id = image_id(response);
        if let (Some(path), Some(id)) = (&self.output.iidfile, id) {
            write(path, id)?;
        }
        if self.progress.quiet
            && let Some(id) = id
        {
            writeln!(std::io::stdout(), "{id}").map_err(|source| StdoutError { source })?;
        }
        Ok(())
    }
}

/// The image ID: the digest of its config, else that of its manifest or index.
pub(super) fn image_id(response: &BTreeMap<String, String>) -> Option<&str> {
    let id = response.get("containerimage.config.digest");
    id.or_else(|| response.get("containerimage.digest")).map(String::as_str)
}

/// The digest of the image's manifest or index.
pub(super) fn image_digest(response: &BTreeMap<String, String>) -> Option<&str> {
    response.get("containerimage.digest").map(String::as_str)
}

/// What the engine's exporter answers for an image that was pushed under `name`: an index has no config.
pub(super) fn response(
    image: &Descriptor,
    config: Option<Digest>,
    name: String,
) -> BTreeMap<String, String> {
    let json = serde_json::to_vec(image).unwrap_or_default();
    let mut response = BTreeMap::from([
        ("containerimage.descriptor".to_owned(), STANDARD.encode(json)),
        ("containerimage.digest".to_owned(), image.digest.to_string()),
        ("image.name".to_owned(), name),
    ]);
    let config =
        config.map(|config| ("containerimage.config.digest".to_owned(), config.to_string()));
    response.extend(config);
    response
}

/// The exporters' answers as JSON: values that are base64 of a JSON object become that object.
pub(super) fn metadata(response: &BTreeMap<String, String>, solve_ref: &str) -> Value {
    let decoded = |value: &str| -> Value {
        let bytes = STANDARD.decode(value).ok();
        let json =
            bytes.and_then(|bytes| serde_json::from_slice::<Map<String, Value>>(&bytes).ok());
        json.map_or_else(|| value.into(), Value::Object)
    };
    let mut metadata: BTreeMap<&str, Value> =
        response.iter().map(|(key, value)| (key.as_str(), decoded(value))).collect();
    metadata.insert("buildx.build.ref", solve_ref.into());
    metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>().into()
}

/// Writes `text` under another name first, so that no reader sees half of it.
pub(super) fn write(path: &Path, text: &str) -> Result<(), ResultError> {
    let failed = |source| ResultError { path: path.to_owned(), source };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".kitwright-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.persist(path).map(drop).map_err(|error| failed(error.error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_holds_decoded_descriptors() {
        let descriptor = STANDARD.encode(r#"{"size":1}"#);
        let response = BTreeMap::from([
            ("containerimage.descriptor".to_owned(), descriptor),
            ("containerimage.digest".to_owned(), "sha256:a".to_owned()),
            ("image.name".to_owned(), "abcd".to_owned()),
        ]);
        let metadata = metadata(&response, "ref");
        assert_eq!(metadata["containerimage.descriptor"]["size"], 1);
        assert_eq!(metadata["image.name"], "abcd");
        assert_eq!(metadata["buildx.build.ref"], "ref");
        assert_eq!(image_id(&response), Some("sha256:a"));
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id");
        write(&path, "one").unwrap();
        write(&path, "two").unwrap();
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write(Path::new("no/such/folder/id"), "x").is_err());
    }
}
