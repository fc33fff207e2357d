//! A terminal's replay, pace and input under named cases and random cuts.

use berth_core::terminal::{Attachment, InputOutcome, Pace, Terminal};
use berth_protocol::{
    error_code::ErrorCode,
    ids::{ClientId, InputStreamId},
    limits::{INPUT_WINDOW_BYTES, OUTPUT_WINDOW_BYTES, PACING_SILENCE_MS_MAX, REPLAY_BYTES_MAX},
    terminal_frame::{AgentFrame, Size},
};
use proptest::prelude::*;

const SIZE: Size = Size { columns: 80, rows: 24 };
const STREAM: InputStreamId = InputStreamId::from_bytes([9; 16]);

fn client(n: u8) -> ClientId {
    ClientId::from_bytes([n; 16])
}

/// What a client would show: bytes with their offset, emptied by a gap.
#[derive(Default)]
struct Shown {
    from: u64,
    bytes: Vec<u8>,
}

impl Shown {
    fn end(&self) -> u64 {
        self.from + self.bytes.len() as u64
    }

    fn drain(&mut self, terminal: &mut Terminal, client: ClientId, ack: bool) {
        while let Some(frame) = terminal.next_frame(client) {
            match frame {
                AgentFrame::Gap { offset, .. } => *self = Shown { from: offset, bytes: vec![] },
                AgentFrame::Output { offset, bytes, .. } => {
                    assert_eq!(offset, self.end(), "no hole and no repetition");
                    self.bytes.extend(bytes);
                    if ack {
                        terminal.ack(client, self.end(), 0);
                    }
                }
                AgentFrame::Exited { offset, .. } => assert_eq!(offset, self.end(), "exit comes after the last byte"),
                other => panic!("unexpected {other:?}"),
            }
        }
    }
}

fn pattern(from: u64, length: usize) -> Vec<u8> {
    (from..from + length as u64).map(|i| (i % 251) as u8).collect()
}

#[test]
fn a_reconnect_inside_the_ring_gets_the_missing_bytes() {
    let mut terminal = Terminal::new(1);
    terminal.output(&pattern(0, 1_000));
    terminal.attach(client(1), Attachment { input_stream: STREAM, have: Some(400), size: SIZE, read_only: false }, 0);
    let mut shown = Shown { from: 400, bytes: vec![] };
    shown.drain(&mut terminal, client(1), true);
    assert_eq!(shown.bytes, pattern(400, 600));
}

#[test]
fn what_left_the_ring_is_a_declared_gap() {
    let mut terminal = Terminal::new(1);
    let total = REPLAY_BYTES_MAX + 5_000;
    terminal.output(&pattern(0, total));
    terminal.attach(client(1), Attachment { input_stream: STREAM, have: Some(100), size: SIZE, read_only: false }, 0);
    assert_eq!(terminal.next_frame(client(1)), Some(AgentFrame::Gap { terminal: 1, offset: 5_000 }));
}

#[test]
fn another_boot_or_an_impossible_offset_starts_afresh() {
    let mut terminal = Terminal::new(1);
    terminal.output(b"hello");
    for (have, same_boot) in [(3, false), (99, true)] {
        terminal.attach(
            client(1),
            Attachment { input_stream: STREAM, have: (same_boot).then_some(have), size: SIZE, read_only: false },
            0,
        );
        assert_eq!(
            terminal.next_frame(client(1)),
            Some(AgentFrame::Output { terminal: 1, offset: 0, bytes: b"hello".to_vec() })
        );
    }
}

#[test]
fn a_client_gets_one_window_until_it_acknowledges() {
    let mut terminal = Terminal::new(1);
    terminal.attach(client(1), Attachment { input_stream: STREAM, have: Some(0), size: SIZE, read_only: false }, 0);
    terminal.output(&pattern(0, REPLAY_BYTES_MAX));
    let mut shown = Shown::default();
    shown.drain(&mut terminal, client(1), false);
    assert_eq!(shown.end(), OUTPUT_WINDOW_BYTES);
    terminal.ack(client(1), u64::MAX, 0);
    shown.drain(&mut terminal, client(1), false);
    assert_eq!(shown.end(), 2 * OUTPUT_WINDOW_BYTES, "a false acknowledgement counts for what was sent");
}

#[test]
fn only_a_client_that_acknowledges_makes_the_program_wait() {
    let mut terminal = Terminal::new(1);
    let flood = pattern(0, OUTPUT_WINDOW_BYTES as usize);
    terminal.output(&flood);
    assert_eq!(terminal.pace(0), Pace::Go, "nobody looks");
    terminal.attach(
        client(1),
        Attachment { input_stream: STREAM, have: Some(terminal.end()), size: SIZE, read_only: false },
        0,
    );
    terminal.output(&flood);
    assert_eq!(terminal.pace(1), Pace::Wait { until_ms: PACING_SILENCE_MS_MAX });
    assert_eq!(terminal.pace(PACING_SILENCE_MS_MAX), Pace::Go, "a sleeping phone does not freeze the program");
    Shown { from: terminal.end() - OUTPUT_WINDOW_BYTES, bytes: vec![] }.drain(&mut terminal, client(1), true);
    assert_eq!(terminal.pace(1), Pace::Go);
}

