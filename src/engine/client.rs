//! The control API of a connected daemon: workers, versions, disk usage, pruning, build history.
use std::time::Duration;

use buildkit_rs_proto::moby::buildkit::v1 as control;
use control::control_client::ControlClient;
use control::types::{BuildkitVersion, WorkerRecord};

use super::address::Address;
use super::connect::Channel;
use crate::fault::{Classified, Fault};

/// BuildKit's limit for one message, both ways; tonic's own would be a quarter of it.
pub(crate) const MESSAGE_LIMIT: usize = 16 << 20;

/// A connection to a daemon; clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    address: Address,
}

/// A call that the daemon refused or that never came through.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the builder at `{address}` failed to {action}: {message}")]
pub struct RpcError {
    /// Where the daemon listens.
    pub address: String,
    /// What was asked of it, as a verb phrase.
    pub action: &'static str,
    /// The daemon's message.
    pub message: String,
    /// The whole status.
    #[source]
    pub status: Box<tonic::Status>,
}

impl Classified for RpcError {
    fn fault(&self) -> Fault {
        Fault::Environment
    }
}

/// What [`Client::prune`] may remove, and how much it leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prune {
    /// Also removes what the daemon keeps for itself, such as frontend images.
    pub all: bool,
    /// containerd filters such as `type==exec.cachemount`; a record that matches one is removed.
    pub filters: Vec<String>,
    /// Leaves records that were used within this time.
    pub keep_duration: Duration,
    /// Bytes that are always left.
    pub reserved_space: u64,
    /// Bytes above which records are removed.
    pub max_used_space: u64,
    /// Free bytes on the disk to reach.
    pub min_free_space: u64,
}

impl Client {
    pub(crate) const fn new(channel: Channel, address: Address) -> Self {
        Self { channel, address }
    }

    /// Where the daemon listens.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The connection itself, for services beside the control API.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The generated client, with BuildKit's message limits.
    pub(crate) fn control(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT)
    }

    /// The daemon's version.
    ///
    /// # Errors
    ///
    /// [`RpcError`] when the daemon cannot be asked.
    pub async fn info(&self) -> Result<BuildkitVersion, RpcError> {
        let reply = self.control().info(control::InfoRequest {}).await;
        let reply = reply.map_err(|status| self.failed("tell its version", status))?;
        Ok(reply.into_inner().buildkit_version.unwrap_or_default())
    }

    /// The daemon's workers with their platforms, labels and cleaning policies.
    ///
    /// # Errors
    ///
    /// [`RpcError`] when the daemon cannot be asked.
    pub async fn workers(&self) -> Result<Vec<WorkerRecord>, RpcError> {
        let reply = self.control().list_workers(control::ListWorkersRequest::default()).await;
        Ok(reply.map_err(|status| self.failed("list its workers", status))?.into_inner().record)
    }

    /// The cache records of the daemon; `filters` are containerd's, a record matches any of them.
    ///
    /// # Errors
    ///
    /// [`RpcError`] when the daemon cannot be asked or refuses a filter.
    pub async fn disk_usage(
        &self,
        filters: Vec<String>,
    ) -> Result<Vec<control::UsageRecord>, RpcError> {
        let request = control::DiskUsageRequest { filter: filters, age_limit: 0 };
        let reply = self.control().disk_usage(request).await;
        Ok(reply.map_err(|status| self.failed("tell its disk usage", status))?.into_inner().record)
    }

    /// Removes cache records and returns them.
    ///
    /// # Errors
    ///
    /// [`RpcError`] when the daemon cannot be asked or stops on the way.
    pub async fn prune(&self, prune: &Prune) -> Result<Vec<control::UsageRecord>, RpcError> {
        let failed = |status| self.failed("prune its cache", status);
        let request = control::PruneRequest {
            filter: prune.filters.clone(),
            all: prune.all,
            keep_duration: i64::try_from(prune.keep_duration.as_nanos()).unwrap_or(i64::MAX),
            reserved_space: bytes(prune.reserved_space),
            max_used_space: bytes(prune.max_used_space),
            min_free_space: bytes(prune.min_free_space),
        };
        let mut records = self.control().prune(request).await.map_err(failed)?.into_inner();
        let mut removed = Vec::new();
        while let Some(record) = records.message().await.map_err(failed)? {
            removed.push(record);
        }
        Ok(removed)
    }

    /// The builds that the daemon remembers, or only those that run now.
    ///
    /// # Errors
    ///
    /// [`RpcError`] when the daemon cannot be asked or stops on the way.
    pub async fn builds(
        &self,
        running_only: bool,
    ) -> Result<Vec<control::BuildHistoryRecord>, RpcError> {
        let failed = |status| self.failed("list its builds", status);
        let request = control::BuildHistoryRequest {
            active_only: running_only,
            early_exit: true,
            ..Default::default()
        };
        let reply = self.control().listen_build_history(request).await;
        let mut events = reply.map_err(failed)?.into_inner();
        let mut found = Vec::new();
        while let Some(event) = events.message().await.map_err(failed)? {
            found.extend(event.record);
        }
        Ok(found)
    }

    fn failed(&self, action: &'static str, status: tonic::Status) -> RpcError {
        RpcError {
            address: self.address.to_string(),
            action,
            message: status.message().to_owned(),
            status: Box::new(status),
        }
    }
}

fn bytes(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
