//! Every text a person reads, in one table per language.

use berth_protocol::{
    api::{Failure, SessionState},
    error_code::ErrorCode,
};

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident: $english:literal,)*) => {
        /// One language.
        #[derive(Debug)]
        pub struct Texts {
            $($(#[$doc])* #[allow(missing_docs, reason = "each text explains itself")] pub $name: &'static str,)*
        }

        /// English.
        pub const ENGLISH: Texts = Texts { $($name: $english,)* };
    };
}

texts! {
    brand: "Berth",
    sessions: "Sessions",
    new_session: "New session",
    creating: "Creating…",
    open: "Open",
    start: "Start",
    starting: "Starting…",
    stop: "Stop",
    stopping: "Stopping…",
    delete: "Delete",
    rename: "Rename",
    cancel: "Cancel",
    dismiss: "Dismiss",
    retry: "Try again",
    copy: "Copy",
    paste: "Paste",
    back: "All sessions",
    session_name: "Session name",
    terminal: "Terminal",
    empty_title: "No sessions yet",
    empty_text: "A session is a container of your own with a terminal in it. It starts in a second and is gone when you stop it.",
    files_not_kept: "Files are not kept yet: what a session writes is gone when it stops.",
    not_isolated: "Sessions are NOT isolated from this machine (--unisolated). Run trusted code only.",
    delete_title: "Delete “{name}”?",
    delete_text: "Its container ends, and everything in it is gone.",
    sign_in_title: "Sign in",
    sign_in_text: "Open the one-time link that “cargo xtask dev” printed. Press Enter there for a new one.",
    not_found_title: "Nothing here",
    not_found_text: "This page or session does not exist, or is not yours.",
    landing_title: "A cloud IDE you own",
    landing_text: "Open a page on your phone or desktop, and a container of your own is in front of you.",
    go_to_sessions: "Go to your sessions",
    setup_title: "Set-up",
    setup_text: "This Berth runs on your machine, so there is nothing to set up. The wizard for Cloudflare is not built yet.",
    loading: "Loading…",
    load_failed: "The sessions could not be loaded.",
    online: "Live",
    offline: "Not live: reconnecting",
    state_stopped: "Stopped",
    state_starting: "Starting",
    state_running: "Running",
    state_stopping: "Stopping",
    state_failed: "Failed",
    failure_start_refused: "The container did not start. Start it again; the log of “cargo xtask dev” says why.",
    failure_start_timed_out: "The container did not answer in time. Start it again.",
    failure_container_exited: "The container ended by itself. Start it again for a fresh one.",
    stopped_text: "This session has no container now. Start it for a fresh one.",
    stopping_text: "Programs are ending; then the container goes.",
    starting_text: "A container is starting for you.",
    connecting: "Connecting…",
    reconnecting: "Connection lost. Reconnecting…",
    connected: "Connected",
    read_only: "You may look, not type.",
    program_ended: "The shell ended (code {code}). Stop and start the session for a new one.",
    terminal_missing: "This session has no terminal. Stop it and start it again.",
    terminal_failed: "The terminal could not be loaded. Reload the page.",
    paste_too_large: "That is more than 16 MiB; it was not pasted. Put it into a file instead.",
    paste_blocked: "The browser does not let this page read the clipboard. Use Ctrl+Shift+V or the keyboard's paste.",
    copy_blocked: "The browser does not let this page write the clipboard.",
    network_error: "The server cannot be reached.",
    just_now: "just now",
    minutes: "{n} min",
    hours: "{n} h",
    days: "{n} days",
    since: "{state} · {ago}",
    error_sign_in: "Your sign-in has run out. Open a new link from “cargo xtask dev”.",
    error_not_allowed: "Your role in this session does not allow that.",
    error_not_found: "It does not exist any more.",
    error_wrong_state: "That is not possible right now. Wait a moment and try again.",
    error_limit: "A limit is reached: delete sessions you no longer need.",
    error_agent: "The container does not answer. Try again; if it stays so, stop the session.",
    error_bad_request: "That was not accepted.",
    error_internal: "Something went wrong on our side. Try again.",
}

/// The texts in use.
pub fn t() -> &'static Texts {
    &ENGLISH
}

/// An error code as a sentence with its next step.
pub fn error_text(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::SignInRequired | ErrorCode::LinkNotValid | ErrorCode::NotConfigured => t().error_sign_in,
        ErrorCode::NotAllowed | ErrorCode::HostNotAllowed | ErrorCode::OriginNotAllowed => t().error_not_allowed,
        ErrorCode::ReadOnly => t().read_only,
        ErrorCode::NotFound | ErrorCode::NoSuchTerminal => t().error_not_found,
        ErrorCode::WrongState => t().error_wrong_state,
        ErrorCode::LimitReached => t().error_limit,
        ErrorCode::StartFailed => t().failure_start_refused,
        ErrorCode::AgentUnreachable => t().error_agent,
        ErrorCode::MethodNotAllowed
        | ErrorCode::BadRequest
        | ErrorCode::BodyTooLarge
        | ErrorCode::UpgradeRequired
        | ErrorCode::BadFrame => t().error_bad_request,
        ErrorCode::Internal => t().error_internal,
    }
}

/// A state in a word.
pub fn state_text(state: SessionState) -> &'static str {
    match state {
        SessionState::Stopped => t().state_stopped,
        SessionState::Starting => t().state_starting,
        SessionState::Running => t().state_running,
        SessionState::Stopping => t().state_stopping,
        SessionState::Failed => t().state_failed,
    }
}

/// A state as a style class.
pub fn state_class(state: SessionState) -> &'static str {
    match state {
        SessionState::Stopped => "state stopped",
        SessionState::Starting => "state starting",
        SessionState::Running => "state running",
        SessionState::Stopping => "state stopping",
        SessionState::Failed => "state failed",
    }
}

/// A failure as a sentence with its next step.
pub fn failure_text(failure: Failure) -> &'static str {
    match failure {
        Failure::StartRefused => t().failure_start_refused,
        Failure::StartTimedOut => t().failure_start_timed_out,
        Failure::ContainerExited => t().failure_container_exited,
    }
}
