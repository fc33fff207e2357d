//! JSON bodies of clients: read no further than the limit, parsed into a type or refused with the field named.

use crate::api_error::{ApiError, ApiResult};
use berth_protocol::{error_code::ErrorCode, limits::BODY_BYTES_MAX};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use worker::Request;

/// Reads and parses; an empty body is `{}`.
pub(crate) async fn read<T: DeserializeOwned>(request: &mut Request) -> ApiResult<T> {
    let mut bytes = Vec::new();
    if let Ok(mut stream) = request.stream() {
        while let Some(chunk) = stream.next().await {
            bytes.extend(chunk?);
            if bytes.len() > BODY_BYTES_MAX {
                let message = format!("The body is larger than {BODY_BYTES_MAX} bytes.");
                return Err(ApiError::with_message(ErrorCode::BodyTooLarge, message));
            }
        }
    }
    // serde would also read a struct from an array.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|first| *first != b'{') {
        return Err(ApiError::with_message(ErrorCode::BadRequest, "The body must be a JSON object."));
    }
    let text = if bytes.is_empty() { b"{}" } else { bytes.as_slice() };
    serde_json::from_slice(text).map_err(|error| ApiError::with_message(ErrorCode::BadRequest, error.to_string()))
}
