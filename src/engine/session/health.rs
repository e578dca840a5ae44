//! The health service: the daemon asks every few seconds whether the client still answers.
use buildkit_rs_proto::grpc::health::v1 as wire;
use hyper::body::Incoming;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use wire::health_check_response::ServingStatus;
use wire::health_server::HealthServer;

use super::Scope;
use super::attachable::{Attachable, ResponseFuture, serve};

/// Answers that all is well, which is true as long as it answers.
#[derive(Clone, Copy, Debug)]
pub struct Health;

impl Attachable for Health {
    fn methods(&self) -> &'static [&'static str] {
        &["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"]
    }

    fn call(&self, request: http::Request<Incoming>, _: &Scope) -> ResponseFuture {
        serve(HealthServer::new(*self), request)
    }
}

#[tonic::async_trait]
impl wire::health_server::Health for Health {
    async fn check(
        &self,
        _: Request<wire::HealthCheckRequest>,
    ) -> Result<Response<wire::HealthCheckResponse>, Status> {
        Ok(Response::new(serving()))
    }

    type WatchStream =
        std::pin::Pin<Box<dyn Stream<Item = Result<wire::HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        _: Request<wire::HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(serving())))))
    }
}

fn serving() -> wire::HealthCheckResponse {
    wire::HealthCheckResponse { status: ServingStatus::Serving.into() }
}
