//! Local sign-in: a one-time link, then a cookie. Both are `<nonce>.<expires_ms>.<HMAC-SHA-256>`, under separate purposes.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use berth_protocol::error_code::ErrorCode;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What a token is good for; a link never passes as a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// Printed by `cargo xtask dev`; the caller also remembers its nonce, so that it works once.
    Link,
    /// Set after the link was opened, bound to the host it was opened on.
    Cookie {
        /// The `Host` header, with port.
        host: &'a str,
    },
}

/// Bytes of a key; 32 random ones.
pub const KEY_BYTES: usize = 32;
/// Characters of a nonce at most; ours are 32 hexadecimal ones.
const NONCE_CHARS_MAX: usize = 64;

/// Makes a token. `nonce` is hexadecimal and must be random and fresh.
pub fn issue(key: &[u8; KEY_BYTES], purpose: Purpose<'_>, nonce: &str, expires_ms: u64) -> String {
    let tag = mac(key, purpose, nonce, expires_ms).finalize().into_bytes();
    format!("{nonce}.{expires_ms}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// Checks a token in constant time and returns its nonce.
pub fn verify<'t>(
    key: &[u8; KEY_BYTES],
    purpose: Purpose<'_>,
    token: &'t str,
    now_ms: u64,
) -> Result<&'t str, ErrorCode> {
    let refusal = match purpose {
        Purpose::Link => ErrorCode::LinkNotValid,
        Purpose::Cookie { .. } => ErrorCode::SignInRequired,
    };
    let (nonce, rest) = token.split_once('.').ok_or(refusal)?;
    let (expires, tag) = rest.split_once('.').ok_or(refusal)?;
    if nonce.is_empty() || nonce.len() > NONCE_CHARS_MAX || !nonce.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(refusal);
    }
    let expires_ms: u64 = expires.parse().map_err(|_| refusal)?;
    let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| refusal)?;
    mac(key, purpose, nonce, expires_ms).verify_slice(&tag).map_err(|_| refusal)?;
    if now_ms >= expires_ms {
        return Err(refusal);
    }
    Ok(nonce)
}

fn mac(key: &[u8; KEY_BYTES], purpose: Purpose<'_>, nonce: &str, expires_ms: u64) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length");
    // No part holds a newline (nonce is hexadecimal, a Host header has none), so the fields cannot run into each other.
    let (label, host) = match purpose {
        Purpose::Link => ("berth link", ""),
        Purpose::Cookie { host } => ("berth cookie", host),
    };
    for part in [label, host, nonce, &expires_ms.to_string()] {
        mac.update(part.as_bytes());
        mac.update(b"\n");
    }
    mac
}

/// Reads a key from 64 hexadecimal characters.
pub fn key_from_hex(text: &str) -> Option<[u8; KEY_BYTES]> {
    if text.len() != 2 * KEY_BYTES {
        return None;
    }
    let mut key = [0; KEY_BYTES];
    for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [9; 32];
    const HERE: Purpose<'static> = Purpose::Cookie { host: "127.0.0.1:8787" };

    #[test]
    fn a_token_serves_its_purpose_host_and_time_only() {
        let cookie = issue(&KEY, HERE, "ab12", 1_000);
        assert_eq!(verify(&KEY, HERE, &cookie, 999), Ok("ab12"));
        assert_eq!(verify(&KEY, HERE, &cookie, 1_000), Err(ErrorCode::SignInRequired), "expired");
        assert!(verify(&KEY, Purpose::Cookie { host: "127.0.0.1:9999" }, &cookie, 0).is_err(), "other host");
        assert!(verify(&[8; 32], HERE, &cookie, 0).is_err(), "other key");
        assert_eq!(verify(&KEY, Purpose::Link, &cookie, 0), Err(ErrorCode::LinkNotValid), "other purpose");
        let link = issue(&KEY, Purpose::Link, "cd34", 1_000);
        assert_eq!(verify(&KEY, Purpose::Link, &link, 0), Ok("cd34"));
        assert!(verify(&KEY, HERE, &link, 0).is_err(), "a link is no cookie");
    }

    #[test]
    fn every_changed_character_is_refused() {
        let cookie = issue(&KEY, HERE, "ab12", 1_000);
        for at in 0..cookie.len() {
            let mut bytes = cookie.clone().into_bytes();
            bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
            let forged = String::from_utf8(bytes).unwrap();
            assert!(verify(&KEY, HERE, &forged, 0).is_err(), "{forged}");
        }
        for broken in ["", ".", "..", "ab12.1000", "ab12.1000.", "zz.1000.AAAA", "ab12.-1.AAAA"] {
            assert!(verify(&KEY, HERE, broken, 0).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn keys_are_64_hexadecimal_characters() {
        assert_eq!(key_from_hex(&"0f".repeat(32)), Some([15; 32]));
        for bad in [String::new(), "0f".repeat(31), "0f".repeat(33), "zz".repeat(32), "é".repeat(32)] {
            assert_eq!(key_from_hex(&bad), None, "{bad:?}");
        }
    }
}
