//! Small HTTP answers shared by the Docker API and the sidecar.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, StatusCode, body::Incoming, header};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    time::timeout,
};

/// Every answer's body.
pub type Body = Full<Bytes>;
/// Bytes of a request body; workerd's are below 4 KiB, an archive with a CA below 64.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// An answer without a body.
pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = status;
    response
}

/// A JSON answer.
pub fn json_answer(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// An error in Docker's form.
pub fn refuse(status: StatusCode, message: impl std::fmt::Display) -> Response<Body> {
    json_answer(status, &json!({ "message": message.to_string() }))
}

/// Reads a body within the limit.
pub async fn read_body(request: Request<Incoming>) -> Result<Bytes, Response<Body>> {
    match Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, error)),
    }
}

/// Pause after a connection could not be accepted; connections that end make room.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An accepted connection. Out of descriptors is no reason to stop listening: it is said, and tried again after a pause.
pub async fn accepted<T>(outcome: std::io::Result<T>) -> Option<T> {
    match outcome {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            eprintln!("engine: a connection was not accepted: {error}");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// How long one direction of a carried connection may stay open after the other has ended.
const HALF_OPEN_MAX: Duration = Duration::from_secs(60);
/// Bytes of each direction's buffer.
const CARRY_BUFFER_BYTES: usize = 64 * 1024;

/// Carries bytes both ways until both ends are done, or one is and the other stays silent for too long.
pub async fn carry<A, B>(a: A, b: B)
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let ((mut from_a, mut to_a), (mut from_b, mut to_b)) = (tokio::io::split(a), tokio::io::split(b));
    let mut forth = std::pin::pin!(carry_one_way(&mut from_a, &mut to_b));
    let mut back = std::pin::pin!(carry_one_way(&mut from_b, &mut to_a));
    tokio::select! {
        () = &mut forth => { let _ = timeout(HALF_OPEN_MAX, back).await; }
        () = &mut back => { let _ = timeout(HALF_OPEN_MAX, forth).await; }
    }
}

async fn carry_one_way(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) {
    let mut from = BufReader::with_capacity(CARRY_BUFFER_BYTES, from);
    // An error ends this direction as an end does; the shutdown tells the other side.
    let _ = tokio::io::copy_buf(&mut from, to).await;
    let _ = to.shutdown().await;
}
