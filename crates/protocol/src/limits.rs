//! Every limit, with its unit and its reason. The same constant drives the check, the page's text and the test.

/// Bytes of one terminal's history kept in the agent. A reconnect within it is byte-exact; 2 MiB is about 25,000 lines.
pub const REPLAY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes of payload in one terminal frame. Small enough that a key typed during a flood waits for little.
pub const FRAME_PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a whole terminal frame: header and payload.
pub const FRAME_BYTES_MAX: usize = crate::terminal_frame::HEADER_BYTES + FRAME_PAYLOAD_BYTES_MAX;
/// Bytes a client may receive beyond its last acknowledgement. Window ÷ parse rate bounds the wait for Ctrl-C: 512 KiB ÷ 5 MB/s = 0.1 s.
pub const OUTPUT_WINDOW_BYTES: u64 = 512 * 1024;
/// Bytes after which a client acknowledges what its terminal has parsed. An eighth of the window, so the sender rarely waits.
pub const OUTPUT_ACK_BYTES: u64 = OUTPUT_WINDOW_BYTES / 8;
/// Bytes of input a client may send beyond the agent's last acknowledgement; the agent's queue per client is as long.
pub const INPUT_WINDOW_BYTES: u64 = 256 * 1024;
/// Bytes of input in one frame. A paste is cut into these.
pub const INPUT_CHUNK_BYTES: usize = 32 * 1024;
/// Bytes one paste may hold. The page refuses more and says so; a file is uploaded instead.
pub const PASTE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Milliseconds without an acknowledgement after which a client no longer paces the program.
pub const PACING_SILENCE_MS_MAX: u64 = 5_000;
/// Terminals in one session.
pub const TERMINALS_PER_SESSION_MAX: u32 = 6;
/// Client connections to one session's agent; the next one is refused.
pub const CLIENTS_PER_SESSION_MAX: usize = 64;
/// Columns of a terminal. xterm and programs allocate per cell.
pub const COLUMNS_MAX: u16 = 1_000;
/// Rows of a terminal.
pub const ROWS_MAX: u16 = 500;
/// Columns of a terminal that no client has sized yet.
pub const COLUMNS_DEFAULT: u16 = 80;
/// Rows of a terminal that no client has sized yet.
pub const ROWS_DEFAULT: u16 = 24;

/// Milliseconds between heartbeats of client, agent and control link.
pub const HEARTBEAT_MS: u64 = 5_000;
/// Milliseconds of silence after which the other side is gone: two missed heartbeats and some slack.
pub const SILENCE_MS_MAX: u64 = 12_000;

/// Bytes of a JSON request body.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a control-link message. They are small; a larger one is hostile.
pub const CONTROL_BYTES_MAX: usize = 64 * 1024;
/// Characters of a session's name.
pub const SESSION_NAME_CHARS_MAX: usize = 60;
/// Sessions one user may have, stopped ones included: the dashboard shows them all at once.
pub const SESSIONS_PER_USER_MAX: u32 = 100;

/// Milliseconds from a start to a serving agent; then the start has failed. Production images are pulled within it.
pub const START_MS_MAX: u64 = 120_000;
/// Milliseconds a stop waits for the agent to end its children and say so; then the container is destroyed.
pub const STOP_MS_MAX: u64 = 20_000;
/// Milliseconds the agent gives its children between HUP, TERM and KILL, each.
pub const CHILD_GRACE_MS: u64 = 2_000;
/// Milliseconds the runtime keeps a container whose object is evicted; set before every start. Local workerd's default is 10 s.
pub const INACTIVITY_MS_MAX: u64 = 10 * 60 * 1_000;
/// Milliseconds between alarms of an object whose container runs.
pub const ALARM_MS_MAX: u64 = 60_000;
/// Port the agent listens on inside its container.
pub const AGENT_PORT: u16 = 7070;

/// Milliseconds the cookie of a local sign-in is good for: 7 days. Cookies ignore ports, so other servers of this host see it.
pub const LOCAL_COOKIE_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1_000;
/// Milliseconds a printed one-time link is good for: one hour.
pub const LOCAL_LINK_MS_MAX: u64 = 60 * 60 * 1_000;

const _: () = {
    // Three children's graces must fit into the stop, or the container dies before its programs were asked.
    assert!(3 * CHILD_GRACE_MS < STOP_MS_MAX);
    // A sender with a full window must still find its bytes in the ring.
    assert!(OUTPUT_WINDOW_BYTES < REPLAY_BYTES_MAX as u64);
    assert!(OUTPUT_ACK_BYTES < OUTPUT_WINDOW_BYTES);
    assert!(INPUT_CHUNK_BYTES <= FRAME_PAYLOAD_BYTES_MAX);
    assert!(SILENCE_MS_MAX > 2 * HEARTBEAT_MS);
    assert!(ALARM_MS_MAX < INACTIVITY_MS_MAX);
};
