//! Opens a terminal and moves its bytes: PTY to ring, input queue to PTY, and the end of its program.

use crate::{
    clock::now_ms,
    hub::{Shared, TerminalSlot},
    pty::Pty,
};
use anyhow::{Result, bail};
use berth_core::terminal::{Pace, Terminal};
use berth_protocol::{
    control_link::AgentEvent,
    ids::InputStreamId,
    limits::{FRAME_PAYLOAD_BYTES_MAX, TERMINALS_PER_SESSION_MAX},
    terminal_frame::AgentFrame,
};
use std::{rc::Rc, time::Duration};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::spawn_local,
};

/// Opens the next terminal with a login shell.
pub fn open(hub: &Shared) -> Result<u32> {
    let id = hub.borrow().terminals.keys().next_back().map_or(1, |last| last + 1);
    if id > TERMINALS_PER_SESSION_MAX {
        bail!("{TERMINALS_PER_SESSION_MAX} terminals are open already");
    }
    let terminal = Terminal::new(id);
    let (pty, pid) = Pty::start_shell(terminal.size())?;
    let pty = Rc::new(pty);
    let acked = Rc::new(Notify::new());
    let (input, queue) = mpsc::unbounded_channel();
    let (exit, exited) = watch::channel(None);
    let slot = TerminalSlot { terminal, pty: Rc::clone(&pty), pid, input, acked: Rc::clone(&acked), exit };
    {
        let mut hub = hub.borrow_mut();
        hub.terminals.insert(id, slot);
        hub.record(AgentEvent::TerminalOpened { terminal: id });
    }
    spawn_local(read_output(Rc::clone(hub), id, Rc::clone(&pty), acked, exited));
    spawn_local(write_input(Rc::clone(hub), id, pty, queue));
    Ok(id)
}

/// Moves output into the ring, as fast as the pacing client allows, until the program and its last byte are gone.
async fn read_output(hub: Shared, id: u32, pty: Rc<Pty>, acked: Rc<Notify>, mut exited: watch::Receiver<Option<i32>>) {
    let mut buffer = vec![0; FRAME_PAYLOAD_BYTES_MAX];
    let store = |bytes: &[u8]| {
        let mut hub = hub.borrow_mut();
        if let Some(slot) = hub.terminals.get_mut(&id) {
            slot.terminal.output(bytes);
        }
        hub.wake_followers(id);
    };
    loop {
        let pace = hub.borrow().terminals.get(&id).map_or(Pace::Go, |slot| slot.terminal.pace(now_ms()));
        if let Pace::Wait { until_ms } = pace {
            let patience = Duration::from_millis(until_ms.saturating_sub(now_ms()));
            tokio::select! { () = acked.notified() => {} , () = tokio::time::sleep(patience) => {} }
            continue;
        }
        tokio::select! {
            // Output first: what the program wrote before its end is shown before its end.
            biased;
            read = pty.read(&mut buffer) => match read {
                Some(length) => store(buffer.get(..length).unwrap_or_default()),
                None => break,
            },
            _ = exited.wait_for(Option::is_some) => {
                // A program left in the background may keep the terminal open; the shell's end is the terminal's end.
                while let Some(length) = pty.read_now(&mut buffer) {
                    store(buffer.get(..length).unwrap_or_default());
                }
                break;
            }
        }
    }
    let code = exited.wait_for(Option::is_some).await.ok().and_then(|code| *code).unwrap_or(255);
    let mut hub = hub.borrow_mut();
    if let Some(slot) = hub.terminals.get_mut(&id) {
        slot.terminal.exit(code);
    }
    hub.record(AgentEvent::TerminalExited { terminal: id, code });
    hub.wake_followers(id);
}

/// Moves typed bytes into the PTY and acknowledges what the program's terminal has taken.
async fn write_input(hub: Shared, id: u32, pty: Rc<Pty>, mut queue: mpsc::UnboundedReceiver<(InputStreamId, Vec<u8>)>) {
    while let Some((stream, bytes)) = queue.recv().await {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            // The terminal is gone: its exit frame tells the page, and later input is refused.
            let Ok(written) = pty.write(rest).await else { return };
            rest = rest.get(written..).unwrap_or_default();
            let mut hub = hub.borrow_mut();
            let Some(slot) = hub.terminals.get_mut(&id) else { return };
            let offset = slot.terminal.input_written(stream, written as u64);
            let clients: Vec<_> = slot.terminal.clients_of(stream).collect();
            for client in clients {
                hub.reply(client, AgentFrame::InputAck { terminal: id, offset });
            }
        }
    }
}
