//! D1: users, the index of sessions and their members, used links.

use crate::api_error::{ApiError, ApiResult};
use berth_protocol::{
    api::{Assistant, Role, Session, SessionState},
    error_code::ErrorCode,
    ids::{SessionId, UserId},
    limits::SESSIONS_PER_USER_MAX,
};
use serde::Deserialize;
use worker::{D1Database, Env, wasm_bindgen::JsValue};

/// The index.
pub(crate) struct IndexDb {
    db: D1Database,
}

/// A new session's row.
pub(crate) struct NewSession<'a> {
    pub(crate) id: SessionId,
    pub(crate) owner: UserId,
    pub(crate) name: &'a str,
    pub(crate) now_ms: u64,
}

#[derive(Deserialize)]
struct Row {
    id: SessionId,
    name: String,
    assistant: Assistant,
    workspace: String,
    role: Role,
    created_ms: f64,
}

impl IndexDb {
    pub(crate) fn new(env: &Env) -> ApiResult<Self> {
        Ok(Self { db: env.d1("DB")? })
    }

    /// Marks a link as used; false if it was before.
    pub(crate) async fn use_link(&self, nonce: &str, now_ms: u64) -> ApiResult<bool> {
        let row = self
            .db
            .prepare("INSERT INTO used_links (nonce, used_ms) VALUES (?1, ?2) ON CONFLICT DO NOTHING RETURNING nonce");
        let inserted = row.bind(&[nonce.into(), number(now_ms)])?.first::<String>(Some("nonce")).await?;
        Ok(inserted.is_some())
    }

    /// Makes the user's row, if it is missing.
    pub(crate) async fn ensure_user(&self, user: UserId, now_ms: u64) -> ApiResult<()> {
        let row = self.db.prepare("INSERT INTO users (id, created_ms) VALUES (?1, ?2) ON CONFLICT DO NOTHING");
        row.bind(&[id(user), number(now_ms)])?.run().await?;
        Ok(())
    }

    /// Adds a session with its owner as member. Refused above the user's limit.
    pub(crate) async fn add_session(&self, new: &NewSession<'_>) -> ApiResult<()> {
        // The count is part of the insert, so that two requests at once cannot both be the last.
        let session = self.db.prepare(
            "INSERT INTO sessions (id, owner, name, assistant, created_ms) SELECT ?1, ?2, ?3, 'shell', ?4 \
             WHERE (SELECT COUNT(*) FROM sessions WHERE owner = ?2) < ?5",
        );
        let limit = f64::from(SESSIONS_PER_USER_MAX).into();
        let session = session.bind(&[id(new.id), id(new.owner), new.name.into(), number(new.now_ms), limit])?;
        let member = self.db.prepare(
            "INSERT INTO members (session, user, role) SELECT id, owner, 'owner' FROM sessions WHERE id = ?1 RETURNING session",
        );
        let member = member.bind(&[id(new.id)])?;
        let results = self.db.batch(vec![session, member]).await?;
        let added = results.last().map(|result| result.results::<serde_json::Value>()).transpose()?.unwrap_or_default();
        if added.is_empty() {
            let message = format!("You have {SESSIONS_PER_USER_MAX} sessions.");
            return Err(ApiError::with_message(ErrorCode::LimitReached, message));
        }
        Ok(())
    }

    /// A user's sessions, newest first, all as stopped: where they are is their objects' to say.
    pub(crate) async fn sessions_of(&self, user: UserId) -> ApiResult<Vec<Session>> {
        let query = self.db.prepare(
            "SELECT s.id, s.name, s.assistant, s.workspace, m.role, s.created_ms FROM members m JOIN sessions s ON s.id = m.session \
             WHERE m.user = ?1 ORDER BY s.created_ms DESC, s.id",
        );
        let rows: Vec<Row> = query.bind(&[id(user)])?.all().await?.results()?;
        let sessions = rows.into_iter().map(|row| Session {
            id: row.id,
            name: row.name,
            assistant: row.assistant,
            workspace: row.workspace,
            role: row.role,
            state: SessionState::Stopped,
            failure: None,
            state_since_ms: row.created_ms as u64,
            created_ms: row.created_ms as u64,
            version: 0,
        });
        Ok(sessions.collect())
    }

    /// Renames a session.
    pub(crate) async fn rename_session(&self, session: SessionId, name: &str) -> ApiResult<()> {
        let update = self.db.prepare("UPDATE sessions SET name = ?2 WHERE id = ?1");
        update.bind(&[id(session), name.into()])?.run().await?;
        Ok(())
    }

    /// Removes a session and its members; a second time is harmless.
    pub(crate) async fn remove_session(&self, session: SessionId) -> ApiResult<()> {
        let members = self.db.prepare("DELETE FROM members WHERE session = ?1").bind(&[id(session)])?;
        let session = self.db.prepare("DELETE FROM sessions WHERE id = ?1").bind(&[id(session)])?;
        self.db.batch(vec![members, session]).await?;
        Ok(())
    }
}

fn id(id: impl std::fmt::Display) -> JsValue {
    id.to_string().into()
}

/// Milliseconds fit a double until the year 287396.
fn number(value: u64) -> JsValue {
    (value as f64).into()
}
