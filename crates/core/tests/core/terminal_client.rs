//! The page's half against the agent's half: cut at random, nothing typed is lost or doubled, nothing shown is wrong.

use berth_core::{
    terminal::{Attachment, InputOutcome, Terminal},
    terminal_client::{NotTyped, Show, TerminalClient},
};
use berth_protocol::{
    error_code::ErrorCode,
    ids::{BootId, ClientId, InputStreamId},
    limits::{INPUT_WINDOW_BYTES, PASTE_BYTES_MAX},
    terminal_frame::{AgentFrame, ClientFrame, Size},
};
use proptest::prelude::*;
use std::collections::VecDeque;

const SIZE: Size = Size { columns: 80, rows: 24 };
const STREAM: InputStreamId = InputStreamId::from_bytes([9; 16]);
const A: BootId = BootId::from_bytes([1; 16]);
const B: BootId = BootId::from_bytes([2; 16]);

fn welcome(boot: BootId) -> AgentFrame {
    AgentFrame::Welcome { boot, read_only: false, terminals: vec![1] }
}

fn page() -> TerminalClient {
    TerminalClient::new(1, STREAM, SIZE)
}

#[test]
fn what_was_typed_offline_is_sent_once_attached() {
    let mut page = page();
    assert_eq!(page.typed(b"ls\r"), Ok(vec![]));
    let (_, sent) = page.take(welcome(A));
    assert!(
        matches!(&sent[..], [ClientFrame::Attach { have: 0, .. }, ClientFrame::Input { offset: 0, bytes, .. }] if bytes == b"ls\r")
    );
}

#[test]
fn another_boot_clears_the_screen_and_forgets_what_was_typed() {
    let mut page = page();
    page.take(welcome(A));
    page.take(AgentFrame::Output { terminal: 1, offset: 0, bytes: b"hello".to_vec() });
    page.typed(b"rm -rf").unwrap();
    page.disconnected();
    let (show, sent) = page.take(welcome(B));
    assert_eq!(show.first(), Some(&Show::Reset));
    assert!(matches!(&sent[..], [ClientFrame::Attach { have: 0, .. }]), "nothing typed to the old boot: {sent:?}");
}

#[test]
fn a_replayed_question_is_not_answered() {
    let mut page = page();
    page.take(welcome(A));
    assert!(page.is_replaying(), "nobody knows yet how much is replayed");
    page.take(AgentFrame::Resized { terminal: 1, offset: 4, size: SIZE });
    page.take(AgentFrame::Output { terminal: 1, offset: 0, bytes: b"\x1b[c$ ".to_vec() });
    page.parsed(3);
    assert!(page.is_replaying());
    page.parsed(2);
    assert!(!page.is_replaying());
    page.take(AgentFrame::Resized { terminal: 1, offset: 900, size: SIZE });
    assert!(!page.is_replaying(), "a later size replays nothing");
}

#[test]
fn a_large_paste_waits_for_its_window() {
    let mut page = page();
    page.take(welcome(A));
    let sent = page.typed(&vec![b'a'; 1_000_000]).unwrap();
    let bytes: usize =
        sent.iter().map(|f| if let ClientFrame::Input { bytes, .. } = f { bytes.len() } else { 0 }).sum();
    assert_eq!(bytes as u64, INPUT_WINDOW_BYTES);
    let (_, more) = page.take(AgentFrame::InputAck { terminal: 1, offset: 1_000 });
    assert!(
        matches!(&more[..], [ClientFrame::Input { offset: INPUT_WINDOW_BYTES, bytes, .. }] if bytes.len() == 1_000)
    );
    assert_eq!(page.typed(&vec![b'a'; PASTE_BYTES_MAX]), Err(NotTyped::TooMuch));
}

#[test]
fn a_viewer_and_an_ended_program_take_no_input() {
    let mut viewer = page();
    viewer.take(AgentFrame::Welcome { boot: A, read_only: true, terminals: vec![1] });
    assert_eq!(viewer.typed(b"x"), Err(NotTyped::ReadOnly));
    let mut ended = page();
    ended.take(welcome(A));
    ended.take(AgentFrame::Exited { terminal: 1, offset: 0, code: 0 });
    assert_eq!(ended.typed(b"x"), Err(NotTyped::Exited));
}

#[test]
fn a_boot_without_the_terminal_says_so() {
    let (show, sent) = page().take(AgentFrame::Welcome { boot: A, read_only: false, terminals: vec![] });
    assert_eq!((show, sent), (vec![Show::Missing], vec![]));
}

