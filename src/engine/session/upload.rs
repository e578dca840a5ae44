//! Uploads: a stream of the client that a build reads by URL, such as a context on stdin.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use buildkit_rs_proto::moby::upload::v1 as wire;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};
use wire::upload_server::UploadServer;

use super::Scope;
use super::attachable::{Attachable, ResponseFuture, serve};
use crate::engine::identity;

/// Bytes in one message.
const CHUNK: usize = 256 << 10;

type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// Streams that wait to be pulled, each once.
#[derive(Clone, Default)]
pub struct Uploads(Arc<Mutex<BTreeMap<String, Reader>>>);

impl Uploads {
    /// Offers a stream and returns the URL by which an `http` source reads it.
    pub fn add(&self, reader: impl AsyncRead + Send + Unpin + 'static) -> String {
        let id = identity::random();
        let url = format!("http://buildkit-session/{id}");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Box::new(reader));
        url
    }
}

impl Attachable for Uploads {
    fn methods(&self) -> &'static [&'static str] {
        &["/moby.upload.v1.Upload/Pull"]
    }

    fn call(&self, request: http::Request<Incoming>, _: &Scope) -> ResponseFuture {
        serve(UploadServer::new(self.clone()), request)
    }
}

#[tonic::async_trait]
impl wire::upload_server::Upload for Uploads {
    type PullStream =
        std::pin::Pin<Box<dyn Stream<Item = Result<wire::BytesMessage, Status>> + Send>>;

    async fn pull(
        &self,
        request: Request<Streaming<wire::BytesMessage>>,
    ) -> Result<Response<Self::PullStream>, Status> {
        let path = request.metadata().get("urlpath").and_then(|path| path.to_str().ok());
        let id = path.and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        let reader = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        let reader =
            reader.ok_or_else(|| Status::not_found("no such upload, or already pulled"))?;
        let stream = futures_util::stream::try_unfold(reader, |mut reader| async move {
            let mut data = bytes::BytesMut::with_capacity(CHUNK);
            let read = reader.read_buf(&mut data).await;
            if read.map_err(|error| Status::aborted(error.to_string()))? == 0 {
                return Ok(None);
            }
            Ok(Some((wire::BytesMessage { data: data.freeze() }, reader)))
        });
        Ok(Response::new(Box::pin(stream)))
    }
}
