//! Where every session is, live: one list, then one socket that says what changed. No polling.

use crate::{
    api_client::{self, ApiFailure},
    time::Timer,
};
use berth_protocol::{
    api::{DashboardEvent, EVENTS_SUBPROTOCOL, Session},
    error_code::ErrorCode,
    ids::SessionId,
};
use leptos::prelude::*;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};
use wasm_bindgen::{JsCast, closure::Closure};
use web_sys::{MessageEvent, WebSocket};

/// Milliseconds before the first and the latest attempt to reconnect.
const RETRY_MS: (u64, u64) = (500, 8_000);

/// What is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Nothing yet.
    Loading,
    /// The list could not be had.
    Failed(ApiFailure),
    /// Every session.
    Loaded(BTreeMap<SessionId, Session>),
}

/// The live list.
#[derive(Clone, Copy)]
pub struct LiveSessions {
    known: RwSignal<Known>,
    /// Ids that are gone for good: an answer that is slower than the news must not bring one back.
    removed: StoredValue<BTreeSet<SessionId>>,
    /// Whether changes arrive.
    pub live: RwSignal<bool>,
}

impl LiveSessions {
    /// Starts following; lasts as long as the page.
    pub fn start() -> Self {
        let sessions =
            Self { known: RwSignal::new(Known::Loading), removed: StoredValue::default(), live: RwSignal::new(false) };
        connect(sessions, RETRY_MS.0);
        sessions
    }

    /// A list that follows nothing, for tests of what shows it.
    pub fn fixed(known: Known) -> Self {
        Self { known: RwSignal::new(known), removed: StoredValue::default(), live: RwSignal::new(true) }
    }

    /// All that is known, newest first.
    pub fn all(self) -> Known {
        self.known.get()
    }

    /// One session; `None` while nothing is known of it.
    pub fn get(self, id: SessionId) -> Option<Session> {
        self.known.with(|known| match known {
            Known::Loaded(sessions) => sessions.get(&id).cloned(),
            _ => None,
        })
    }

    /// Takes news of a session; older than what is known changes nothing.
    pub fn take(self, session: Session) {
        if self.removed.with_value(|removed| removed.contains(&session.id)) {
            return;
        }
        self.known.update(|known| {
            if let Known::Loaded(sessions) = known {
                let newer = sessions.get(&session.id).is_none_or(|old| old.version < session.version);
                if newer {
                    sessions.insert(session.id, session);
                }
            }
        });
    }

    /// Forgets a session.
    pub fn remove(self, id: SessionId) {
        self.removed.update_value(|removed| {
            removed.insert(id);
        });
        self.known.update(|known| {
            if let Known::Loaded(sessions) = known {
                sessions.remove(&id);
            }
        });
    }

    /// Asks for the list, again after a failure.
    pub fn load(self) {
        wasm_bindgen_futures::spawn_local(async move {
            match api_client::sessions().await {
                Ok(list) => {
                    let fresh: BTreeMap<_, _> =
                        list.sessions.into_iter().map(|session| (session.id, session)).collect();
                    self.known.update(|known| {
                        let old = match std::mem::replace(known, Known::Loading) {
                            Known::Loaded(old) => old,
                            _ => BTreeMap::new(),
                        };
                        // An event may have been faster than the list.
                        let newest = |session: Session| match old.get(&session.id) {
                            Some(other) if other.version > session.version => other.clone(),
                            _ => session,
                        };
                        *known = Known::Loaded(fresh.into_iter().map(|(id, session)| (id, newest(session))).collect());
                    });
                }
                Err(failure) => self.known.update(|known| {
                    if !matches!(known, Known::Loaded(_)) || failure == ApiFailure::Refused(ErrorCode::SignInRequired) {
                        *known = Known::Failed(failure);
                    }
                }),
            }
        });
    }
}

/// Opens the socket; the list is asked for once it is open, so that no change falls between the two.
fn connect(sessions: LiveSessions, retry_ms: u64) {
    let Some(location) = web_sys::window().map(|window| window.location()) else { return };
    let origin = location.origin().unwrap_or_default().replacen("http", "ws", 1);
    let Ok(socket) = WebSocket::new_with_str(&format!("{origin}/api/events"), EVENTS_SUBPROTOCOL) else { return };
    let opened = Rc::new(RefCell::new(false));

    let on_open = {
        let opened = Rc::clone(&opened);
        Closure::<dyn FnMut()>::new(move || {
            *opened.borrow_mut() = true;
            sessions.live.set(true);
            sessions.load();
        })
    };
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        let text = event.data().as_string().unwrap_or_default();
        match serde_json::from_str::<DashboardEvent>(&text) {
            Ok(DashboardEvent::Changed { session }) => sessions.take(session),
            Ok(DashboardEvent::Removed { id }) => sessions.remove(id),
            // A newer server may say more than this page knows.
            Err(_) => {}
        }
    });
    let on_close = Closure::once_into_js(move || {
        sessions.live.set(false);
        // A socket that never opened: ask by HTTP why, and show what can be shown.
        if !*opened.borrow() {
            sessions.load();
        }
        let next_ms = if *opened.borrow() { RETRY_MS.0 } else { (retry_ms * 2).min(RETRY_MS.1) };
        std::mem::forget(Timer::once(retry_ms, move || connect(sessions, next_ms)));
    });
    socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
    socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    socket.set_onclose(Some(on_close.unchecked_ref()));
    // They live as long as the socket, which the browser holds.
    on_open.forget();
    on_message.forget();
}
