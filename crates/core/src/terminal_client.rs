//! The page's half of one terminal: what it holds, what it has typed and not yet seen acknowledged, and what to send next.
//! It survives reconnects; a connection is only a place to send frames to.

use berth_protocol::{
    error_code::ErrorCode,
    ids::{BootId, InputStreamId},
    limits::{INPUT_CHUNK_BYTES, INPUT_WINDOW_BYTES, OUTPUT_ACK_BYTES, PASTE_BYTES_MAX},
    terminal_frame::{AgentFrame, ClientFrame, Size},
};
use std::collections::VecDeque;

/// One terminal as a page knows it.
#[derive(Debug)]
pub struct TerminalClient {
    terminal: u32,
    input_stream: InputStreamId,
    size: Size,
    boot: Option<BootId>,
    /// Output bytes handed to the screen.
    shown: u64,
    /// Output bytes the screen has parsed, and how many of them were acknowledged.
    parsed: u64,
    acked: u64,
    /// Typed bytes from `input_acked` on.
    outbox: VecDeque<u8>,
    input_acked: u64,
    input_sent: u64,
    attached: bool,
    read_only: bool,
    exited: bool,
    /// Whether the next size answers our attach; its offset ends the replay.
    attaching: bool,
    replay_end: u64,
}

/// What the page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Show {
    /// Write these bytes to the screen, then call [`TerminalClient::parsed`] with their number.
    Output(Vec<u8>),
    /// Empty the screen: what follows does not continue it.
    Reset,
    /// The terminal is attached; whether this page may type.
    Attached {
        /// Whether input is refused.
        read_only: bool,
    },
    /// The terminal's real size.
    Resized(Size),
    /// The program ended with this code.
    Exited(i32),
    /// Something sent was refused.
    Refused(ErrorCode),
    /// The boot has no such terminal.
    Missing,
}

/// Typed bytes were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTyped {
    /// Viewers do not type.
    ReadOnly,
    /// The program has ended.
    Exited,
    /// More than [`PASTE_BYTES_MAX`] bytes would wait.
    TooMuch,
}

impl TerminalClient {
    /// A page that holds nothing yet. `input_stream` is fresh per page load.
    pub fn new(terminal: u32, input_stream: InputStreamId, size: Size) -> Self {
        Self {
            terminal,
            input_stream,
            size,
            boot: None,
            shown: 0,
            parsed: 0,
            acked: 0,
            outbox: VecDeque::new(),
            input_acked: 0,
            input_sent: 0,
            attached: false,
            read_only: false,
            exited: false,
            attaching: false,
            replay_end: 0,
        }
    }

    /// Whether the screen still parses what was written before this page attached. What it produces meanwhile answers
    /// questions of the past: to a shell it would be typed garbage.
    pub fn is_replaying(&self) -> bool {
        self.attaching || self.parsed < self.replay_end
    }

    /// The connection is gone. What was typed stays until a connection acknowledges it.
    pub fn disconnected(&mut self) {
        (self.attached, self.attaching) = (false, false);
    }

    /// Takes a frame: what to show, and what to send.
    pub fn take(&mut self, frame: AgentFrame) -> (Vec<Show>, Vec<ClientFrame>) {
        match frame {
            AgentFrame::Welcome { boot, read_only, terminals } => self.welcome(boot, read_only, &terminals),
            AgentFrame::Output { terminal, offset, bytes } if terminal == self.terminal => {
                (self.output(offset, bytes), vec![])
            }
            AgentFrame::Gap { terminal, offset } if terminal == self.terminal => {
                (self.shown, self.parsed, self.acked) = (offset, offset, offset);
                (vec![Show::Reset], vec![])
            }
            AgentFrame::InputAck { terminal, offset } if terminal == self.terminal => {
                self.input_acknowledged(offset);
                (vec![], self.input_to_send())
            }
            AgentFrame::Resized { terminal, offset, size } if terminal == self.terminal => {
                if std::mem::take(&mut self.attaching) {
                    self.replay_end = offset;
                }
                (vec![Show::Resized(size)], vec![])
            }
            AgentFrame::Exited { terminal, code, .. } if terminal == self.terminal => {
                self.exited = true;
                self.outbox.clear();
                (vec![Show::Exited(code)], vec![])
            }
            AgentFrame::Refused { terminal, code: ErrorCode::NoSuchTerminal, .. } if terminal == self.terminal => {
                (vec![Show::Missing], vec![])
            }
            AgentFrame::Refused { code, .. } => (vec![Show::Refused(code)], vec![]),
            // Other terminals, and heartbeats.
            _ => (vec![], vec![]),
        }
    }

