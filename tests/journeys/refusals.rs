//! What is refused, by name: strangers, foreign pages, broken requests.

use crate::World;
use anyhow::{Context, Result, ensure};
use berth_tests::{
    http::{Answer, request},
    stack::{Process, Stack},
};

/// A signed-in client without a browser.
struct Hand {
    port: u16,
    cookie: String,
}

impl Hand {
    fn sign_in(world: &World) -> Result<Self> {
        let link = world.stack.link()?;
        let path = link.strip_prefix(&world.stack.origin).context("the link is ours")?;
        let port = world.port();
        let answer = request(port, "GET", path, &[&format!("Host: 127.0.0.1:{port}")], b"")?;
        ensure!(answer.status == 200, "{answer:?}");
        let cookie = answer.header("set-cookie").context("no cookie")?;
        for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            ensure!(cookie.contains(part), "{cookie}");
        }
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        Ok(Self { port, cookie })
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<Answer> {
        self.ask_with(method, path, &[], body)
    }

    fn ask_with(&self, method: &str, path: &str, more: &[&str], body: &[u8]) -> Result<Answer> {
        let host = format!("Host: 127.0.0.1:{}", self.port);
        let origin = format!("Origin: http://127.0.0.1:{}", self.port);
        let cookie = format!("Cookie: {}", self.cookie);
        let mut headers = vec![host.as_str(), origin.as_str(), cookie.as_str()];
        headers.extend(more);
        request(self.port, method, path, &headers, body)
    }

    /// Makes a session and returns its id.
    fn create(&self) -> Result<String> {
        let answer = self.ask("POST", "/api/sessions", b"{\"name\":\"by hand\"}")?;
        ensure!(answer.status == 201, "{answer:?}");
        Ok(answer.json()?["id"].as_str().context("no id")?.to_owned())
    }
}

const UPGRADE: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
];

fn expect(answer: &Answer, status: u16, code: &str) -> Result<()> {
    let found = answer.json().ok().and_then(|json| json["error"]["code"].as_str().map(str::to_owned));
    ensure!(answer.status == status && found.as_deref() == Some(code), "expected {status} {code}, got {answer:?}");
    let request_id = answer.json()?["error"]["request_id"].as_str().map(str::len);
    ensure!(request_id == Some(36), "every error has a request id");
    Ok(())
}

/// A foreign page cannot change anything or open a socket, nor can a rebound name read.
pub(crate) async fn foreign_origin_refused(world: &World) -> Result<()> {
    let hand = Hand::sign_in(world)?;
    let id = hand.create()?;
    let (port, cookie) = (hand.port, format!("Cookie: {}", hand.cookie));
    let host = format!("Host: 127.0.0.1:{port}");
    let paths = [
        ("POST", "/api/sessions".to_owned()),
        ("POST", format!("/api/sessions/{id}/start")),
        ("DELETE", format!("/api/sessions/{id}")),
    ];
    for (method, path) in &paths {
        for origin in [
            None,
            Some("Origin: http://evil.example".to_owned()),
            Some("Origin: null".to_owned()),
            Some(format!("Origin: http://127.0.0.1:{}", port ^ 1)),
        ] {
            let mut headers = vec![host.as_str(), cookie.as_str()];
            headers.extend(origin.as_deref());
            expect(&request(port, method, path, &headers, b"{}")?, 403, "origin_not_allowed")?;
        }
    }
    for path in ["/api/events".to_owned(), format!("/api/sessions/{id}/attach")] {
        for origin in [None, Some("Origin: http://evil.example")] {
            let mut headers =
                vec![host.as_str(), cookie.as_str(), "Sec-WebSocket-Protocol: berth.events.v1, berth.terminal.v1"];
            headers.extend(UPGRADE);
            headers.extend(origin);
            expect(&request(port, "GET", &path, &headers, b"")?, 403, "origin_not_allowed")?;
        }
    }
    for wrong in ["Host: evil.example".to_owned(), format!("Host: localhost:{port}"), "Host: 127.0.0.1".to_owned()] {
        expect(&request(port, "GET", "/api/sessions", &[&wrong, &cookie], b"")?, 403, "host_not_allowed")?;
        expect(&request(port, "GET", "/app", &[&wrong, &cookie], b"")?, 403, "host_not_allowed")?;
    }
    ensure!(hand.ask("DELETE", &format!("/api/sessions/{id}"), b"")?.status == 202);
    Ok(())
}

