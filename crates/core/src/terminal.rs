//! One terminal's output and input: a ring with absolute offsets, a feed per client, input applied once, and the rule that
//! says when the program must wait. First attach, reconnect and slow reader are the same thing: a feed behind the end.

use berth_protocol::{
    error_code::ErrorCode,
    ids::{ClientId, InputStreamId},
    limits::{
        COLUMNS_DEFAULT, FRAME_PAYLOAD_BYTES_MAX, INPUT_WINDOW_BYTES, OUTPUT_WINDOW_BYTES, PACING_SILENCE_MS_MAX,
        REPLAY_BYTES_MAX, ROWS_DEFAULT,
    },
    terminal_frame::{AgentFrame, Size},
};
use std::collections::{BTreeMap, VecDeque};

/// Input streams remembered per terminal: page loads whose typed bytes might still be repeated after a reconnect.
const INPUT_STREAMS_MAX: usize = 64;

/// One terminal, without its PTY.
#[derive(Debug)]
pub struct Terminal {
    id: u32,
    ring: VecDeque<u8>,
    end: u64,
    size: Size,
    exited: Option<i32>,
    feeds: BTreeMap<ClientId, Feed>,
    inputs: VecDeque<InputStream>,
    uses: u64,
}

/// How far one client is.
#[derive(Debug)]
struct Feed {
    input_stream: InputStreamId,
    size: Size,
    next: u64,
    acked: u64,
    ack_ms: u64,
    gap: bool,
    exit_told: bool,
    /// Whether it counts for size and pace; a viewer only looks.
    votes: bool,
    used: u64,
}

#[derive(Debug)]
struct InputStream {
    id: InputStreamId,
    accepted: u64,
    written: u64,
}

/// How a client follows a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attachment {
    /// The page load's stream of typed bytes.
    pub input_stream: InputStreamId,
    /// Output bytes of this boot that it holds already; `None` if what it holds is another boot's.
    pub have: Option<u64>,
    /// Its size.
    pub size: Size,
    /// Whether it only looks; then it decides neither size nor pace.
    pub read_only: bool,
}

/// What became of typed bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputOutcome {
    /// These bytes are new; write them to the PTY, then call [`Terminal::input_written`].
    Write(Vec<u8>),
    /// All of it was applied before.
    Repeated,
    /// Refused, with the reason for a `Refused` frame.
    Refused(ErrorCode, &'static str),
}

/// Whether the PTY may be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Read.
    Go,
    /// Wait for an acknowledgement, or until this time in milliseconds.
    Wait {
        /// When the waiting client stops counting.
        until_ms: u64,
    },
}

impl Terminal {
    /// A terminal without output. Ids are never reused within a boot.
    pub fn new(id: u32) -> Self {
        Self {
            id,
            ring: VecDeque::new(),
            end: 0,
            size: Size { columns: COLUMNS_DEFAULT, rows: ROWS_DEFAULT },
            exited: None,
            feeds: BTreeMap::new(),
            inputs: VecDeque::new(),
            uses: 0,
        }
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its size in force.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Total bytes of output so far.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The program's exit code, once it ended.
    pub fn exited(&self) -> Option<i32> {
        self.exited
    }

    /// The program ended; its last output must have been given to [`Terminal::output`] before.
    pub fn exit(&mut self, code: i32) {
        self.exited = Some(code);
    }

    /// Takes output of the program; the oldest bytes beyond the ring's size are forgotten.
    pub fn output(&mut self, bytes: &[u8]) {
        self.end += bytes.len() as u64;
        let kept = bytes.get(bytes.len().saturating_sub(REPLAY_BYTES_MAX)..).unwrap_or_default();
        let excess = (self.ring.len() + kept.len()).saturating_sub(REPLAY_BYTES_MAX);
        self.ring.drain(..excess);
        self.ring.extend(kept);
    }

    /// A client follows this terminal from what it holds on.
    pub fn attach(&mut self, client: ClientId, attachment: Attachment, now_ms: u64) {
        let Attachment { input_stream, have, size, read_only } = attachment;
        // An offset of the future is none of ours.
        let have = have.filter(|have| *have <= self.end).unwrap_or(0);
        let start = self.end - self.ring.len() as u64;
        let gap = have < start;
        let next = have.max(start);
        let used = self.next_use();
        let feed = Feed {
            input_stream,
            size,
            next,
            acked: next,
            ack_ms: now_ms,
            gap,
            exit_told: false,
            votes: !read_only,
            used,
        };
        self.feeds.insert(client, feed);
        self.fit();
    }

    /// A client is gone.
    pub fn detach(&mut self, client: ClientId) {
        if self.feeds.remove(&client).is_some() {
            self.fit();
        }
    }

    /// Whether this client follows.
    pub fn follows(&self, client: ClientId) -> bool {
        self.feeds.contains_key(&client)
    }

    /// The input position of a client's stream, for the `InputAck` that answers its attach.
    pub fn input_position(&self, client: ClientId) -> u64 {
        let stream = self.feeds.get(&client).map(|feed| feed.input_stream);
        self.inputs.iter().find(|s| Some(s.id) == stream).map_or(0, |s| s.written)
    }

    /// The next frame this client needs and may receive: at most a window beyond its last acknowledgement.
    pub fn next_frame(&mut self, client: ClientId) -> Option<AgentFrame> {
        let start = self.end - self.ring.len() as u64;
        let terminal = self.id;
        let feed = self.feeds.get_mut(&client)?;
        if feed.next < start {
            feed.next = start;
            feed.acked = start;
            feed.gap = true;
        }
        if std::mem::take(&mut feed.gap) {
            return Some(AgentFrame::Gap { terminal, offset: feed.next });
        }
        let window = OUTPUT_WINDOW_BYTES.saturating_sub(feed.next - feed.acked);
        let waiting = self.end - feed.next;
        let length = waiting.min(window).min(FRAME_PAYLOAD_BYTES_MAX as u64) as usize;
        if length == 0 {
            let code = self.exited?;
            if waiting > 0 || std::mem::replace(&mut feed.exit_told, true) {
                return None;
            }
            return Some(AgentFrame::Exited { terminal, offset: self.end, code });
        }
        let from = (feed.next - start) as usize;
        let bytes = copy_range(&self.ring, from, length);
        let offset = feed.next;
        feed.next += length as u64;
        Some(AgentFrame::Output { terminal, offset, bytes })
    }

    /// A client has parsed everything before `offset`. Late and repeated acknowledgements are harmless; false ones are capped.
    pub fn ack(&mut self, client: ClientId, offset: u64, now_ms: u64) {
        if let Some(feed) = self.feeds.get_mut(&client) {
            let acked = feed.acked.max(offset.min(feed.next));
            // Only progress proves that somebody is there.
            if acked > feed.acked || acked == feed.next {
                feed.ack_ms = now_ms;
            }
            feed.acked = acked;
        }
    }

    /// Typed bytes of a client's stream at `offset`.
    pub fn input(&mut self, client: ClientId, offset: u64, bytes: &[u8]) -> InputOutcome {
        let Some(stream_id) = self.feeds.get(&client).map(|feed| feed.input_stream) else {
            return InputOutcome::Refused(ErrorCode::NoSuchTerminal, "attach first");
        };
        if self.exited.is_some() {
            return InputOutcome::Refused(ErrorCode::WrongState, "the program has ended");
        }
        let stream = self.input_stream(stream_id);
        let Some(skip) = stream.accepted.checked_sub(offset) else {
            return InputOutcome::Refused(ErrorCode::BadFrame, "input is missing before this offset");
        };
        let fresh = bytes.get(usize::try_from(skip).unwrap_or(usize::MAX)..).unwrap_or_default();
        if fresh.is_empty() {
            return InputOutcome::Repeated;
        }
        if stream.accepted - stream.written + fresh.len() as u64 > INPUT_WINDOW_BYTES {
            return InputOutcome::Refused(ErrorCode::LimitReached, "more input than the window allows");
        }
        stream.accepted += fresh.len() as u64;
        let fresh = fresh.to_vec();
        self.touch(client);
        InputOutcome::Write(fresh)
    }

    /// Bytes of this client's stream have reached the program; returns the offset to acknowledge.
    pub fn input_written(&mut self, stream: InputStreamId, bytes: u64) -> u64 {
        let stream = self.input_stream(stream);
        stream.written = (stream.written + bytes).min(stream.accepted);
        stream.written
    }

    /// The clients that belong to an input stream.
    pub fn clients_of(&self, stream: InputStreamId) -> impl Iterator<Item = ClientId> + '_ {
        self.feeds.iter().filter(move |(_, feed)| feed.input_stream == stream).map(|(client, _)| *client)
    }

