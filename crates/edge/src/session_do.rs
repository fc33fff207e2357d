//! The Session object: a thin shell that stores a session, asks `berth_core::lifecycle`, and carries out its effects.
#![expect(missing_docs, reason = "`#[durable_object]` writes public items without sentences")]

use crate::{
    api_error::{ApiError, ApiResult},
    container::{Boot, Container},
    control_link::ControlLink,
    index_db::IndexDb,
    now_ms,
    object_call::{self, Caller, user_object},
    session_record::Record,
    user_do::PublishCall,
};
use berth_core::{
    authorize::{Action, Identity, Resource, authorize},
    lifecycle::{Effect, Event, Lifecycle},
};
use berth_protocol::{
    agent_http::{ATTACH_PATH, GRANT_HEADER, Grant, TOKEN_HEADER},
    api::{Assistant, Role, Session, SessionName, SessionState},
    control_link::{AgentEvent, Command, Report},
    error_code::ErrorCode,
    ids::{BootId, ClientId, RequestId, SessionId, UserId},
    terminal_frame,
};
use serde::{Deserialize, Serialize};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};
use worker::{
    Delay, DurableObject, Env, Error, Request, Response, ResponseBuilder, Result, State, WebSocket,
    WebSocketIncomingMessage, console_error, console_log, durable_object,
};

/// Milliseconds between attempts to reach an agent that does not listen yet; a container has no event for it.
const CONNECT_RETRY_MS: u64 = 20;
/// The longest pause between attempts to reach one that did listen.
const RECONNECT_MS_MAX: u64 = 2_000;
/// Milliseconds a client's grant lasts; the page then connects again, and is asked again who it is.
const GRANT_MS_MAX: u64 = 12 * 60 * 60 * 1_000;

/// What the Worker sends to make a session.
#[derive(Serialize, Deserialize)]
pub(crate) struct CreateCall {
    pub(crate) id: SessionId,
    pub(crate) owner: UserId,
    pub(crate) name: String,
    pub(crate) assistant: Assistant,
    pub(crate) created_ms: u64,
}

/// One session.
#[durable_object]
pub struct SessionObject {
    shell: Rc<Shell>,
}

struct Shell {
    state: State,
    env: Env,
    record: RefCell<Option<Record>>,
    link: RefCell<Option<(BootId, ControlLink)>>,
    /// The boot that a link task works for, so that there is one at most.
    linking: Cell<Option<BootId>>,
    /// The last agent event that was handled, and its boot. Not stored: handling one again is harmless.
    handled: Cell<Option<(BootId, u64)>>,
}

impl DurableObject for SessionObject {
    fn new(state: State, env: Env) -> Self {
        let record = Record::load(&state);
        let shell = Shell {
            state,
            env,
            record: RefCell::new(record),
            link: RefCell::default(),
            linking: Cell::new(None),
            handled: Cell::new(None),
        };
        let shell = Rc::new(shell);
        Shell::constructed(&shell);
        Self { shell }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        let caller = match object_call::caller(&request) {
            Ok(caller) => caller,
            Err(error) => return error.into_response(RequestId::from_uuid(uuid::Uuid::new_v4())),
        };
        let answer = Shell::answer(&self.shell, request, caller).await;
        answer.or_else(|error| error.into_response(caller.request_id))
    }

    async fn alarm(&self) -> Result<Response> {
        let _ = Shell::handle(&self.shell, Event::Alarm).await;
        Response::empty()
    }

    // This object accepts no sockets of its own; a container's are passed through.
    async fn websocket_message(&self, _: WebSocket, _: WebSocketIncomingMessage) -> Result<()> {
        Ok(())
    }

    async fn websocket_close(&self, _: WebSocket, _: usize, _: String, _: bool) -> Result<()> {
        Ok(())
    }

    async fn websocket_error(&self, _: WebSocket, _: Error) -> Result<()> {
        Ok(())
    }
}

