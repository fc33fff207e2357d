//! The sidecar that workerd starts beside every container: the runtime's way in (`CONNECT`) and its word on the way out.

use crate::{
    container::{Container, Registry},
    http::{Body, empty, read_body, refuse},
};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// The port workerd expects published.
pub const INGRESS_PORT: &str = "39001/tcp";
/// Connections of the runtime to one container at once.
const CONNECTIONS_MAX: usize = 2048;

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

/// Serves until the listener fails or the task is aborted.
pub async fn serve(listener: TcpListener, registry: Arc<Registry>, sidecar: Arc<Container>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok((connection, _)) = listener.accept().await {
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
        let (registry, sidecar) = (Arc::clone(&registry), Arc::clone(&sidecar));
        let _ = connection.set_nodelay(true);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, Arc::clone(&registry), Arc::clone(&sidecar)));
            // A broken connection is the runtime's to notice.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).with_upgrades().await;
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
        let Ok(mut inside) = into_tokio(inside) else { return };
        let mut outside = TokioIo::new(upgraded);
        // Either side's end ends the pair.
        let _ = tokio::io::copy_bidirectional_with_sizes(&mut outside, &mut inside, 64 * 1024, 64 * 1024).await;
    });
    empty(StatusCode::OK)
}

fn into_tokio(stream: std::net::TcpStream) -> std::io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    TcpStream::from_std(stream)
}

fn loopback_port(address: &str) -> Option<u16> {
    let address: SocketAddr = address.parse().ok()?;
    (address.ip() == std::net::IpAddr::from([127, 0, 0, 1]) && address.port() != 0).then(|| address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

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
