//! The agent's HTTP door. Every request needs the boot token; without it nothing is said, not even which paths exist.

use crate::{client, control, hub::Shared, socket};
use berth_protocol::{
    agent_http::{ATTACH_PATH, CONTROL_PATH, GRANT_HEADER, Grant, READY_PATH, TOKEN_HEADER},
    control_link, terminal_frame,
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, rc::Rc};
use tokio::{net::TcpListener, task::spawn_local};

/// What the environment said.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The boot token.
    pub token: String,
}

type Answer = Response<Full<Bytes>>;

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, configuration: Configuration, hub: Shared) {
    let configuration = Rc::new(configuration);
    loop {
        // Out of descriptors: connections that end make room; the listener stays.
        let Ok((connection, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let _ = connection.set_nodelay(true);
        let (configuration, hub) = (Rc::clone(&configuration), Rc::clone(&hub));
        spawn_local(async move {
            let service = service_fn(|request| {
                let answer = answer(request, &configuration, &hub);
                async { Ok::<_, Infallible>(answer) }
            });
            // A broken connection is the caller's to notice.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).with_upgrades().await;
        });
    }
}

fn answer(request: Request<Incoming>, configuration: &Configuration, hub: &Shared) -> Answer {
    let token = request.headers().get(TOKEN_HEADER).map(|value| value.as_bytes()).unwrap_or_default();
    if !same(token, configuration.token.as_bytes()) {
        return status(StatusCode::UNAUTHORIZED);
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, READY_PATH) => status(StatusCode::NO_CONTENT),
        (&Method::GET, CONTROL_PATH) => {
            let Some(answer) = socket::accept(&request, control_link::SUBPROTOCOL) else {
                return status(StatusCode::UPGRADE_REQUIRED);
            };
            let hub = Rc::clone(hub);
            spawn_local(async move {
                if let Ok(socket) = socket::upgraded(request).await {
                    control::serve(socket, hub).await;
                }
            });
            answer
        }
        (&Method::GET, ATTACH_PATH) => {
            let Some(answer) = socket::accept(&request, terminal_frame::SUBPROTOCOL) else {
                return status(StatusCode::UPGRADE_REQUIRED);
            };
            let header = request.headers().get(GRANT_HEADER).and_then(|value| value.to_str().ok());
            let Some(Ok(grant)) = header.map(Grant::from_header) else { return status(StatusCode::FORBIDDEN) };
            if !client::admit(hub, grant.clone()) {
                return status(StatusCode::SERVICE_UNAVAILABLE);
            }
            let hub = Rc::clone(hub);
            spawn_local(async move {
                match socket::upgraded(request).await {
                    Ok(socket) => client::serve(socket, grant, hub).await,
                    Err(_) => hub.borrow_mut().forget(grant.client),
                }
            });
            answer
        }
        _ => status(StatusCode::NOT_FOUND),
    }
}

fn status(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

/// Compares in a time that depends on the lengths only.
fn same(given: &[u8], expected: &[u8]) -> bool {
    let difference = given.iter().zip(expected).fold(0u8, |sum, (a, b)| sum | (a ^ b));
    !expected.is_empty() && given.len() == expected.len() && std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_the_same() {
        assert!(same(b"abc", b"abc"));
        for other in [&b""[..], b"ab", b"abcd", b"abd"] {
            assert!(!same(other, b"abc"));
        }
        assert!(!same(b"", b""), "no token opens nothing");
    }
}
