//! The dashboard: a card per session, live.

use crate::{
    api_client,
    live_sessions::{Known, LiveSessions},
    route::{Navigator, Route},
    texts::{failure_text, state_class, state_text, t},
    time::{Timer, ago, now_ms},
    toasts::Toasts,
};
use berth_protocol::{
    api::{Role, Session, SessionName, SessionState},
    ids::SessionId,
};
use leptos::{html, prelude::*};
use wasm_bindgen_futures::spawn_local;

/// Milliseconds between updates of "5 min".
const CLOCK_MS: u64 = 20_000;

/// All sessions.
#[component]
pub fn Dashboard(
    /// The live list.
    sessions: LiveSessions,
    /// Where to go.
    navigator: Navigator,
    /// Where failures are told.
    toasts: Toasts,
    /// Whether files outlive a container.
    files_kept: bool,
) -> impl IntoView {
    let creating = RwSignal::new(false);
    let clock = RwSignal::new(now_ms());
    let timer = StoredValue::new_local(Timer::every(CLOCK_MS, move || clock.set(now_ms())));
    on_cleanup(move || timer.dispose());
    let create = move |_| {
        creating.set(true);
        spawn_local(async move {
            match create_and_start(sessions).await {
                Ok(id) => navigator.go(Route::Session(id)),
                Err(failure) => toasts.show(failure.text()),
            }
            creating.try_set(false);
        });
    };
    let new_button = move || {
        view! {
            <button class="button primary" on:click=create disabled=move || creating.get()>
                {move || if creating.get() { t().creating } else { t().new_session }}
            </button>
        }
    };
    let list = move || match sessions.all() {
        Known::Loading => view! {
            <div class="skeleton" role="status" aria-label=t().loading></div>
            <div class="skeleton"></div>
        }
        .into_any(),
        Known::Failed(failure) => view! {
            <div class="empty" role="alert">
                <h2>{t().load_failed}</h2>
                <p class="quiet">{failure.text()}</p>
                <button class="button" on:click=move |_| sessions.load()>{t().retry}</button>
            </div>
        }
        .into_any(),
        Known::Loaded(known) if known.is_empty() => view! {
            <div class="empty">
                <h2>{t().empty_title}</h2>
                <p class="quiet">{t().empty_text}</p>
                {new_button()}
            </div>
        }
        .into_any(),
        Known::Loaded(_) => view! { <Cards sessions navigator toasts clock/> }.into_any(),
    };
    // The list is made anew only when it changes its kind; cards follow their own session.
    let kind = Memo::new(move |_| match sessions.all() {
        Known::Loading => 0u8,
        Known::Failed(_) => 1,
        Known::Loaded(known) if known.is_empty() => 2,
        Known::Loaded(_) => 3,
    });
    view! {
        <header class="bar">
            <a class="brand" href="/app" on:click=navigator.link(Route::Dashboard)>{t().brand}</a>
            <span class="grow"></span>
            <LiveDot sessions/>
        </header>
        <main class="page">
            <div class="page-head">
                <h1>{t().sessions}</h1>
                {move || (kind.get() == 3).then(new_button)}
            </div>
            {(!files_kept).then(|| view! { <p class="note">{t().files_not_kept}</p> })}
            {move || { kind.track(); untrack(list) }}
        </main>
    }
}

/// Makes a session and starts it: what a person means by "New session".
async fn create_and_start(sessions: LiveSessions) -> api_client::ApiResult<SessionId> {
    let session = api_client::create().await?;
    let id = session.id;
    sessions.take(session);
    sessions.take(api_client::start(id).await?);
    Ok(id)
}

/// Whether changes arrive.
#[component]
fn LiveDot(sessions: LiveSessions) -> impl IntoView {
    view! {
        <span class=move || if sessions.live.get() { "state online" } else { "state offline" } role="status">
            <span class="optional">{move || if sessions.live.get() { t().online } else { t().offline }}</span>
        </span>
    }
}

#[component]
fn Cards(sessions: LiveSessions, navigator: Navigator, toasts: Toasts, clock: RwSignal<u64>) -> impl IntoView {
    let order = Memo::new(move |_| {
        let Known::Loaded(known) = sessions.all() else { return vec![] };
        let mut rows: Vec<(std::cmp::Reverse<u64>, SessionId)> =
            known.values().map(|session| (std::cmp::Reverse(session.created_ms), session.id)).collect();
        rows.sort_unstable();
        rows.into_iter().map(|(_, id)| id).collect()
    });
    view! {
        <ul class="cards">
            <For each=move || order.get() key=|id| *id let(id)>
                {
                    let session = Memo::new(move |_| sessions.get(id));
                    view! { <Card session sessions navigator toasts clock/> }
                }
            </For>
        </ul>
    }
}

