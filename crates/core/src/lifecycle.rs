//! A session's lifecycle: what a user, the container and the clock may do to it, and what the object then has to do.
//!
//! Every transition is persisted before its effects run, and every effect may be repeated, so a restart of the object
//! at any point ends in the right state: it sends `Constructed` first.

use berth_protocol::{
    api::{Failure, SessionState},
    ids::BootId,
    limits::{ALARM_MS_MAX, START_MS_MAX, STOP_MS_MAX},
};
use serde::{Deserialize, Serialize};

/// Milliseconds until a failed destruction is tried again.
const DESTROY_RETRY_MS: u64 = 5_000;

/// What the object stores, and all that decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Where the session is.
    pub state: SessionState,
    /// Why, when `Failed`.
    pub failure: Option<Failure>,
    /// The boot that `Starting`, `Running` and `Stopping` belong to.
    pub boot: Option<BootId>,
    /// Unix time in milliseconds of the last change of state.
    pub since_ms: u64,
    /// When `Starting` or `Stopping` gives up waiting.
    pub deadline_ms: u64,
    /// Counts published changes.
    pub version: u64,
    /// Whether a failed boot's container may still be there.
    #[serde(default)]
    pub leftover: bool,
    /// Whether the session is erased once its container is gone.
    pub deleting: bool,
}

/// Everything that can happen to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A person starts it; `boot` is fresh.
    Start {
        /// Names the boot, should there be one.
        boot: BootId,
    },
    /// A person stops it.
    Stop,
    /// A person deletes it.
    Delete,
    /// Name or members changed; only publishes.
    Renamed,
    /// The agent of this boot serves.
    Ready {
        /// As its hello says.
        boot: BootId,
    },
    /// The agent of this boot has ended its programs.
    Drained {
        /// As its event says.
        boot: BootId,
    },
    /// The runtime refused to start this boot's container.
    StartRefused {
        /// The boot.
        boot: BootId,
    },
    /// This boot's container ended.
    Exited {
        /// The boot.
        boot: BootId,
    },
    /// No container is left after `Effect::Destroy`.
    Destroyed,
    /// The object was constructed; nothing of its memory is left.
    Constructed {
        /// What the runtime says of the container.
        container_runs: bool,
    },
    /// The alarm rang.
    Alarm,
}

/// What the object has to do, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Destroy whatever container there is, then start one for this boot.
    StartContainer {
        /// The boot.
        boot: BootId,
    },
    /// Make sure the control link to this boot is up; `Ready` follows its hello.
    OpenLink {
        /// The boot.
        boot: BootId,
    },
    /// Tell the agent to end its programs.
    Drain {
        /// The boot.
        boot: BootId,
    },
    /// Destroy whatever container there is, then send `Destroyed`.
    Destroy,
    /// Wake at this Unix time in milliseconds, or not at all.
    SetAlarm {
        /// When.
        at_ms: Option<u64>,
    },
    /// Tell every member's User object.
    Publish,
    /// Forget the session: index row, object storage, members' dashboards.
    Erase,
}

/// A person asked for something that the state does not allow now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongState {
    /// The state it is in.
    pub state: SessionState,
}

impl Lifecycle {
    /// A new session: no container.
    pub fn new(now_ms: u64) -> Self {
        Self {
            state: SessionState::Stopped,
            failure: None,
            boot: None,
            since_ms: now_ms,
            deadline_ms: 0,
            version: 1,
            leftover: false,
            deleting: false,
        }
    }

    /// Takes one event; on `Err` nothing changed. The caller persists `self`, then runs the effects in order.
    pub fn handle(&mut self, event: Event, now_ms: u64) -> Result<Vec<Effect>, WrongState> {
        use SessionState::{Failed, Running, Starting, Stopped, Stopping};
        let effects = match (self.state, event) {
            (_, Event::Start { .. }) if self.deleting => return Err(WrongState { state: self.state }),
            (Stopped | Failed, Event::Start { boot }) => {
                self.enter(Starting, Some(boot), now_ms);
                self.deadline_ms = now_ms.saturating_add(START_MS_MAX);
                vec![alarm_at(self.deadline_ms), Effect::Publish, Effect::StartContainer { boot }]
            }
            // Asked twice: the first start is what they want.
            (Starting | Running, Event::Start { .. }) => vec![],
            (Stopping, Event::Start { .. }) => return Err(WrongState { state: self.state }),

            (Running, Event::Stop) => self.begin_stop(now_ms),
            (Starting, Event::Stop) => {
                // No program runs yet that could be asked to end.
                let mut effects = self.begin_stop(now_ms);
                effects.push(Effect::Destroy);
                effects
            }
            (Stopped | Failed | Stopping, Event::Stop) => vec![],

            (Stopped | Failed, Event::Delete) => {
                self.deleting = true;
                // What is left of a failed boot goes first, or nobody would remember it.
                if self.leftover { vec![Effect::Destroy] } else { vec![Effect::Erase] }
            }
            (Starting | Running, Event::Delete) => {
                let effects = self.handle(Event::Stop, now_ms)?;
                self.deleting = true;
                effects
            }
            (Stopping, Event::Delete) => {
                self.deleting = true;
                vec![]
            }

            (_, Event::Renamed) => {
                self.version += 1;
                vec![Effect::Publish]
            }

            (Starting, Event::Ready { boot }) if self.is_boot(boot) => {
                self.enter(Running, Some(boot), now_ms);
                vec![alarm_at(now_ms.saturating_add(ALARM_MS_MAX)), Effect::Publish]
            }
            (Stopping, Event::Ready { boot }) if self.is_boot(boot) => vec![Effect::Drain { boot }],
            (Stopping, Event::Drained { boot }) if self.is_boot(boot) => vec![Effect::Destroy],
            (Starting, Event::StartRefused { boot }) if self.is_boot(boot) => self.fail(Failure::StartRefused, now_ms),
            (Starting, Event::Exited { boot }) if self.is_boot(boot) => self.fail(Failure::StartRefused, now_ms),
            (Running, Event::Exited { boot }) if self.is_boot(boot) => self.fail(Failure::ContainerExited, now_ms),
            (Stopping, Event::Exited { boot }) if self.is_boot(boot) => vec![Effect::Destroy],
            (_, Event::Ready { .. } | Event::Drained { .. } | Event::StartRefused { .. } | Event::Exited { .. }) => {
                vec![]
            }

            (Stopping, Event::Destroyed) => self.end_stop(now_ms),
            (Stopped | Failed, Event::Destroyed) if self.leftover => {
                self.leftover = false;
                let mut effects = vec![Effect::SetAlarm { at_ms: None }];
                effects.extend(self.deleting.then_some(Effect::Erase));
                effects
            }
            (_, Event::Destroyed) => vec![],

            (_, Event::Constructed { container_runs }) => self.resume(container_runs, now_ms),
            (_, Event::Alarm) => self.alarm(now_ms),
        };
        Ok(effects)
    }

