//! The agent's HTTP door, used by the Session object only: paths, headers and the grant that an upgrade carries.

use crate::{
    DecodeError,
    api::Role,
    ids::{ClientId, UserId},
};
use serde::{Deserialize, Serialize};

/// Answers 204 as soon as the agent serves.
pub const READY_PATH: &str = "/ready";
/// WebSocket, [`crate::control_link::SUBPROTOCOL`].
pub const CONTROL_PATH: &str = "/control";
/// WebSocket, [`crate::terminal_frame::SUBPROTOCOL`]; wants [`GRANT_HEADER`].
pub const ATTACH_PATH: &str = "/attach";
/// Header with the boot token, on every request.
pub const TOKEN_HEADER: &str = "berth-boot-token";
/// Header with a [`Grant`] as JSON.
pub const GRANT_HEADER: &str = "berth-grant";
/// Environment variable that carries the boot token into the container; the agent removes it before it starts anything.
pub const TOKEN_VARIABLE: &str = "BERTH_BOOT_TOKEN";
/// Environment variable that carries the boot id into the container.
pub const BOOT_VARIABLE: &str = "BERTH_BOOT";
/// Environment variable with the session's name, for the prompt.
pub const NAME_VARIABLE: &str = "BERTH_SESSION_NAME";

/// What a client may do in a session until when. Made by `authorize`, held by the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The connection.
    pub client: ClientId,
    /// Its user; the agent never learns a name.
    pub user: UserId,
    /// What the user may do.
    pub role: Role,
    /// Unix time in milliseconds after which the agent closes the connection.
    pub expires_ms: u64,
}

impl Grant {
    /// Writes the header value: JSON of ids and numbers, so plain ASCII.
    pub fn to_header(&self) -> String {
        crate::control_link::encode(self)
    }

    /// Reads the header value.
    pub fn from_header(value: &str) -> Result<Self, DecodeError> {
        serde_json::from_str(value).map_err(|error| DecodeError::new("grant", error.to_string()))
    }
}