/// Without a sign-in there is the health check, static files, and a page that says what to do.
pub(crate) async fn stranger_sees_nothing(world: &World) -> Result<()> {
    let port = world.port();
    let host = format!("Host: 127.0.0.1:{port}");
    ensure!(request(port, "GET", "/health", &[&host], b"")?.status == 200);
    for path in ["/api/me", "/api/sessions", "/api/nothing", "/index.html", "/wrangler.toml"] {
        expect(&request(port, "GET", path, &[&host], b"")?, 401, "sign_in_required")?;
    }
    let origin = format!("Origin: {}", world.stack.origin);
    expect(&request(port, "GET", "/api/events", &[&host, &origin], b"")?, 401, "sign_in_required")?;
    for path in ["/", "/app", "/setup", "/app/s/0b9f7f2e-3c1d-4e5f-8a6b-7c8d9e0f1a2b"] {
        let answer = request(port, "GET", path, &[&host], b"")?;
        ensure!(answer.status == 401, "{path}: {answer:?}");
        let policy = answer.header("content-security-policy").context("no policy")?;
        ensure!(
            policy.contains("script-src 'self' 'wasm-unsafe-eval';") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        for inline in ["script-src 'unsafe-inline'", "style-src 'self' 'unsafe-inline'", "'unsafe-eval'"] {
            ensure!(!policy.contains(inline), "{policy}");
        }
    }
    let page = world.stranger("stranger").await?;
    page.goto(&format!("{}/app", world.stack.origin)).await?;
    page.until_text("Open the one-time link").await?;
    page.screenshot("sign-in").await?;
    page.close().await
}

/// A link works once; a forged or stale one never.
pub(crate) async fn link_works_once(world: &World) -> Result<()> {
    let link = world.stack.link()?;
    let path = link.strip_prefix(&world.stack.origin).context("the link is ours")?;
    let host = format!("Host: 127.0.0.1:{}", world.port());
    let open = |path: &str| request(world.port(), "GET", path, &[&host], b"");
    ensure!(open(path)?.status == 200);
    expect(&open(path)?, 401, "link_not_valid")?;
    let other = world.stack.link()?;
    let forged = other.strip_prefix(&world.stack.origin).context("ours")?.replace("link=", "link=0");
    expect(&open(&forged)?, 401, "link_not_valid")?;
    expect(&open("/sign-in")?, 401, "link_not_valid")
}

/// Every bad request of the HTTP surface has its name.
pub(crate) async fn bad_requests_are_named(world: &World) -> Result<()> {
    let hand = Hand::sign_in(world)?;
    let id = hand.create()?;
    let unknown = "0b9f7f2e-3c1d-4e5f-8a6b-7c8d9e0f1a2b";
    let table: &[(&str, String, &[u8], u16, &str)] = &[
        ("GET", format!("/api/sessions/{unknown}"), b"", 404, "not_found"),
        ("POST", format!("/api/sessions/{unknown}/start"), b"", 404, "not_found"),
        ("DELETE", format!("/api/sessions/{unknown}"), b"", 404, "not_found"),
        ("GET", "/api/sessions/nonsense".into(), b"", 404, "not_found"),
        ("GET", "/api/nothing".into(), b"", 404, "not_found"),
        ("PUT", "/api/sessions".into(), b"{}", 405, "method_not_allowed"),
        ("GET", format!("/api/sessions/{id}/start"), b"", 405, "method_not_allowed"),
        ("POST", "/api/me".into(), b"", 405, "method_not_allowed"),
        ("POST", "/api/sessions".into(), b"{\"name\":", 400, "bad_request"),
        ("POST", "/api/sessions".into(), b"{\"name\":\"  \"}", 400, "bad_request"),
        ("POST", "/api/sessions".into(), b"{\"name\":\"a\\u0007b\"}", 400, "bad_request"),
        ("POST", "/api/sessions".into(), b"{\"assistant\":\"hal\"}", 400, "bad_request"),
        ("POST", "/api/sessions".into(), b"{\"surprise\":1}", 400, "bad_request"),
        ("POST", "/api/sessions".into(), b"\xff\xfe", 400, "bad_request"),
        ("POST", "/api/sessions".into(), b"[]", 400, "bad_request"),
        ("PATCH", format!("/api/sessions/{id}"), b"{}", 400, "bad_request"),
        ("GET", format!("/api/sessions/{id}/attach"), b"", 426, "upgrade_required"),
        ("GET", "/api/events".into(), b"", 426, "upgrade_required"),
    ];
    for (method, path, body, status, code) in table {
        expect(&hand.ask(method, path, body)?, *status, code).with_context(|| format!("{method} {path}"))?;
    }
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(61));
    expect(&hand.ask("POST", "/api/sessions", long.as_bytes())?, 400, "bad_request")?;
    let huge = vec![b' '; 200_000];
    expect(&hand.ask("POST", "/api/sessions", &huge)?, 413, "body_too_large")?;

    let attach = format!("/api/sessions/{id}/attach");
    let mut headers = UPGRADE.to_vec();
    expect(&hand.ask_with("GET", &attach, &headers, b"")?, 426, "upgrade_required").context("no subprotocol")?;
    headers.push("Sec-WebSocket-Protocol: berth.terminal.v1");
    expect(&hand.ask_with("GET", &attach, &headers, b"")?, 409, "wrong_state").context("a stopped session")?;

    // Internal headers of a client reach nobody: neither another user's name nor a grant.
    let other = format!("berth-user: {unknown}");
    let forged = [other.as_str(), "berth-grant: {}", "berth-boot-token: x", "berth-request-id: x"];
    let answer = hand.ask_with("GET", &format!("/api/sessions/{id}"), &forged, b"")?;
    ensure!(answer.status == 200 && answer.json()?["role"] == "owner", "{answer:?}");

    // Twice is as good as once, and what cannot be is refused by name.
    let post = |what: &str| hand.ask("POST", &format!("/api/sessions/{id}/{what}"), b"");
    ensure!(post("stop")?.status == 202, "stopping a stopped session");
    ensure!(post("start")?.status == 202 && post("start")?.status == 202, "starting twice");
    ensure!(post("stop")?.status == 202 && post("stop")?.status == 202, "stopping twice");
    ensure!(hand.ask("DELETE", &format!("/api/sessions/{id}"), b"")?.status == 202, "deleting while it stops");
    let refused = post("start")?;
    ensure!(matches!(refused.status, 404 | 409), "starting what is being deleted: {refused:?}");
    Ok(())
}

