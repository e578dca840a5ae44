//! The configuration of the private engine, fitted to this machine and to what builds ask for.
use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::asks::{Asks, Network};

/// What this machine has to give.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// Processors.
    pub cores: u64,
    /// Memory, in bytes.
    pub memory: u64,
    /// The size of the file system that holds the engine's state, in bytes.
    pub disk: u64,
}

impl Machine {
    /// Measures this machine, with the file system of `path`.
    pub fn measure(path: &Path) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get() as u64);
        let memory = rustix::system::sysinfo();
        let disk = rustix::fs::statvfs(path).map_or(64 * GB, |disk| disk.f_blocks * disk.f_frsize);
        Self { cores, memory: memory.totalram as u64 * u64::from(memory.mem_unit), disk }
    }

    /// How many steps may run at once: generous in processors, since most steps wait for the
    /// network or have one busy thread, and bounded by memory, where too many kill each other.
    pub fn parallelism(self) -> u32 {
        let by_memory = self.memory / (512 * MB);
        u32::try_from((self.cores * 4).max(8).min(by_memory).max(2)).unwrap_or(8)
    }
}

const MB: u64 = 1_000_000;
const GB: u64 = 1_000 * MB;

/// Connections to one registry at once. BuildKit's default of 4 suits a daemon that many share.
const REGISTRY_CONNECTIONS: u32 = 16;

/// The folders and programs of one start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The daemon's state.
    pub root: &'a Path,
    /// Its sockets.
    pub sockets: &'a Path,
    /// The OCI runtime.
    pub runtime: &'a Path,
    /// What keeps layers; `auto` lets the daemon find out, which takes it a test mount.
    pub snapshotter: &'a str,
    /// Whether it runs in a user namespace.
    pub rootless: bool,
}

/// Writes `buildkitd.toml`.
pub(super) fn render(place: Place<'_>, machine: Machine, asks: &Asks) -> String {
    let address = format!("unix://{}", place.sockets.join(super::daemon::SOCKET).display());
    let config = Config {
        root: place.root,
        // The client's `--allow` decides; the engine is its user's own.
        entitlements: ["network.host", "security.insecure", "device"],
        grpc: Grpc { address: [address] },
        otel: Otel { socket: place.sockets.join("otel.sock").display().to_string() },
        worker: Worker {
            oci: Oci {
                enabled: true,
                binary: place.runtime,
                snapshotter: place.snapshotter,
                rootless: place.rootless,
                network: match asks.network {
                    Some(Network::Host) => "host",
                    Some(Network::Auto) | None => "auto",
                },
                max_parallelism: asks.max_parallelism.unwrap_or_else(|| machine.parallelism()),
                gc: true,
                policies: policies(machine.disk),
            },
            containerd: Containerd { enabled: false },
        },
        system: System { max_registry_concurrency: REGISTRY_CONNECTIONS },
        history: History { max_age: 7 * 24 * 3600, max_entries: 200 },
        registry: registries(asks),
    };
    toml::to_string(&config).unwrap_or_default()
}

/// What to remove when space runs short, gentlest first.
///
/// BuildKit's own default drops cache mounts after two days without use: on a laptop that means
/// every Monday. Here they go when room is needed, like everything else.
fn policies(disk: u64) -> [Policy; 3] {
    let reserved = (disk / 10).min(10 * GB);
    let free = (disk / 10).clamp(GB, 20 * GB);
    let used = disk / 4 * 3;
    let general = Policy { all: false, filters: &[], keep: None, reserved, used, free };
    [
        Policy {
            filters: &["type==source.local", "type==source.git.checkout"],
            keep: Some(7 * 24 * 3600),
            reserved: 0,
            used: disk / 20,
            free: 0,
            ..general
        },
        general,
        Policy { all: true, ..general },
    ]
}

