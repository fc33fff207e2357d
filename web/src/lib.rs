//! The page: a Leptos app in the browser. It shows what objects and agents say, and decides nothing on its own.

pub mod api_client;
pub mod app;
pub mod dashboard_view;
pub mod document_view;
pub mod live_sessions;
pub mod route;
pub mod session_socket;
pub mod session_view;
pub mod terminal_view;
pub mod texts;
pub mod time;
pub mod toasts;
