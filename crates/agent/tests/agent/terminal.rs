//! A terminal with a real shell: typing, job control, size, reattaching, floods, roles.

use crate::running::Agent;
use berth_protocol::{
    api::Role,
    error_code::ErrorCode,
    ids::BootId,
    limits::INPUT_CHUNK_BYTES,
    terminal_frame::{AgentFrame, ClientFrame, Size},
};
use futures_util::SinkExt;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn a_shell_answers_and_has_job_control() {
    let agent = Agent::start().await;
    let mut client = agent.client(Role::Editor).await;
    client.type_text("echo $((6*7))\r").await;
    client.until("42\r\n").await;
    // Ctrl-C reaches the foreground program only when the shell has a controlling terminal.
    client.type_text("echo g''o; sleep 1000\r").await;
    client.until("go\r\n").await;
    client.type_text("\x03").await;
    client.type_text("echo a''live=$?\r").await;
    client.until("alive=130").await;
}

#[tokio::test]
async fn the_boot_token_is_not_in_a_programs_environment() {
    let agent = Agent::start().await;
    let mut client = agent.client(Role::Editor).await;
    client.type_text("env; echo d''one=$?\r").await;
    client.until("done=").await;
    let shown = String::from_utf8_lossy(&client.shown).into_owned();
    assert!(!shown.contains("a-boot-token"), "{shown}");
}

#[tokio::test]
async fn the_size_is_the_clients() {
    let agent = Agent::start().await;
    let mut client = agent.client(Role::Editor).await;
    client.send(ClientFrame::Resize { terminal: 1, size: Size { columns: 101, rows: 31 } }).await;
    client.until_frame(|f| matches!(f, AgentFrame::Resized { size, .. } if size.columns == 101)).await;
    client.type_text("stty size\r").await;
    client.until("31 101").await;
}

#[tokio::test]
async fn a_second_connection_gets_exactly_the_missing_bytes() {
    let agent = Agent::start().await;
    let mut first = agent.client(Role::Editor).await;
    first.type_text("echo o''ne\r").await;
    first.until("one\r\n").await;
    let have = first.offset;
    first.type_text("seq 1 2000\r").await;
    first.until("2000\r\n").await;
    let missing = first.shown[have as usize..].to_vec();
    drop(first);
    let mut second = agent.client_with(Role::Editor, have).await;
    while second.shown.len() < missing.len() {
        second.frame().await;
    }
    assert_eq!(second.shown[..missing.len()], missing[..]);
}

#[tokio::test]
async fn another_boots_offset_starts_afresh() {
    let agent = Agent::start().await;
    let mut client = agent.client(Role::Editor).await;
    client.type_text("echo o''ne\r").await;
    client.until("one\r\n").await;
    let mut stale = agent.client(Role::Editor).await;
    stale.attach(BootId::from_bytes([1; 16]), 0).await;
    stale.until("one\r\n").await;
}

#[tokio::test]
async fn ten_megabytes_of_paste_arrive_whole() {
    let agent = Agent::start().await;
    let mut client = agent.client(Role::Editor).await;
    let total = 10 * 1024 * 1024;
    client.type_text(&format!("stty raw -echo; echo r''eady; head -c {total} | cksum; stty sane\r")).await;
    client.until("ready").await;
    let data: Vec<u8> = (0..total).map(|i| b'a' + (i % 26) as u8).collect();
    let start = format!("stty raw -echo; echo r''eady; head -c {total} | cksum; stty sane\r").len() as u64;
    let (mut sent, mut acked) = (0usize, 0u64);
    while sent < data.len() {
        let window = berth_protocol::limits::INPUT_WINDOW_BYTES as usize;
        while sent < data.len() && sent + INPUT_CHUNK_BYTES <= acked as usize + window {
            let chunk = &data[sent..data.len().min(sent + INPUT_CHUNK_BYTES)];
            client.send(ClientFrame::Input { terminal: 1, offset: start + sent as u64, bytes: chunk.to_vec() }).await;
            sent += chunk.len();
        }
        let frame = client.until_frame(|f| !matches!(f, AgentFrame::Output { .. })).await;
        match frame {
            AgentFrame::InputAck { offset, .. } => acked = offset.saturating_sub(start),
            AgentFrame::Refused { code, detail, .. } => panic!("{code:?} {detail}"),
            _ => {}
        }
    }
    let expected = std::process::Command::new("sh")
        .args(["-c", &format!("head -c {total} /dev/zero | tr '\\0' a | wc -c")])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&expected.stdout).trim(), total.to_string());
    let mut child = std::process::Command::new("cksum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &data).unwrap();
    let sum = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    client.until(sum.trim()).await;
}

