//! Secrets of the inputs: files that only this user reads, and whose paths the build is told.
use std::io::Write as _;
use std::path::Path;

use super::ActionError;

/// Writes a `--secret` flag; a field with a comma is quoted, as the flag's grammar has it.
pub(super) fn secret(arguments: &mut Vec<String>, id: &str, from: &str, value: &str) {
    let field = |name: &str, value: &str| {
        let field = format!("{name}={value}");
        if field.contains([',', '"']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field
        }
    };
    arguments.push(format!("--secret={},{}", field("id", id), field(from, value)));
}

/// Secrets that are values: each becomes a file, as long as the folder lives.
pub(super) struct Secrets<'a> {
    pub(super) temp: &'a Path,
    pub(super) dir: Option<tempfile::TempDir>,
}

impl Secrets<'_> {
    /// Adds one secret.
    pub(super) fn add(
        &mut self,
        arguments: &mut Vec<String>,
        name: &str,
        value: &str,
    ) -> Result<(), ActionError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| ActionError::Write { path, source }
        };
        let dir = match self.dir.take() {
            Some(dir) => dir,
            None => tempfile::Builder::new()
                .prefix("kitwright-secrets-")
                .tempdir_in(self.temp)
                .map_err(failed(self.temp))?,
        };
        // The name of the file tells nothing; the folder and the file are this user's alone.
        let path = dir.path().join(arguments.len().to_string());
        let mut options = fs_err::OpenOptions::new();
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.options_mut().mode(0o600);
        }
        let file = options.write(true).create_new(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(value.as_bytes()));
        written.map_err(failed(dir.path()))?;
        secret(arguments, name, "src", &path.to_string_lossy());
        self.dir = Some(dir);
        Ok(())
    }
}
