//! The control link: hello, events until acknowledged, the newest link, closing clients, draining, SIGTERM.

use crate::running::Agent;
use berth_protocol::{
    api::Role,
    control_link::{AgentEvent, Command, Report},
};
use nix::sys::signal::{Signal, kill};
use tokio_tungstenite::tungstenite::Message;

async fn event(link: &mut crate::running::Link) -> (u64, AgentEvent) {
    loop {
        match link.report().await.expect("the link is up") {
            Report::Event { seq, event, .. } => return (seq, event),
            Report::Hello { .. } | Report::Heartbeat => {}
        }
    }
}

#[tokio::test]
async fn events_repeat_until_acknowledged_and_the_newest_link_wins() {
    let agent = Agent::start().await;
    let mut first = agent.link().await;
    assert!(matches!(first.report().await, Some(Report::Hello { boot, .. }) if boot == agent.boot));
    assert_eq!(event(&mut first).await, (1, AgentEvent::TerminalOpened { terminal: 1 }));
    let mut second = agent.link().await;
    assert_eq!(event(&mut second).await.0, 1, "not acknowledged, so said again");
    assert_eq!(first.report().await, None, "the older link is closed");
    second.send(&Command::Ack { seq: 1 }).await;
    let mut client = agent.client(Role::Editor).await;
    client.type_text("exit 9\r").await;
    assert_eq!(event(&mut second).await, (2, AgentEvent::TerminalExited { terminal: 1, code: 9 }));
    let mut third = agent.link().await;
    assert_eq!(event(&mut third).await.0, 2, "only what is not acknowledged");
}

#[tokio::test]
async fn a_user_is_closed_at_once_and_others_stay() {
    let agent = Agent::start().await;
    let mut link = agent.link().await;
    let mut leaving = agent.client(Role::Editor).await;
    let mut staying = agent.client(Role::Editor).await;
    link.send(&Command::CloseUser { user: leaving.grant.user }).await;
    assert!(leaving.is_closed().await);
    staying.type_text("echo h''ere\r").await;
    staying.until("here\r\n").await;
    link.send(&Command::CloseClient { client: staying.grant.client }).await;
    assert!(staying.is_closed().await);
}

#[tokio::test]
async fn a_user_who_does_not_read_is_closed_at_once_too() {
    let agent = Agent::start().await;
    let mut link = agent.link().await;
    let mut stalled = agent.client(Role::Editor).await;
    stalled.type_text("yes\r").await;
    stalled.until("y\r\ny\r\n").await;
    // It stops reading here; its window and the socket fill up, and the agent's writer waits.
    link.send(&Command::CloseUser { user: stalled.grant.user }).await;
    assert!(stalled.is_closed().await);
}

#[tokio::test]
async fn a_client_that_sends_and_never_reads_is_closed() {
    let agent = Agent::start().await;
    let client = agent.client(Role::Editor).await;
    let (mut sink, _unread) = futures_util::StreamExt::split(client.socket);
    let flood = async {
        loop {
            let ping = berth_protocol::terminal_frame::ClientFrame::Ping { token: 1 }.encode();
            if futures_util::SinkExt::send(&mut sink, Message::Binary(ping.into())).await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), flood).await.expect("the agent ends it");
}

/// A program that ignores everything but KILL, and one that left its session.
const STUBBORN: &str = "(trap '' HUP TERM; sleep 1000 & wait; sleep 1000) & setsid sleep 1000 & echo s''tarted\r";

#[tokio::test]
async fn draining_ends_every_program_however_stubborn() {
    let agent = Agent::start().await;
    let mut link = agent.link().await;
    let mut client = agent.client(Role::Editor).await;
    client.type_text(STUBBORN).await;
    client.until("started\r\n").await;
    link.send(&Command::Drain).await;
    while event(&mut link).await.1 != AgentEvent::Drained {}
    let output =
        std::process::Command::new("ps").args(["--ppid", &agent.pid().to_string(), "-o", "stat="]).output().unwrap();
    let live = String::from_utf8_lossy(&output.stdout).lines().filter(|stat| !stat.starts_with('Z')).count();
    assert_eq!(live, 0, "nothing is left below the agent");
}

#[tokio::test]
async fn sigterm_ends_programs_and_then_the_agent() {
    let agent = Agent::start().await;
    let mut link = agent.link().await;
    let mut client = agent.client(Role::Editor).await;
    client.type_text("trap 'echo bye > ~/work/bye; exit' HUP TERM; echo r''eady\r").await;
    client.until("ready\r\n").await;
    kill(agent.pid(), Signal::SIGTERM).unwrap();
    while event(&mut link).await.1 != AgentEvent::Terminating {}
    assert_eq!(agent.exit_code().await, Some(0));
}