#[tokio::test]
async fn a_viewer_sees_and_cannot_type() {
    let agent = Agent::start().await;
    let mut viewer = agent.client(Role::Viewer).await;
    let mut editor = agent.client(Role::Editor).await;
    viewer.type_text("echo hacked\r").await;
    let frame = viewer.until_frame(|f| matches!(f, AgentFrame::Refused { .. })).await;
    assert!(matches!(frame, AgentFrame::Refused { code: ErrorCode::ReadOnly, .. }));
    editor.type_text("echo f''ine\r").await;
    viewer.until("fine\r\n").await;
    assert!(!String::from_utf8_lossy(&viewer.shown).contains("hacked"));
}

#[tokio::test]
async fn bad_frames_are_refused_by_name_and_the_connection_lives() {
    let agent = Agent::start().await;
    let mut client = agent.client(Role::Editor).await;
    let refused = async |client: &mut crate::running::Client| match client
        .until_frame(|f| matches!(f, AgentFrame::Refused { .. }))
        .await
    {
        AgentFrame::Refused { code, detail, .. } => (code, detail),
        _ => unreachable!(),
    };
    client.socket.send(Message::Binary(vec![0xff; 20].into())).await.unwrap();
    let (code, detail) = refused(&mut client).await;
    assert_eq!(code, ErrorCode::BadFrame);
    assert!(detail.starts_with("kind"), "{detail}");
    client.socket.send(Message::Text("{\"type\":\"resize\"}".into())).await.unwrap();
    assert_eq!(refused(&mut client).await.0, ErrorCode::BadFrame);
    client.send(ClientFrame::Input { terminal: 77, offset: 0, bytes: b"x".to_vec() }).await;
    assert_eq!(refused(&mut client).await.0, ErrorCode::NoSuchTerminal);
    client.send(ClientFrame::Input { terminal: 1, offset: 999, bytes: b"x".to_vec() }).await;
    assert_eq!(refused(&mut client).await.0, ErrorCode::BadFrame);
    client.type_text("echo s''till here\r").await;
    client.until("still here\r\n").await;
}

#[tokio::test]
async fn the_shells_end_is_told_after_its_last_output() {
    let agent = Agent::start().await;
    let mut client = agent.client(Role::Editor).await;
    client.type_text("echo l''ast words; exit 3\r").await;
    let frame = client.until_frame(|f| matches!(f, AgentFrame::Exited { .. })).await;
    assert_eq!(frame, AgentFrame::Exited { terminal: 1, offset: client.offset, code: 3 });
    assert!(String::from_utf8_lossy(&client.shown).contains("last words\r\n"));
    client.type_text("x").await;
    let frame = client.until_frame(|f| matches!(f, AgentFrame::Refused { .. })).await;
    assert!(matches!(frame, AgentFrame::Refused { code: ErrorCode::WrongState, .. }));
}

#[tokio::test]
async fn a_flood_reaches_an_acknowledging_client_whole() {
    let agent = Agent::start().await;
    let mut client = agent.client(Role::Editor).await;
    client.type_text("seq 1 300000; echo e''nd=$?\r").await;
    client.until("end=0").await;
    let shown = String::from_utf8(client.shown.clone()).unwrap();
    let body = shown.split_once("1\r\n2\r\n").unwrap().1;
    let expected: String = (3..=300_000).map(|n| format!("{n}\r\n")).collect();
    assert!(body.starts_with(&expected), "every line, in order");
}
