//! The sidecar that workerd starts beside every container: the runtime's way in (`CONNECT`) and its word on the way out.

use crate::{
    container::{Container, Registry},
    http::{Body, accepted, carry, empty, read_body, refuse},
};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// The port workerd expects published.
pub const INGRESS_PORT: &str = "39001/tcp";
/// Connections of the runtime to one container at once.
const CONNECTIONS_MAX: usize = 2048;

/// How long a request's head may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Any text satisfies workerd until an HTTPS interception is set up, which this engine does not offer yet.
const NO_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";

#[derive(Deserialize)]
struct Egress {
    internet: Option<Internet>,
}

#[derive(Deserialize)]
struct Internet {
    enabled: bool,
}

/// Serves until the task is aborted. Only this user's processes are heard: the port is on loopback, where anybody may knock.
pub async fn serve(listener: TcpListener, registry: Arc<Registry>, sidecar: Arc<Container>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Some((connection, peer)) = accepted(listener.accept().await).await else { continue };
        if !listener.local_addr().is_ok_and(|own| is_own_process(peer, own)) {
            continue;
        }
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
        let (registry, sidecar) = (Arc::clone(&registry), Arc::clone(&sidecar));
        let _ = connection.set_nodelay(true);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, Arc::clone(&registry), Arc::clone(&sidecar)));
            // A broken connection is the runtime's to notice.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(connection), service)
                .with_upgrades()
                .await;
            drop(slot);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    registry: Arc<Registry>,
    sidecar: Arc<Container>,
) -> Result<Response<Body>, Infallible> {
    Ok(match (request.method().clone(), request.uri().path()) {
        (Method::PUT, "/egress") => set_egress(request, &sidecar).await,
        (Method::GET, "/ca") => Response::new(Body::from(NO_CERTIFICATE)),
        (Method::CONNECT, _) => connect(request, registry, sidecar).await,
        (method, path) => refuse(StatusCode::NOT_FOUND, format_args!("no {method} {path}")),
    })
}

async fn set_egress(request: Request<Incoming>, sidecar: &Container) -> Response<Body> {
    let body = match read_body(request).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    match serde_json::from_slice::<Egress>(&body) {
        Ok(egress) => {
            if let Some(internet) = egress.internet {
                sidecar.rules.internet.store(internet.enabled, Ordering::Relaxed);
            }
            empty(StatusCode::OK)
        }
        Err(error) => refuse(StatusCode::BAD_REQUEST, error),
    }
}

/// 400 is workerd's "not listening yet": callers try again.
async fn connect(mut request: Request<Incoming>, registry: Arc<Registry>, sidecar: Arc<Container>) -> Response<Body> {
    let wanted = request.headers().get("x-dst-addr").and_then(|value| value.to_str().ok());
    let wanted = wanted.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    let Some(port) = wanted.and_then(loopback_port) else {
        return refuse(StatusCode::BAD_REQUEST, "only 127.0.0.1 and a port inside the container");
    };
    let dialled = tokio::task::spawn_blocking(move || registry.dial(&sidecar, port)).await;
    let Ok(Ok(Some(inside))) = dialled else {
        return refuse(StatusCode::BAD_REQUEST, "nothing listens there");
    };
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(&mut request).await else { return };
        let Ok(inside) = into_tokio(inside) else { return };
        carry(TokioIo::new(upgraded), inside).await;
    });
    empty(StatusCode::OK)
}

fn into_tokio(stream: std::net::TcpStream) -> std::io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    TcpStream::from_std(stream)
}

/// Whether the process at the other end of a loopback connection is this user's, as the kernel's table says.
fn is_own_process(peer: SocketAddr, own: SocketAddr) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    owner_of(&table, peer.port(), own.port()) == Some(nix::unistd::geteuid().as_raw())
}

/// The user of the socket from one loopback port to another, in the format of `/proc/net/tcp`.
fn owner_of(table: &str, from: u16, to: u16) -> Option<u32> {
    let (from, to) = (format!("0100007F:{from:04X}"), format!("0100007F:{to:04X}"));
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields.get(1) == Some(&from.as_str()) && fields.get(2) == Some(&to.as_str());
        is_it.then(|| fields.get(7)?.parse().ok()).flatten()
    })
}

fn loopback_port(address: &str) -> Option<u16> {
    let address: SocketAddr = address.parse().ok()?;
    (address.ip() == std::net::IpAddr::from([127, 0, 0, 1]) && address.port() != 0).then(|| address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_names_the_owner() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n\
            \x20  1: 0100007F:C001 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 2 1\n";
        assert_eq!(owner_of(table, 0xC001, 0x1F90), Some(1000));
        assert_eq!(owner_of(table, 0x1F90, 0xC001), None);
        assert_eq!(owner_of(table, 0xC002, 0x1F90), None);
    }

    #[test]
    fn only_loopback_inside_can_be_dialled() {
        assert_eq!(loopback_port("127.0.0.1:8080"), Some(8080));
        for other in
            ["127.0.0.2:8080", "10.0.0.1:80", "unix:/run/x", "127.0.0.1", "127.0.0.1:0", "localhost:80", "[::1]:80"]
        {
            assert_eq!(loopback_port(other), None, "{other}");
        }
    }
}
