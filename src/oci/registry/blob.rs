//! Reading blobs: streams that verify themselves and go on where a connection broke.
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::header::{CONTENT_RANGE, RANGE};
use http::{Method, StatusCode};
use sha2::{Digest as _, Sha256};

use super::retry::Pauses;
use super::scope::{DELETE, PULL, Scopes};
use super::transport::{Call, Wire, broken};
use super::{Client, RegistryError, path};
use crate::oci::digest::Digest;
use crate::oci::manifest::Descriptor;
use crate::oci::reference::ImageReference;

/// A blob on its way, in order, each byte once.
///
/// The digest is checked when the last byte has come: what was read before is to be trusted only
/// after [`BlobReader::next`] has returned `None`.
pub struct BlobReader {
    /// Where to read from: the mirrors, then the registry itself.
    wires: Vec<Wire>,
    current: usize,
    reference: ImageReference,
    descriptor: Descriptor,
    body: Option<BoxStream<'static, reqwest::Result<Bytes>>>,
    /// Bytes of the body before the offset, from a host that ignores ranges.
    skip: u64,
    offset: u64,
    hasher: Sha256,
    pauses: Pauses,
    finished: bool,
}

impl Client {
    /// Begins to read a blob of a reference's repository.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when no host has it.
    pub async fn get_blob(
        &self,
        reference: &ImageReference,
        descriptor: &Descriptor,
    ) -> Result<BlobReader, RegistryError> {
        self.resume_blob(reference, descriptor, 0, Sha256::new()).await
    }

    /// Goes on with a blob whose first `offset` bytes are there already, hashed into `hasher`.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when no host has it.
    pub async fn resume_blob(
        &self,
        reference: &ImageReference,
        descriptor: &Descriptor,
        offset: u64,
        hasher: Sha256,
    ) -> Result<BlobReader, RegistryError> {
        let upstream = self.upstream(reference)?;
        let mirrors = self.inner.mirrors(reference.registry())?.into_iter();
        let wire = |host| Wire { inner: std::sync::Arc::clone(&self.inner), host };
        let pauses = upstream.pauses();
        let mut reader = BlobReader {
            wires: mirrors.map(wire).chain([upstream]).collect(),
            current: 0,
            reference: reference.clone(),
            descriptor: descriptor.clone(),
            body: None,
            skip: 0,
            offset,
            hasher,
            pauses,
            finished: false,
        };
        if offset < descriptor.size || offset == 0 {
            reader.open_somewhere().await?;
        }
        Ok(reader)
    }

    /// Reads a whole blob of at most `limit` bytes into memory.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when no host has it, it is too large, or not what its digest says.
    pub async fn read_blob(
        &self,
        reference: &ImageReference,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Bytes, RegistryError> {
        if descriptor.size > limit {
            let what = descriptor.digest.to_string();
            return Err(RegistryError::TooLarge { what, limit });
        }
        let mut again = true;
        loop {
            match self.collect_blob(reference, descriptor).await {
                Err(RegistryError::Digest { .. }) if again => again = false,
                result => return result,
            }
        }
    }

    async fn collect_blob(
        &self,
        reference: &ImageReference,
        descriptor: &Descriptor,
    ) -> Result<Bytes, RegistryError> {
        let mut reader = self.get_blob(reference, descriptor).await?;
        let capacity = usize::try_from(descriptor.size).unwrap_or(0).min(1 << 20);
        let mut bytes = BytesMut::with_capacity(capacity);
        while let Some(chunk) = reader.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(bytes.freeze())
    }

    /// Whether the registry itself holds a blob in a reference's repository.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when the registry gives no answer.
    pub async fn has_blob(
        &self,
        reference: &ImageReference,
        digest: Digest,
    ) -> Result<bool, RegistryError> {
        let wire = self.upstream(reference)?;
        match wire.send(&request(&wire, Method::HEAD, reference, digest, PULL)?).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes a blob from a reference's repository.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when it is not there or the registry does not remove.
    pub async fn delete_blob(
        &self,
        reference: &ImageReference,
        digest: Digest,
    ) -> Result<(), RegistryError> {
        let wire = self.upstream(reference)?;
        wire.send(&request(&wire, Method::DELETE, reference, digest, DELETE)?).await.map(drop)
    }
}

fn request<'a>(
    wire: &Wire,
    method: Method,
    reference: &'a ImageReference,
    digest: Digest,
    actions: &str,
) -> Result<Call<'a>, RegistryError> {
    let url = wire.host.url(&path(reference, &format!("blobs/{digest}")), &[])?;
    let what = format!("{}@{digest}", reference.name());
    let scopes = Scopes::on(reference.repository(), actions);
    let mut call = Call::new(method, url, &what, reference.repository(), scopes);
    call.verified = true;
    Ok(call)
}

