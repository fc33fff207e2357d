//! Every process below the agent: reaped when it ends, and ended in three steps when the session ends.

use crate::hub::Shared;
use berth_protocol::limits::CHILD_GRACE_MS;
use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, getpid},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};

/// Reaps whatever ends, orphans included, and tells terminals of their shell's end. Runs for ever.
pub async fn reap(hub: Shared) {
    let Ok(mut child_ended) = signal(SignalKind::child()) else { return };
    loop {
        loop {
            let (pid, code) = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
                Err(Errno::EINTR) => continue,
                Ok(_) | Err(_) => break,
            };
            if let Some(slot) = hub.borrow().terminals.values().find(|slot| slot.pid == pid) {
                slot.exit.send_replace(Some(code));
            }
        }
        child_ended.recv().await;
    }
}

/// Asks every process below the agent to end (HUP, then TERM), then kills what is left. Returns when none is left.
pub async fn end_all() {
    for signal in [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGKILL] {
        let below = descendants(getpid());
        for pid in &below {
            let _ = kill(*pid, signal);
            // A stopped program takes its signal only when it goes on.
            let _ = kill(*pid, Signal::SIGCONT);
        }
        if tokio::time::timeout(Duration::from_millis(CHILD_GRACE_MS), gone()).await.is_ok() {
            return;
        }
    }
}

/// Waits until no process is left below the agent; each end is a SIGCHLD, since the agent adopts orphans.
async fn gone() {
    let Ok(mut child_ended) = signal(SignalKind::child()) else { return };
    while !descendants(getpid()).is_empty() {
        child_ended.recv().await;
        // The reaper shares the signal; let it reap first.
        tokio::task::yield_now().await;
    }
}

/// Every live process below `root`, from `/proc`; zombies do not count.
fn descendants(root: Pid) -> BTreeSet<Pid> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // A program's name may be cut in the middle of a character.
        let Ok(stat) = fs::read(entry.path().join("stat")) else { continue };
        let stat = String::from_utf8_lossy(&stat);
        // `pid (name) state ppid …`; the name may hold anything, so read from its last parenthesis.
        let mut fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ')).into_iter().flatten();
        let (state, parent) = (fields.next(), fields.next().and_then(|field| field.parse::<i32>().ok()));
        if let (Some(state), Some(parent)) = (state, parent)
            && state != "Z"
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = BTreeSet::new();
    let mut next = vec![root.as_raw()];
    while let Some(pid) = next.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            if found.insert(Pid::from_raw(*child)) {
                next.push(*child);
            }
        }
    }
    found
}
