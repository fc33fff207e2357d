//! Terminal frames, `berth.terminal.v1`: one binary WebSocket message each. `kind u8 | terminal u32 | offset u64 | payload`,
//! all big-endian. Offsets count bytes of one terminal since its boot; control never travels inside terminal bytes.

use crate::{
    DecodeError,
    error_code::ErrorCode,
    ids::{BootId, InputStreamId},
    limits::{COLUMNS_MAX, FRAME_PAYLOAD_BYTES_MAX, ROWS_MAX, TERMINALS_PER_SESSION_MAX},
};

/// The WebSocket subprotocol of these frames.
pub const SUBPROTOCOL: &str = "berth.terminal.v1";
/// Bytes before the payload.
pub const HEADER_BYTES: usize = 13;

/// A terminal's size in cells, each at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns, `1..=COLUMNS_MAX`.
    pub columns: u16,
    /// Rows, `1..=ROWS_MAX`.
    pub rows: u16,
}

impl Size {
    /// Clamps to the allowed range.
    pub fn clamped(columns: u16, rows: u16) -> Self {
        Self { columns: columns.clamp(1, COLUMNS_MAX), rows: rows.clamp(1, ROWS_MAX) }
    }
}

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFrame {
    /// Follow a terminal. Payload: `boot 16 | input stream 16 | columns u16 | rows u16`; the header's offset is `have`.
    Attach {
        /// Terminal to follow.
        terminal: u32,
        /// Bytes of this boot's output that the client holds already; 0 for none.
        have: u64,
        /// The boot that `have` belongs to; another one means the client starts afresh.
        boot: BootId,
        /// The page load's input stream; input is applied once per stream offset.
        input_stream: InputStreamId,
        /// The client's size.
        size: Size,
    },
    /// Typed bytes. The header's offset counts this input stream's bytes before them.
    Input {
        /// Terminal to type into.
        terminal: u32,
        /// Offset of the first byte in the input stream.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The client's size changed. Payload: `columns u16 | rows u16`.
    Resize {
        /// Terminal.
        terminal: u32,
        /// New size.
        size: Size,
    },
    /// The client's terminal has parsed all output before `offset`.
    Ack {
        /// Terminal.
        terminal: u32,
        /// Absolute output offset.
        offset: u64,
    },
    /// Heartbeat; answered by `Pong` with the same token.
    Ping {
        /// Any number.
        token: u64,
    },
}

/// What the agent sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentFrame {
    /// First frame. Payload: `boot 16 | read_only u8 | terminals u32 each`.
    Welcome {
        /// The running boot.
        boot: BootId,
        /// Whether this client's input is refused.
        read_only: bool,
        /// Terminals that exist, in order of opening.
        terminals: Vec<u32>,
    },
    /// Output bytes; the header's offset is that of the first.
    Output {
        /// Terminal.
        terminal: u32,
        /// Absolute offset of the first byte.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Output before `offset` is no longer kept: the client clears its screen and goes on from there.
    Gap {
        /// Terminal.
        terminal: u32,
        /// Where the following output starts.
        offset: u64,
    },
    /// Input of the client's stream before `offset` has reached the program.
    InputAck {
        /// Terminal.
        terminal: u32,
        /// Offset in the client's input stream.
        offset: u64,
    },
    /// The terminal's real size, also the answer to an attach. Payload: `columns u16 | rows u16`.
    Resized {
        /// Terminal.
        terminal: u32,
        /// Output bytes so far. What an attaching client gets before this offset is a replay: its screen must not answer
        /// the questions that programs asked then.
        offset: u64,
        /// Size now.
        size: Size,
    },
    /// The terminal's program ended. Payload: `code i32`; a signal is 128 + its number, as shells print it.
    Exited {
        /// Terminal.
        terminal: u32,
        /// Total output bytes.
        offset: u64,
        /// Exit code.
        code: i32,
    },
    /// Answer to `Ping`.
    Pong {
        /// The ping's token.
        token: u64,
    },
    /// A frame was refused; the connection stays. Payload: `code u16 | text`.
    Refused {
        /// Terminal the refused frame named, or 0.
        terminal: u32,
        /// Why.
        code: ErrorCode,
        /// Detail in English, for a log.
        detail: String,
    },
}

const ATTACH: u8 = 0x01;
const INPUT: u8 = 0x02;
const RESIZE: u8 = 0x03;
const ACK: u8 = 0x04;
const PING: u8 = 0x05;
const WELCOME: u8 = 0x81;
const OUTPUT: u8 = 0x82;
const GAP: u8 = 0x83;
const INPUT_ACK: u8 = 0x84;
const RESIZED: u8 = 0x85;
const EXITED: u8 = 0x86;
const PONG: u8 = 0x87;
const REFUSED: u8 = 0x88;

impl ClientFrame {
    /// Writes the frame.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Attach { terminal, have, boot, input_stream, size } => {
                let mut out = header(ATTACH, *terminal, *have, 36);
                out.extend_from_slice(&boot.to_bytes());
                out.extend_from_slice(&input_stream.to_bytes());
                put_size(&mut out, *size);
                out
            }
            Self::Input { terminal, offset, bytes } => with_bytes(INPUT, *terminal, *offset, bytes),
            Self::Resize { terminal, size } => {
                let mut out = header(RESIZE, *terminal, 0, 4);
                put_size(&mut out, *size);
                out
            }
            Self::Ack { terminal, offset } => header(ACK, *terminal, *offset, 0),
            Self::Ping { token } => header(PING, 0, *token, 0),
        }
    }

    /// Reads a frame; any bytes decode or are refused with the field named.
    pub fn decode(frame: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame)?;
        let (terminal, offset) = (reader.terminal, reader.offset);
        let decoded = match reader.kind {
            ATTACH => Self::Attach {
                terminal,
                have: offset,
                boot: BootId::from_bytes(reader.array("boot")?),
                input_stream: InputStreamId::from_bytes(reader.array("input_stream")?),
                size: reader.size()?,
            },
            INPUT => Self::Input { terminal, offset, bytes: reader.rest("bytes")?.to_vec() },
            RESIZE => Self::Resize { terminal, size: reader.size()? },
            ACK => Self::Ack { terminal, offset },
            PING => Self::Ping { token: offset },
            other => return Err(DecodeError::new("kind", format!("{other:#04x} is no client frame"))),
        };
        reader.end()?;
        Ok(decoded)
    }
}

