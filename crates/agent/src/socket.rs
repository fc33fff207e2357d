//! WebSockets of the agent: one handshake, one configuration.

use anyhow::{Context, Result};
use berth_protocol::limits::{CONTROL_BYTES_MAX, FRAME_BYTES_MAX};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, header, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role, protocol::WebSocketConfig},
};

/// A socket after its handshake.
pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// The answer to an upgrade request with this subprotocol, or `None` when it asks for something else.
pub fn accept(request: &Request<Incoming>, subprotocol: &'static str) -> Option<Response<Full<Bytes>>> {
    let headers = request.headers();
    let says = |name: header::HeaderName, word: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?;
    let right = says(header::UPGRADE, "websocket")
        && says(header::CONNECTION, "upgrade")
        && says(header::SEC_WEBSOCKET_VERSION, "13")
        && says(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    if !right {
        return None;
    }
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::UPGRADE, "websocket")
        .header(header::CONNECTION, "Upgrade")
        .header(header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
        .header(header::SEC_WEBSOCKET_PROTOCOL, subprotocol)
        .body(Full::default())
        .ok()
}

/// Waits for the upgrade that [`accept`] answered.
pub async fn upgraded(request: Request<Incoming>) -> Result<Socket> {
    let upgraded = hyper::upgrade::on(request).await.context("upgrade to a WebSocket")?;
    let largest = FRAME_BYTES_MAX.max(CONTROL_BYTES_MAX);
    let configuration = WebSocketConfig::default().max_message_size(Some(largest)).max_frame_size(Some(largest));
    Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(configuration)).await)
}
