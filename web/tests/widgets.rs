//! The page's widgets in a real browser, without a server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use berth_protocol::{
    api::{Assistant, Failure, Role, Session, SessionState},
    error_code::ErrorCode,
    ids::SessionId,
};
use berth_web::{
    dashboard_view::Card,
    document_view::TextPage,
    live_sessions::{Known, LiveSessions},
    route::{Navigator, Route},
    texts::{error_text, t},
    time::ago,
    toasts::{ToastRegion, Toasts},
};
use leptos::{mount::mount_to, prelude::*};
use wasm_bindgen::JsCast;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use web_sys::HtmlElement;

wasm_bindgen_test_configure!(run_in_browser);

fn stage() -> HtmlElement {
    let stage = document().create_element("div").unwrap().unchecked_into::<HtmlElement>();
    document().body().unwrap().append_child(&stage).unwrap();
    stage
}

fn session(state: SessionState, role: Role) -> Session {
    Session {
        id: SessionId::from_bytes([7; 16]),
        name: "<b>calm</b> bay".into(),
        assistant: Assistant::Shell,
        workspace: "main".into(),
        role,
        state,
        failure: (state == SessionState::Failed).then_some(Failure::ContainerExited),
        state_since_ms: 0,
        created_ms: 0,
        version: 1,
    }
}

/// Lets effects run.
async fn settle() {
    leptos::task::tick().await;
}

async fn card(shown: Session) -> (HtmlElement, LiveSessions) {
    let id = shown.id;
    let sessions = LiveSessions::fixed(Known::Loaded([(id, shown)].into()));
    let stage = stage();
    let handle = mount_to(stage.clone(), move || {
        let session = Memo::new(move |_| sessions.get(id));
        view! { <Card session sessions navigator=Navigator::start() toasts=Toasts::new() clock=RwSignal::new(300_000)/> }
    });
    handle.forget();
    settle().await;
    (stage, sessions)
}

fn buttons(stage: &HtmlElement) -> Vec<String> {
    let found = stage.query_selector_all(".card-actions > *").unwrap();
    (0..found.length()).map(|n| found.item(n).unwrap().text_content().unwrap()).collect()
}

#[wasm_bindgen_test]
async fn a_card_offers_what_its_state_and_role_allow() {
    let (stage, _) = card(session(SessionState::Stopped, Role::Owner)).await;
    assert_eq!(buttons(&stage), [t().open, t().start, t().rename, t().delete]);
    let (stage, _) = card(session(SessionState::Running, Role::Editor)).await;
    assert_eq!(buttons(&stage), [t().open, t().stop]);
    let (stage, _) = card(session(SessionState::Running, Role::Viewer)).await;
    assert_eq!(buttons(&stage), [t().open]);
}

#[wasm_bindgen_test]
async fn a_name_is_text_and_never_markup() {
    let (stage, _) = card(session(SessionState::Stopped, Role::Owner)).await;
    assert!(stage.query_selector("b").unwrap().is_none());
    assert_eq!(stage.query_selector(".card-name").unwrap().unwrap().text_content().unwrap(), "<b>calm</b> bay");
}

#[wasm_bindgen_test]
async fn a_card_follows_its_session_and_ignores_old_news() {
    let (stage, sessions) = card(session(SessionState::Stopped, Role::Owner)).await;
    sessions.take(Session { version: 3, ..session(SessionState::Running, Role::Owner) });
    sessions.take(Session { version: 2, ..session(SessionState::Starting, Role::Owner) });
    settle().await;
    assert!(stage.query_selector(".state.running").unwrap().is_some());
    sessions.take(Session { version: 4, ..session(SessionState::Failed, Role::Owner) });
    settle().await;
    assert!(stage.text_content().unwrap().contains(t().failure_container_exited), "it says why and what next");
}

#[wasm_bindgen_test]
async fn a_message_appears_once_and_can_be_dismissed() {
    let toasts = Toasts::new();
    let stage = stage();
    mount_to(stage.clone(), move || view! { <ToastRegion toasts/> }).forget();
    toasts.show("It broke.");
    toasts.show("It broke.");
    settle().await;
    assert_eq!(stage.query_selector_all(".toast").unwrap().length(), 1);
    assert_eq!(stage.query_selector("[role=status]").unwrap().unwrap().get_attribute("aria-live").unwrap(), "polite");
    stage.query_selector(".toast button").unwrap().unwrap().unchecked_into::<HtmlElement>().click();
    settle().await;
    assert_eq!(stage.query_selector_all(".toast").unwrap().length(), 0);
}

#[wasm_bindgen_test]
async fn a_text_page_has_one_heading() {
    let stage = stage();
    mount_to(stage.clone(), || view! { <TextPage title=t().sign_in_title text=t().sign_in_text/> }).forget();
    settle().await;
    assert_eq!(stage.query_selector_all("h1").unwrap().length(), 1);
    assert!(stage.query_selector("main").unwrap().is_some());
}

#[wasm_bindgen_test]
fn paths_are_read_and_written() {
    let id = SessionId::from_bytes([7; 16]);
    for route in [Route::Landing, Route::Dashboard, Route::Setup, Route::Session(id)] {
        assert_eq!(Route::parse(&route.path()), route);
    }
    for unknown in ["/app/", "/app/s/", "/app/s/7", "/x"] {
        assert_eq!(Route::parse(unknown), Route::NotFound, "{unknown}");
    }
}

#[wasm_bindgen_test]
fn every_error_has_a_sentence_and_times_have_words() {
    for code in ErrorCode::ALL {
        assert!(error_text(*code).ends_with('.'), "{code:?}");
    }
    let table = [(0, "just now"), (59_999, "just now"), (60_000, "1 min"), (3_600_000, "1 h"), (172_800_000, "2 days")];
    for (ms, words) in table {
        assert_eq!(ago(0, ms), words);
    }
    assert_eq!(ago(10, 0), "just now", "clocks differ");
}