/// One page, one terminal, and an ordered connection between them that can be cut.
struct Pair {
    page: TerminalClient,
    terminal: Terminal,
    to_agent: VecDeque<ClientFrame>,
    to_page: VecDeque<AgentFrame>,
    connection: u8,
    screen: Vec<u8>,
    screen_from: u64,
    program_read: Vec<u8>,
    pending: VecDeque<Vec<u8>>,
}

impl Pair {
    fn client(&self) -> ClientId {
        ClientId::from_bytes([self.connection; 16])
    }

    fn cut(&mut self) {
        self.terminal.detach(self.client());
        self.connection = self.connection.wrapping_add(1);
        self.to_agent.clear();
        self.to_page.clear();
        self.page.disconnected();
        self.to_page.push_back(welcome(A));
    }

    fn deliver_to_agent(&mut self) {
        let client = self.client();
        match self.to_agent.pop_front() {
            Some(ClientFrame::Attach { have, boot, input_stream, size, .. }) => {
                self.terminal.attach(
                    client,
                    Attachment { input_stream, have: (boot == A).then_some(have), size, read_only: false },
                    0,
                );
                let offset = self.terminal.input_position(client);
                self.to_page.push_back(AgentFrame::InputAck { terminal: 1, offset });
            }
            Some(ClientFrame::Input { offset, bytes, .. }) => match self.terminal.input(client, offset, &bytes) {
                InputOutcome::Write(fresh) => self.pending.push_back(fresh),
                InputOutcome::Repeated => {
                    let offset = self.terminal.input_position(client);
                    self.to_page.push_back(AgentFrame::InputAck { terminal: 1, offset });
                }
                InputOutcome::Refused(code, why) => assert_eq!(code, ErrorCode::LimitReached, "{why}"),
            },
            Some(ClientFrame::Ack { offset, .. }) => self.terminal.ack(client, offset, 0),
            _ => {}
        }
    }

    fn program_takes_input(&mut self) {
        if let Some(bytes) = self.pending.pop_front() {
            let offset = self.terminal.input_written(STREAM, bytes.len() as u64);
            self.program_read.extend(bytes);
            self.to_page.push_back(AgentFrame::InputAck { terminal: 1, offset });
        }
    }

    fn deliver_to_page(&mut self) {
        let Some(frame) = self.to_page.pop_front() else { return };
        let (shows, sends) = self.page.take(frame);
        self.to_agent.extend(sends);
        for show in shows {
            match show {
                Show::Output(bytes) => {
                    let length = bytes.len() as u64;
                    self.screen.extend(bytes);
                    self.to_agent.extend(self.page.parsed(length));
                }
                Show::Reset => self.screen.clear(),
                _ => {}
            }
        }
    }

    fn agent_sends(&mut self) {
        let client = self.client();
        if let Some(frame) = self.terminal.next_frame(client) {
            if let AgentFrame::Gap { offset, .. } = frame {
                self.screen_from = offset;
            }
            self.to_page.push_back(frame);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn cuts_lose_nothing_and_double_nothing(steps in prop::collection::vec((0u8..8, 1usize..40_000), 1..200)) {
        let mut pair = Pair {
            page: page(), terminal: Terminal::new(1), to_agent: VecDeque::new(), to_page: VecDeque::from([welcome(A)]),
            connection: 0, screen: vec![], screen_from: 0, program_read: vec![], pending: VecDeque::new(),
        };
        let (mut typed, mut written) = (Vec::new(), 0u64);
        for (step, length) in steps {
            match step {
                0 => {
                    let bytes: Vec<u8> = (0..length as u64).map(|i| ((typed.len() as u64 + i) % 253) as u8).collect();
                    if let Ok(frames) = pair.page.typed(&bytes) {
                        typed.extend(bytes);
                        pair.to_agent.extend(frames);
                    }
                }
                1 => {
                    let bytes: Vec<u8> = (written..written + length as u64).map(|i| (i % 251) as u8).collect();
                    pair.terminal.output(&bytes);
                    written += length as u64;
                }
                2 | 3 => pair.deliver_to_agent(),
                4 => pair.deliver_to_page(),
                5 => pair.agent_sends(),
                6 => pair.program_takes_input(),
                _ => pair.cut(),
            }
        }
        // Left alone it all arrives.
        for _ in 0..20_000 {
            pair.deliver_to_agent();
            pair.agent_sends();
            pair.program_takes_input();
            pair.deliver_to_page();
        }
        prop_assert_eq!(&pair.program_read, &typed);
        let expected: Vec<u8> = (pair.screen_from..written).map(|i| (i % 251) as u8).collect();
        prop_assert_eq!(&pair.screen, &expected);
    }
}
