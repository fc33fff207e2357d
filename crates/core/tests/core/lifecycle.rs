//! The lifecycle against a model runtime: named cases, then random events and restarts from a printed seed.

use berth_core::lifecycle::{Effect, Event, Lifecycle};
use berth_protocol::{
    api::{Failure, SessionState},
    ids::BootId,
    limits::{START_MS_MAX, STOP_MS_MAX},
};
use proptest::prelude::*;

const A: BootId = BootId::from_bytes([1; 16]);
const B: BootId = BootId::from_bytes([2; 16]);

fn started() -> Lifecycle {
    let mut session = Lifecycle::new(0);
    session.handle(Event::Start { boot: A }, 0).unwrap();
    session
}

fn running() -> Lifecycle {
    let mut session = started();
    session.handle(Event::Ready { boot: A }, 10).unwrap();
    session
}

#[test]
fn start_ready_stop_drained_destroyed() {
    let mut session = running();
    assert_eq!(session.state, SessionState::Running);
    let effects = session.handle(Event::Stop, 20).unwrap();
    assert!(effects.contains(&Effect::Drain { boot: A }) && !effects.contains(&Effect::Destroy));
    assert_eq!(session.handle(Event::Drained { boot: A }, 30).unwrap(), vec![Effect::Destroy]);
    session.handle(Event::Destroyed, 40).unwrap();
    assert_eq!((session.state, session.boot), (SessionState::Stopped, None));
}

#[test]
fn start_while_starting_keeps_the_first_boot() {
    let mut session = started();
    assert_eq!(session.handle(Event::Start { boot: B }, 5), Ok(vec![]));
    assert_eq!(session.boot, Some(A));
}

#[test]
fn stop_while_stopping_changes_nothing_and_start_is_refused() {
    let mut session = running();
    session.handle(Event::Stop, 20).unwrap();
    let before = session.clone();
    assert_eq!(session.handle(Event::Stop, 21), Ok(vec![]));
    assert!(session.handle(Event::Start { boot: B }, 22).is_err());
    assert_eq!(session, before);
}

#[test]
fn delete_while_running_stops_first_and_erases_last() {
    let mut session = running();
    let effects = session.handle(Event::Delete, 20).unwrap();
    assert!(effects.contains(&Effect::Drain { boot: A }) && !effects.contains(&Effect::Erase));
    session.handle(Event::Drained { boot: A }, 30).unwrap();
    assert_eq!(session.handle(Event::Destroyed, 40).unwrap().last(), Some(&Effect::Erase));
    assert!(session.handle(Event::Start { boot: B }, 50).is_err(), "a deleted session never starts");
}

#[test]
fn a_stop_that_hangs_is_ended_at_its_deadline() {
    let mut session = running();
    session.handle(Event::Stop, 20).unwrap();
    assert!(!session.handle(Event::Alarm, 21).unwrap().contains(&Effect::Destroy));
    assert!(session.handle(Event::Alarm, 20 + STOP_MS_MAX).unwrap().contains(&Effect::Destroy));
}

#[test]
fn a_start_that_hangs_fails_and_says_so() {
    let mut session = started();
    session.handle(Event::Alarm, START_MS_MAX).unwrap();
    assert_eq!((session.state, session.failure), (SessionState::Failed, Some(Failure::StartTimedOut)));
}

#[test]
fn the_container_that_dies_is_reported_and_can_be_started_again() {
    let mut session = running();
    assert!(session.handle(Event::Exited { boot: A }, 20).unwrap().contains(&Effect::Publish));
    assert_eq!((session.state, session.failure), (SessionState::Failed, Some(Failure::ContainerExited)));
    session.handle(Event::Start { boot: B }, 30).unwrap();
    assert_eq!(session.handle(Event::Exited { boot: A }, 31), Ok(vec![]), "late news of the old boot");
    assert_eq!(session.state, SessionState::Starting);
}

#[test]
fn a_restarted_object_adopts_its_container_or_says_it_is_gone() {
    let mut session = running();
    assert!(
        session
            .handle(Event::Constructed { container_runs: true }, 20)
            .unwrap()
            .contains(&Effect::OpenLink { boot: A })
    );
    session.handle(Event::Constructed { container_runs: false }, 30).unwrap();
    assert_eq!(session.failure, Some(Failure::ContainerExited));
    let mut orphan = Lifecycle::new(0);
    assert!(orphan.handle(Event::Constructed { container_runs: true }, 1).unwrap().contains(&Effect::Destroy));
}

#[test]
fn a_failed_boots_container_is_destroyed_until_it_is_gone() {
    let mut session = started();
    assert!(session.handle(Event::StartRefused { boot: A }, 1).unwrap().contains(&Effect::Destroy));
    for again in [10, 20] {
        assert!(
            session.handle(Event::Alarm, again).unwrap().contains(&Effect::Destroy),
            "the last try may have failed"
        );
    }
    assert_eq!(
        session.handle(Event::Delete, 30).unwrap(),
        vec![Effect::Destroy],
        "not forgotten while it may be there"
    );
    assert!(session.handle(Event::Destroyed, 40).unwrap().contains(&Effect::Erase));
}

