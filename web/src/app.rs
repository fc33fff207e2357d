//! The app: who is signed in, which page is in view, and what all pages share.

use crate::{
    api_client::{self, ApiFailure},
    dashboard_view::Dashboard,
    document_view::TextPage,
    live_sessions::LiveSessions,
    route::{Navigator, Route},
    session_view::SessionPage,
    texts::t,
    toasts::{ToastRegion, Toasts},
};
use berth_protocol::{api::Me, error_code::ErrorCode};
use leptos::{mount::mount_to, prelude::*};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::spawn_local;

/// Replaces the shell's skeleton by the app.
pub fn mount() {
    let Some(host) =
        document().get_element_by_id("app").and_then(|element| element.dyn_into::<web_sys::HtmlElement>().ok())
    else {
        return;
    };
    host.set_inner_html("");
    mount_to(host, App).forget();
}

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum SignIn {
    Unknown,
    In(Me),
    Out(ApiFailure),
}

/// Everything.
#[component]
pub fn App() -> impl IntoView {
    let navigator = Navigator::start();
    let toasts = Toasts::new();
    let sign_in = RwSignal::new(SignIn::Unknown);
    let ask = move || {
        spawn_local(async move {
            sign_in.set(match api_client::me().await {
                Ok(me) => SignIn::In(me),
                Err(failure) => SignIn::Out(failure),
            });
        });
    };
    ask();
    let page = move || match sign_in.get() {
        SignIn::Unknown => view! {
            <header class="bar"><span class="brand">{t().brand}</span></header>
            <main class="page" aria-busy="true"><div class="skeleton"></div><div class="skeleton"></div></main>
        }
        .into_any(),
        SignIn::Out(ApiFailure::Refused(ErrorCode::SignInRequired | ErrorCode::NotConfigured)) => {
            view! { <TextPage title=t().sign_in_title text=t().sign_in_text/> }.into_any()
        }
        SignIn::Out(failure) => view! {
            <header class="bar"><span class="brand">{t().brand}</span></header>
            <main class="page narrow" role="alert">
                <h1>{failure.text()}</h1>
                <p><button class="button" on:click=move |_| ask()>{t().retry}</button></p>
            </main>
        }
        .into_any(),
        SignIn::In(me) => view! { <SignedIn me navigator toasts/> }.into_any(),
    };
    view! {
        {page}
        <ToastRegion toasts/>
    }
}

#[component]
fn SignedIn(me: Me, navigator: Navigator, toasts: Toasts) -> impl IntoView {
    let sessions = LiveSessions::start();
    let page = move || match navigator.route() {
        Route::Landing => {
            view! { <TextPage title=t().landing_title text=t().landing_text way_on=navigator/> }.into_any()
        }
        Route::Setup => view! { <TextPage title=t().setup_title text=t().setup_text way_on=navigator/> }.into_any(),
        Route::NotFound => {
            view! { <TextPage title=t().not_found_title text=t().not_found_text way_on=navigator/> }.into_any()
        }
        Route::Dashboard => {
            document().set_title(t().brand);
            view! { <Dashboard sessions navigator toasts files_kept=me.files_kept/> }.into_any()
        }
        Route::Session(id) => view! { <SessionPage id sessions navigator toasts/> }.into_any(),
    };
    // The terminal fills the window and never scrolls the page.
    Effect::new(move |_| {
        if let Some(app) = document().get_element_by_id("app") {
            app.set_class_name(if matches!(navigator.route(), Route::Session(_)) { "session-page" } else { "" });
        }
    });
    view! {
        {(!me.isolated).then(|| view! { <div class="banner danger" role="alert">{t().not_isolated}</div> })}
        {page}
    }
}
