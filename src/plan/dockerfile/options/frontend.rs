//! The frontend's options as clients send them: `key=value` texts.
use std::collections::BTreeMap;
use std::net::IpAddr;

use buildkit_rs_proto::pb;

use super::{CompileOptions, MainContext, NoCache, ResolveMode};
use crate::attributes;
use crate::fault::{Classified, Fault};
use crate::oci::platform::{Platform, PlatformError};
use crate::plan::dockerfile::git_ref;

/// A frontend option that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum OptionError {
    /// The value is none that the option takes.
    #[error("option `{key}` has the invalid value `{value}`: {reason}")]
    Value {
        /// The option.
        key: String,
        /// Its value.
        value: String,
        /// What it takes.
        reason: String,
    },
    /// The value is a platform that does not exist.
    #[error("option `platform` is invalid")]
    Platform(#[source] PlatformError),
    /// Several platforms, and an option that forbids that.
    #[error("option `multi-platform` is false although there are {0} target platforms")]
    SinglePlatform(usize),
    /// A client that needs more of the frontend than there is.
    #[error("unsupported frontend capability {0}")]
    Capability(String),
    /// An option of engines long gone.
    #[error("option `{0}` is no longer supported")]
    Removed(&'static str),
}

impl Classified for OptionError {
    fn fault(&self) -> Fault {
        Fault::Usage
    }
}

fn bad(key: &str, value: &str, reason: impl Into<String>) -> OptionError {
    OptionError::Value { key: key.to_owned(), value: value.to_owned(), reason: reason.into() }
}

impl CompileOptions {
    /// Reads the options in the form in which clients send them to an engine's `dockerfile.v0`.
    ///
    /// Options that do not touch LLB (cache imports, attestations) are left alone.
    ///
    /// # Errors
    ///
    /// [`OptionError`] for a value that the frontend refuses as well.
    pub fn from_frontend(options: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        if options.get("override-copy-image").is_some_and(|image| !image.is_empty()) {
            return Err(OptionError::Removed("override-copy-image"));
        }
        if options.get("build-arg:BUILDKIT_DISABLE_FILEOP").and_then(|v| parse_bool(v))
            == Some(true)
        {
            return Err(OptionError::Removed("BUILDKIT_DISABLE_FILEOP"));
        }
        check_capabilities(options.get("frontend.caps").map_or("", String::as_str))?;
        let text = |key: &str| options.get(key).map_or("", String::as_str);
        let with_prefix = |prefix: &str| {
            options
                .iter()
                .filter_map(|(key, value)| {
                    Some((key.strip_prefix(prefix)?.to_owned(), value.clone()))
                })
                .collect::<BTreeMap<_, _>>()
        };
        let mut parsed = Self {
            target: Some(text("target").to_owned()).filter(|target| !target.is_empty()),
            build_args: with_prefix("build-arg:"),
            labels: with_prefix("label:"),
            platforms: parse_platforms(text("platform"))?,
            named_contexts: with_prefix("context:"),
            no_cache: parse_no_cache(options.get("no-cache")),
            resolve_mode: parse_resolve_mode(text("image-resolve-mode"))?,
            network: parse_network(text("force-network-mode"))?,
            hostname: text("hostname").to_owned(),
            extra_hosts: parse_extra_hosts(text("add-hosts"))?,
            ulimits: parse_ulimits(text("ulimit"))?,
            shm_size: parse_shm_size(text("shm-size"))?,
            cgroup_parent: text("cgroup-parent").to_owned(),
            linux_resources: parse_resources(options)?,
            local_sessions: with_prefix("local-sessionid:"),
            shared_keys: with_prefix("sharedkey:localdir:"),
            context_subdir: options.get("contextsubdir").cloned(),
            ..Self::default()
        };
        parsed.context = parse_context(options);
        parsed.multi_platform = parse_multi_platform(options, parsed.platforms.len())?;
        Ok(parsed)
    }
}

/// A context that is neither a Git reference nor a URL is a directory of the client.
fn parse_context(options: &BTreeMap<String, String>) -> MainContext {
    let key = options.get("contextkey").map_or(super::CONTEXT_NAME, String::as_str);
    let source = options.get(key).map_or("", String::as_str);
    if git_ref::is_git(source) {
        return MainContext::Git(source.to_owned());
    }
    if source.starts_with("http://") || source.starts_with("https://") {
        return MainContext::Http { url: source.to_owned(), archive: false };
    }
    // The option names where to look for a URL; the directory keeps its name.
    MainContext::Local(super::CONTEXT_NAME.to_owned())
}

/// Capabilities that a client may need.
const CAPABILITIES: &[&str] = &[
    "moby.buildkit.frontend.inputs",
    "moby.buildkit.frontend.subrequests",
    "moby.buildkit.frontend.contexts",
    "moby.buildkit.frontend.gitquerystring",
];

fn check_capabilities(list: &str) -> Result<(), OptionError> {
    let names = list.split(',').filter(|name| !name.is_empty());
    for name in names.map(|name| name.split('+').next().unwrap_or(name)) {
        if !CAPABILITIES.contains(&name) {
            return Err(OptionError::Capability(name.to_owned()));
        }
    }
    Ok(())
}

fn parse_platforms(text: &str) -> Result<Vec<Platform>, OptionError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let parse = |text| Platform::parse(text).map(|platform| platform.normalize());
    text.split(',').map(parse).collect::<Result<_, _>>().map_err(OptionError::Platform)
}

