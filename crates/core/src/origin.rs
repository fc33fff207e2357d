//! Host and Origin, matched exactly on every upgrade and every state change. No header of a client widens the answer.

use berth_protocol::error_code::ErrorCode;

/// What kind of request asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// GET or HEAD without an upgrade: navigation and reads. A foreign page cannot read the answer.
    Read,
    /// Anything that changes state, and every WebSocket upgrade.
    Change,
}

/// Checks the `Host` and `Origin` headers against the deployment's one origin, such as `http://127.0.0.1:8787`.
///
/// A read must come to the right host (or a rebound name could read answers); a change must also say the right origin.
pub fn check_origin(
    deployment_origin: &str,
    kind: RequestKind,
    host: Option<&str>,
    origin: Option<&str>,
) -> Result<(), ErrorCode> {
    let expected_host = deployment_origin.split_once("://").map(|(_, host)| host).ok_or(ErrorCode::NotConfigured)?;
    if host != Some(expected_host) {
        return Err(ErrorCode::HostNotAllowed);
    }
    match (kind, origin) {
        (_, Some(origin)) if origin == deployment_origin => Ok(()),
        (RequestKind::Read, None) => Ok(()),
        _ => Err(ErrorCode::OriginNotAllowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_origin_match_exactly() {
        use RequestKind::{Change, Read};
        const OURS: &str = "http://127.0.0.1:8787";
        const HOST: Option<&str> = Some("127.0.0.1:8787");
        let check = |kind, host, origin| check_origin(OURS, kind, host, origin);
        assert_eq!(check(Read, HOST, None), Ok(()));
        assert_eq!(check(Change, HOST, Some(OURS)), Ok(()));
        assert_eq!(check(Change, HOST, None), Err(ErrorCode::OriginNotAllowed));
        for foreign in
            ["http://evil.example", "null", "https://127.0.0.1:8787", "http://127.0.0.1:87871", "http://127.0.0.1", ""]
        {
            assert_eq!(check(Change, HOST, Some(foreign)), Err(ErrorCode::OriginNotAllowed), "{foreign:?}");
            assert_eq!(check(Read, HOST, Some(foreign)), Err(ErrorCode::OriginNotAllowed), "{foreign:?}");
        }
        for rebound in
            [None, Some("evil.example"), Some("localhost:8787"), Some("127.0.0.1"), Some("127.0.0.1:8787.evil.example")]
        {
            assert_eq!(check(Read, rebound, None), Err(ErrorCode::HostNotAllowed), "{rebound:?}");
            assert_eq!(check(Change, rebound, Some(OURS)), Err(ErrorCode::HostNotAllowed), "{rebound:?}");
        }
        assert_eq!(check_origin("", Read, HOST, None), Err(ErrorCode::NotConfigured));
    }
}
