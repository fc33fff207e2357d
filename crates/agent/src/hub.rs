//! The agent's whole state: terminals, clients, and the events that the Session object has not acknowledged.

use crate::pty::Pty;
use berth_core::terminal::Terminal;
use berth_protocol::{
    agent_http::Grant,
    control_link::AgentEvent,
    ids::{BootId, ClientId, InputStreamId},
    terminal_frame::AgentFrame,
};
use nix::unistd::Pid;
use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};
use tokio::sync::{Notify, mpsc, watch};

/// The state as tasks share it. Never borrowed across an await.
pub type Shared = Rc<RefCell<Hub>>;

/// Events kept until acknowledged; beyond it the oldest is forgotten, which only costs a line in the timeline.
const EVENTS_MAX: usize = 1_000;

/// Frames that may wait for one client apart from output; one that sends and never reads is closed.
const REPLIES_MAX: usize = 1_024;

/// Everything there is.
#[derive(Debug)]
pub struct Hub {
    /// The running boot.
    pub boot: BootId,
    /// Terminals by id, ended ones included.
    pub terminals: BTreeMap<u32, TerminalSlot>,
    /// Connected clients.
    pub clients: BTreeMap<ClientId, ClientSlot>,
    /// Events not yet acknowledged, oldest first.
    pub events: VecDeque<(u64, AgentEvent)>,
    /// Wakes the control link.
    pub control_wake: Rc<Notify>,
    /// Counts control links; a link whose number is lower than this has been replaced.
    pub control_link: watch::Sender<u64>,
    next_event: u64,
}

/// A terminal and its program.
#[derive(Debug)]
pub struct TerminalSlot {
    /// Replay, pace and input.
    pub terminal: Terminal,
    /// The PTY.
    pub pty: Rc<Pty>,
    /// The shell.
    pub pid: Pid,
    /// Typed bytes on their way to the PTY, with the stream they belong to.
    pub input: mpsc::UnboundedSender<(InputStreamId, Vec<u8>)>,
    /// Wakes the reader when a client acknowledged.
    pub acked: Rc<Notify>,
    /// The shell's exit code, before its last output was read.
    pub exit: watch::Sender<Option<i32>>,
}

/// A client and what waits to be sent to it, apart from output.
#[derive(Debug)]
pub struct ClientSlot {
    /// What it may do.
    pub grant: Grant,
    /// Frames that go before output, at most [`REPLIES_MAX`].
    pub replies: VecDeque<AgentFrame>,
    /// Wakes its writer.
    pub wake: Rc<Notify>,
    /// Ends the connection, also while its writer waits for a client that does not read.
    pub close: Rc<Notify>,
}

impl Hub {
    /// Nothing yet.
    pub fn new(boot: BootId) -> Self {
        Self {
            boot,
            terminals: BTreeMap::new(),
            clients: BTreeMap::new(),
            events: VecDeque::new(),
            control_wake: Rc::default(),
            control_link: watch::Sender::new(0),
            next_event: 1,
        }
    }

    /// Queues a frame for one client.
    pub fn reply(&mut self, client: ClientId, frame: AgentFrame) {
        if let Some(slot) = self.clients.get_mut(&client) {
            if slot.replies.len() >= REPLIES_MAX {
                return slot.close.notify_one();
            }
            slot.replies.push_back(frame);
            slot.wake.notify_one();
        }
    }

    /// Wakes every client that follows a terminal.
    pub fn wake_followers(&self, terminal: u32) {
        let Some(slot) = self.terminals.get(&terminal) else { return };
        for (client, state) in &self.clients {
            if slot.terminal.follows(*client) {
                state.wake.notify_one();
            }
        }
    }

    /// Puts the terminal's size in force and tells followers.
    pub fn apply_size(&mut self, terminal: u32) {
        let Some(slot) = self.terminals.get(&terminal) else { return };
        let (size, offset) = (slot.terminal.size(), slot.terminal.end());
        slot.pty.resize(size);
        let followers: Vec<ClientId> =
            self.clients.keys().copied().filter(|client| slot.terminal.follows(*client)).collect();
        for client in followers {
            self.reply(client, AgentFrame::Resized { terminal, offset, size });
        }
    }

    /// Removes a client everywhere.
    pub fn forget(&mut self, client: ClientId) {
        self.clients.remove(&client);
        let ids: Vec<u32> = self.terminals.keys().copied().collect();
        for id in ids {
            let Some(slot) = self.terminals.get_mut(&id) else { continue };
            if slot.terminal.follows(client) {
                let before = slot.terminal.size();
                slot.terminal.detach(client);
                slot.acked.notify_one();
                if slot.terminal.size() != before {
                    self.apply_size(id);
                }
            }
        }
    }

    /// Ends the connections that `matches`.
    pub fn close_clients(&mut self, matches: impl Fn(&Grant) -> bool) {
        for slot in self.clients.values_mut().filter(|slot| matches(&slot.grant)) {
            slot.close.notify_one();
        }
    }

    /// Records an event for the control link.
    pub fn record(&mut self, event: AgentEvent) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back((self.next_event, event));
        self.next_event += 1;
        self.control_wake.notify_one();
    }
}
