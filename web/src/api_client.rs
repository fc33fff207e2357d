//! Calls of `/api/*`: typed in, typed out, every failure an `ApiFailure` with a text.

use crate::texts::{error_text, t};
use berth_protocol::{
    api::{CreateSession, ErrorBody, Me, PatchSession, Session, SessionList, SessionName},
    error_code::ErrorCode,
    ids::SessionId,
};
use serde::{Serialize, de::DeserializeOwned};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Request, RequestInit, Response};

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiFailure {
    /// No answer, or not one of ours.
    Network,
    /// Refused by the server.
    Refused(ErrorCode),
}

impl ApiFailure {
    /// A sentence with the next step.
    pub fn text(self) -> &'static str {
        match self {
            Self::Network => t().network_error,
            Self::Refused(code) => error_text(code),
        }
    }
}

/// The result of a call.
pub type ApiResult<T> = Result<T, ApiFailure>;

/// Who is signed in.
pub async fn me() -> ApiResult<Me> {
    call("GET", "/api/me", None::<&()>).await
}

/// Every session, newest first.
pub async fn sessions() -> ApiResult<SessionList> {
    call("GET", "/api/sessions", None::<&()>).await
}

/// Makes a session.
pub async fn create() -> ApiResult<Session> {
    call("POST", "/api/sessions", Some(&CreateSession::default())).await
}

/// Renames a session.
pub async fn rename(id: SessionId, name: SessionName) -> ApiResult<Session> {
    call("PATCH", &format!("/api/sessions/{id}"), Some(&PatchSession { name })).await
}

/// Starts a session's container.
pub async fn start(id: SessionId) -> ApiResult<Session> {
    call("POST", &format!("/api/sessions/{id}/start"), None::<&()>).await
}

/// Stops a session's container.
pub async fn stop(id: SessionId) -> ApiResult<Session> {
    call("POST", &format!("/api/sessions/{id}/stop"), None::<&()>).await
}

/// Deletes a session.
pub async fn delete(id: SessionId) -> ApiResult<Session> {
    call("DELETE", &format!("/api/sessions/{id}"), None::<&()>).await
}

async fn call<B: Serialize, T: DeserializeOwned>(method: &str, path: &str, body: Option<&B>) -> ApiResult<T> {
    let (status, text) = exchange(method, path, body).await.map_err(|_| ApiFailure::Network)?;
    if (200..300).contains(&status) {
        return serde_json::from_str(&text).map_err(|_| ApiFailure::Network);
    }
    let refusal: ErrorBody = serde_json::from_str(&text).map_err(|_| ApiFailure::Network)?;
    Err(ApiFailure::Refused(refusal.error.code))
}

async fn exchange<B: Serialize>(method: &str, path: &str, body: Option<&B>) -> Result<(u16, String), JsValue> {
    let init = RequestInit::new();
    init.set_method(method);
    if let Some(body) = body {
        let text = serde_json::to_string(body).map_err(|error| JsValue::from_str(&error.to_string()))?;
        init.set_body(&JsValue::from_str(&text));
    }
    let request = Request::new_with_str_and_init(path, &init)?;
    // A sign-in service in front then answers 401 instead of redirecting to its page.
    request.headers().set("X-Requested-With", "XMLHttpRequest")?;
    let window = web_sys::window().ok_or(JsValue::NULL)?;
    let response: Response = JsFuture::from(window.fetch_with_request(&request)).await?.dyn_into()?;
    let text = JsFuture::from(response.text()?).await?;
    Ok((response.status(), text.as_string().unwrap_or_default()))
}
