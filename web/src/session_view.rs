//! A session: its terminal, and the truth about its container and connection above it.

use crate::{
    api_client::{self, ApiFailure},
    live_sessions::{Known, LiveSessions},
    route::{Navigator, Route},
    session_socket::{Link, Listener, SessionSocket},
    terminal_view::{Handlers, TerminalView},
    texts::{error_text, failure_text, state_class, state_text, t},
    toasts::Toasts,
};
use berth_core::terminal_client::{NotTyped, Show};
use berth_protocol::{
    api::{Session, SessionState},
    error_code::ErrorCode,
    ids::SessionId,
    limits::{COLUMNS_DEFAULT, ROWS_DEFAULT},
    terminal_frame::Size,
};
use leptos::{html, prelude::*};
use std::{cell::RefCell, rc::Rc};
use wasm_bindgen::{JsCast, closure::Closure};
use wasm_bindgen_futures::{JsFuture, spawn_local};

/// The page's terminal and its connection; either may be missing for a while.
#[derive(Default)]
struct Stage {
    terminal: Option<Rc<TerminalView>>,
    socket: Option<SessionSocket>,
    /// Output that came while xterm was being loaded.
    early: Vec<Show>,
}

type SharedStage = Rc<RefCell<Stage>>;

/// One session's page.
#[component]
pub fn SessionPage(
    /// Which.
    id: SessionId,
    /// The live list.
    sessions: LiveSessions,
    /// Where to go.
    navigator: Navigator,
    /// Where failures are told.
    toasts: Toasts,
) -> impl IntoView {
    let session = Memo::new(move |_| sessions.get(id));
    let missing = Memo::new(move |_| match sessions.all() {
        Known::Loading => None,
        Known::Failed(failure) => Some(failure),
        Known::Loaded(known) => (!known.contains_key(&id)).then_some(ApiFailure::Refused(ErrorCode::NotFound)),
    });
    let state = Memo::new(move |_| session.get().map(|session| session.state));
    let link = RwSignal::new(None::<Link>);
    let ended = RwSignal::new(None::<String>);
    let title = RwSignal::new(String::new());
    let read_only = RwSignal::new(false);
    let host = NodeRef::<html::Div>::new();
    let stage: StoredValue<SharedStage, LocalStorage> = StoredValue::new_local(SharedStage::default());
    let signals = Signals { link, ended, title, read_only, toasts };

    Effect::new(move |_| {
        if let Some(host) = host.get() {
            open_screen(stage.get_value(), host.into(), signals);
        }
    });
    Effect::new(move |_| match state.get() {
        Some(SessionState::Running) => connect(id, stage.get_value(), signals),
        _ => disconnect(&stage.get_value(), signals),
    });
    let wake = on_page_return(move || {
        if let Some(socket) = stage.try_get_value().and_then(|stage| stage.borrow().socket.clone()) {
            socket.hurry();
        }
    });
    let wake = StoredValue::new_local(wake);
    on_cleanup(move || {
        wake.dispose();
        let stage = stage.get_value();
        disconnect(&stage, signals);
        let terminal = stage.borrow_mut().terminal.take();
        drop(terminal);
    });
    Effect::new(move |_| {
        let name = session.get().map(|session| session.name).unwrap_or_default();
        let program = title.get();
        let text = if program.is_empty() { name } else { format!("{program} · {name}") };
        document().set_title(&if text.is_empty() { t().brand.to_owned() } else { format!("{text} · {}", t().brand) });
    });

    let act = move |start: bool| {
        spawn_local(async move {
            let outcome = if start { api_client::start(id).await } else { api_client::stop(id).await };
            match outcome {
                Ok(session) => sessions.take(session),
                Err(failure) => toasts.show(failure.text()),
            }
        });
    };
    let copy = move |_| {
        spawn_local(async move {
            let Some(terminal) = screen(&stage.get_value()).filter(|terminal| terminal.has_selection()) else { return };
            let Some(clipboard) = web_sys::window().map(|window| window.navigator().clipboard()) else { return };
            let copied = JsFuture::from(clipboard.write_text(&terminal.selection()));
            if copied.await.is_err() {
                toasts.show(t().copy_blocked);
            }
        });
    };
    let paste = move |_| {
        spawn_local(async move {
            let Some(clipboard) = web_sys::window().map(|window| window.navigator().clipboard()) else { return };
            match JsFuture::from(clipboard.read_text()).await {
                Ok(text) => {
                    if let Some(terminal) = screen(&stage.get_value()) {
                        terminal.paste(&text.as_string().unwrap_or_default());
                        terminal.focus();
                    }
                }
                Err(_) => toasts.show(t().paste_blocked),
            }
        });
    };
    let name = move || session.get().map(|session| session.name).unwrap_or_default();
    let toggle = move || match state.get() {
        Some(SessionState::Running | SessionState::Starting) => {
            view! { <button class="button small" on:click=move |_| act(false)>{t().stop}</button> }.into_any()
        }
        _ => ().into_any(),
    };
    view! {
        <header class="bar">
            <a class="brand back" href="/app" on:click=navigator.link(Route::Dashboard) aria-label=t().back>
                <span aria-hidden="true">"‹"</span>
                <span class="optional">{t().brand}</span>
            </a>
            <span class="title">{name}</span>
            <Status state link/>
            <span class="grow"></span>
            <button class="button small" on:click=copy>{t().copy}</button>
            <button class="button small" on:click=paste>{t().paste}</button>
            {toggle}
        </header>
        <main class="session">
            <div class="terminal-frame">
                <div class="screen" node_ref=host></div>
                {move || read_only.get().then(|| view! { <div class="ribbon" role="status">{t().read_only}</div> })}
                {move || ended.get().map(|text| view! { <div class="ribbon" role="status">{text}</div> })}
                {move || overlay(session.get(), missing.get(), link.get(), act, navigator)}
            </div>
        </main>
    }
}