impl Shell {
    async fn answer(shell: &Rc<Self>, mut request: Request, caller: Caller) -> ApiResult<Response> {
        let path = request.path();
        if path == "/create" {
            let call = object_call::body(&mut request).await?;
            return shell.create(call).await;
        }
        let (action, event) = match path.as_str() {
            "/read" => (Action::ReadSession, None),
            "/rename" => (Action::RenameSession, Some(Event::Renamed)),
            "/start" => (Action::StartSession, Some(Event::Start { boot: BootId::from_uuid(uuid::Uuid::new_v4()) })),
            "/stop" => (Action::StopSession, Some(Event::Stop)),
            "/delete" => (Action::DeleteSession, Some(Event::Delete)),
            "/attach" => (Action::AttachSession, None),
            other => return Err(ApiError::internal("route a call", other)),
        };
        let role = shell.role_of(caller.identity);
        authorize(Some(&caller.identity), action, Resource::Session(role))?;
        let role = role.ok_or(ErrorCode::NotFound)?;
        if path == "/attach" {
            return shell.attach(caller, role).await;
        }
        if path == "/rename" {
            let name: SessionName = object_call::body(&mut request).await?;
            shell.rename(name).await?;
        }
        let view = shell.view(role);
        if let Some(event) = event {
            Self::handle(shell, event).await?;
        }
        let accepted = matches!(path.as_str(), "/start" | "/stop" | "/delete");
        // A deleted session has no view left; the last one says what it was.
        let view = shell.view(role).or(view).ok_or(ErrorCode::NotFound)?;
        Ok(ResponseBuilder::new().with_status(if accepted { 202 } else { 200 }).from_json(&view)?)
    }

    async fn create(&self, call: CreateCall) -> ApiResult<Response> {
        if self.record.borrow().is_some() {
            return Err(ApiError::internal("create a session", "the id is in use"));
        }
        Record::make_table(&self.state)?;
        let record = Record {
            id: call.id,
            name: call.name,
            assistant: call.assistant,
            workspace: "main".to_owned(),
            created_ms: call.created_ms,
            members: vec![(call.owner, Role::Owner)],
            lifecycle: Lifecycle::new(call.created_ms),
            token: String::new(),
        };
        self.store(record)?;
        self.publish().await;
        let view = self.view(Role::Owner).ok_or(ErrorCode::NotFound)?;
        Ok(ResponseBuilder::new().with_status(201).from_json(&view)?)
    }

    async fn rename(&self, name: SessionName) -> ApiResult<()> {
        let Some(mut record) = self.record() else { return Err(ErrorCode::NotFound.into()) };
        let id = record.id;
        record.name = name.as_str().to_owned();
        self.store(record)?;
        IndexDb::new(&self.env)?.rename_session(id, name.as_str()).await
    }

    /// Passes a client through to the agent with its grant.
    async fn attach(&self, caller: Caller, role: Role) -> ApiResult<Response> {
        let record = self.record().ok_or(ErrorCode::NotFound)?;
        if record.lifecycle.state != SessionState::Running {
            return Err(ApiError::with_message(ErrorCode::WrongState, "The session does not run."));
        }
        let grant = Grant {
            client: ClientId::from_uuid(uuid::Uuid::new_v4()),
            user: caller.identity.user,
            role,
            expires_ms: now_ms() + GRANT_MS_MAX,
        };
        let grant = grant.to_header();
        let headers = [(TOKEN_HEADER, record.token.as_str()), (GRANT_HEADER, grant.as_str())];
        let unreachable = |cause: String| {
            console_error!("attach to session {} failed: {cause}", record.id);
            ApiError::new(ErrorCode::AgentUnreachable)
        };
        let container = Container::of(&self.state).map_err(unreachable)?;
        let response =
            container.upgrade(ATTACH_PATH, terminal_frame::SUBPROTOCOL, &headers).await.map_err(unreachable)?;
        match response.status_code() {
            // Made anew around the same socket: no header of a container reaches the page's origin.
            101 => {
                let answer = ResponseBuilder::new()
                    .with_status(101)
                    .with_header("sec-websocket-protocol", terminal_frame::SUBPROTOCOL)?;
                let socket = response.websocket().ok_or(ErrorCode::AgentUnreachable)?;
                Ok(answer.with_websocket(socket).empty())
            }
            503 => Err(ErrorCode::LimitReached.into()),
            other => Err(unreachable(format!("the agent answered {other}"))),
        }
    }

    /// Takes an event: decide, store, then carry out the effects.
    async fn handle(shell: &Rc<Self>, event: Event) -> ApiResult<()> {
        let effects = shell.decide(event)?;
        Self::carry_out(shell, effects).await;
        Ok(())
    }

    /// The synchronous half: nothing can come between decision and storage.
    fn decide(&self, event: Event) -> ApiResult<Vec<Effect>> {
        let Some(mut record) = self.record() else { return Ok(vec![]) };
        let before = record.lifecycle.clone();
        let effects = record.lifecycle.handle(event, now_ms()).map_err(|wrong| {
            ApiError::with_message(ErrorCode::WrongState, format!("The session is {}.", word(wrong.state)))
        })?;
        if record.lifecycle.boot != before.boot {
            let random = uuid::Uuid::new_v4;
            record.token = format!("{}{}", random().simple(), random().simple());
        }
        if record.lifecycle.state != before.state {
            console_log!("session {}: {} -> {}", record.id, word(before.state), word(record.lifecycle.state));
        }
        if record.lifecycle != before {
            self.store(record)?;
        }
        Ok(effects)
    }