/// A second Berth on the same port says so before it builds anything.
pub(crate) async fn port_taken_is_named(world: &World) -> Result<()> {
    let xtask = std::env::var_os("BERTH_XTASK").context("run by cargo xtask e2e")?;
    let output = std::process::Command::new(xtask)
        .args(["dev", "--no-build", "--port", &world.port().to_string(), "--state"])
        .arg(std::env::temp_dir().join(format!("berth-second-{}", std::process::id())))
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && text.contains("is taken") && text.contains("--port"), "{text}");
    Ok(())
}

/// Without isolation every page carries a red banner, and a session still works.
pub(crate) async fn unisolated_says_so(world: &World) -> Result<()> {
    let stack = Stack::start("unisolated", &["--unisolated"])?;
    let page = world.elsewhere("unisolated", &stack.link()?).await?;
    page.until_text("NOT isolated").await?;
    page.click("New session").await?;
    page.until_prompt().await?;
    page.until_text("NOT isolated").await?;
    page.run("echo works-$((1))").await?;
    page.until_terminal("works-1").await?;
    page.screenshot("banner").await?;
    page.close().await?;
    let processes = stack.processes();
    ensure!(processes.len() >= 4, "engine, runtime and a sandbox run: {processes:#?}");
    stack.interrupt()?;
    ensure!(stack.wait()?, "it ended well:\n{}", stack.logs());
    let left: Vec<_> = processes.into_iter().filter(Process::runs).collect();
    ensure!(left.is_empty(), "left behind: {left:#?}");
    Ok(())
}
