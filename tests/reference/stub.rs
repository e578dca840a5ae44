//! Stand-ins for image configs: `configs.json`, which the oracle reads too.
use std::collections::BTreeMap;
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

/// `sha256:` and the hexadecimal digest of `bytes`.
pub fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The digest that the stubbed registry gives for `reference`: its own, or that of its name.
pub fn digest(reference: &str) -> String {
    match reference.rsplit_once('@') {
        Some((_, digest)) => digest.to_owned(),
        None => sha256(reference.as_bytes()),
    }
}

/// The config that `stub` stands for; `None` for an image that nobody has.
pub fn config(stub: &str, reference: &str, os: &str, arch: &str, variant: &str) -> Option<String> {
    if stub == "missing" {
        return None;
    }
    if stub.starts_with('{') {
        return Some(stub.to_owned());
    }
    let template = configs().get(stub).unwrap_or_else(|| panic!("no stub config named `{stub}`"));
    let variant =
        if variant.is_empty() { String::new() } else { format!(",\"variant\":\"{variant}\"") };
    Some(
        template
            .replace("@ARCH@", arch)
            .replace(",\"variant\":\"@VARIANT@\"", &variant)
            .replace("@LAYER@", &sha256(format!("layer:{reference}").as_bytes()))
            .replace("@OS@", os),
    )
}

fn configs() -> &'static BTreeMap<String, String> {
    static CONFIGS: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    CONFIGS.get_or_init(|| {
        let values: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(include_str!("configs.json")).expect("configs.json is JSON");
        values.into_iter().map(|(name, value)| (name, value.to_string())).collect()
    })
}
