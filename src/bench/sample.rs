//! One measured run of one command, as it is kept in the results file.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Who ran a scenario: kitwright itself or a client it is compared with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Contender(pub String);

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The scenario's name, such as `noop`.
    pub scenario: String,
    /// Who ran it.
    pub contender: Contender,
    /// Its place in the series: samples of different contenders with the same round were taken one
    /// right after the other and make a pair.
    pub round: u32,
    /// From start to exit of the client, in seconds.
    pub wall: f64,
    /// User and system time of the client and of what it waited for, in seconds.
    pub cpu: f64,
    /// The client's largest resident set, in bytes.
    pub memory: u64,
    /// Bytes that the engine and the client received from the registry and GitHub's cache service and
    /// sent to them, where they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<Traffic>,
    /// Bytes that package servers have sent to the steps, where they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<u64>,
    /// Seconds by phase, such as `boot` or `export`, where the client tells them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub phases: BTreeMap<String, f64>,
    /// The longest chain of steps that had to wait for each other, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical_path: Option<f64>,
    /// Steps that ran and steps that the cache had, where the client tells them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Steps>,
    /// The machine's load average over one minute when the run began.
    pub load: f64,
}

/// How many steps a build had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    /// Those that ran.
    pub ran: usize,
    /// Those whose results the cache had.
    pub cached: usize,
}

/// Bytes over a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Received.
    pub down: u64,
    /// Sent.
    pub up: u64,
}

impl Traffic {
    /// What has passed since `before`.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self { down: self.down - before.down, up: self.up - before.up }
    }
}

impl std::iter::Sum for Traffic {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            down: sum.down + one.down,
            up: sum.up + one.up,
        })
    }
}

/// The measure of a sample that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Wall time.
    Wall,
    /// CPU time of the client.
    Cpu,
    /// Peak memory of the client.
    Memory,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 3] = [Self::Wall, Self::Cpu, Self::Memory];

    /// The value of `sample`, in seconds or bytes.
    #[must_use]
    pub fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::Wall => sample.wall,
            Self::Cpu => sample.cpu,
            #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
            Self::Memory => sample.memory as f64,
        }
    }

    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wall => "wall",
            Self::Cpu => "client CPU",
            Self::Memory => "client peak memory",
        }
    }

    /// A value with its unit, for people.
    #[must_use]
    pub fn format(self, value: f64) -> String {
        match self {
            Self::Wall | Self::Cpu if value < 1.0 => format!("{:.1} ms", value * 1000.0),
            Self::Wall | Self::Cpu => format!("{value:.2} s"),
            Self::Memory => format!("{:.1} MiB", value / f64::from(1 << 20)),
        }
    }
}