impl AgentFrame {
    /// Writes the frame.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Welcome { boot, read_only, terminals } => {
                let mut out = header(WELCOME, 0, 0, 17 + 4 * terminals.len());
                out.extend_from_slice(&boot.to_bytes());
                out.push(u8::from(*read_only));
                for terminal in terminals {
                    out.extend_from_slice(&terminal.to_be_bytes());
                }
                out
            }
            Self::Output { terminal, offset, bytes } => with_bytes(OUTPUT, *terminal, *offset, bytes),
            Self::Gap { terminal, offset } => header(GAP, *terminal, *offset, 0),
            Self::InputAck { terminal, offset } => header(INPUT_ACK, *terminal, *offset, 0),
            Self::Resized { terminal, offset, size } => {
                let mut out = header(RESIZED, *terminal, *offset, 4);
                put_size(&mut out, *size);
                out
            }
            Self::Exited { terminal, offset, code } => {
                let mut out = header(EXITED, *terminal, *offset, 4);
                out.extend_from_slice(&code.to_be_bytes());
                out
            }
            Self::Pong { token } => header(PONG, 0, *token, 0),
            Self::Refused { terminal, code, detail } => {
                let mut out = header(REFUSED, *terminal, 0, 2 + detail.len());
                out.extend_from_slice(&code.number().to_be_bytes());
                out.extend_from_slice(detail.as_bytes());
                out
            }
        }
    }

    /// Reads a frame; any bytes decode or are refused with the field named.
    pub fn decode(frame: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame)?;
        let (terminal, offset) = (reader.terminal, reader.offset);
        let decoded = match reader.kind {
            WELCOME => {
                let boot = BootId::from_bytes(reader.array("boot")?);
                let read_only = match reader.array::<1>("read_only")? {
                    [0] => false,
                    [1] => true,
                    _ => return Err(DecodeError::new("read_only", "neither 0 nor 1")),
                };
                let mut terminals = Vec::new();
                while !reader.payload.is_empty() {
                    if terminals.len() >= TERMINALS_PER_SESSION_MAX as usize {
                        return Err(DecodeError::new("terminals", "more than a session may have"));
                    }
                    terminals.push(u32::from_be_bytes(reader.array("terminals")?));
                }
                Self::Welcome { boot, read_only, terminals }
            }
            OUTPUT => Self::Output { terminal, offset, bytes: reader.rest("bytes")?.to_vec() },
            GAP => Self::Gap { terminal, offset },
            INPUT_ACK => Self::InputAck { terminal, offset },
            RESIZED => Self::Resized { terminal, offset, size: reader.size()? },
            EXITED => Self::Exited { terminal, offset, code: i32::from_be_bytes(reader.array("code")?) },
            PONG => Self::Pong { token: offset },
            REFUSED => {
                let number = u16::from_be_bytes(reader.array("code")?);
                // A newer agent may know more codes; the refusal still holds.
                let code = ErrorCode::from_number(number).unwrap_or(ErrorCode::Internal);
                let detail = std::str::from_utf8(reader.rest("detail")?)
                    .map_err(|_| DecodeError::new("detail", "not UTF-8"))?
                    .to_owned();
                Self::Refused { terminal, code, detail }
            }
            other => return Err(DecodeError::new("kind", format!("{other:#04x} is no agent frame"))),
        };
        reader.end()?;
        Ok(decoded)
    }
}

