//! What a Session object stores: one row, read when it is constructed and written before any effect.

use crate::api_error::{ApiError, ApiResult};
use berth_core::lifecycle::Lifecycle;
use berth_protocol::{
    api::{Assistant, Role, Session},
    ids::{SessionId, UserId},
};
use serde::{Deserialize, Serialize};
use worker::{State, console_error};

/// One session.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: SessionId,
    pub(crate) name: String,
    pub(crate) assistant: Assistant,
    pub(crate) workspace: String,
    pub(crate) created_ms: u64,
    pub(crate) members: Vec<(UserId, Role)>,
    pub(crate) lifecycle: Lifecycle,
    /// The boot token; worth nothing outside the running container.
    pub(crate) token: String,
}

impl Record {
    /// Reads the stored session; an id that was never created leaves no trace by being asked.
    pub(crate) fn load(state: &State) -> Option<Self> {
        #[derive(Deserialize)]
        struct Row {
            body: String,
        }
        let sql = state.storage().sql();
        let tables = sql.exec("SELECT name AS body FROM sqlite_master WHERE name = 'session'", None).ok()?;
        tables.to_array::<Row>().ok()?.first()?;
        let rows = sql.exec("SELECT body FROM session", None).ok()?.to_array::<Row>().ok()?;
        serde_json::from_str(&rows.first()?.body).inspect_err(|error| console_error!("read a session: {error}")).ok()
    }

    /// Makes room for it, once.
    pub(crate) fn make_table(state: &State) -> ApiResult<()> {
        let query = "CREATE TABLE session (one INTEGER PRIMARY KEY CHECK (one = 1), body TEXT NOT NULL)";
        state.storage().sql().exec(query, None)?;
        Ok(())
    }

    /// Writes it.
    pub(crate) fn store(&self, state: &State) -> ApiResult<()> {
        let body = serde_json::to_string(self).map_err(|error| ApiError::internal("write a session", error))?;
        let query = "INSERT INTO session (one, body) VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET body = ?1";
        state.storage().sql().exec(query, vec![body.into()])?;
        Ok(())
    }

    /// What a user is in it.
    pub(crate) fn role_of(&self, user: UserId) -> Option<Role> {
        self.members.iter().find(|(member, _)| *member == user).map(|(_, role)| *role)
    }

    /// As one of its members sees it.
    pub(crate) fn view(&self, role: Role) -> Session {
        Session {
            id: self.id,
            name: self.name.clone(),
            assistant: self.assistant,
            workspace: self.workspace.clone(),
            role,
            state: self.lifecycle.state,
            failure: self.lifecycle.failure,
            state_since_ms: self.lifecycle.since_ms,
            created_ms: self.created_ms,
            version: self.lifecycle.version,
        }
    }
}