#[test]
fn a_viewer_decides_neither_size_nor_pace() {
    let mut terminal = Terminal::new(1);
    terminal.attach(client(1), Attachment { input_stream: STREAM, have: Some(0), size: SIZE, read_only: false }, 0);
    terminal.attach(
        client(2),
        Attachment {
            input_stream: InputStreamId::from_bytes([8; 16]),
            have: Some(0),
            size: Size { columns: 1, rows: 1 },
            read_only: true,
        },
        0,
    );
    assert_eq!(terminal.size(), SIZE);
    terminal.output(&pattern(0, OUTPUT_WINDOW_BYTES as usize));
    Shown::default().drain(&mut terminal, client(1), true);
    assert_eq!(terminal.pace(1), Pace::Go, "the viewer lags, and nobody waits for it");
}

#[test]
fn acknowledging_nothing_new_does_not_hold_the_program() {
    let mut terminal = Terminal::new(1);
    terminal.attach(client(1), Attachment { input_stream: STREAM, have: Some(0), size: SIZE, read_only: false }, 0);
    terminal.output(&pattern(0, 2 * OUTPUT_WINDOW_BYTES as usize));
    Shown::default().drain(&mut terminal, client(1), false);
    for now_ms in (0..PACING_SILENCE_MS_MAX).step_by(1_000) {
        terminal.ack(client(1), 0, now_ms);
    }
    assert_eq!(terminal.pace(PACING_SILENCE_MS_MAX), Pace::Go);
}

#[test]
fn input_is_applied_once_and_never_with_a_hole() {
    let mut terminal = Terminal::new(1);
    assert!(matches!(terminal.input(client(1), 0, b"x"), InputOutcome::Refused(ErrorCode::NoSuchTerminal, _)));
    terminal.attach(client(1), Attachment { input_stream: STREAM, have: Some(0), size: SIZE, read_only: false }, 0);
    assert_eq!(terminal.input(client(1), 0, b"abc"), InputOutcome::Write(b"abc".to_vec()));
    assert_eq!(terminal.input(client(1), 0, b"abc"), InputOutcome::Repeated);
    terminal.detach(client(1));
    terminal.attach(client(2), Attachment { input_stream: STREAM, have: Some(0), size: SIZE, read_only: false }, 0);
    assert_eq!(
        terminal.input(client(2), 1, b"bcd"),
        InputOutcome::Write(b"d".to_vec()),
        "the same page on a new connection"
    );
    assert!(matches!(terminal.input(client(2), 9, b"z"), InputOutcome::Refused(ErrorCode::BadFrame, _)));
    assert_eq!(terminal.input_written(STREAM, 4), 4);
    assert_eq!(terminal.input_position(client(2)), 4);
}

#[test]
fn input_beyond_the_window_is_refused() {
    let mut terminal = Terminal::new(1);
    terminal.attach(client(1), Attachment { input_stream: STREAM, have: Some(0), size: SIZE, read_only: false }, 0);
    let window = vec![b'a'; INPUT_WINDOW_BYTES as usize];
    assert!(matches!(terminal.input(client(1), 0, &window), InputOutcome::Write(_)));
    assert!(matches!(
        terminal.input(client(1), INPUT_WINDOW_BYTES, b"a"),
        InputOutcome::Refused(ErrorCode::LimitReached, _)
    ));
    terminal.input_written(STREAM, 1);
    assert!(matches!(terminal.input(client(1), INPUT_WINDOW_BYTES, b"a"), InputOutcome::Write(_)));
}

#[test]
fn the_most_recently_used_client_decides_the_size() {
    let small = Size { columns: 40, rows: 20 };
    let mut terminal = Terminal::new(1);
    terminal.attach(client(1), Attachment { input_stream: STREAM, have: Some(0), size: SIZE, read_only: false }, 0);
    terminal.attach(
        client(2),
        Attachment { input_stream: InputStreamId::from_bytes([8; 16]), have: Some(0), size: small, read_only: false },
        0,
    );
    assert_eq!(terminal.size(), small);
    terminal.input(client(1), 0, b"x");
    assert_eq!(terminal.size(), SIZE);
    terminal.detach(client(1));
    assert_eq!(terminal.size(), small);
}

#[test]
fn exit_is_told_once_and_last() {
    let mut terminal = Terminal::new(1);
    terminal.attach(client(1), Attachment { input_stream: STREAM, have: Some(0), size: SIZE, read_only: false }, 0);
    terminal.output(b"bye");
    terminal.exit(3);
    assert!(matches!(terminal.next_frame(client(1)), Some(AgentFrame::Output { .. })));
    assert_eq!(terminal.next_frame(client(1)), Some(AgentFrame::Exited { terminal: 1, offset: 3, code: 3 }));
    assert_eq!(terminal.next_frame(client(1)), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })] // each case moves up to 2 MiB
    #[test]
    fn a_client_that_comes_and_goes_shows_what_was_written(
        writes in prop::collection::vec((0usize..150_000, any::<bool>(), any::<bool>()), 1..30)
    ) {
        let mut terminal = Terminal::new(1);
        let mut shown = Shown::default();
        let mut written = 0u64;
        for (n, (length, attached, acks)) in writes.into_iter().enumerate() {
            terminal.output(&pattern(written, length));
            written += length as u64;
            if attached {
                terminal.attach(client(n as u8), Attachment { input_stream: STREAM, have: Some(shown.end()), size: SIZE, read_only: false }, 0);
                shown.drain(&mut terminal, client(n as u8), acks);
                terminal.detach(client(n as u8));
            }
        }
        terminal.attach(client(99), Attachment { input_stream: STREAM, have: Some(shown.end()), size: SIZE, read_only: false }, 0);
        shown.drain(&mut terminal, client(99), true);
        prop_assert_eq!(shown.end(), written);
        prop_assert_eq!(&shown.bytes, &pattern(shown.from, shown.bytes.len()));
    }
}
