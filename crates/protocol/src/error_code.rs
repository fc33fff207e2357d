//! The closed list of error codes, shared by HTTP errors, refused frames and the page's texts.

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal, $status:literal;)*) => {
        /// Why something was refused. Text form on HTTP, number in frames; both are frozen once released.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl ErrorCode {
            /// Every code, for tables and tests.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name),*];

            /// The text form, as in `{"error":{"code":…}}`.
            pub const fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$name => $text,)* }
            }

            /// The number in a `Refused` frame.
            pub const fn number(self) -> u16 {
                match self { $(ErrorCode::$name => $number,)* }
            }

            /// The code of a `Refused` frame, if it is known here.
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(ErrorCode::$name),)* _ => None }
            }

            /// The HTTP status that carries this code.
            pub const fn status(self) -> u16 {
                match self { $(ErrorCode::$name => $status,)* }
            }
        }
    };
}

codes! {
    /// Nobody is signed in, or the sign-in ran out.
    SignInRequired = 1, "sign_in_required", 401;
    /// The one-time link was used before, ran out, or was never ours.
    LinkNotValid = 2, "link_not_valid", 401;
    /// Signed in, but not allowed to do this.
    NotAllowed = 3, "not_allowed", 403;
    /// The request came to another host name than the configured one.
    HostNotAllowed = 4, "host_not_allowed", 403;
    /// A page of another origin sent this.
    OriginNotAllowed = 5, "origin_not_allowed", 403;
    /// No such thing, or not for this user.
    NotFound = 6, "not_found", 404;
    /// The path exists, the method does not.
    MethodNotAllowed = 7, "method_not_allowed", 405;
    /// A field of the request does not parse.
    BadRequest = 8, "bad_request", 400;
    /// The body is larger than allowed.
    BodyTooLarge = 9, "body_too_large", 413;
    /// This path wants a WebSocket upgrade with a known subprotocol.
    UpgradeRequired = 10, "upgrade_required", 426;
    /// The session's state does not allow this now.
    WrongState = 11, "wrong_state", 409;
    /// A limit is reached.
    LimitReached = 12, "limit_reached", 429;
    /// The container did not start.
    StartFailed = 13, "start_failed", 502;
    /// The container does not answer.
    AgentUnreachable = 14, "agent_unreachable", 502;
    /// A frame or message does not decode.
    BadFrame = 15, "bad_frame", 400;
    /// A frame names a terminal that does not exist.
    NoSuchTerminal = 16, "no_such_terminal", 404;
    /// A viewer sent input.
    ReadOnly = 17, "read_only", 403;
    /// Our fault; the request id finds it in the log.
    Internal = 18, "internal", 500;
    /// This deployment is not configured for anybody to sign in.
    NotConfigured = 19, "not_configured", 401;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_and_texts_are_unique_and_round_trip() {
        let numbers: HashSet<u16> = ErrorCode::ALL.iter().map(|c| c.number()).collect();
        let texts: HashSet<&str> = ErrorCode::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(numbers.len(), ErrorCode::ALL.len());
        assert_eq!(texts.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), Some(*code));
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
