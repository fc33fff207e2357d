//! Small HTTP answers shared by the Docker API and the sidecar.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, StatusCode, body::Incoming, header};
use serde_json::{Value, json};

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
