//! Labelled golden bytes: a change here is a change of the wire and needs a new subprotocol version.

use berth_protocol::{
    agent_http::Grant,
    api::Role,
    control_link::{self, AgentEvent, Command, Report},
    error_code::ErrorCode,
    ids::{BootId, ClientId, InputStreamId, UserId},
    terminal_frame::{AgentFrame, ClientFrame, Size},
};

fn id(byte: u8) -> [u8; 16] {
    [byte; 16]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

const BOOT: &str = "01010101010101010101010101010101";
const STREAM: &str = "02020202020202020202020202020202";

#[test]
fn client_frames() {
    let boot = BootId::from_bytes(id(1));
    let input_stream = InputStreamId::from_bytes(id(2));
    let size = Size { columns: 80, rows: 24 };
    let table = [
        //                                                        kind terminal   offset             payload
        (
            ClientFrame::Attach { terminal: 1, have: 513, boot, input_stream, size },
            format!("01 00000001 0000000000000201 {BOOT}{STREAM}0050 0018"),
        ),
        (
            ClientFrame::Input { terminal: 2, offset: 7, bytes: b"ls\r".to_vec() },
            "02 00000002 0000000000000007 6c730d".into(),
        ),
        (ClientFrame::Resize { terminal: 1, size }, "03 00000001 0000000000000000 0050 0018".into()),
        (ClientFrame::Ack { terminal: 1, offset: 65_536 }, "04 00000001 0000000000010000".into()),
        (ClientFrame::Ping { token: 9 }, "05 00000000 0000000000000009".into()),
    ];
    for (frame, golden) in table {
        let golden = golden.replace(' ', "");
        assert_eq!(hex(&frame.encode()), golden, "{frame:?}");
        assert_eq!(ClientFrame::decode(&frame.encode()).unwrap(), frame);
    }
}

#[test]
fn agent_frames() {
    let boot = BootId::from_bytes(id(1));
    let size = Size { columns: 80, rows: 24 };
    let table = [
        (
            AgentFrame::Welcome { boot, read_only: true, terminals: vec![1, 3] },
            format!("81 00000000 0000000000000000 {BOOT} 01 00000001 00000003"),
        ),
        (
            AgentFrame::Output { terminal: 1, offset: 2, bytes: b"$ ".to_vec() },
            "82 00000001 0000000000000002 2420".into(),
        ),
        (AgentFrame::Gap { terminal: 1, offset: 3 }, "83 00000001 0000000000000003".into()),
        (AgentFrame::InputAck { terminal: 1, offset: 4 }, "84 00000001 0000000000000004".into()),
        (AgentFrame::Resized { terminal: 1, offset: 6, size }, "85 00000001 0000000000000006 0050 0018".into()),
        (AgentFrame::Exited { terminal: 1, offset: 5, code: -1 }, "86 00000001 0000000000000005 ffffffff".into()),
        (AgentFrame::Pong { token: 9 }, "87 00000000 0000000000000009".into()),
        (
            AgentFrame::Refused { terminal: 6, code: ErrorCode::NoSuchTerminal, detail: "no".into() },
            "88 00000006 0000000000000000 0010 6e6f".into(),
        ),
    ];
    for (frame, golden) in table {
        let golden = golden.replace(' ', "");
        assert_eq!(hex(&frame.encode()), golden, "{frame:?}");
        assert_eq!(AgentFrame::decode(&frame.encode()).unwrap(), frame);
    }
}

#[test]
fn control_messages() {
    let boot = BootId::from_bytes(id(1));
    let uuid = "03030303-0303-0303-0303-030303030303";
    let commands = [
        (Command::Ack { seq: 4 }, r#"{"type":"ack","seq":4}"#.to_owned()),
        (Command::Heartbeat, r#"{"type":"heartbeat"}"#.to_owned()),
        (Command::Drain, r#"{"type":"drain"}"#.to_owned()),
        (
            Command::CloseClient { client: ClientId::from_bytes(id(3)) },
            format!(r#"{{"type":"close_client","client":"{uuid}"}}"#),
        ),
        (Command::CloseUser { user: UserId::from_bytes(id(3)) }, format!(r#"{{"type":"close_user","user":"{uuid}"}}"#)),
    ];
    for (message, golden) in commands {
        assert_eq!(control_link::encode(&message), golden);
        assert_eq!(control_link::decode::<Command>(&golden).unwrap(), message);
    }
    let boot_text = "01010101-0101-0101-0101-010101010101";
    let event = |event| Report::Event { boot, seq: 2, event };
    let reports = [
        (
            Report::Hello { boot, agent_version: "0.1.0".into() },
            format!(r#"{{"type":"hello","boot":"{boot_text}","agent_version":"0.1.0"}}"#),
        ),
        (Report::Heartbeat, r#"{"type":"heartbeat"}"#.to_owned()),
        (
            event(AgentEvent::TerminalOpened { terminal: 1 }),
            format!(
                r#"{{"type":"event","boot":"{boot_text}","seq":2,"event":{{"kind":"terminal_opened","terminal":1}}}}"#
            ),
        ),
        (
            event(AgentEvent::TerminalExited { terminal: 1, code: 130 }),
            format!(
                r#"{{"type":"event","boot":"{boot_text}","seq":2,"event":{{"kind":"terminal_exited","terminal":1,"code":130}}}}"#
            ),
        ),
        (
            event(AgentEvent::Terminating),
            format!(r#"{{"type":"event","boot":"{boot_text}","seq":2,"event":{{"kind":"terminating"}}}}"#),
        ),
        (
            event(AgentEvent::Drained),
            format!(r#"{{"type":"event","boot":"{boot_text}","seq":2,"event":{{"kind":"drained"}}}}"#),
        ),
    ];
    for (message, golden) in reports {
        assert_eq!(control_link::encode(&message), golden);
        assert_eq!(control_link::decode::<Report>(&golden).unwrap(), message);
    }
}

#[test]
fn grant_header() {
    let grant = Grant {
        client: ClientId::from_bytes(id(1)),
        user: UserId::from_bytes(id(2)),
        role: Role::Viewer,
        expires_ms: 5,
    };
    let golden = r#"{"client":"01010101-0101-0101-0101-010101010101","user":"02020202-0202-0202-0202-020202020202","role":"viewer","expires_ms":5}"#;
    assert_eq!(grant.to_header(), golden);
    assert_eq!(Grant::from_header(golden).unwrap(), grant);
    assert_eq!(Grant::from_header("{}").unwrap_err().field, "grant");
}