impl BlobReader {
    /// The next piece; `None` after the last one, when the whole has been verified.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`] when the blob does not come after all tries, or is not what its digest
    /// and size say. There is nothing more to read after an error.
    pub async fn next(&mut self) -> Option<Result<Bytes, RegistryError>> {
        while !self.finished {
            match self.step().await {
                Ok(Some(chunk)) => return Some(Ok(chunk)),
                Ok(None) => {}
                Err(error) => {
                    self.finished = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    /// How many bytes have come, those of an earlier attempt included.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads once: a piece, or nothing when the end was checked or the connection had to be renewed.
    async fn step(&mut self) -> Result<Option<Bytes>, RegistryError> {
        if self.offset == self.descriptor.size && self.body.is_none() {
            self.finish()?;
            return Ok(None);
        }
        let silence = self.wires[self.current].silence();
        let Some(body) = &mut self.body else {
            self.open_somewhere().await?;
            return Ok(None);
        };
        let error = match tokio::time::timeout(silence, body.next()).await {
            Ok(Some(Ok(chunk))) => return self.take(chunk).map(Some),
            Ok(None) if self.offset == self.descriptor.size => {
                self.body = None;
                return Ok(None);
            }
            Ok(None) => RegistryError::Length {
                what: self.what(),
                expected: self.descriptor.size,
                found: self.offset,
            },
            Ok(Some(Err(error))) => broken(&Method::GET, &self.url()?, error),
            Err(_) => RegistryError::Silent {
                method: Method::GET,
                url: self.url()?.to_string(),
                waited: silence,
            },
        };
        self.body = None;
        match self.pauses.wait(error).await {
            Ok(()) => Ok(None),
            Err(error) => self.next_host(error).map(|()| None),
        }
    }

    /// Counts and hashes a piece; the part that is there already is cut off.
    fn take(&mut self, mut chunk: Bytes) -> Result<Bytes, RegistryError> {
        let skipped = self.skip.min(chunk.len() as u64);
        self.skip -= skipped;
        let _ = chunk.split_to(usize::try_from(skipped).unwrap_or(chunk.len()));
        self.offset += chunk.len() as u64;
        if self.offset > self.descriptor.size {
            return Err(RegistryError::Length {
                what: self.what(),
                expected: self.descriptor.size,
                found: self.offset,
            });
        }
        self.hasher.update(&chunk);
        if !chunk.is_empty() {
            // What moves on has earned new tries.
            self.pauses = self.wires[self.current].pauses();
        }
        Ok(chunk)
    }

    fn finish(&mut self) -> Result<(), RegistryError> {
        self.finished = true;
        let found = Digest::from_bytes(std::mem::take(&mut self.hasher).finalize().into());
        if found == self.descriptor.digest {
            return Ok(());
        }
        Err(RegistryError::Digest { what: self.what(), expected: self.descriptor.digest, found })
    }

    /// Asks the current host for the rest, and the next ones when it cannot serve it.
    async fn open_somewhere(&mut self) -> Result<(), RegistryError> {
        loop {
            match self.open().await {
                Ok(()) => return Ok(()),
                Err(error) => self.next_host(error)?,
            }
        }
    }

    fn next_host(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        if self.current + 1 == self.wires.len() {
            return Err(error);
        }
        self.current += 1;
        self.pauses = self.wires[self.current].pauses();
        Ok(())
    }

    async fn open(&mut self) -> Result<(), RegistryError> {
        let wire = &self.wires[self.current];
        let mut call = request(wire, Method::GET, &self.reference, self.descriptor.digest, PULL)?;
        if self.offset > 0 {
            call = call.header(RANGE, &format!("bytes={}-", self.offset));
        }
        let response = wire.send(&call).await?;
        self.skip = self.offset;
        if response.status() == StatusCode::PARTIAL_CONTENT {
            let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
            let start = range.and_then(|range| {
                range.strip_prefix("bytes ")?.split('-').next()?.parse::<u64>().ok()
            });
            match start {
                Some(start) if start <= self.offset => self.skip = self.offset - start,
                _ => {
                    return Err(RegistryError::Protocol {
                        url: call.url.to_string(),
                        reason: "it sends another range than it was asked for".to_owned(),
                    });
                }
            }
        }
        self.body = Some(response.bytes_stream().boxed());
        Ok(())
    }

    fn what(&self) -> String {
        format!("{}@{}", self.reference.name(), self.descriptor.digest)
    }

    fn url(&self) -> Result<url::Url, RegistryError> {
        let wire = &self.wires[self.current];
        wire.host.url(&path(&self.reference, &format!("blobs/{}", self.descriptor.digest)), &[])
    }
}
