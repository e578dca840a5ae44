//! The call that starts a build, with a graph that is marshalled already.
//!
//! A graph of many steps is by far the largest thing that a client sends. It travels as the bytes that it was
//! compiled to: as values of the generated types it would take several times as much memory.
use buildkit_rs_proto::moby::buildkit::v1 as control;
use bytes::{BufMut as _, Bytes};
use http::uri::PathAndQuery;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic_prost::ProstCodec;

use super::client::{Client, MESSAGE_LIMIT};

/// The field of `SolveRequest` that holds the graph.
const DEFINITION: u32 = 2;
const PATH: &str = "/moby.buildkit.v1.Control/Solve";

/// What a build is started with.
pub(super) struct Call {
    /// Everything but the graph.
    pub request: control::SolveRequest,
    /// The graph, a `pb.Definition`, unless something else makes it.
    pub definition: Option<Bytes>,
}

impl Client {
    /// Makes the call, which ends with the build.
    pub(super) async fn solve(
        &self,
        call: Call,
    ) -> Result<tonic::Response<control::SolveResponse>, tonic::Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT);
        let lost = |error| tonic::Status::unknown(format!("the connection is not ready: {error}"));
        grpc.ready().await.map_err(lost)?;
        grpc.unary(tonic::Request::new(call), PathAndQuery::from_static(PATH), SolveCodec).await
    }
}

/// Sends calls, receives their answers.
struct SolveCodec;

impl Codec for SolveCodec {
    type Encode = Call;
    type Decode = control::SolveResponse;
    type Encoder = Self;
    type Decoder = <ProstCodec<control::SolveRequest, control::SolveResponse> as Codec>::Decoder;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<control::SolveRequest, control::SolveResponse>::default().decoder()
    }
}

impl Encoder for SolveCodec {
    type Item = Call;
    type Error = tonic::Status;

    fn encode(&mut self, call: Call, out: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        let Call { request, definition } = call;
        let length = definition.as_ref().map_or(0, |graph| graph.len() + 16);
        out.reserve(request.encoded_len() + length);
        // The order of fields is free.
        request.encode_raw(out);
        if let Some(graph) = definition {
            encode_key(DEFINITION, WireType::LengthDelimited, out);
            encode_varint(graph.len() as u64, out);
            out.put(graph);
        }
        Ok(())
    }
}
