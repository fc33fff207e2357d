//! The control link's edge end: one outgoing WebSocket to the agent, with a heartbeat both ways.

use crate::{container::Container, now_ms};
use berth_protocol::{
    agent_http::{CONTROL_PATH, TOKEN_HEADER},
    control_link::{self, Command, Report},
    limits::{HEARTBEAT_MS, SILENCE_MS_MAX},
};
use futures_util::{
    StreamExt,
    future::{Either, select},
};
use std::time::Duration;
use worker::{Delay, WebSocket, WebsocketEvent, console_error};

/// Reports the agent may make between two heartbeats; one that makes more is hostile or broken, and its link is dropped.
const REPORTS_PER_BEAT_MAX: u32 = 500;

/// A link that is up; sending on it never blocks.
#[derive(Clone)]
pub(crate) struct ControlLink {
    socket: WebSocket,
}

impl ControlLink {
    /// Connects once.
    pub(crate) async fn open(container: &Container, token: &str) -> Result<Self, String> {
        let response = container.upgrade(CONTROL_PATH, control_link::SUBPROTOCOL, &[(TOKEN_HEADER, token)]).await?;
        let status = response.status_code();
        let socket = response.websocket().ok_or_else(|| format!("the agent answered {status}"))?;
        socket.accept().map_err(|error| error.to_string())?;
        Ok(Self { socket })
    }

    /// Sends a command; a link that is down shows itself as silence.
    pub(crate) fn send(&self, command: &Command) {
        let _ = self.socket.send_with_str(control_link::encode(command));
    }

    /// Hands every report to `take` until the link ends or falls silent.
    pub(crate) async fn run(&self, mut take: impl AsyncFnMut(Report)) {
        let Ok(mut events) = self.socket.events() else { return };
        let mut silent_ms = 0;
        let (mut beat_started_ms, mut reports) = (now_ms(), 0);
        // Renewed only when it fires: an agent that always speaks first must still hear us.
        let next_beat = || Box::pin(Delay::from(Duration::from_millis(HEARTBEAT_MS)));
        let mut beat = next_beat();
        while silent_ms < SILENCE_MS_MAX {
            match select(events.next(), &mut beat).await {
                Either::Left((Some(Ok(WebsocketEvent::Message(message))), _)) => {
                    silent_ms = 0;
                    if now_ms().saturating_sub(beat_started_ms) > HEARTBEAT_MS {
                        (beat_started_ms, reports) = (now_ms(), 0);
                    }
                    reports += 1;
                    if reports > REPORTS_PER_BEAT_MAX {
                        console_error!("the agent reports too much; its link is dropped");
                        return self.close();
                    }
                    let Some(text) = message.text() else { continue };
                    match control_link::decode::<Report>(&text) {
                        Ok(report) => take(report).await,
                        // The container is hostile or of another version: what it says is dropped, the link stays.
                        Err(error) => console_error!("a report was refused: {error}"),
                    }
                }
                Either::Left(_) => return,
                Either::Right(_) => {
                    beat = next_beat();
                    silent_ms += HEARTBEAT_MS;
                    self.send(&Command::Heartbeat);
                }
            }
        }
    }

    /// Closes it.
    pub(crate) fn close(&self) {
        let _ = self.socket.close(Some(1000), Some("done"));
    }
}