fn registries(asks: &Asks) -> BTreeMap<&str, Registry<'_>> {
    let mut registries: BTreeMap<&str, Registry<'_>> = BTreeMap::new();
    for (host, mirrors) in &asks.mirrors {
        let entry = registries.entry(host).or_default();
        entry.mirrors = mirrors.iter().map(|mirror| mirror.host.as_str()).collect();
        for mirror in mirrors {
            let host = mirror.host.split('/').next().unwrap_or(&mirror.host);
            // Said either way: a loopback host without an entry is plain HTTP.
            registries.entry(host).or_default().http = Some(mirror.plain_http);
        }
    }
    for host in &asks.plain_http {
        registries.entry(host).or_default().http = Some(true);
    }
    registries
}

#[derive(Serialize)]
struct Config<'a> {
    root: &'a Path,
    #[serde(rename = "insecure-entitlements")]
    entitlements: [&'static str; 3],
    grpc: Grpc,
    otel: Otel,
    worker: Worker<'a>,
    system: System,
    history: History,
    registry: BTreeMap<&'a str, Registry<'a>>,
}

#[derive(Serialize)]
struct Grpc {
    address: [String; 1],
}

#[derive(Serialize)]
struct Otel {
    #[serde(rename = "socketPath")]
    socket: String,
}

#[derive(Serialize)]
struct Worker<'a> {
    oci: Oci<'a>,
    containerd: Containerd,
}

#[derive(Serialize)]
struct Oci<'a> {
    enabled: bool,
    binary: &'a Path,
    snapshotter: &'a str,
    rootless: bool,
    #[serde(rename = "networkMode")]
    network: &'static str,
    #[serde(rename = "max-parallelism")]
    max_parallelism: u32,
    gc: bool,
    #[serde(rename = "gcpolicy")]
    policies: [Policy; 3],
}

#[derive(Serialize)]
struct Containerd {
    enabled: bool,
}

#[derive(Clone, Copy, Serialize)]
struct Policy {
    all: bool,
    filters: &'static [&'static str],
    #[serde(rename = "keepDuration", skip_serializing_if = "Option::is_none")]
    keep: Option<u64>,
    #[serde(rename = "reservedSpace")]
    reserved: u64,
    #[serde(rename = "maxUsedSpace")]
    used: u64,
    #[serde(rename = "minFreeSpace")]
    free: u64,
}

#[derive(Serialize)]
struct System {
    #[serde(rename = "maxRegistryConcurrency")]
    max_registry_concurrency: u32,
}

#[derive(Serialize)]
struct History {
    #[serde(rename = "maxAge")]
    max_age: u64,
    #[serde(rename = "maxEntries")]
    max_entries: u32,
}

#[derive(Default, Serialize)]
struct Registry<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mirrors: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Machine = Machine { cores: 4, memory: 8 * GB, disk: 50 * GB };

    #[test]
    fn parallelism_follows_cores_and_memory() {
        assert_eq!(MACHINE.parallelism(), 15);
        assert_eq!(Machine { memory: 2 * GB, ..MACHINE }.parallelism(), 3);
        assert_eq!(Machine { memory: MB, ..MACHINE }.parallelism(), 2);
        assert_eq!(Machine { cores: 1, ..MACHINE }.parallelism(), 8);
    }

    #[test]
    fn mirrors_and_plain_registries_reach_the_configuration() {
        let mut asks = Asks { max_parallelism: Some(3), ..Asks::default() };
        asks.add_mirrors(
            &["docker.io=http://127.0.0.1:5000/hub", "docker.io=https://localhost:5001"]
                .map(|rule| rule.parse().unwrap()),
            [],
        );
        asks.plain_http.insert("registry.example:5000".to_owned());
        let place = Place {
            root: Path::new("/state/root"),
            sockets: Path::new("/run/kitwright"),
            runtime: Path::new("/usr/bin/crun"),
            snapshotter: "auto",
            rootless: false,
        };
        insta::assert_snapshot!(render(place, MACHINE, &asks));
    }
}
