//! How the Worker and the objects call each other: a request made anew, so that no header of a client reaches an object.

use crate::api_error::{ApiError, ApiResult};
use berth_core::authorize::Identity;
use berth_protocol::{
    error_code::ErrorCode,
    ids::{RequestId, SessionId, UserId},
};
use serde::Serialize;
use worker::{Env, Headers, Method, Request, RequestInit, Response, Stub};

/// Binding of the Session objects.
const SESSIONS: &str = "SESSIONS";
/// Binding of the User objects.
const USERS: &str = "USERS";
/// Who asks.
const USER_HEADER: &str = "berth-user";
/// Which request asks, for the log.
const REQUEST_HEADER: &str = "berth-request-id";

/// On whose behalf an object is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    pub(crate) request_id: RequestId,
}

/// The object of a session.
pub(crate) fn session_object(env: &Env, id: SessionId) -> ApiResult<Stub> {
    Ok(env.durable_object(SESSIONS)?.get_by_name(&id.to_string())?)
}

/// The object of a user.
pub(crate) fn user_object(env: &Env, id: UserId) -> ApiResult<Stub> {
    Ok(env.durable_object(USERS)?.get_by_name(&id.to_string())?)
}

/// Calls an object with a JSON body.
pub(crate) async fn call<T: Serialize>(stub: &Stub, caller: Caller, path: &str, body: &T) -> ApiResult<Response> {
    let body = serde_json::to_string(body).map_err(|error| ApiError::internal("write a call", error))?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_headers(headers(caller)?).with_body(Some(body.into()));
    Ok(stub.fetch_with_request(Request::new_with_init(&address(path), &init)?).await?)
}

/// Passes a WebSocket upgrade on, with its subprotocol and nothing else of the client's.
pub(crate) async fn upgrade(stub: &Stub, caller: Caller, path: &str, subprotocol: &str) -> ApiResult<Response> {
    let headers = headers(caller)?;
    headers.set("upgrade", "websocket")?;
    headers.set("sec-websocket-protocol", subprotocol)?;
    let mut init = RequestInit::new();
    init.with_headers(headers);
    Ok(stub.fetch_with_request(Request::new_with_init(&address(path), &init)?).await?)
}

/// Whether a client's request is an upgrade that offers `subprotocol`.
pub(crate) fn offers(request: &Request, subprotocol: &str) -> bool {
    let header = |name| request.headers().get(name).ok().flatten().unwrap_or_default();
    header("upgrade").eq_ignore_ascii_case("websocket")
        && header("sec-websocket-protocol").split(',').any(|offer| offer.trim() == subprotocol)
}

/// On whose behalf this object is called.
pub(crate) fn caller(request: &Request) -> ApiResult<Caller> {
    let header = |name| request.headers().get(name).ok().flatten().unwrap_or_default();
    let user = header(USER_HEADER).parse().map_err(|error| ApiError::internal("read a call", error))?;
    let request_id = header(REQUEST_HEADER).parse().map_err(|error| ApiError::internal("read a call", error))?;
    Ok(Caller { identity: Identity { user }, request_id })
}

/// Reads a call's JSON body; these come from ourselves.
pub(crate) async fn body<T: serde::de::DeserializeOwned>(request: &mut Request) -> ApiResult<T> {
    request.json().await.map_err(|error| ApiError::with_message(ErrorCode::Internal, error.to_string()))
}

fn headers(caller: Caller) -> ApiResult<Headers> {
    let headers = Headers::new();
    headers.set(USER_HEADER, &caller.identity.user.to_string())?;
    headers.set(REQUEST_HEADER, &caller.request_id.to_string())?;
    Ok(headers)
}

fn address(path: &str) -> String {
    format!("http://object{path}")
}
