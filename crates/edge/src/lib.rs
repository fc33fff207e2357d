//! The Worker: routes, Durable Objects, and one file per outside thing it touches. Decisions are `berth_core`'s.

mod api_error;
mod configuration;
mod container;
mod control_link;
mod documents;
mod index_db;
mod local_identity;
mod object_call;
mod request_body;
mod router;
mod session_do;
mod session_record;
mod sessions_api;
mod user_do;

pub use session_do::SessionObject;
pub use user_do::UserObject;
use worker::{Context, Env, Request, Response, Result, event};

/// Unix time in milliseconds.
fn now_ms() -> u64 {
    worker::Date::now().as_millis()
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    router::answer(request, env).await
}