fn parse_no_cache(value: Option<&String>) -> NoCache {
    match value.map(String::as_str) {
        None => NoCache::None,
        Some("") => NoCache::All,
        Some(names) => NoCache::Stages(names.split(',').map(str::to_owned).collect()),
    }
}

fn parse_resolve_mode(text: &str) -> Result<ResolveMode, OptionError> {
    match text {
        "" | "default" => Ok(ResolveMode::Default),
        "pull" => Ok(ResolveMode::Pull),
        "local" => Ok(ResolveMode::Local),
        other => Err(bad("image-resolve-mode", other, "it takes `default`, `pull` or `local`")),
    }
}

fn parse_network(text: &str) -> Result<pb::NetMode, OptionError> {
    match text {
        "" | "sandbox" => Ok(pb::NetMode::Unset),
        "none" => Ok(pb::NetMode::None),
        "host" => Ok(pb::NetMode::Host),
        other => Err(bad("force-network-mode", other, "it takes `sandbox`, `none` or `host`")),
    }
}

fn fields(key: &str, text: &str) -> Result<Vec<String>, OptionError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    attributes::fields(text).map_err(|error| bad(key, text, error.to_string()))
}

fn parse_extra_hosts(text: &str) -> Result<Vec<pb::HostIp>, OptionError> {
    const KEY: &str = "add-hosts";
    let mut hosts = Vec::new();
    for field in fields(KEY, text)? {
        let field = field.to_lowercase();
        let (host, ip) =
            field.split_once('=').ok_or_else(|| bad(KEY, &field, "it has no `=` and address"))?;
        let address: IpAddr =
            ip.parse().map_err(|_| bad(KEY, &field, format!("`{ip}` is no IP address")))?;
        hosts.push(pb::HostIp { host: host.to_owned(), ip: go_ip_text(address) });
    }
    Ok(hosts)
}

/// The text form of Go, which prints an IPv4 address that is mapped into IPv6 as IPv4.
fn go_ip_text(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

fn parse_shm_size(text: &str) -> Result<i64, OptionError> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| bad("shm-size", text, "it takes a number of bytes"))
}

fn parse_ulimits(text: &str) -> Result<Vec<pb::Ulimit>, OptionError> {
    fields("ulimit", text)?.iter().map(|field| parse_ulimit(field)).collect()
}

const ULIMITS: &[&str] = &[
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Reads `name=soft[:hard]`; the hard limit is the soft one unless given.
///
/// # Errors
///
/// [`OptionError::Value`] for an unknown name, a missing number, or a soft limit above the hard one.
pub fn parse_ulimit(text: &str) -> Result<pb::Ulimit, OptionError> {
    const KEY: &str = "ulimit";
    let (name, limits) =
        text.split_once('=').ok_or_else(|| bad(KEY, text, "it is written `name=soft[:hard]`"))?;
    if !ULIMITS.contains(&name) {
        return Err(bad(KEY, text, format!("`{name}` is no resource limit")));
    }
    let number = |limit: &str| -> Result<i64, OptionError> {
        limit.parse().map_err(|_| bad(KEY, text, format!("`{limit}` is no number")))
    };
    let (soft, hard) = match limits.split_once(':') {
        Some((soft, hard)) => (number(soft)?, Some(number(hard)?)),
        None => (number(limits)?, None),
    };
    let hard = hard.unwrap_or(soft);
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(bad(KEY, text, "the soft limit is above the hard limit"));
    }
    Ok(pb::Ulimit { name: name.to_owned(), soft, hard })
}

