//! The User object: where each of a user's sessions is, pushed by Session objects and followed by open dashboards.
#![expect(missing_docs, reason = "`#[durable_object]` writes public items without sentences")]

use crate::{
    api_error::{ApiError, ApiResult},
    object_call::{self, Caller},
};
use berth_protocol::{
    api::{DashboardEvent, EVENTS_SUBPROTOCOL, Session},
    control_link,
    error_code::ErrorCode,
    ids::{RequestId, SessionId},
};
use serde::{Deserialize, Serialize};
use worker::{
    DurableObject, Env, Error, Request, Response, ResponseBuilder, Result, State, WebSocket, WebSocketIncomingMessage,
    WebSocketPair, console_error, durable_object,
};

/// Dashboards of one user at once; more are refused.
const DASHBOARDS_MAX: usize = 32;

/// What Session objects send.
#[derive(Serialize, Deserialize)]
pub(crate) enum PublishCall {
    /// A session as this user sees it.
    Changed(Box<Session>),
    /// A session is gone.
    Removed(SessionId),
}

/// One user.
#[durable_object]
pub struct UserObject {
    state: State,
}

impl DurableObject for UserObject {
    fn new(state: State, _env: Env) -> Self {
        Self { state }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        let caller = match object_call::caller(&request) {
            Ok(caller) => caller,
            Err(error) => return error.into_response(RequestId::from_uuid(uuid::Uuid::new_v4())),
        };
        self.answer(request, caller).await.or_else(|error| error.into_response(caller.request_id))
    }

    async fn alarm(&self) -> Result<Response> {
        Response::empty()
    }

    // Dashboards only listen. Whatever they send is ignored; the runtime answers closes.
    async fn websocket_message(&self, _: WebSocket, _: WebSocketIncomingMessage) -> Result<()> {
        Ok(())
    }

    async fn websocket_close(&self, _: WebSocket, _: usize, _: String, _: bool) -> Result<()> {
        Ok(())
    }

    async fn websocket_error(&self, _: WebSocket, _: Error) -> Result<()> {
        Ok(())
    }
}

impl UserObject {
    async fn answer(&self, mut request: Request, _caller: Caller) -> ApiResult<Response> {
        match request.path().as_str() {
            "/events" => self.follow(),
            "/states" => Ok(Response::from_json(&self.states()?)?),
            "/publish" => {
                match object_call::body::<PublishCall>(&mut request).await? {
                    PublishCall::Changed(session) => self.changed(*session)?,
                    PublishCall::Removed(id) => self.removed(id)?,
                }
                Ok(Response::empty()?)
            }
            other => Err(ApiError::internal("route a call", other)),
        }
    }

    fn follow(&self) -> ApiResult<Response> {
        if self.state.get_websockets().len() >= DASHBOARDS_MAX {
            let message = format!("{DASHBOARDS_MAX} dashboards are open.");
            return Err(ApiError::with_message(ErrorCode::LimitReached, message));
        }
        let pair = WebSocketPair::new()?;
        // Hibernatable: a dashboard left open costs nothing while nothing happens.
        self.state.accept_web_socket(&pair.server);
        let response = ResponseBuilder::new().with_status(101).with_websocket(pair.client);
        Ok(response.with_header("sec-websocket-protocol", EVENTS_SUBPROTOCOL)?.empty())
    }

    fn changed(&self, session: Session) -> ApiResult<()> {
        self.table()?;
        let body = serde_json::to_string(&session).map_err(|error| ApiError::internal("write a state", error))?;
        // News may overtake each other: an older one changes nothing and is not told.
        let query = "INSERT INTO states (id, version, body) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE \
             SET version = ?2, body = ?3 WHERE version < ?2 RETURNING id";
        let version = i32::try_from(session.version).unwrap_or(i32::MAX);
        let values = vec![session.id.to_string().into(), version.into(), body.into()];
        let written = self.state.storage().sql().exec(query, values)?.to_array::<serde_json::Value>()?;
        if !written.is_empty() {
            self.broadcast(&DashboardEvent::Changed { session });
        }
        Ok(())
    }

    fn removed(&self, id: SessionId) -> ApiResult<()> {
        self.table()?;
        self.state.storage().sql().exec("DELETE FROM states WHERE id = ?1", vec![id.to_string().into()])?;
        self.broadcast(&DashboardEvent::Removed { id });
        Ok(())
    }

    fn states(&self) -> ApiResult<Vec<Session>> {
        #[derive(Deserialize)]
        struct Row {
            body: String,
        }
        self.table()?;
        let rows = self.state.storage().sql().exec("SELECT body FROM states", None)?.to_array::<Row>()?;
        // A row of an older version that no longer reads is left out: its session publishes anew at its next change.
        Ok(rows.iter().filter_map(|row| serde_json::from_str(&row.body).ok()).collect())
    }

    fn table(&self) -> ApiResult<()> {
        let query =
            "CREATE TABLE IF NOT EXISTS states (id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL)";
        self.state.storage().sql().exec(query, None)?;
        Ok(())
    }

    fn broadcast(&self, event: &DashboardEvent) {
        let text = control_link::encode(event);
        for socket in self.state.get_websockets() {
            if let Err(error) = socket.send_with_str(&text) {
                console_error!("tell a dashboard: {error}");
            }
        }
    }
}
