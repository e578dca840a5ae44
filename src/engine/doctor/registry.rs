//! Checks around registries: Docker's configuration, and the way to Docker Hub.
use std::path::Path;

use serde_json::Value;

use super::{Check, NETWORK, Verdict, good, is_executable, lacking};
use crate::engine::http;
use crate::engine::programs::find_program;

/// Reads Docker's `config.json` and looks for the credential helpers that it names.
pub(super) fn check_docker_config(folder: &Path) -> Check {
    let name = "Docker configuration";
    let path = folder.join("config.json");
    let shown = path.display();
    let text = match fs_err::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return good(name, format!("none at {shown}: registries are used anonymously"));
        }
        Err(error) => {
            let mend = format!("sudo chown \"$USER\" {shown}");
            return lacking(name, Verdict::Warning, error.to_string(), mend);
        }
    };
    let config: Value = match serde_json::from_str(&text) {
        Ok(config) => config,
        Err(error) => {
            let found = format!("{shown} is not valid JSON: {error}");
            return lacking(name, Verdict::Bad, found, format!("rm {shown}, then log in again"));
        }
    };
    for helper in helpers(&config) {
        let program = format!("docker-credential-{helper}");
        if !find_program(&program).is_some_and(|path| is_executable(&path)) {
            let found = format!("{shown} names the helper `{program}`, which is not on PATH");
            let mend = format!("install `{program}`, or remove `{helper}` from {shown}");
            return lacking(name, Verdict::Warning, found, mend);
        }
    }
    let logins = config.get("auths").and_then(Value::as_object).map_or(0, serde_json::Map::len);
    good(name, format!("{shown}, {logins} logins"))
}

fn helpers(config: &Value) -> Vec<String> {
    let store = config.get("credsStore").and_then(Value::as_str).map(str::to_owned);
    let per_host = config.get("credHelpers").and_then(Value::as_object);
    let per_host = per_host.into_iter().flat_map(|hosts| hosts.values());
    let per_host = per_host.filter_map(|helper| helper.as_str().map(str::to_owned));
    store.into_iter().chain(per_host).filter(|helper| !helper.is_empty()).collect()
}

/// Asks Docker Hub's registry for its version. It answers 401 to strangers: that is good.
pub(super) async fn check_docker_hub() -> Check {
    let name = "docker.io";
    let mend = "behind a proxy set HTTPS_PROXY; or build with --registry-mirror docker.io=HOST, or with --locked";
    match tokio::time::timeout(NETWORK, ask()).await {
        Ok(Ok(status)) => good(name, format!("answers ({status})")),
        Ok(Err(error)) => lacking(name, Verdict::Warning, format!("not reachable: {error}"), mend),
        Err(_) => lacking(name, Verdict::Warning, "no answer in time", mend),
    }
}

async fn ask() -> Result<u16, Box<dyn std::error::Error + Send + Sync>> {
    let answer = http::client()?.build()?.get("https://registry-1.docker.io/v2/").send().await;
    answer.map(|answer| answer.status().as_u16()).map_err(|error| root_cause(&error).into())
}

/// What is really wrong: the outer layers say no more than that a request failed.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_configuration_is_read_as_docker_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        assert_eq!(check_docker_config(folder.path()).verdict, Verdict::Good);
        fs_err::write(&path, "{").unwrap();
        assert_eq!(check_docker_config(folder.path()).verdict, Verdict::Bad);
        fs_err::write(&path, r#"{"auths":{"a":{},"b":{}}}"#).unwrap();
        assert!(check_docker_config(folder.path()).found.ends_with("2 logins"));
        fs_err::write(&path, r#"{"credHelpers":{"ghcr.io":"kitwright-has-none"}}"#).unwrap();
        let check = check_docker_config(folder.path());
        assert_eq!(check.verdict, Verdict::Warning);
        assert!(check.found.contains("`docker-credential-kitwright-has-none`"), "{}", check.found);
    }
}