    async fn carry_out(shell: &Rc<Self>, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::SetAlarm { at_ms } => shell.set_alarm(at_ms).await,
                Effect::Publish => shell.publish().await,
                Effect::StartContainer { boot } => Self::in_background(shell, Self::start(Rc::clone(shell), boot)),
                Effect::OpenLink { boot } => Self::open_link(shell, boot),
                Effect::Drain { boot } => shell.drain(boot),
                Effect::Destroy => Self::in_background(shell, Self::destroy(Rc::clone(shell))),
                Effect::Erase => shell.erase().await,
            }
        }
    }

    fn in_background(shell: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        shell.state.wait_until(task);
    }

    fn constructed(shell: &Rc<Self>) {
        if shell.record.borrow().is_none() {
            return;
        }
        let container_runs = Container::of(&shell.state).is_ok_and(|container| container.runs());
        // Decided before any request is seen; carried out beside them.
        let Ok(effects) = shell.decide(Event::Constructed { container_runs }) else { return };
        let adopted = shell.record().and_then(|record| record.lifecycle.boot).filter(|_| container_runs);
        let task = {
            let shell = Rc::clone(shell);
            async move {
                if let (Some(boot), Ok(container)) = (adopted, Container::of(&shell.state)) {
                    if let Err(cause) = container.keep_alive().await {
                        console_error!("keep a container alive: {cause}");
                    }
                    if !effects.contains(&Effect::StartContainer { boot }) {
                        Self::in_background(&shell, Self::watch(Rc::clone(&shell), boot));
                    }
                }
                Self::carry_out(&shell, effects).await;
            }
        };
        Self::in_background(shell, task);
    }

    async fn start(shell: Rc<Self>, boot: BootId) {
        let started = async {
            let container = Container::of(&shell.state)?;
            if container.runs() {
                container.destroy().await?;
            }
            let Some(record) = shell.record().filter(|record| record.lifecycle.boot == Some(boot)) else {
                return Ok(());
            };
            container.keep_alive().await?;
            container.start(&Boot { boot, token: &record.token, session_name: &record.name })
        };
        if let Err(cause) = started.await {
            console_error!("start a container: {cause}");
            let _ = Box::pin(Self::handle(&shell, Event::StartRefused { boot })).await;
            return;
        }
        Self::in_background(&shell, Self::watch(Rc::clone(&shell), boot));
        Self::open_link(&shell, boot);
    }

    /// Waits for the container's end; whatever the reason, it is gone.
    async fn watch(shell: Rc<Self>, boot: BootId) {
        let Ok(container) = Container::of(&shell.state) else { return };
        if let Err(cause) = container.ended().await {
            console_log!("container of boot {boot} ended: {cause}");
        }
        let _ = Box::pin(Self::handle(&shell, Event::Exited { boot })).await;
    }

    async fn destroy(shell: Rc<Self>) {
        // A person may have started it again meanwhile: that start replaces what runs.
        let state = shell.record().map(|record| record.lifecycle.state);
        if matches!(state, Some(SessionState::Starting | SessionState::Running)) {
            return;
        }
        if let Some((_, link)) = shell.link.take() {
            link.close();
        }
        let destroyed = async {
            let container = Container::of(&shell.state)?;
            if container.runs() { container.destroy().await } else { Ok(()) }
        };
        match destroyed.await {
            Ok(()) => {
                let _ = Box::pin(Self::handle(&shell, Event::Destroyed)).await;
            }
            // The alarm tries again.
            Err(cause) => console_error!("destroy a container: {cause}"),
        }
    }

    fn open_link(shell: &Rc<Self>, boot: BootId) {
        if shell.linking.get() != Some(boot) {
            shell.linking.set(Some(boot));
            Self::in_background(shell, Self::keep_link(Rc::clone(shell), boot));
        }
    }

    /// Keeps the link of one boot up for as long as that boot is this session's.
    async fn keep_link(shell: Rc<Self>, boot: BootId) {
        let mut pause_ms = CONNECT_RETRY_MS;
        while let Some(record) = shell.record().filter(|record| record.lifecycle.boot == Some(boot)) {
            let opened = match Container::of(&shell.state) {
                Ok(container) => ControlLink::open(&container, &record.token).await,
                Err(cause) => Err(cause),
            };
            if let Ok(link) = opened {
                let opened_ms = now_ms();
                *shell.link.borrow_mut() = Some((boot, link.clone()));
                link.run(async |report| Self::take_report(&shell, boot, &link, report).await).await;
                shell.link.take();
                // A link that is dropped again and again is not hurried.
                if now_ms().saturating_sub(opened_ms) > RECONNECT_MS_MAX {
                    pause_ms = CONNECT_RETRY_MS;
                }
            }
            Delay::from(Duration::from_millis(pause_ms)).await;
            let starting = record.lifecycle.state == SessionState::Starting;
            pause_ms = if starting { CONNECT_RETRY_MS } else { (pause_ms * 2).min(RECONNECT_MS_MAX) };
        }
        if shell.linking.get() == Some(boot) {
            shell.linking.set(None);
        }
    }

    /// What the agent says is a claim: another boot's is dropped, a repeated event is only acknowledged.
    async fn take_report(shell: &Rc<Self>, boot: BootId, link: &ControlLink, report: Report) {
        match report {
            Report::Heartbeat => {}
            Report::Hello { boot: said, .. } if said == boot => {
                let _ = Self::handle(shell, Event::Ready { boot }).await;
            }
            Report::Hello { .. } => link.close(),
            Report::Event { boot: said, seq, event } if said == boot => {
                if shell.is_new(boot, seq) {
                    if event == AgentEvent::Drained {
                        let _ = Self::handle(shell, Event::Drained { boot }).await;
                    }
                    shell.handled.set(Some((boot, seq)));
                }
                link.send(&Command::Ack { seq });
            }
            Report::Event { .. } => {}
        }
    }

    fn is_new(&self, boot: BootId, seq: u64) -> bool {
        self.handled.get().is_none_or(|(of, last)| of != boot || seq > last)
    }

    fn drain(&self, boot: BootId) {
        // A link that is down sends it when its hello comes: `Ready` while stopping asks for a drain again.
        if let Some((of, link)) = &*self.link.borrow()
            && *of == boot
        {
            link.send(&Command::Drain);
        }
    }

    async fn set_alarm(&self, at_ms: Option<u64>) {
        let storage = self.state.storage();
        let outcome = match at_ms {
            Some(at_ms) => storage.set_alarm(Duration::from_millis(at_ms.saturating_sub(now_ms()))).await,
            None => storage.delete_alarm().await,
        };
        if let Err(error) = outcome {
            console_error!("set the alarm: {error}");
        }
    }

    /// Tells every member's User object where the session is.
    async fn publish(&self) {
        let Some(record) = self.record() else { return };
        for (user, role) in &record.members {
            let call = PublishCall::Changed(Box::new(record.view(*role)));
            self.tell(*user, &call).await;
        }
    }

    async fn erase(&self) {
        let Some(record) = self.record() else { return };
        let removed = async { IndexDb::new(&self.env)?.remove_session(record.id).await };
        if let Err(error) = removed.await {
            // The record stays marked as deleting: the next construction or alarm erases again.
            console_error!("remove session {} from the index: {error:?}", record.id);
            return self.set_alarm(Some(now_ms() + RECONNECT_MS_MAX)).await;
        }
        for (user, _) in &record.members {
            self.tell(*user, &PublishCall::Removed(record.id)).await;
        }
        self.record.take();
        if let Err(error) = self.state.storage().delete_all().await {
            console_error!("erase session {}: {error}", record.id);
        }
    }

    async fn tell(&self, user: UserId, call: &PublishCall) {
        let caller = Caller { identity: Identity { user }, request_id: RequestId::from_uuid(uuid::Uuid::new_v4()) };
        let told = async { object_call::call(&user_object(&self.env, user)?, caller, "/publish", call).await };
        if let Err(error) = told.await {
            console_error!("tell user {user}: {error:?}");
        }
    }

    fn role_of(&self, identity: Identity) -> Option<Role> {
        self.record.borrow().as_ref()?.role_of(identity.user)
    }

    fn view(&self, role: Role) -> Option<Session> {
        self.record.borrow().as_ref().map(|record| record.view(role))
    }

    fn record(&self) -> Option<Record> {
        self.record.borrow().clone()
    }

    fn store(&self, record: Record) -> ApiResult<()> {
        record.store(&self.state)?;
        *self.record.borrow_mut() = Some(record);
        Ok(())
    }
}

fn word(state: SessionState) -> &'static str {
    match state {
        SessionState::Stopped => "stopped",
        SessionState::Starting => "starting",
        SessionState::Running => "running",
        SessionState::Stopping => "stopping",
        SessionState::Failed => "failed",
    }
}