    /// The screen has parsed `bytes` more; perhaps an acknowledgement is due.
    pub fn parsed(&mut self, bytes: u64) -> Option<ClientFrame> {
        // A reset in between makes late reports of the old screen harmless.
        self.parsed = (self.parsed + bytes).min(self.shown);
        let is_due = self.parsed - self.acked >= OUTPUT_ACK_BYTES || self.parsed == self.shown;
        if !self.attached || !is_due || self.parsed == self.acked {
            return None;
        }
        self.acked = self.parsed;
        Some(ClientFrame::Ack { terminal: self.terminal, offset: self.acked })
    }

    /// Typed or pasted bytes.
    pub fn typed(&mut self, bytes: &[u8]) -> Result<Vec<ClientFrame>, NotTyped> {
        if self.read_only {
            return Err(NotTyped::ReadOnly);
        }
        if self.exited {
            return Err(NotTyped::Exited);
        }
        if self.outbox.len() + bytes.len() > PASTE_BYTES_MAX {
            return Err(NotTyped::TooMuch);
        }
        self.outbox.extend(bytes);
        Ok(self.input_to_send())
    }

    /// The page's own size changed.
    pub fn resized(&mut self, size: Size) -> Option<ClientFrame> {
        if size == self.size {
            return None;
        }
        self.size = size;
        (self.attached && !self.read_only).then_some(ClientFrame::Resize { terminal: self.terminal, size })
    }

    fn welcome(&mut self, boot: BootId, read_only: bool, terminals: &[u32]) -> (Vec<Show>, Vec<ClientFrame>) {
        self.read_only = read_only;
        if !terminals.contains(&self.terminal) {
            return (vec![Show::Missing], vec![]);
        }
        let mut show = vec![];
        if self.boot.is_some_and(|known| known != boot) {
            // Another boot is another world: its screen starts empty, and nothing typed to the old one may reach it.
            show.push(Show::Reset);
            (self.shown, self.parsed, self.acked) = (0, 0, 0);
            self.outbox.clear();
            (self.input_acked, self.input_sent) = (0, 0);
            self.exited = false;
        }
        self.boot = Some(boot);
        (self.attached, self.attaching) = (true, true);
        // The agent counts this connection's window from what the attach says the page holds.
        self.acked = self.acked.max(self.parsed);
        self.input_sent = self.input_acked;
        let attach = ClientFrame::Attach {
            terminal: self.terminal,
            have: self.shown,
            boot,
            input_stream: self.input_stream,
            size: self.size,
        };
        show.push(Show::Attached { read_only });
        let mut send = vec![attach];
        send.extend(self.input_to_send());
        (show, send)
    }

    fn output(&mut self, offset: u64, bytes: Vec<u8>) -> Vec<Show> {
        // A repetition is cut; a hole cannot come over an ordered connection, and a gap declares itself.
        let Some(skip) = self.shown.checked_sub(offset).and_then(|skip| usize::try_from(skip).ok()) else {
            return vec![];
        };
        let fresh = bytes.get(skip..).unwrap_or_default().to_vec();
        if fresh.is_empty() {
            return vec![];
        }
        self.shown += fresh.len() as u64;
        vec![Show::Output(fresh)]
    }

    fn input_acknowledged(&mut self, offset: u64) {
        let done = offset.saturating_sub(self.input_acked).min(self.outbox.len() as u64);
        self.outbox.drain(..done as usize);
        self.input_acked += done;
        self.input_sent = self.input_sent.max(self.input_acked);
    }

    fn input_to_send(&mut self) -> Vec<ClientFrame> {
        let mut frames = vec![];
        while self.attached {
            let in_flight = self.input_sent - self.input_acked;
            let waiting = self.outbox.len() as u64 - in_flight;
            let length = waiting.min(INPUT_WINDOW_BYTES - in_flight).min(INPUT_CHUNK_BYTES as u64);
            if length == 0 {
                break;
            }
            let bytes: Vec<u8> = self.outbox.iter().skip(in_flight as usize).take(length as usize).copied().collect();
            frames.push(ClientFrame::Input { terminal: self.terminal, offset: self.input_sent, bytes });
            self.input_sent += length;
        }
        frames
    }
}