/// One session.
#[component]
pub fn Card(
    /// The session; `None` once it is gone.
    session: Memo<Option<Session>>,
    /// The live list, for what an action answers.
    sessions: LiveSessions,
    /// Where to go.
    navigator: Navigator,
    /// Where failures are told.
    toasts: Toasts,
    /// Unix time in milliseconds, for "5 min".
    clock: RwSignal<u64>,
) -> impl IntoView {
    let renaming = RwSignal::new(false);
    let deleting = NodeRef::<html::Dialog>::new();
    let Some(id) = session.get_untracked().map(|session| session.id) else { return ().into_any() };
    let role = Memo::new(move |_| session.get().map(|session| session.role));
    let state = Memo::new(move |_| session.get().map_or(SessionState::Stopped, |session| session.state));
    let name = Memo::new(move |_| session.get().map(|session| session.name).unwrap_or_default());
    let failure = move || session.get().and_then(|session| session.failure).map(failure_text);
    let is_owner = move || role.get() == Some(Role::Owner);
    let may_act = move || role.get() >= Some(Role::Editor);
    let since = move || {
        let since_ms = session.get().map_or(0, |session| session.state_since_ms);
        t().since.replace("{state}", state_text(state.get())).replace("{ago}", &ago(since_ms, clock.get()))
    };
    let act = move |action: Action| {
        spawn_local(async move {
            match action.run(id).await {
                Ok(session) => sessions.take(session),
                Err(failure) => toasts.show(failure.text()),
            }
        });
    };
    let toggle = move || {
        let (text, action, enabled) = match state.get() {
            SessionState::Stopped | SessionState::Failed => (t().start, Action::Start, true),
            SessionState::Running => (t().stop, Action::Stop, true),
            SessionState::Starting => (t().stop, Action::Stop, true),
            SessionState::Stopping => (t().stopping, Action::Stop, false),
        };
        view! { <button class="button small" disabled=!enabled on:click=move |_| act(action)>{text}</button> }
    };
    let title = move || {
        if renaming.get() {
            view! { <RenameField id name=name.get_untracked() renaming sessions toasts/> }.into_any()
        } else {
            view! {
                <a class="card-name" href=Route::Session(id).path() on:click=navigator.link(Route::Session(id))>
                    {move || name.get()}
                </a>
            }
            .into_any()
        }
    };
    view! {
        <li class="card" data-session=id.to_string()>
            <div class="card-main">
                {title}
                <span class=move || state_class(state.get())>{since}</span>
                {move || failure().map(|text| view! { <p class="quiet">{text}</p> })}
            </div>
            <div class="card-actions">
                <a class="button small" href=Route::Session(id).path() on:click=navigator.link(Route::Session(id))>{t().open}</a>
                {move || may_act().then(toggle)}
                {move || is_owner().then(|| view! {
                    <button class="button small" on:click=move |_| renaming.set(true)>{t().rename}</button>
                    <button class="button small danger" on:click=move |_| {
                        if let Some(dialog) = deleting.get() { let _ = dialog.show_modal(); }
                    }>{t().delete}</button>
                })}
            </div>
            <dialog node_ref=deleting aria-label=t().delete>
                <form method="dialog" class="dialog-body">
                    <h2>{move || t().delete_title.replace("{name}", &name.get())}</h2>
                    <p>{t().delete_text}</p>
                    <div class="dialog-actions">
                        <button class="button" autofocus=true>{t().cancel}</button>
                        <button class="button danger" on:click=move |_| act(Action::Delete)>{t().delete}</button>
                    </div>
                </form>
            </dialog>
        </li>
    }
    .into_any()
}

/// What a card's buttons do.
#[derive(Clone, Copy)]
enum Action {
    Start,
    Stop,
    Delete,
}

impl Action {
    async fn run(self, id: SessionId) -> api_client::ApiResult<Session> {
        match self {
            Self::Start => api_client::start(id).await,
            Self::Stop => api_client::stop(id).await,
            Self::Delete => api_client::delete(id).await,
        }
    }
}

#[component]
fn RenameField(
    id: SessionId,
    name: String,
    renaming: RwSignal<bool>,
    sessions: LiveSessions,
    toasts: Toasts,
) -> impl IntoView {
    let field = NodeRef::<html::Input>::new();
    Effect::new(move |_| {
        if let Some(input) = field.get() {
            let _ = input.focus();
            input.select();
        }
    });
    let submit = move || {
        let Some(input) = field.get_untracked() else { return };
        match SessionName::try_from(input.value()) {
            Ok(name) => {
                renaming.set(false);
                spawn_local(async move {
                    match api_client::rename(id, name).await {
                        Ok(session) => sessions.take(session),
                        Err(failure) => toasts.show(failure.text()),
                    }
                });
            }
            Err(_) => toasts.show(t().error_bad_request),
        }
    };
    view! {
        <input
            class="rename"
            node_ref=field
            aria-label=t().session_name
            maxlength=berth_protocol::limits::SESSION_NAME_CHARS_MAX.to_string()
            value=name
            on:keydown=move |event| match event.key().as_str() {
                "Enter" => submit(),
                "Escape" => renaming.set(false),
                _ => {}
            }
            on:blur=move |_| { renaming.try_set(false); }
        />
    }
}