/// The terminal, if it is loaded. Never call it while the stage is borrowed: it may call back at once.
fn screen(stage: &SharedStage) -> Option<Rc<TerminalView>> {
    stage.borrow().terminal.clone()
}

/// What changes on the page as the terminal goes on.
#[derive(Clone, Copy)]
struct Signals {
    link: RwSignal<Option<Link>>,
    ended: RwSignal<Option<String>>,
    title: RwSignal<String>,
    read_only: RwSignal<bool>,
    toasts: Toasts,
}

/// State and connection in one dot and a word.
#[component]
fn Status(state: Memo<Option<SessionState>>, link: RwSignal<Option<Link>>) -> impl IntoView {
    let class = move || match (state.get(), link.get()) {
        (Some(SessionState::Running), Some(Link::Open)) => "state online",
        (Some(SessionState::Running), Some(Link::Reconnecting)) => "state offline",
        (Some(SessionState::Running), _) => "state connecting",
        (Some(state), _) => state_class(state),
        (None, _) => "state",
    };
    let text = move || match (state.get(), link.get()) {
        (Some(SessionState::Running), Some(Link::Open)) => t().connected,
        (Some(SessionState::Running), Some(Link::Reconnecting)) => t().reconnecting,
        (Some(SessionState::Running), _) => t().connecting,
        (Some(state), _) => state_text(state),
        (None, _) => t().loading,
    };
    view! { <span class=class role="status"><span class="optional">{text}</span></span> }
}

/// What covers the terminal when there is none to use: why, and the next step.
fn overlay(
    session: Option<Session>,
    missing: Option<ApiFailure>,
    link: Option<Link>,
    act: impl Fn(bool) + Copy + Send + 'static,
    navigator: Navigator,
) -> AnyView {
    let start = move || view! { <button class="button primary" on:click=move |_| act(true)>{t().start}</button> };
    let back = move || view! { <a class="button" href="/app" on:click=navigator.link(Route::Dashboard)>{t().back}</a> };
    let Some(session) = session else {
        return match missing {
            Some(ApiFailure::Refused(ErrorCode::NotFound)) => {
                view! { <div class="overlay" role="alert"><h2>{t().not_found_title}</h2><p>{t().not_found_text}</p>{back()}</div> }.into_any()
            }
            Some(failure) => view! { <div class="overlay" role="alert"><p>{failure.text()}</p>{back()}</div> }.into_any(),
            None => ().into_any(),
        };
    };
    match session.state {
        SessionState::Stopped => {
            view! { <div class="overlay"><h2>{t().state_stopped}</h2><p>{t().stopped_text}</p>{start()}</div> }
                .into_any()
        }
        SessionState::Failed => {
            let why = session.failure.map_or("", failure_text);
            view! { <div class="overlay" role="alert"><h2>{t().state_failed}</h2><p>{why}</p>{start()}</div> }
                .into_any()
        }
        SessionState::Starting => {
            view! { <div class="overlay" role="status"><h2>{t().starting}</h2><p>{t().starting_text}</p></div> }
                .into_any()
        }
        SessionState::Stopping => {
            view! { <div class="overlay" role="status"><h2>{t().stopping}</h2><p>{t().stopping_text}</p></div> }
                .into_any()
        }
        // The screen stays readable under a narrow ribbon while the connection comes back.
        SessionState::Running if link == Some(Link::Reconnecting) => {
            view! { <div class="ribbon" role="status">{t().reconnecting}</div> }.into_any()
        }
        SessionState::Running => ().into_any(),
    }
}

