//! Carries a sandbox's outgoing TCP connections and DNS queries. The listeners live in a network namespace that no program
//! of the sandbox is in; the kernel redirects every connection to them and tells where it was meant to go.

use super::policy;
use crate::http;
use nix::sys::socket::{getsockopt, sockopt};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};

/// The sandbox's default gateway and name server.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);
/// Port of the gate's TCP listener.
pub const TCP_PORT: u16 = 15001;
/// Port of the gate's DNS listener.
pub const DNS_PORT: u16 = 15053;

/// Connections of one sandbox at once; a browser uses tens, an install hundreds.
const CONNECTIONS_MAX: usize = 1024;
/// Connections of all sandboxes together: their descriptors must leave room for the engine's own.
static EVERYWHERE: Semaphore = Semaphore::const_new(8 * CONNECTIONS_MAX);
/// DNS queries of one sandbox in flight.
const QUERIES_MAX: usize = 256;
/// Bytes of a DNS message over UDP (EDNS).
const DNS_BYTES_MAX: usize = 4096;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const DNS_TIMEOUT: Duration = Duration::from_secs(5);

/// What the runtime and the command line allow.
#[derive(Debug, Default)]
pub struct Rules {
    /// The runtime's `enableInternet`; false until it says otherwise.
    pub internet: AtomicBool,
    /// `--allow-lan`.
    pub allow_lan: bool,
}

/// Carries TCP until the task is aborted, and every connection with it.
pub async fn carry_tcp(listener: TcpListener, rules: Arc<Rules>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let Some((connection, _)) = http::accepted(listener.accept().await).await else { continue };
        while connections.try_join_next().is_some() {}
        let slot = Arc::clone(&slots).try_acquire_owned();
        let everywhere = EVERYWHERE.try_acquire();
        let (Ok(slot), Ok(everywhere)) = (slot, everywhere) else {
            reset(&connection);
            continue;
        };
        let rules = Arc::clone(&rules);
        connections.spawn(async move {
            carry_connection(connection, &rules).await;
            drop((slot, everywhere));
        });
    }
}

async fn carry_connection(inside: TcpStream, rules: &Rules) {
    let Some(destination) = allowed_destination(&inside, rules) else {
        return reset(&inside);
    };
    let Ok(Ok(outside)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(destination)).await else {
        return reset(&inside);
    };
    let _ = outside.set_nodelay(true);
    let _ = inside.set_nodelay(true);
    http::carry(inside, outside).await;
}

/// Where the kernel says the connection was meant to go, if that is allowed.
fn allowed_destination(connection: &TcpStream, rules: &Rules) -> Option<SocketAddr> {
    if !rules.internet.load(Ordering::Relaxed) {
        return None;
    }
    let original = getsockopt(connection, sockopt::OriginalDst).ok()?;
    let address = Ipv4Addr::from(u32::from_be(original.sin_addr.s_addr));
    let port = u16::from_be(original.sin_port);
    if address == GATEWAY && port == 53 {
        return resolver();
    }
    policy::check(IpAddr::V4(address), &host_addresses(), rules.allow_lan).ok()?;
    Some(SocketAddr::from((address, port)))
}

/// Answers DNS until the socket fails or the task is aborted: forwards to this machine's resolver, refuses when offline.
pub async fn carry_dns(socket: UdpSocket, rules: Arc<Rules>) {
    let socket = Arc::new(socket);
    let slots = Arc::new(Semaphore::new(QUERIES_MAX));
    let mut buffer = [0u8; DNS_BYTES_MAX];
    while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
        let (Ok(slot), Some(query)) = (Arc::clone(&slots).try_acquire_owned(), buffer.get(..length)) else { continue };
        let (socket, rules, query) = (Arc::clone(&socket), Arc::clone(&rules), query.to_vec());
        tokio::spawn(async move {
            let online = rules.internet.load(Ordering::Relaxed);
            let answer = match online {
                true => timeout(DNS_TIMEOUT, ask_resolver(&query)).await.ok().flatten().or_else(|| refusal(&query, 2)),
                false => refusal(&query, 5),
            };
            if let Some(answer) = answer {
                let _ = socket.send_to(&answer, client).await;
            }
            drop(slot);
        });
    }
}

async fn ask_resolver(query: &[u8]) -> Option<Vec<u8>> {
    let resolver = resolver()?;
    let any: SocketAddr = if resolver.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect(resolver).await.ok()?;
    socket.send(query).await.ok()?;
    let mut buffer = [0u8; DNS_BYTES_MAX];
    let length = socket.recv(&mut buffer).await.ok()?;
    buffer.get(..length).map(<[u8]>::to_vec)
}

/// The query turned into an answer with `code` (2 server failure, 5 refused) and no records; `None` if it is no query.
fn refusal(query: &[u8], code: u8) -> Option<Vec<u8>> {
    let mut answer = query.to_vec();
    let header = answer.first_chunk_mut::<12>()?;
    header[2] |= 0x80;
    header[3] = 0x80 | code;
    header[6..].fill(0); // no answers, no authorities, nothing additional
    Some(answer)
}

/// This machine's first name server.
fn resolver() -> Option<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").ok()?;
    let first =
        text.lines().filter_map(|line| line.strip_prefix("nameserver")).find_map(|rest| rest.trim().parse().ok());
    first.map(|address: IpAddr| SocketAddr::from((address, 53)))
}

/// Every address of this machine, asked anew because laptops move.
fn host_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        })
        .collect()
}

fn reset(connection: &TcpStream) {
    // Linger 0 turns the close into a reset, which programs report as a refusal rather than an empty answer.
    let _ = nix::sys::socket::setsockopt(connection, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_query_keeps_its_id_and_question() {
        let query = [0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 1, 3, b'f', b'o', b'o', 0, 0, 1, 0, 1];
        let answer = refusal(&query, 5).unwrap();
        assert_eq!(answer[..4], [0x12, 0x34, 0x81, 0x85]);
        assert_eq!(answer[6..12], [0; 6], "no records");
        assert_eq!(refusal(&[1, 2, 3], 5), None);
    }
}
