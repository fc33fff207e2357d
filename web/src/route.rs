//! Page paths, and moving between them without a reload.

use berth_protocol::ids::SessionId;
use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};

/// Every page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/`
    Landing,
    /// `/app`
    Dashboard,
    /// `/app/s/{id}`
    Session(SessionId),
    /// `/setup`
    Setup,
    /// Anything else.
    NotFound,
}

impl Route {
    /// Reads a path.
    pub fn parse(path: &str) -> Self {
        match path.split('/').skip(1).collect::<Vec<_>>().as_slice() {
            [""] => Self::Landing,
            ["app"] => Self::Dashboard,
            ["app", "s", id] => id.parse().map_or(Self::NotFound, Self::Session),
            ["setup"] => Self::Setup,
            _ => Self::NotFound,
        }
    }

    /// Writes the path.
    pub fn path(self) -> String {
        match self {
            Self::Landing | Self::NotFound => "/".to_owned(),
            Self::Dashboard => "/app".to_owned(),
            Self::Session(id) => format!("/app/s/{id}"),
            Self::Setup => "/setup".to_owned(),
        }
    }
}

/// The page in view. Copy it freely; all copies are one.
#[derive(Clone, Copy)]
pub struct Navigator {
    route: RwSignal<Route>,
}

impl Navigator {
    /// Follows the browser's address from now on.
    pub fn start() -> Self {
        let route = RwSignal::new(current());
        let popped = Closure::<dyn FnMut()>::new(move || route.set(current()));
        if let Some(window) = web_sys::window() {
            let _ = window.add_event_listener_with_callback("popstate", popped.as_ref().unchecked_ref());
        }
        // Lives as long as the page.
        popped.forget();
        Self { route }
    }

    /// The page in view.
    pub fn route(self) -> Route {
        self.route.get()
    }

    /// Shows another page.
    pub fn go(self, route: Route) {
        if let Some(history) = web_sys::window().and_then(|window| window.history().ok()) {
            let _ = history.push_state_with_url(&JsValue::NULL, "", Some(&route.path()));
        }
        self.route.set(route);
    }

    /// A click handler for a link: plain clicks stay on the page, others are the browser's.
    pub fn link(self, route: Route) -> impl Fn(web_sys::MouseEvent) + Clone {
        move |event| {
            let plain =
                event.button() == 0 && !event.ctrl_key() && !event.meta_key() && !event.shift_key() && !event.alt_key();
            if plain {
                event.prevent_default();
                self.go(route);
            }
        }
    }
}

fn current() -> Route {
    let path = web_sys::window().and_then(|window| window.location().pathname().ok());
    Route::parse(&path.unwrap_or_default())
}