#[test]
fn a_start_never_adopts_the_container_of_an_earlier_boot() {
    let mut session = started();
    session.handle(Event::Alarm, START_MS_MAX).unwrap();
    session.handle(Event::Start { boot: B }, START_MS_MAX + 1).unwrap();
    // The object restarts before the failed boot's container was destroyed.
    let effects = session.handle(Event::Constructed { container_runs: true }, START_MS_MAX + 2).unwrap();
    assert!(effects.contains(&Effect::StartContainer { boot: B }), "which replaces what runs: {effects:?}");
}

/// One thing the world does.
#[derive(Debug, Clone, Copy)]
enum Step {
    User(Event),
    /// The runtime and agent carry out the oldest pending effect.
    Work,
    /// The agent's container dies.
    Crash,
    /// The object loses its memory; pending effects are lost.
    Restart,
    /// Time passes until the alarm, if one is set.
    Ring,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => any::<u8>().prop_map(|b| Step::User(Event::Start { boot: BootId::from_bytes([b; 16]) })),
        2 => Just(Step::User(Event::Stop)),
        1 => Just(Step::User(Event::Delete)),
        8 => Just(Step::Work),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
        2 => Just(Step::Ring),
    ]
}

/// The runtime as the object sees it: at most one container, an alarm, effects not yet done.
struct World {
    session: Lifecycle,
    container: Option<BootId>,
    alarm_ms: Option<u64>,
    pending: std::collections::VecDeque<Effect>,
    now_ms: u64,
    erased: bool,
}

impl World {
    fn send(&mut self, event: Event) {
        if self.erased {
            return;
        }
        if let Ok(effects) = self.session.handle(event, self.now_ms) {
            self.pending.extend(effects);
        }
    }

    fn work(&mut self) {
        self.now_ms += 1;
        match self.pending.pop_front() {
            Some(Effect::StartContainer { boot }) => {
                self.container = Some(boot);
                self.send(Event::Ready { boot });
            }
            Some(Effect::OpenLink { boot }) if self.container == Some(boot) => self.send(Event::Ready { boot }),
            Some(Effect::OpenLink { boot }) => self.send(Event::Exited { boot }),
            Some(Effect::Drain { boot }) => self.send(Event::Drained { boot }),
            Some(Effect::Destroy) => {
                self.container = None;
                self.send(Event::Destroyed);
            }
            Some(Effect::SetAlarm { at_ms }) => self.alarm_ms = at_ms,
            Some(Effect::Erase) => self.erased = true,
            Some(Effect::Publish) | None => {}
        }
    }

    fn ring(&mut self) {
        if let Some(at_ms) = self.alarm_ms.take() {
            self.now_ms = self.now_ms.max(at_ms);
            self.send(Event::Alarm);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_it_settles_with_no_container_left_behind(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World {
            session: Lifecycle::new(0), container: None, alarm_ms: None,
            pending: Default::default(), now_ms: 0, erased: false,
        };
        for step in steps {
            match step {
                Step::User(event) => world.send(event),
                Step::Work => world.work(),
                Step::Crash => if let Some(boot) = world.container.take() { world.send(Event::Exited { boot }) },
                Step::Restart => {
                    world.pending.clear();
                    let container_runs = world.container.is_some();
                    world.send(Event::Constructed { container_runs });
                }
                Step::Ring => world.ring(),
            }
        }
        // Left alone, it comes to rest: stopped, failed or running, as the runtime says.
        for _ in 0..50 {
            while !world.pending.is_empty() { world.work(); }
            if matches!(world.session.state, SessionState::Starting | SessionState::Stopping) {
                if world.alarm_ms.is_none() {
                    // Effects were lost with the object's memory before the alarm was stored: the next request constructs it.
                    let container_runs = world.container.is_some();
                    world.send(Event::Constructed { container_runs });
                } else { world.ring(); }
            }
        }
        match world.session.state {
            SessionState::Running => prop_assert_eq!(world.container, world.session.boot),
            SessionState::Stopped | SessionState::Failed if world.container.is_some() && !world.erased => {
                world.send(Event::Constructed { container_runs: true });
                prop_assert!(world.pending.contains(&Effect::Destroy) || world.pending.contains(&Effect::Erase));
            }
            SessionState::Stopped | SessionState::Failed => {}
            other => prop_assert!(false, "stuck in {:?}", other),
        }
        if world.session.deleting && !world.erased {
            world.send(Event::Constructed { container_runs: false });
            prop_assert!(world.pending.contains(&Effect::Erase));
        }
    }
}