    fn resume(&mut self, container_runs: bool, now_ms: u64) -> Vec<Effect> {
        use SessionState::{Failed, Running, Starting, Stopped, Stopping};
        let Some(boot) = self.boot else {
            self.leftover = container_runs;
            let retry = alarm_at(now_ms.saturating_add(DESTROY_RETRY_MS));
            return match (container_runs, self.deleting) {
                (true, _) => vec![retry, Effect::Destroy],
                (false, true) => vec![Effect::Erase],
                (false, false) => vec![],
            };
        };
        match (self.state, container_runs) {
            (Starting, _) if now_ms >= self.deadline_ms => self.fail(Failure::StartTimedOut, now_ms),
            (Starting, _) => vec![alarm_at(self.deadline_ms), Effect::StartContainer { boot }],
            (Running, true) => vec![alarm_at(now_ms.saturating_add(ALARM_MS_MAX)), Effect::OpenLink { boot }],
            (Running, false) => self.fail(Failure::ContainerExited, now_ms),
            (Stopping, true) => vec![alarm_at(self.deadline_ms), Effect::OpenLink { boot }],
            (Stopping, false) => vec![Effect::Destroy],
            (Stopped | Failed, _) => vec![],
        }
    }

    fn alarm(&mut self, now_ms: u64) -> Vec<Effect> {
        match (self.state, self.boot) {
            (SessionState::Starting, Some(_)) if now_ms >= self.deadline_ms => {
                self.fail(Failure::StartTimedOut, now_ms)
            }
            (SessionState::Stopping, _) if now_ms >= self.deadline_ms => {
                vec![alarm_at(now_ms.saturating_add(DESTROY_RETRY_MS)), Effect::Destroy]
            }
            (SessionState::Running, Some(boot)) => {
                vec![alarm_at(now_ms.saturating_add(ALARM_MS_MAX)), Effect::OpenLink { boot }]
            }
            (SessionState::Starting | SessionState::Stopping, _) => vec![alarm_at(self.deadline_ms)],
            _ if self.leftover => vec![alarm_at(now_ms.saturating_add(DESTROY_RETRY_MS)), Effect::Destroy],
            _ if self.deleting => vec![Effect::Erase],
            _ => vec![],
        }
    }

    fn begin_stop(&mut self, now_ms: u64) -> Vec<Effect> {
        let boot = self.boot;
        let was_running = self.state == SessionState::Running;
        self.enter(SessionState::Stopping, boot, now_ms);
        self.deadline_ms = now_ms.saturating_add(STOP_MS_MAX);
        let mut effects = vec![alarm_at(self.deadline_ms), Effect::Publish];
        if let (true, Some(boot)) = (was_running, boot) {
            effects.push(Effect::Drain { boot });
        }
        effects
    }

    fn end_stop(&mut self, now_ms: u64) -> Vec<Effect> {
        self.enter(SessionState::Stopped, None, now_ms);
        let mut effects = vec![Effect::SetAlarm { at_ms: None }, Effect::Publish];
        if self.deleting {
            effects.push(Effect::Erase);
        }
        effects
    }

    fn fail(&mut self, failure: Failure, now_ms: u64) -> Vec<Effect> {
        self.enter(SessionState::Failed, None, now_ms);
        self.failure = Some(failure);
        self.leftover = true;
        vec![alarm_at(now_ms.saturating_add(DESTROY_RETRY_MS)), Effect::Destroy, Effect::Publish]
    }

    fn enter(&mut self, state: SessionState, boot: Option<BootId>, now_ms: u64) {
        self.state = state;
        self.boot = boot;
        self.leftover = false;
        self.failure = None;
        self.since_ms = now_ms;
        self.version += 1;
    }

    fn is_boot(&self, boot: BootId) -> bool {
        self.boot == Some(boot)
    }
}

fn alarm_at(at_ms: u64) -> Effect {
    Effect::SetAlarm { at_ms: Some(at_ms) }
}
