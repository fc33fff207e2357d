//! The agent's one clock.

/// Unix time in milliseconds.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