/// Loads xterm beside everything else that is going on.
fn open_screen(stage: SharedStage, host: web_sys::HtmlElement, signals: Signals) {
    let with_socket = {
        let stage = Rc::clone(&stage);
        move |act: &dyn Fn(&SessionSocket)| {
            let socket = stage.borrow().socket.clone();
            if let Some(socket) = socket {
                act(&socket);
            }
        }
    };
    let (typed, resized, parsed) = (with_socket.clone(), with_socket.clone(), with_socket);
    let handlers = Handlers {
        data: Box::new(move |bytes| {
            typed(&|socket| match socket.typed(&bytes) {
                Ok(()) | Err(NotTyped::ReadOnly | NotTyped::Exited) => {}
                Err(NotTyped::TooMuch) => signals.toasts.show(t().paste_too_large),
            });
        }),
        resized: Box::new(move |size| resized(&|socket| socket.resized(size))),
        title: Box::new(move |title| {
            signals.title.try_set(title);
        }),
        parsed: Box::new(move |bytes| parsed(&|socket| socket.parsed(bytes))),
        paste_refused: Box::new(move || signals.toasts.show(t().paste_too_large)),
        copy_refused: Box::new(move || signals.toasts.show(t().copy_blocked)),
    };
    spawn_local(async move {
        match TerminalView::open(&host, handlers).await {
            Ok(terminal) => {
                let socket = stage.borrow().socket.clone();
                if let Some(socket) = socket {
                    socket.resized(terminal.size());
                }
                terminal.focus();
                let early = {
                    let mut stage = stage.borrow_mut();
                    stage.terminal = Some(Rc::new(terminal));
                    std::mem::take(&mut stage.early)
                };
                early.into_iter().for_each(|show| take_show(&stage, show, signals));
            }
            Err(_) => signals.toasts.show(t().terminal_failed),
        }
    });
}

fn connect(id: SessionId, stage: SharedStage, signals: Signals) {
    if stage.borrow().socket.is_some() {
        return;
    }
    signals.link.set(Some(Link::Connecting));
    signals.ended.set(None);
    // A session starts to run once per boot, and another boot starts on an empty screen.
    stage.borrow_mut().early.clear();
    if let Some(terminal) = screen(&stage) {
        terminal.reset();
    }
    let size = screen(&stage).map_or(Size::clamped(COLUMNS_DEFAULT, ROWS_DEFAULT), |terminal| terminal.size());
    let listener = Listener {
        show: {
            let stage = Rc::clone(&stage);
            Box::new(move |show| take_show(&stage, show, signals))
        },
        link: Box::new(move |link| {
            signals.link.try_set(Some(link));
        }),
    };
    let socket = SessionSocket::open(id, size, listener);
    stage.borrow_mut().socket = Some(socket);
}

/// Ends the connection; the screen keeps what it shows.
fn disconnect(stage: &SharedStage, signals: Signals) {
    let socket = stage.borrow_mut().socket.take();
    if let Some(socket) = socket {
        socket.close();
    }
    signals.link.try_set(None);
}

fn take_show(stage: &SharedStage, show: Show, signals: Signals) {
    let Some(terminal) = screen(stage) else {
        stage.borrow_mut().early.push(show);
        return;
    };
    match show {
        Show::Output(bytes) => terminal.write(&bytes),
        Show::Reset => terminal.reset(),
        Show::Attached { read_only } => {
            terminal.set_read_only(read_only);
            signals.read_only.set(read_only);
        }
        // With one size in force the screen is that size already; several are the workbench's to show.
        Show::Resized(_) => {}
        Show::Exited(code) => signals.ended.set(Some(t().program_ended.replace("{code}", &code.to_string()))),
        Show::Missing => signals.ended.set(Some(t().terminal_missing.to_owned())),
        Show::Refused(code) => signals.toasts.show(error_text(code)),
    }
}

/// Calls `action` when the page becomes visible or the network returns; dropping the result ends it.
fn on_page_return(action: impl Fn() + 'static) -> PageReturn {
    let action = Closure::<dyn FnMut()>::new(action);
    let function: &js_sys::Function = action.as_ref().unchecked_ref();
    if let Some(window) = web_sys::window() {
        for event in PageReturn::EVENTS {
            let _ = window.add_event_listener_with_callback(event, function);
        }
    }
    PageReturn { action }
}

struct PageReturn {
    action: Closure<dyn FnMut()>,
}

impl PageReturn {
    const EVENTS: [&'static str; 3] = ["online", "pageshow", "focus"];
}

impl Drop for PageReturn {
    fn drop(&mut self) {
        if let Some(window) = web_sys::window() {
            for event in Self::EVENTS {
                let _ = window.remove_event_listener_with_callback(event, self.action.as_ref().unchecked_ref());
            }
        }
    }
}
