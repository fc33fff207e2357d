//! Opaque ids: each a UUID with exactly one spelling (36 lower-case characters), because an id also names objects and rows.

use crate::DecodeError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID made elsewhere.
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The 16 bytes, as frames carry them.
            pub const fn to_bytes(self) -> [u8; 16] {
                *self.0.as_bytes()
            }

            /// Reads the 16 bytes of a frame; every value is an id.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl std::str::FromStr for $name {
            type Err = DecodeError;

            fn from_str(text: &str) -> Result<Self, DecodeError> {
                canonical_uuid(text).map(Self).ok_or_else(|| DecodeError::new($field, "not a lower-case UUID of 36 characters"))
            }
        }

        impl TryFrom<String> for $name {
            type Error = DecodeError;

            fn try_from(text: String) -> Result<Self, DecodeError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }
    };
}

id!(
    /// A person who signs in. An e-mail address is data beside it, never a key.
    UserId,
    "user_id"
);
id!(
    /// The live side of work: one Durable Object, at most one container.
    SessionId,
    "session_id"
);
id!(
    /// One start of a session's container. Terminal offsets mean something only within one boot.
    BootId,
    "boot_id"
);
id!(
    /// One browser connection, named by the edge at its upgrade.
    ClientId,
    "client_id"
);
id!(
    /// One page load's stream of typed bytes; it survives reconnects, so that input is applied once.
    InputStreamId,
    "input_stream_id"
);
id!(
    /// One HTTP request, printed in errors and logs.
    RequestId,
    "request_id"
);

fn canonical_uuid(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    let mut buffer = Uuid::encode_buffer();
    (*id.as_hyphenated().encode_lower(&mut buffer) == *text).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let text = "0b9f7f2e-3c1d-4e5f-8a6b-7c8d9e0f1a2b";
        let id: SessionId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        for other in [
            "0B9F7F2E-3C1D-4E5F-8A6B-7C8D9E0F1A2B",
            "0b9f7f2e3c1d4e5f8a6b7c8d9e0f1a2b",
            "{0b9f7f2e-3c1d-4e5f-8a6b-7c8d9e0f1a2b}",
            "urn:uuid:0b9f7f2e-3c1d-4e5f-8a6b-7c8d9e0f1a2b",
            "",
            "../../etc/passwd",
        ] {
            assert_eq!(other.parse::<SessionId>().unwrap_err().field, "session_id", "{other:?}");
        }
    }
}