fn header(kind: u8, terminal: u32, offset: u64, payload_bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + payload_bytes);
    out.push(kind);
    out.extend_from_slice(&terminal.to_be_bytes());
    out.extend_from_slice(&offset.to_be_bytes());
    out
}

fn with_bytes(kind: u8, terminal: u32, offset: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = header(kind, terminal, offset, bytes.len());
    out.extend_from_slice(bytes);
    out
}

fn put_size(out: &mut Vec<u8>, size: Size) {
    out.extend_from_slice(&size.columns.to_be_bytes());
    out.extend_from_slice(&size.rows.to_be_bytes());
}

struct Reader<'a> {
    kind: u8,
    terminal: u32,
    offset: u64,
    payload: &'a [u8],
}

impl<'a> Reader<'a> {
    fn new(frame: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Self { kind: 0, terminal: 0, offset: 0, payload: frame };
        let [kind] = reader.array("kind")?;
        reader.kind = kind;
        reader.terminal = u32::from_be_bytes(reader.array("terminal")?);
        reader.offset = u64::from_be_bytes(reader.array("offset")?);
        Ok(reader)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self
            .payload
            .split_first_chunk::<N>()
            .ok_or_else(|| DecodeError::new(field, format!("{} bytes left, {N} needed", self.payload.len())))?;
        self.payload = tail;
        Ok(*head)
    }

    fn rest(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let rest = std::mem::take(&mut self.payload);
        if rest.len() > FRAME_PAYLOAD_BYTES_MAX {
            return Err(DecodeError::new(field, format!("{} bytes, {FRAME_PAYLOAD_BYTES_MAX} allowed", rest.len())));
        }
        Ok(rest)
    }

    fn size(&mut self) -> Result<Size, DecodeError> {
        let columns = u16::from_be_bytes(self.array("columns")?);
        let rows = u16::from_be_bytes(self.array("rows")?);
        if !(1..=COLUMNS_MAX).contains(&columns) {
            return Err(DecodeError::new("columns", format!("{columns} is not in 1..={COLUMNS_MAX}")));
        }
        if !(1..=ROWS_MAX).contains(&rows) {
            return Err(DecodeError::new("rows", format!("{rows} is not in 1..={ROWS_MAX}")));
        }
        Ok(Size { columns, rows })
    }

    fn end(&self) -> Result<(), DecodeError> {
        if self.payload.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::new("payload", format!("{} bytes too many", self.payload.len())))
        }
    }
}
