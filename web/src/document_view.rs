//! Pages that are only text: landing, set-up, signed out, not found.

use crate::{
    route::{Navigator, Route},
    texts::t,
};
use leptos::prelude::*;

/// A heading, a paragraph, and perhaps a way on.
#[component]
pub fn TextPage(
    /// The heading.
    title: &'static str,
    /// The paragraph.
    text: &'static str,
    /// Whether to offer the way to the sessions.
    #[prop(optional)]
    way_on: Option<Navigator>,
) -> impl IntoView {
    view! {
        <header class="bar"><span class="brand">{t().brand}</span></header>
        <main class="page narrow">
            <h1>{title}</h1>
            <p class="quiet">{text}</p>
            {way_on.map(|navigator| view! {
                <p><a class="button primary" href="/app" on:click=navigator.link(Route::Dashboard)>{t().go_to_sessions}</a></p>
            })}
        </main>
    }
}
