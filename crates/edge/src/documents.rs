//! HTML documents: one shell for every page path, with the headers that protect it. Hashed assets never come here.

use crate::api_error::{ApiError, ApiResult};
use berth_protocol::error_code::ErrorCode;
use worker::{Env, Headers, Response, ResponseBuilder};

/// The shell, made by the build.
const SHELL: &str = "http://assets/index.html";

/// Serves the shell. Without an identity the status is 401, and the page says how to sign in.
pub(crate) async fn shell(env: &Env, origin: &str, signed_in: bool) -> ApiResult<Response> {
    let mut asset = env.assets("ASSETS")?.fetch(SHELL, None).await?;
    if asset.status_code() != 200 {
        return Err(ApiError::internal("read the page's shell", asset.status_code()));
    }
    let html = asset.text().await?;
    let headers = Headers::new();
    for (name, value) in [
        ("content-security-policy", content_security_policy(origin)),
        ("cache-control", "no-store".to_owned()),
        ("referrer-policy", "no-referrer".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        ("cross-origin-opener-policy", "same-origin".to_owned()),
        ("cross-origin-resource-policy", "same-origin".to_owned()),
        (
            "permissions-policy",
            "camera=(), microphone=(), geolocation=(), clipboard-read=(self), clipboard-write=(self)".to_owned(),
        ),
    ] {
        headers.set(name, &value)?;
    }
    let status = if signed_in { 200 } else { ErrorCode::SignInRequired.status() };
    Ok(ResponseBuilder::new().with_status(status).with_headers(headers).from_html(html)?)
}

/// No inline script and no style elements: the page turns xterm's into constructed sheets. Style attributes are allowed,
/// since xterm writes true colours with them; an attribute can load nothing but what `img-src` allows.
fn content_security_policy(origin: &str) -> String {
    let sockets = origin.replacen("http", "ws", 1);
    format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
         connect-src 'self' {sockets}; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_sockets_origin_and_allows_no_inline_script() {
        let policy = content_security_policy("https://berth.example");
        assert!(policy.contains("connect-src 'self' wss://berth.example;"), "{policy}");
        assert!(
            policy.contains("script-src 'self' 'wasm-unsafe-eval';") && policy.contains("style-src 'self';"),
            "{policy}"
        );
    }
}