    /// The input stream a client attached with.
    pub fn stream_of(&self, client: ClientId) -> Option<InputStreamId> {
        self.feeds.get(&client).map(|feed| feed.input_stream)
    }

    /// A client's size changed; using counts, so its size is in force now.
    pub fn resize(&mut self, client: ClientId, size: Size) {
        if let Some(feed) = self.feeds.get_mut(&client) {
            feed.size = size;
            self.touch(client);
        }
    }

    /// Whether the PTY may be read: only the most recently used client that still acknowledges makes the program wait.
    pub fn pace(&self, now_ms: u64) -> Pace {
        let pacing = self
            .feeds
            .values()
            .filter(|feed| feed.votes)
            .filter(|feed| feed.acked == self.end || now_ms < feed.ack_ms.saturating_add(PACING_SILENCE_MS_MAX))
            .max_by_key(|feed| feed.used);
        match pacing {
            Some(feed) if self.end - feed.acked >= OUTPUT_WINDOW_BYTES => {
                Pace::Wait { until_ms: feed.ack_ms.saturating_add(PACING_SILENCE_MS_MAX) }
            }
            _ => Pace::Go,
        }
    }

    fn touch(&mut self, client: ClientId) {
        let used = self.next_use();
        if let Some(feed) = self.feeds.get_mut(&client) {
            feed.used = used;
        }
        self.fit();
    }

    /// The size of the most recently used client is in force.
    fn fit(&mut self) {
        if let Some(feed) = self.feeds.values().filter(|feed| feed.votes).max_by_key(|feed| feed.used) {
            self.size = feed.size;
        }
    }

    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    fn input_stream(&mut self, id: InputStreamId) -> &mut InputStream {
        let position = self.inputs.iter().position(|stream| stream.id == id).unwrap_or_else(|| {
            if self.inputs.len() >= INPUT_STREAMS_MAX {
                self.inputs.pop_front();
            }
            self.inputs.push_back(InputStream { id, accepted: 0, written: 0 });
            self.inputs.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "the position was just found or pushed")]
        &mut self.inputs[position]
    }
}

fn copy_range(ring: &VecDeque<u8>, from: usize, length: usize) -> Vec<u8> {
    let (head, tail) = ring.as_slices();
    let mut bytes = Vec::with_capacity(length);
    if let Some(part) = head.get(from..) {
        bytes.extend_from_slice(part.get(..length).unwrap_or(part));
    }
    let rest = from.saturating_sub(head.len());
    if let Some(part) = tail.get(rest..rest + (length - bytes.len())) {
        bytes.extend_from_slice(part);
    }
    bytes
}
