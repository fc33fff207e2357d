//! Local sign-in at the edge: the cookie on every request, and the one-time link that sets it.

use crate::{
    api_error::{ApiError, ApiResult},
    configuration::LocalMode,
    index_db::IndexDb,
    now_ms,
};
use berth_core::{
    authorize::Identity,
    local_sign_in::{Purpose, issue, verify},
};
use berth_protocol::{error_code::ErrorCode, limits::LOCAL_COOKIE_MS_MAX};
use worker::{Headers, Request, Response, ResponseBuilder};

/// The page after the link: it navigates from our own site, so that a `SameSite=Strict` cookie comes along even when the
/// link was opened from another one.
const WELCOME: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Berth</title>\
    <meta http-equiv=refresh content=\"0;url=/app\"><p><a href=/app>Open Berth</a>";

/// Who sends this request.
pub(crate) fn identify(request: &Request, mode: &LocalMode) -> Result<Identity, ErrorCode> {
    let header = |name| request.headers().get(name).ok().flatten().unwrap_or_default();
    let (host, cookies) = (header("host"), header("cookie"));
    let values = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
    // Other servers on this host can set a cookie of the same name: one that is not ours must not hide ours.
    let mut tokens = values.filter(|(name, _)| *name == mode.cookie).map(|(_, token)| token);
    if !tokens.any(|token| verify(&mode.key, Purpose::Cookie { host: &host }, token, now_ms()).is_ok()) {
        return Err(ErrorCode::SignInRequired);
    }
    Ok(Identity { user: mode.user })
}

/// Exchanges a one-time link for the cookie.
pub(crate) async fn open_link(request: &Request, mode: &LocalMode, index: &IndexDb) -> ApiResult<Response> {
    let url = request.url()?;
    let token =
        url.query_pairs().find(|(key, _)| key == "link").map(|(_, value)| value.into_owned()).unwrap_or_default();
    let now = now_ms();
    let nonce = verify(&mode.key, Purpose::Link, &token, now)?;
    // First the mark, then the cookie: a link that fails half-way is spent, never used twice.
    if !index.use_link(nonce, now).await? {
        return Err(ErrorCode::LinkNotValid.into());
    }
    index.ensure_user(mode.user, now).await?;
    let host = request.headers().get("host")?.unwrap_or_default();
    let cookie_nonce = uuid::Uuid::new_v4().simple().to_string();
    let value = issue(&mode.key, Purpose::Cookie { host: &host }, &cookie_nonce, now + LOCAL_COOKIE_MS_MAX);
    let headers = Headers::new();
    let seconds = LOCAL_COOKIE_MS_MAX / 1_000;
    // Not `Secure`: this is plain HTTP on loopback.
    let cookie = format!("{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict", mode.cookie);
    headers.set("set-cookie", &cookie)?;
    headers.set("cache-control", "no-store")?;
    headers.set("referrer-policy", "no-referrer")?;
    headers.set("content-security-policy", "default-src 'none'; frame-ancestors 'none'")?;
    ResponseBuilder::new().with_headers(headers).from_html(WELCOME).map_err(ApiError::from)
}
