//! JSON bodies of the HTTP surface (`/api/*`) and of the dashboard's event stream.

use crate::{
    DecodeError,
    error_code::ErrorCode,
    ids::{RequestId, SessionId, UserId},
    limits::SESSION_NAME_CHARS_MAX,
};
use serde::{Deserialize, Serialize};

/// The WebSocket subprotocol of `GET /api/events`.
pub const EVENTS_SUBPROTOCOL: &str = "berth.events.v1";

/// What a user may do in one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees terminals; input is refused by the agent.
    Viewer,
    /// Works: types, starts and stops.
    Editor,
    /// Also renames, shares and deletes.
    Owner,
}

/// What runs in the first terminal. Only the plain shell for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assistant {
    /// A login shell.
    #[default]
    Shell,
}

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// No container.
    Stopped,
    /// A container was asked for and does not serve yet.
    Starting,
    /// The agent serves.
    Running,
    /// Programs are being ended; the container goes after them.
    Stopping,
    /// The last start failed, or the container died; no container.
    Failed,
}

/// Why a session is in `failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The engine refused to start the container.
    StartRefused,
    /// The agent did not serve in time.
    StartTimedOut,
    /// The container ended without being asked to.
    ContainerExited,
}

/// A session as the dashboard shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Id.
    pub id: SessionId,
    /// Name, 1 to [`SESSION_NAME_CHARS_MAX`] characters.
    pub name: String,
    /// What runs in the first terminal.
    pub assistant: Assistant,
    /// The workspace it opens; `main` for now.
    pub workspace: String,
    /// The caller's role.
    pub role: Role,
    /// Lifecycle.
    pub state: SessionState,
    /// Why, when `state` is `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Unix time in milliseconds of the last change of `state`.
    pub state_since_ms: u64,
    /// Unix time in milliseconds of its creation.
    pub created_ms: u64,
    /// Counts changes; a lower one is stale.
    pub version: u64,
}

/// `GET /api/me`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Me {
    /// The signed-in user.
    pub id: UserId,
    /// Whether containers of this deployment are isolated from the host.
    pub isolated: bool,
    /// Whether files outlive a container.
    pub files_kept: bool,
}

/// `GET /api/sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionList {
    /// Newest first.
    pub sessions: Vec<Session>,
}

/// `POST /api/sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateSession {
    /// Name; the edge picks one when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SessionName>,
    /// What to run.
    #[serde(default)]
    pub assistant: Assistant,
}

/// `PATCH /api/sessions/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchSession {
    /// The new name.
    pub name: SessionName,
}

/// A session's name: trimmed, 1 to [`SESSION_NAME_CHARS_MAX`] characters, no control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionName(String);

impl SessionName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SessionName {
    type Error = DecodeError;

    fn try_from(text: String) -> Result<Self, DecodeError> {
        let trimmed = text.trim();
        match trimmed.chars().count() {
            0 => Err(DecodeError::new("name", "empty")),
            chars if chars > SESSION_NAME_CHARS_MAX => {
                Err(DecodeError::new("name", format!("{chars} characters, {SESSION_NAME_CHARS_MAX} allowed")))
            }
            _ if trimmed.chars().any(char::is_control) => Err(DecodeError::new("name", "holds a control character")),
            _ => Ok(Self(trimmed.to_owned())),
        }
    }
}

impl From<SessionName> for String {
    fn from(name: SessionName) -> String {
        name.0
    }
}

/// A text message on `GET /api/events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DashboardEvent {
    /// A session is new or changed.
    Changed {
        /// Its state now.
        session: Session,
    },
    /// A session is gone.
    Removed {
        /// Its id.
        id: SessionId,
    },
}

/// Body of every HTTP error: `{"error":{…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// An HTTP error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// Code from the closed list.
    pub code: ErrorCode,
    /// One English sentence; the page shows its own text for the code.
    pub message: String,
    /// The next step, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Finds the request in the log.
    pub request_id: RequestId,
}
