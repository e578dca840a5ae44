//! The frontend options that come from flags and the environment, as buildx sends them.
use std::collections::BTreeMap;

use super::{SourceError, flag};
use crate::cli::args::SourceArgs;
use crate::plan::dockerfile::options::parse_ulimit;

/// The options that come from flags and the environment.
pub(super) fn options(args: &SourceArgs) -> Result<BTreeMap<String, String>, SourceError> {
    let mut options = BTreeMap::new();
    build_args(args, &mut options)?;
    for label in &args.label {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        options.insert(format!("label:{key}"), value.to_owned());
    }
    let mut set = |key: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            options.insert(key.to_owned(), value);
        }
    };
    set("target", args.target.clone());
    set("platform", Some(args.platform.join(",")));
    set("cgroup-parent", args.cgroup_parent.clone());
    set("image-resolve-mode", args.pull.then(|| "pull".to_owned()));
    set("no-cache", Some(args.no_cache_filter.join(",")));
    set("add-hosts", Some(extra_hosts(&args.add_host)?));
    set("ulimit", Some(ulimits(&args.ulimit)?));
    if let Some(size) = &args.shm_size {
        set("shm-size", Some(byte_size("--shm-size", size)?.to_string()));
    }
    match args.network.as_deref() {
        None | Some("" | "default") => {}
        Some(mode @ ("host" | "none")) => set("force-network-mode", Some(mode.to_owned())),
        Some(mode) => return Err(flag("--network", mode, "it takes `default`, `none` or `host`")),
    }
    if args.no_cache {
        options.insert("no-cache".into(), String::new());
    }
    Ok(options)
}

fn build_args(
    args: &SourceArgs,
    options: &mut BTreeMap<String, String>,
) -> Result<(), SourceError> {
    if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH") {
        options.insert("build-arg:SOURCE_DATE_EPOCH".into(), epoch);
    }
    for argument in &args.build_arg {
        let (key, value) = match argument.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (argument.as_str(), std::env::var(argument).ok()),
        };
        if key.is_empty() {
            return Err(flag("--build-arg", argument, "it is written `KEY=VALUE`"));
        }
        if let Some(value) = value {
            options.insert(format!("build-arg:{key}"), value);
        }
    }
    Ok(())
}

fn extra_hosts(values: &[String]) -> Result<String, SourceError> {
    const FLAG: &str = "--add-host";
    let mut hosts = Vec::new();
    for value in values {
        let split = value.split_once('=').or_else(|| value.split_once(':'));
        let (host, address) =
            split.ok_or_else(|| flag(FLAG, value, "it is written `HOST:IP` or `HOST=IP`"))?;
        let address = address.trim_start_matches('[').trim_end_matches(']');
        if address.parse::<std::net::IpAddr>().is_err() {
            return Err(flag(FLAG, value, format!("`{address}` is no IP address")));
        }
        hosts.push(format!("{host}={address}"));
    }
    Ok(hosts.join(","))
}

fn ulimits(values: &[String]) -> Result<String, SourceError> {
    for value in values {
        parse_ulimit(value).map_err(|error| flag("--ulimit", value, error.to_string()))?;
    }
    Ok(values.join(","))
}

/// Reads a size with an optional binary unit: `64m`, `1g`, `1048576`, `2GiB`.
pub(in crate::cli) fn byte_size(name: &'static str, text: &str) -> Result<u64, SourceError> {
    let wrong = || flag(name, text, "it takes a number of bytes, or one with `k`, `m`, `g` or `t`");
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match lower[digits.len()..].trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        let sizes = ["7", "1k", "64M", "2GiB"].map(|text| byte_size("--x", text).unwrap());
        assert_eq!(sizes, [7, 1024, 64 << 20, 2 << 30]);
        assert!(byte_size("--x", "99999999999t").is_err());
    }
}
