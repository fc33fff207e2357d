//! From a request to an answer: path, method, Host and Origin, identity, then the handler. Every refusal is made here.

use crate::{
    api_error::{ApiError, ApiResult},
    configuration, documents,
    index_db::IndexDb,
    local_identity,
    object_call::Caller,
    sessions_api,
};
use berth_core::{
    authorize::{Action, Resource, authorize},
    origin::{RequestKind, check_origin},
};
use berth_protocol::{
    api::Me,
    error_code::ErrorCode,
    ids::{RequestId, SessionId},
};
use worker::{Env, Method, Request, Response, Result};

/// Every path there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Health,
    SignIn,
    Document,
    Me,
    Sessions,
    Session(SessionId),
    Start(SessionId),
    Stop(SessionId),
    Attach(SessionId),
    Events,
}

impl Route {
    /// Reads a path; an id that does not parse is as unknown as a path that does not exist.
    fn parse(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        Some(match segments.as_slice() {
            ["health"] => Self::Health,
            ["sign-in"] => Self::SignIn,
            [""] | ["app"] | ["setup"] => Self::Document,
            ["app", "s", id] => {
                id.parse::<SessionId>().ok()?;
                Self::Document
            }
            ["api", "me"] => Self::Me,
            ["api", "events"] => Self::Events,
            ["api", "sessions"] => Self::Sessions,
            ["api", "sessions", id] => Self::Session(id.parse().ok()?),
            ["api", "sessions", id, "start"] => Self::Start(id.parse().ok()?),
            ["api", "sessions", id, "stop"] => Self::Stop(id.parse().ok()?),
            ["api", "sessions", id, "attach"] => Self::Attach(id.parse().ok()?),
            _ => return None,
        })
    }

    fn allows(self, method: &Method) -> bool {
        match self {
            Self::Health | Self::Document => matches!(method, Method::Get | Method::Head),
            Self::SignIn | Self::Me | Self::Events | Self::Attach(_) => *method == Method::Get,
            Self::Sessions => matches!(method, Method::Get | Method::Post),
            Self::Session(_) => matches!(method, Method::Get | Method::Patch | Method::Delete),
            Self::Start(_) | Self::Stop(_) => *method == Method::Post,
        }
    }

    /// What Host and Origin must prove.
    fn kind(self, method: &Method) -> RequestKind {
        match self {
            Self::Events | Self::Attach(_) => RequestKind::Change,
            _ if matches!(method, Method::Get | Method::Head) => RequestKind::Read,
            _ => RequestKind::Change,
        }
    }
}

/// Answers one request.
pub(crate) async fn answer(request: Request, env: Env) -> Result<Response> {
    let request_id = RequestId::from_uuid(uuid::Uuid::new_v4());
    match route(request, &env, request_id).await {
        Ok(response) => Ok(response),
        Err(error) => error.into_response(request_id),
    }
}

async fn route(mut request: Request, env: &Env, request_id: RequestId) -> ApiResult<Response> {
    let method = request.method();
    let route = Route::parse(&request.path());
    if route == Some(Route::Health) && route.is_some_and(|route| route.allows(&method)) {
        return Ok(Response::ok("{\"status\":\"ok\"}")?);
    }
    let mode = configuration::local_mode(env)?;
    let header = |name| request.headers().get(name).ok().flatten();
    let kind = route.map_or(RequestKind::Change, |route| route.kind(&method));
    // A path that does not exist says so to ourselves only, after the host was proven.
    let kind = if route.is_none() && method == Method::Get { RequestKind::Read } else { kind };
    check_origin(&mode.origin, kind, header("host").as_deref(), header("origin").as_deref())?;
    if route == Some(Route::SignIn) && method == Method::Get {
        return local_identity::open_link(&request, &mode, &IndexDb::new(env)?).await;
    }
    let identity = local_identity::identify(&request, &mode);
    if route == Some(Route::Document) && matches!(method, Method::Get | Method::Head) {
        let signed_in = authorize(identity.ok().as_ref(), Action::ReadSelf, Resource::Deployment).is_ok();
        return documents::shell(env, &mode.origin, signed_in).await;
    }
    let caller = Caller { identity: identity?, request_id };
    let route = route.ok_or(ErrorCode::NotFound)?;
    if !route.allows(&method) {
        return Err(ErrorCode::MethodNotAllowed.into());
    }
    match (route, method) {
        (Route::Me, _) => {
            let identity = authorize(Some(&caller.identity), Action::ReadSelf, Resource::Deployment)?;
            let me = Me { id: identity.user, isolated: configuration::isolated(env), files_kept: false };
            Ok(Response::from_json(&me)?)
        }
        (Route::Sessions, Method::Post) => sessions_api::create(&mut request, env, caller).await,
        (Route::Sessions, _) => sessions_api::list(env, caller).await,
        (Route::Session(id), Method::Patch) => sessions_api::rename(&mut request, env, caller, id).await,
        (Route::Session(id), Method::Delete) => sessions_api::delete(env, caller, id).await,
        (Route::Session(id), _) => sessions_api::ask(env, caller, id, "/read").await,
        (Route::Start(id), _) => sessions_api::ask(env, caller, id, "/start").await,
        (Route::Stop(id), _) => sessions_api::ask(env, caller, id, "/stop").await,
        (Route::Attach(id), _) => sessions_api::attach(&request, env, caller, id).await,
        (Route::Events, _) => sessions_api::events(&request, env, caller).await,
        (Route::Health | Route::SignIn | Route::Document, _) => Err(ApiError::new(ErrorCode::MethodNotAllowed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0b9f7f2e-3c1d-4e5f-8a6b-7c8d9e0f1a2b";

    #[test]
    fn paths_are_read_exactly() {
        let session: SessionId = ID.parse().unwrap();
        let table = [
            ("/health", Some(Route::Health)),
            ("/", Some(Route::Document)),
            ("/app", Some(Route::Document)),
            ("/setup", Some(Route::Document)),
            ("/api/me", Some(Route::Me)),
            ("/api/sessions", Some(Route::Sessions)),
            ("/api/sessions/", None),
            ("/api/sessions/nonsense", None),
            ("/app/s/nonsense", None),
            ("/api/Me", None),
            ("//health", None),
            ("/index.html", None),
        ];
        for (path, route) in table {
            assert_eq!(Route::parse(path), route, "{path}");
        }
        assert_eq!(Route::parse(&format!("/api/sessions/{ID}/attach")), Some(Route::Attach(session)));
        assert_eq!(Route::parse(&format!("/api/sessions/{ID}/nope")), None);
        assert_eq!(Route::parse(&format!("/api/sessions/{}", ID.to_uppercase())), None, "an id has one spelling");
    }

    #[test]
    fn every_change_and_every_upgrade_must_prove_its_origin() {
        let session: SessionId = ID.parse().unwrap();
        for route in [Route::Events, Route::Attach(session)] {
            assert_eq!(route.kind(&Method::Get), RequestKind::Change, "{route:?}");
        }
        for method in [Method::Post, Method::Patch, Method::Delete, Method::Put] {
            assert_eq!(Route::Session(session).kind(&method), RequestKind::Change);
        }
        assert_eq!(Route::Sessions.kind(&Method::Get), RequestKind::Read);
    }
}