fn parse_resources(
    options: &BTreeMap<String, String>,
) -> Result<Option<pb::LinuxResources>, OptionError> {
    let text = |key: &str| options.get(key).filter(|value| !value.is_empty());
    let positive = |key: &str| -> Result<i64, OptionError> {
        let Some(value) = text(key) else { return Ok(0) };
        value
            .parse()
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| bad(key, value, "it takes a number above 0"))
    };
    let memory_swap = match text("memswap").map(String::as_str) {
        Some("-1") => -1,
        _ => positive("memswap")?,
    };
    let resources = pb::LinuxResources {
        memory: positive("memory")?,
        memory_swap,
        cpu_shares: positive("cpushares")?.cast_unsigned(),
        cpu_period: positive("cpuperiod")?.cast_unsigned(),
        cpu_quota: positive("cpuquota")?,
        cpuset_cpus: parse_cpuset("cpusetcpus", text("cpusetcpus"))?,
        cpuset_mems: parse_cpuset("cpusetmems", text("cpusetmems"))?,
    };
    Ok(Some(resources).filter(|resources| *resources != pb::LinuxResources::default()))
}

/// The highest CPU or memory node that engines accept in a list.
const MAX_CPU: u32 = 8192;

/// Checks a list such as `0-3,5`.
fn parse_cpuset(key: &str, value: Option<&String>) -> Result<String, OptionError> {
    let Some(value) = value else { return Ok(String::new()) };
    let number = |text: &str| text.trim().parse::<u32>().ok().filter(|cpu| *cpu <= MAX_CPU);
    let is_valid = |part: &str| match part.split_once('-') {
        Some((low, high)) => number(low).zip(number(high)).is_some_and(|(low, high)| low <= high),
        None => part.trim().is_empty() || number(part).is_some(),
    };
    if value.split(',').all(is_valid) {
        Ok(value.clone())
    } else {
        Err(bad(key, value, format!("it takes numbers up to {MAX_CPU} and ranges, as in `0-3,5`")))
    }
}

fn parse_multi_platform(
    options: &BTreeMap<String, String>,
    platforms: usize,
) -> Result<Option<bool>, OptionError> {
    let given = ["build-arg:BUILDKIT_MULTI_PLATFORM", "multi-platform"]
        .iter()
        .find_map(|key| options.get(*key).filter(|value| !value.is_empty()));
    let Some(value) = given else { return Ok(None) };
    let multi =
        parse_bool(value).ok_or_else(|| bad("multi-platform", value, "it takes a boolean"))?;
    if !multi && platforms > 1 {
        return Err(OptionError::SinglePlatform(platforms));
    }
    Ok(Some(multi))
}

/// The spellings of a boolean that Go accepts.
pub(in crate::plan::dockerfile) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<CompileOptions, OptionError> {
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        CompileOptions::from_frontend(&options)
    }

    #[test]
    fn reads_what_buildx_sends() {
        let options = parse(&[
            ("platform", "linux/amd64,linux/arm"),
            ("no-cache", "a,b"),
            ("add-hosts", "foo=::1,Bar=10.0.0.1"),
            ("ulimit", "nofile=1024:2048"),
            ("build-arg:A", "b"),
            ("context:src", "local:src"),
            ("memory", "1000000"),
        ])
        .unwrap();
        assert_eq!(options.platforms[1].to_string(), "linux/arm/v7");
        assert!(options.is_multi_platform());
        assert!(options.no_cache.covers("A") && !options.no_cache.covers(""));
        assert_eq!(options.extra_hosts[1].host, "bar");
        assert_eq!(options.ulimits[0].hard, 2048);
        assert_eq!(options.build_args["A"], "b");
        assert_eq!(options.named_contexts["src"], "local:src");
        assert_eq!(options.linux_resources.unwrap().memory, 1_000_000);
    }

    #[test]
    fn names_the_option_that_is_wrong() {
        for (key, value) in [
            ("platform", "linux/*"),
            ("image-resolve-mode", "maybe"),
            ("force-network-mode", "bridge"),
            ("add-hosts", "foo"),
            ("ulimit", "nofile=2:1"),
            ("shm-size", "64m"),
            ("memory", "-1"),
            ("cpusetcpus", "3-1"),
            ("multi-platform", "maybe"),
        ] {
            let error = parse(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
