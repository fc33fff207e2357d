//! `/api/sessions` and `/api/events`: the Worker's half. It keeps the index and lets objects decide.

use crate::{
    api_error::{ApiError, ApiResult},
    index_db::{IndexDb, NewSession},
    now_ms,
    object_call::{self, Caller, session_object, user_object},
    request_body,
    session_do::CreateCall,
};
use berth_core::authorize::{Action, Resource, authorize};
use berth_protocol::{
    api::{CreateSession, EVENTS_SUBPROTOCOL, PatchSession, Session, SessionList},
    error_code::ErrorCode,
    ids::SessionId,
    terminal_frame,
};
use std::collections::HashMap;
use worker::{Env, Request, Response, ResponseBuilder};

/// `GET /api/sessions`.
pub(crate) async fn list(env: &Env, caller: Caller) -> ApiResult<Response> {
    authorize(Some(&caller.identity), Action::ListSessions, Resource::Deployment)?;
    let user = caller.identity.user;
    let mut sessions = IndexDb::new(env)?.sessions_of(user).await?;
    // The index says which sessions there are, the User object where each of them is.
    let mut states = object_call::call(&user_object(env, user)?, caller, "/states", &()).await?;
    let states: Vec<Session> = states.json().await?;
    let mut states: HashMap<SessionId, Session> = states.into_iter().map(|session| (session.id, session)).collect();
    for session in &mut sessions {
        if let Some(known) = states.remove(&session.id) {
            *session = known;
        }
    }
    Ok(Response::from_json(&SessionList { sessions })?)
}

/// `POST /api/sessions`.
pub(crate) async fn create(request: &mut Request, env: &Env, caller: Caller) -> ApiResult<Response> {
    authorize(Some(&caller.identity), Action::CreateSession, Resource::Deployment)?;
    let wanted: CreateSession = request_body::read(request).await?;
    let id = SessionId::from_uuid(uuid::Uuid::new_v4());
    let (owner, now) = (caller.identity.user, now_ms());
    let name = wanted.name.map_or_else(|| default_name(id), String::from);
    IndexDb::new(env)?.add_session(&NewSession { id, owner, name: &name, now_ms: now }).await?;
    let call = CreateCall { id, owner, name, assistant: wanted.assistant, created_ms: now };
    object_call::call(&session_object(env, id)?, caller, "/create", &call).await
}

/// `PATCH /api/sessions/{id}`.
pub(crate) async fn rename(request: &mut Request, env: &Env, caller: Caller, id: SessionId) -> ApiResult<Response> {
    let wanted: PatchSession = request_body::read(request).await?;
    object_call::call(&session_object(env, id)?, caller, "/rename", &wanted.name).await
}

/// Whatever needs no body: the object decides.
pub(crate) async fn ask(env: &Env, caller: Caller, id: SessionId, path: &str) -> ApiResult<Response> {
    object_call::call(&session_object(env, id)?, caller, path, &()).await
}

/// `DELETE /api/sessions/{id}`. A session whose object was never made (its creation was cut short) leaves the index.
pub(crate) async fn delete(env: &Env, caller: Caller, id: SessionId) -> ApiResult<Response> {
    let answer = ask(env, caller, id, "/delete").await?;
    if answer.status_code() != ErrorCode::NotFound.status() {
        return Ok(answer);
    }
    let index = IndexDb::new(env)?;
    let left = index.sessions_of(caller.identity.user).await?.into_iter().find(|session| session.id == id);
    let Some(left) = left else { return Ok(answer) };
    authorize(Some(&caller.identity), Action::DeleteSession, Resource::Session(Some(left.role)))?;
    index.remove_session(id).await?;
    Ok(ResponseBuilder::new().with_status(202).from_json(&left)?)
}

/// `GET /api/sessions/{id}/attach`: the object's 101 is the container's, passed through.
pub(crate) async fn attach(request: &Request, env: &Env, caller: Caller, id: SessionId) -> ApiResult<Response> {
    require_upgrade(request, terminal_frame::SUBPROTOCOL)?;
    object_call::upgrade(&session_object(env, id)?, caller, "/attach", terminal_frame::SUBPROTOCOL).await
}

/// `GET /api/events`: the User object's socket.
pub(crate) async fn events(request: &Request, env: &Env, caller: Caller) -> ApiResult<Response> {
    authorize(Some(&caller.identity), Action::ListSessions, Resource::Deployment)?;
    require_upgrade(request, EVENTS_SUBPROTOCOL)?;
    object_call::upgrade(&user_object(env, caller.identity.user)?, caller, "/events", EVENTS_SUBPROTOCOL).await
}

fn require_upgrade(request: &Request, subprotocol: &str) -> ApiResult<()> {
    if object_call::offers(request, subprotocol) {
        return Ok(());
    }
    let message = format!("This path wants a WebSocket upgrade with the subprotocol {subprotocol}.");
    Err(ApiError::with_message(ErrorCode::UpgradeRequired, message))
}

/// Two words that are easy to tell apart in a list; ids choose them, so they need no counter.
fn default_name(id: SessionId) -> String {
    const FIRST: [&str; 16] = [
        "amber", "brisk", "calm", "clear", "coral", "eager", "fresh", "grand", "green", "keen", "light", "north",
        "quiet", "rapid", "silver", "swift",
    ];
    const SECOND: [&str; 16] = [
        "anchor", "bay", "buoy", "cove", "dock", "fjord", "harbor", "island", "jetty", "keel", "lagoon", "mast",
        "pier", "reef", "sail", "tide",
    ];
    let bytes = id.to_bytes();
    let pick = |words: &[&'static str; 16], byte: u8| words.get(usize::from(byte % 16)).copied().unwrap_or_default();
    format!("{} {}", pick(&FIRST, bytes[0]), pick(&SECOND, bytes[1]))
}
