//! The control link from the Session object: events out until acknowledged, commands in, a heartbeat both ways.

use crate::{children, hub::Shared, socket::Socket};
use berth_protocol::{
    control_link::{self, AgentEvent, Command, Report},
    limits::{HEARTBEAT_MS, SILENCE_MS_MAX},
};
use futures_util::{SinkExt, StreamExt};
use std::{rc::Rc, time::Duration};
use tokio::{task::spawn_local, time::timeout};
use tokio_tungstenite::tungstenite::Message;

/// Records an event; the link sends it now, or when it is next up.
pub fn emit(hub: &Shared, event: AgentEvent) {
    hub.borrow_mut().record(event);
}

/// Serves one link until it ends, falls silent, or a newer one replaces it.
pub async fn serve(socket: Socket, hub: Shared) {
    let (mut sink, mut stream) = socket.split();
    let number = *hub.borrow().control_link.borrow() + 1;
    hub.borrow().control_link.send_replace(number);
    let mut newest = hub.borrow().control_link.subscribe();
    let wake = Rc::clone(&hub.borrow().control_wake);
    let boot = hub.borrow().boot;

    let send = async {
        let hello = Report::Hello { boot, agent_version: env!("CARGO_PKG_VERSION").to_owned() };
        let mut sent = 0;
        let mut next = Some(hello);
        loop {
            let report = match next.take() {
                Some(report) => report,
                None => {
                    let event = hub.borrow().events.iter().find(|(seq, _)| *seq > sent).cloned();
                    match event {
                        Some((seq, event)) => {
                            sent = seq;
                            Report::Event { boot, seq, event }
                        }
                        None => match timeout(Duration::from_millis(HEARTBEAT_MS), wake.notified()).await {
                            Ok(()) => continue,
                            Err(_) => Report::Heartbeat,
                        },
                    }
                }
            };
            if sink.send(Message::Text(control_link::encode(&report).into())).await.is_err() {
                return;
            }
        }
    };
    let receive = async {
        while let Ok(Some(Ok(message))) = timeout(Duration::from_millis(SILENCE_MS_MAX), stream.next()).await {
            let Message::Text(text) = message else { continue };
            match control_link::decode::<Command>(&text) {
                Ok(command) => take(command, &hub),
                Err(error) => eprintln!("berth-agent: a command was refused: {error}"),
            }
        }
    };
    tokio::select! {
        () = send => {}
        () = receive => {}
        _ = newest.wait_for(|newest| *newest > number) => {}
    }
}

fn take(command: Command, hub: &Shared) {
    match command {
        Command::Ack { seq } => hub.borrow_mut().events.retain(|(kept, _)| *kept > seq),
        Command::Heartbeat => {}
        Command::Drain => {
            let hub = Rc::clone(hub);
            spawn_local(async move {
                children::end_all().await;
                emit(&hub, AgentEvent::Drained);
            });
        }
        Command::CloseClient { client } => hub.borrow_mut().close_clients(|grant| grant.client == client),
        Command::CloseUser { user } => hub.borrow_mut().close_clients(|grant| grant.user == user),
    }
}
