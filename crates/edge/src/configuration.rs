//! What this deployment was told: its origin, its way of signing in, what its containers are. Nothing set means nobody gets in.

use berth_core::local_sign_in::{KEY_BYTES, key_from_hex};
use berth_protocol::{error_code::ErrorCode, ids::UserId};
use worker::Env;

/// Sign-in on a laptop: one user, one-time links.
pub(crate) struct LocalMode {
    /// `http://127.0.0.1:<port>`.
    pub(crate) origin: String,
    /// Signs links and cookies.
    pub(crate) key: [u8; KEY_BYTES],
    /// The one user.
    pub(crate) user: UserId,
    /// The cookie's name, unique to this state so that two deployments on one host do not mix.
    pub(crate) cookie: String,
}

/// Whether containers are isolated from the host; only `--unisolated` says no.
pub(crate) fn isolated(env: &Env) -> bool {
    text(env, "BERTH_UNISOLATED").is_none()
}

/// The local mode, if it is configured wholly; half a configuration is none.
pub(crate) fn local_mode(env: &Env) -> Result<LocalMode, ErrorCode> {
    let configured = || {
        let user: UserId = text(env, "BERTH_LOCAL_USER")?.parse().ok()?;
        let cookie_suffix: String = user.to_string().chars().filter(char::is_ascii_hexdigit).take(12).collect();
        Some(LocalMode {
            origin: text(env, "BERTH_LOCAL_ORIGIN")?,
            key: key_from_hex(&text(env, "BERTH_LOCAL_KEY")?)?,
            user,
            cookie: format!("berth_local_{cookie_suffix}"),
        })
    };
    configured().ok_or(ErrorCode::NotConfigured)
}

fn text(env: &Env, name: &str) -> Option<String> {
    env.var(name).ok().map(|value| value.to_string()).filter(|value| !value.is_empty())
}
