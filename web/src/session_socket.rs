//! One terminal's connection: frames between `TerminalClient` and the browser's WebSocket, heartbeats, and reconnecting.

use crate::time::{Timer, now_ms};
use berth_core::terminal_client::{NotTyped, Show, TerminalClient};
use berth_protocol::{
    ids::{InputStreamId, SessionId},
    limits::{HEARTBEAT_MS, SILENCE_MS_MAX},
    terminal_frame::{AgentFrame, ClientFrame, SUBPROTOCOL, Size},
};
use js_sys::{ArrayBuffer, Uint8Array};
use std::{any::Any, cell::RefCell, rc::Rc};
use wasm_bindgen::{JsCast, closure::Closure};
use web_sys::{BinaryType, MessageEvent, WebSocket};

/// Milliseconds before the first and the latest attempt to reconnect.
const RETRY_MS: (u64, u64) = (100, 5_000);
/// Milliseconds an attempt may take; a phone's zombie sockets never say that they failed.
const CONNECT_MS_MAX: u64 = 8_000;

/// How the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The first attempt.
    Connecting,
    /// Attached.
    Open,
    /// It was open; attempts follow each other.
    Reconnecting,
}

/// What the page hears.
pub struct Listener {
    /// Something to show.
    pub show: Box<dyn FnMut(Show)>,
    /// The connection changed.
    pub link: Box<dyn FnMut(Link)>,
}

/// The connection; clones are one. It ends with [`SessionSocket::close`].
#[derive(Clone)]
pub struct SessionSocket {
    inner: Rc<RefCell<Inner>>,
}

struct Inner {
    session: SessionId,
    client: TerminalClient,
    listener: Rc<RefCell<Listener>>,
    connection: Option<Connection>,
    was_open: bool,
    retry_ms: u64,
    heard_ms: u64,
    closed: bool,
    retry: Option<Timer>,
}

/// A browser socket with its handlers, which go with it.
struct Connection {
    socket: WebSocket,
    /// Closures that must live as long as the socket.
    _handlers: Box<dyn Any>,
    _watch: Option<Timer>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        let _ = self.socket.close();
    }
}

impl SessionSocket {
    /// Connects to a session's first terminal.
    pub fn open(session: SessionId, size: Size, listener: Listener) -> Self {
        let stream = InputStreamId::from_uuid(uuid::Uuid::new_v4());
        let inner = Inner {
            session,
            client: TerminalClient::new(1, stream, size),
            listener: Rc::new(RefCell::new(listener)),
            connection: None,
            was_open: false,
            retry_ms: RETRY_MS.0,
            heard_ms: now_ms(),
            closed: false,
            retry: None,
        };
        let socket = Self { inner: Rc::new(RefCell::new(inner)) };
        socket.connect();
        socket
    }

    /// Sends what the screen produced, typed or answered, now or when connected; nothing while it parses a replay.
    pub fn typed(&self, bytes: &[u8]) -> Result<(), NotTyped> {
        if self.inner.borrow().client.is_replaying() {
            return Ok(());
        }
        let frames = self.inner.borrow_mut().client.typed(bytes)?;
        self.send(&frames);
        Ok(())
    }

    /// The screen has parsed this many bytes more.
    pub fn parsed(&self, bytes: u64) {
        let frame = self.inner.borrow_mut().client.parsed(bytes);
        self.send(frame.as_slice());
    }

    /// The screen's size changed.
    pub fn resized(&self, size: Size) {
        let frame = self.inner.borrow_mut().client.resized(size);
        self.send(frame.as_slice());
    }

    /// Connects now if it is waiting to: the network or the page came back.
    pub fn hurry(&self) {
        let waits = {
            let inner = self.inner.borrow();
            !inner.closed && inner.connection.is_none()
        };
        if waits {
            self.connect();
        }
    }

    /// Ends for good.
    pub fn close(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.closed = true;
        inner.connection = None;
        inner.retry = None;
    }

    fn connect(&self) {
        let session = self.inner.borrow().session;
        let Some(location) = web_sys::window().map(|window| window.location()) else { return };
        let origin = location.origin().unwrap_or_default().replacen("http", "ws", 1);
        let Ok(socket) = WebSocket::new_with_str(&format!("{origin}/api/sessions/{session}/attach"), SUBPROTOCOL)
        else {
            return self.lost();
        };
        socket.set_binary_type(BinaryType::Arraybuffer);
        let on_message = {
            let this = self.clone();
            Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
                if let Ok(buffer) = event.data().dyn_into::<ArrayBuffer>() {
                    this.received(&Uint8Array::new(&buffer).to_vec());
                }
            })
        };
        let on_close = {
            let this = self.clone();
            Closure::<dyn FnMut()>::new(move || this.lost())
        };
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        let watch = {
            let this = self.clone();
            Timer::every(HEARTBEAT_MS, move || this.beat())
        };
        let mut inner = self.inner.borrow_mut();
        inner.heard_ms = now_ms();
        inner.retry = None;
        inner.connection = Some(Connection { socket, _handlers: Box::new((on_message, on_close)), _watch: watch });
    }

    fn received(&self, bytes: &[u8]) {
        let (listener, shows, sends, opened) = {
            let mut inner = self.inner.borrow_mut();
            inner.heard_ms = now_ms();
            // What does not decode comes from another version or a hostile container: it is dropped, the rest goes on.
            let Ok(frame) = AgentFrame::decode(bytes) else { return };
            let opened = matches!(frame, AgentFrame::Welcome { .. });
            if opened {
                inner.was_open = true;
                inner.retry_ms = RETRY_MS.0;
            }
            let (shows, sends) = inner.client.take(frame);
            (Rc::clone(&inner.listener), shows, sends, opened)
        };
        self.send(&sends);
        let mut listener = listener.borrow_mut();
        if opened {
            (listener.link)(Link::Open);
        }
        for show in shows {
            (listener.show)(show);
        }
    }

    fn beat(&self) {
        let silent_ms = now_ms().saturating_sub(self.inner.borrow().heard_ms);
        let is_open =
            self.inner.borrow().connection.as_ref().is_some_and(|c| c.socket.ready_state() == WebSocket::OPEN);
        let limit = if is_open { SILENCE_MS_MAX } else { CONNECT_MS_MAX };
        if silent_ms > limit {
            return self.lost();
        }
        self.send(&[ClientFrame::Ping { token: now_ms() }]);
    }

    /// The connection ended, or is as good as ended.
    fn lost(&self) {
        let this = self.clone();
        let (listener, was_open) = {
            let mut inner = self.inner.borrow_mut();
            if inner.closed {
                return;
            }
            inner.client.disconnected();
            let wait_ms = inner.retry_ms;
            inner.retry_ms = (wait_ms * 2).min(RETRY_MS.1);
            // The handlers that called us belong to the connection: it goes when they have returned.
            let connection = inner.connection.take();
            inner.retry = Timer::once(wait_ms, move || {
                let _old = &connection;
                this.connect();
            });
            (Rc::clone(&inner.listener), inner.was_open)
        };
        (listener.borrow_mut().link)(if was_open { Link::Reconnecting } else { Link::Connecting });
    }

    fn send(&self, frames: &[ClientFrame]) {
        let inner = self.inner.borrow();
        let Some(connection) = inner.connection.as_ref() else { return };
        if connection.socket.ready_state() == WebSocket::OPEN {
            for frame in frames {
                // A failure shows itself as a close.
                let _ = connection.socket.send_with_u8_array(&frame.encode());
            }
        }
    }
}
