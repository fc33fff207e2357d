//! The door: nothing without the boot token, nothing without a grant, nothing without the subprotocol.

use crate::running::{Agent, TOKEN, grant};
use berth_protocol::{
    agent_http::{GRANT_HEADER, TOKEN_HEADER},
    api::Role,
};

#[tokio::test]
async fn every_path_needs_the_token() {
    let agent = Agent::start().await;
    for wrong in [None, Some(""), Some("a-boot-toke"), Some("a-boot-token2")] {
        let mut request = agent.attach_request(&grant(Role::Owner));
        request.headers_mut().remove(TOKEN_HEADER);
        if let Some(wrong) = wrong {
            request.headers_mut().insert(TOKEN_HEADER, wrong.parse().unwrap());
        }
        assert_eq!(agent.open(request).await.err(), Some(401), "{wrong:?}");
    }
    let mut request = agent.attach_request(&grant(Role::Owner));
    *request.uri_mut() = format!("ws://127.0.0.1:{}/elsewhere", agent.port).parse().unwrap();
    assert_eq!(agent.open(request).await.err(), Some(404));
}

#[tokio::test]
async fn an_attach_needs_a_grant_and_the_subprotocol() {
    let agent = Agent::start().await;
    let good = grant(Role::Owner);
    let mut request = agent.attach_request(&good);
    request.headers_mut().remove(GRANT_HEADER);
    assert_eq!(agent.open(request).await.err(), Some(403));
    let mut request = agent.attach_request(&good);
    request.headers_mut().insert(GRANT_HEADER, "{\"role\":\"owner\"}".parse().unwrap());
    assert_eq!(agent.open(request).await.err(), Some(403));
    let mut request = agent.attach_request(&good);
    request.headers_mut().insert("sec-websocket-protocol", "something.else".parse().unwrap());
    assert_eq!(agent.open(request).await.err(), Some(426));
    let mut expired = good.clone();
    expired.expires_ms = 1;
    assert_eq!(agent.open(agent.attach_request(&expired)).await.err(), Some(503));
    let first = agent.open(agent.attach_request(&good)).await;
    assert!(first.is_ok());
    assert_eq!(agent.open(agent.attach_request(&good)).await.err(), Some(503), "a client id is used once");
    assert!(!TOKEN.is_empty());
}

#[test]
fn without_its_token_the_agent_does_not_start() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_berth-agent")).env_clear().output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("BERTH_BOOT_TOKEN is not set"));
}
