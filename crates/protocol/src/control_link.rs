//! The control link, `berth.control.v1`: one WebSocket from the Session object to the agent, one JSON text message each.
//! Agent events carry `{boot, seq}` and are repeated after a reconnect until acknowledged; commands may be repeated safely.

use crate::{
    DecodeError,
    ids::{BootId, ClientId, UserId},
    limits::CONTROL_BYTES_MAX,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The WebSocket subprotocol of these messages.
pub const SUBPROTOCOL: &str = "berth.control.v1";

/// What the Session object tells the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// All events up to and including `seq` are handled; the agent forgets them.
    Ack {
        /// Sequence number of the last handled event.
        seq: u64,
    },
    /// Heartbeat; the agent answers with its own.
    Heartbeat,
    /// End all programs (HUP, TERM, KILL), then report `drained`.
    Drain,
    /// Close the connections of one client.
    CloseClient {
        /// The client.
        client: ClientId,
    },
    /// Close every connection of one user.
    CloseUser {
        /// The user.
        user: UserId,
    },
}

/// What the agent tells the Session object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Report {
    /// First message on a link.
    Hello {
        /// The running boot.
        boot: BootId,
        /// The agent's version, for the timeline.
        agent_version: String,
    },
    /// Heartbeat.
    Heartbeat,
    /// Something happened; repeated after a reconnect until acknowledged.
    Event {
        /// The running boot.
        boot: BootId,
        /// Counts events of this boot from 1.
        seq: u64,
        /// What happened.
        event: AgentEvent,
    },
}

/// What can happen in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum AgentEvent {
    /// A terminal runs.
    TerminalOpened {
        /// Its id, never reused within the boot.
        terminal: u32,
    },
    /// A terminal's program ended.
    TerminalExited {
        /// Its id.
        terminal: u32,
        /// Exit code; 128 + signal when killed.
        code: i32,
    },
    /// The platform asked the agent to end (SIGTERM); it goes on serving until told to drain.
    Terminating,
    /// Every program has ended after `Drain`.
    Drained,
}

/// Reads a control message; refuses oversized and unknown ones with the field named.
pub fn decode<T: DeserializeOwned>(text: &str) -> Result<T, DecodeError> {
    if text.len() > CONTROL_BYTES_MAX {
        return Err(DecodeError::new("message", format!("{} bytes, {CONTROL_BYTES_MAX} allowed", text.len())));
    }
    serde_json::from_str(text).map_err(|error| DecodeError::new("message", error.to_string()))
}

/// Writes a control message.
pub fn encode<T: Serialize>(message: &T) -> String {
    // These enums hold strings, numbers and ids only: serialising them cannot fail.
    serde_json::to_string(message).unwrap_or_default()
}
