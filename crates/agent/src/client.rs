//! One client connection: frames in, frames out, within its grant.

use crate::{clock::now_ms, hub::ClientSlot, hub::Shared, socket::Socket};
use berth_core::terminal::{Attachment, InputOutcome};
use berth_protocol::{
    agent_http::Grant,
    api::Role,
    error_code::ErrorCode,
    ids::ClientId,
    limits::{CLIENTS_PER_SESSION_MAX, SILENCE_MS_MAX},
    terminal_frame::{AgentFrame, ClientFrame},
};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use std::{collections::VecDeque, rc::Rc, time::Duration};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

/// How long a closing connection may take to hear why.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Makes room for a client; false when there is none, or its grant ran out, or its id is in use.
pub fn admit(hub: &Shared, grant: Grant) -> bool {
    let mut hub = hub.borrow_mut();
    if hub.clients.len() >= CLIENTS_PER_SESSION_MAX
        || hub.clients.contains_key(&grant.client)
        || grant.expires_ms <= now_ms()
    {
        return false;
    }
    let client = grant.client;
    let slot = ClientSlot { grant, replies: VecDeque::new(), wake: Rc::default(), close: Rc::default() };
    hub.clients.insert(client, slot);
    true
}

/// Serves an admitted client until either side ends, it falls silent, or its grant runs out.
pub async fn serve(socket: Socket, grant: Grant, hub: Shared) {
    let client = grant.client;
    {
        let mut hub = hub.borrow_mut();
        let welcome = AgentFrame::Welcome {
            boot: hub.boot,
            read_only: grant.role < Role::Editor,
            terminals: hub.terminals.keys().copied().collect(),
        };
        hub.reply(client, welcome);
    }
    let (mut sink, stream) = socket.split();
    let Some(close) = hub.borrow().clients.get(&client).map(|slot| Rc::clone(&slot.close)) else { return };
    let lease = Duration::from_millis(grant.expires_ms.saturating_sub(now_ms()));
    let access_has_ended = tokio::select! {
        () = read_frames(stream, &grant, &hub) => false,
        () = write_frames(&mut sink, client, &hub) => false,
        () = close.notified() => true,
        () = tokio::time::sleep(lease) => true,
    };
    hub.borrow_mut().forget(client);
    if access_has_ended {
        let frame = CloseFrame { code: CloseCode::Policy, reason: "access has ended".into() };
        // A client that does not read gets no explanation.
        let _ = timeout(CLOSE_TIMEOUT, sink.send(Message::Close(Some(frame)))).await;
    }
}

/// Reads until the connection ends or has been silent for too long.
async fn read_frames(mut stream: SplitStream<Socket>, grant: &Grant, hub: &Shared) {
    while let Ok(Some(Ok(message))) = timeout(Duration::from_millis(SILENCE_MS_MAX), stream.next()).await {
        match message {
            Message::Binary(bytes) => match ClientFrame::decode(&bytes) {
                Ok(frame) => take(frame, grant, hub),
                Err(error) => refuse(hub, grant.client, 0, ErrorCode::BadFrame, error.to_string()),
            },
            Message::Text(_) => refuse(hub, grant.client, 0, ErrorCode::BadFrame, "frames are binary".to_owned()),
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

fn refuse(hub: &Shared, client: ClientId, terminal: u32, code: ErrorCode, detail: String) {
    hub.borrow_mut().reply(client, AgentFrame::Refused { terminal, code, detail });
}

/// Everything a client can ask.
fn take(frame: ClientFrame, grant: &Grant, hub: &Shared) {
    let client = grant.client;
    let mut guard = hub.borrow_mut();
    let hub = &mut *guard;
    let terminal = match &frame {
        ClientFrame::Ping { token } => return hub.reply(client, AgentFrame::Pong { token: *token }),
        ClientFrame::Attach { terminal, .. }
        | ClientFrame::Input { terminal, .. }
        | ClientFrame::Resize { terminal, .. }
        | ClientFrame::Ack { terminal, .. } => *terminal,
    };
    let refused = |code, detail: &str| AgentFrame::Refused { terminal, code, detail: detail.to_owned() };
    let Some(slot) = hub.terminals.get_mut(&terminal) else {
        return hub.reply(client, refused(ErrorCode::NoSuchTerminal, "no such terminal in this boot"));
    };
    if grant.role < Role::Editor && matches!(frame, ClientFrame::Input { .. } | ClientFrame::Resize { .. }) {
        return hub.reply(client, refused(ErrorCode::ReadOnly, "viewers do not type"));
    }
    match frame {
        ClientFrame::Attach { have, boot, input_stream, size, .. } => {
            let have = (boot == hub.boot).then_some(have);
            let read_only = grant.role < Role::Editor;
            slot.terminal.attach(client, Attachment { input_stream, have, size, read_only }, now_ms());
            let offset = slot.terminal.input_position(client);
            hub.reply(client, AgentFrame::InputAck { terminal, offset });
            hub.apply_size(terminal);
        }
        ClientFrame::Input { offset, bytes, .. } => {
            let before = slot.terminal.size();
            let outcome = slot.terminal.input(client, offset, &bytes);
            let resized = slot.terminal.size() != before;
            let position = slot.terminal.input_position(client);
            match outcome {
                InputOutcome::Write(fresh) => {
                    if let Some(stream) = slot.terminal.stream_of(client) {
                        // The writer ends only with the terminal, whose exit is told in its own frame.
                        let _ = slot.input.send((stream, fresh));
                    }
                }
                InputOutcome::Repeated => hub.reply(client, AgentFrame::InputAck { terminal, offset: position }),
                InputOutcome::Refused(code, detail) => hub.reply(client, refused(code, detail)),
            }
            if resized {
                hub.apply_size(terminal);
            }
        }
        ClientFrame::Resize { size, .. } => {
            slot.terminal.resize(client, size);
            hub.apply_size(terminal);
        }
        ClientFrame::Ack { offset, .. } => {
            slot.terminal.ack(client, offset, now_ms());
            slot.acked.notify_one();
            if let Some(state) = hub.clients.get(&client) {
                state.wake.notify_one();
            }
        }
        ClientFrame::Ping { .. } => {}
    }
}

/// Sends what waits, replies first, output of each terminal in turn; the socket's own pace holds it back.
async fn write_frames(sink: &mut SplitSink<Socket, Message>, client: ClientId, hub: &Shared) {
    let Some(wake) = hub.borrow().clients.get(&client).map(|slot| Rc::clone(&slot.wake)) else { return };
    loop {
        let frames = next_batch(client, hub);
        if frames.is_empty() {
            wake.notified().await;
            continue;
        }
        for frame in frames {
            if sink.feed(Message::Binary(frame.encode().into())).await.is_err() {
                return;
            }
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
}

/// Replies, then one frame of each terminal, so that a flood in one does not starve the others.
fn next_batch(client: ClientId, hub: &Shared) -> Vec<AgentFrame> {
    let mut hub = hub.borrow_mut();
    let Some(slot) = hub.clients.get_mut(&client) else { return vec![] };
    let mut frames: Vec<AgentFrame> = slot.replies.drain(..).collect();
    frames.extend(hub.terminals.values_mut().filter_map(|slot| slot.terminal.next_frame(client)));
    frames
}
