//! What a session cannot reach, asked from its own terminal.

use crate::{World, finish};
use anyhow::{Context, Result, ensure};
use std::{io::Write, net::TcpListener, os::unix::net::UnixListener};

/// A line that prints `reached` or `refused`, written so that its echo holds neither.
fn connect_line(address: &str) -> String {
    format!(
        "python3 -c \"import socket; s=socket.create_connection({address},5); s.sendall(b'x'); print('rea'+'ched', s.recv(9))\" 2>/dev/null || echo re''fused"
    )
}

/// Two sessions serve on the same port, each its own page.
pub(crate) async fn two_sessions_same_port(world: &World) -> Result<()> {
    let first = world.with_prompt("two_sessions_a").await?;
    let second = world.with_prompt("two_sessions_b").await?;
    for (page, word) in [(&first, "first"), (&second, "second")] {
        page.run(&format!(
            "echo I-am-{word} > index.html; python3 -m http.server 8080 >/dev/null 2>&1 & sleep 0.1; echo served-$((1))"
        ))
        .await?;
        page.until_terminal("served-1").await?;
    }
    for (page, word) in [(&first, "first"), (&second, "second")] {
        page.run("for i in $(seq 100); do curl -sf http://127.0.0.1:8080/ && break; sleep 0.05; done").await?;
        page.until_terminal(&format!("\nI-am-{word}")).await?;
    }
    ensure!(std::net::TcpStream::connect(("127.0.0.1", 8080)).is_err(), "the host's port 8080 is another one");
    finish(first).await?;
    finish(second).await
}

/// `rm -rf /` destroys the session's view and nothing of the host.
pub(crate) async fn rm_rf_is_contained(world: &World) -> Result<()> {
    let page = world.with_prompt("rm_rf").await?;
    // First the proof that this root is not the host's: a canary the host has and the session must not, and the other way round.
    let canary = std::path::Path::new("/usr/local/share").join(format!("berth-canary-{}", std::process::id()));
    let written = std::fs::write(&canary, "host").is_ok();
    page.run("touch /usr/inside && stat -f -c 'root=%T' / && stat -f -c 'usr=%T' /usr && echo canary-$((1))").await?;
    page.until_terminal("canary-1").await?;
    let text = page.terminal_text().await?;
    ensure!(
        text.contains("root=tmpfs") && text.contains("usr=overlayfs"),
        "the root is not proven to be an overlay: stop\n{text}"
    );
    ensure!(!std::path::Path::new("/usr/inside").exists(), "a write inside reached the host: stop");
    page.run("rm -rf --no-preserve-root / >/dev/null 2>&1; echo gone-$((2))").await?;
    page.until_terminal("gone-2").await?;
    if written {
        ensure!(std::fs::read_to_string(&canary)? == "host", "the host's file was touched");
        std::fs::remove_file(&canary)?;
    }
    ensure!(
        std::path::Path::new("/usr/bin/env").exists() && std::path::Path::new("/etc/hosts").exists(),
        "the host is whole"
    );
    finish(page).await
}

/// The host's loopback stays out of reach under every name.
pub(crate) async fn host_loopback_refused(world: &World) -> Result<()> {
    let listener = TcpListener::bind("0.0.0.0:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        listener.incoming().flatten().for_each(|mut connection| drop(connection.write_all(b"secret")))
    });
    ensure!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(), "the canary listens");
    let page = world.with_prompt("host_loopback").await?;
    let own =
        nix::ifaddrs::getifaddrs()?.filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip().to_string()));
    let names = ["127.0.0.1", "127.0.0.2", "localhost", "0.0.0.0", "10.88.0.1", "::1"].map(str::to_owned);
    for (number, name) in names.into_iter().chain(own).enumerate() {
        page.run(&format!("{}; echo asked-{number}-$((1))", connect_line(&format!("('{name}',{port})")))).await?;
        page.until_terminal(&format!("asked-{number}-1")).await?;
    }
    // And the product's own ports: the Worker, and the runtime's.
    page.run(&format!("{}; echo asked-worker-$((1))", connect_line(&format!("('127.0.0.1',{})", world.port()))))
        .await?;
    page.until_terminal("asked-worker-1").await?;
    let text = page.terminal_text().await?;
    ensure!(!text.contains("reached"), "{text}");
    ensure!(text.matches("\nrefused").count() >= 7, "every try was made:\n{text}");
    finish(page).await
}

/// The cloud's metadata service, and private networks, stay out of reach.
pub(crate) async fn metadata_refused(world: &World) -> Result<()> {
    let page = world.with_prompt("metadata").await?;
    for (number, name) in
        ["169.254.169.254", "192.168.1.1", "10.0.0.1", "172.17.0.1", "100.100.100.200"].iter().enumerate()
    {
        page.run(&format!("{}; echo asked-{number}-$((1))", connect_line(&format!("('{name}',80)")))).await?;
        page.until_terminal(&format!("asked-{number}-1")).await?;
    }
    let text = page.terminal_text().await?;
    ensure!(!text.contains("reached") && text.matches("\nrefused").count() == 5, "{text}");
    finish(page).await
}

/// Unix sockets of the host, the engine's among them, are not there; and the gate's own sockets cannot be seen.
pub(crate) async fn unix_socket_refused(world: &World) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("berth-socket-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let canary = folder.join("canary.sock");
    let _listener = UnixListener::bind(&canary)?;
    let engine = std::fs::read_dir(std::env::temp_dir())?
        .flatten()
        .map(|entry| entry.path().join("engine.sock"))
        .find(|path| path.exists());
    let engine = engine.context("the engine's socket is somewhere in the temporary folder")?;
    let page = world.with_prompt("unix_socket").await?;
    for (number, path) in [&canary, &engine].into_iter().enumerate() {
        page.run(&format!("python3 -c \"import socket; socket.socket(socket.AF_UNIX).connect('{}'); print('rea'+'ched')\" 2>/dev/null || echo re''fused-{number}", path.display())).await?;
        page.until_terminal(&format!("\nrefused-{number}")).await?;
    }
    page.run("grep -c / /proc/net/unix; grep -v -e sl -e 1B9E /proc/net/tcp | wc -l; echo seen-$((1))").await?;
    page.until_terminal("\n0\n0\nseen-1").await?;
    std::fs::remove_dir_all(folder)?;
    ensure!(!page.terminal_text().await?.contains("reached"));
    finish(page).await
}

/// The agent's token cannot be read by what it runs.
pub(crate) async fn boot_token_is_hidden(world: &World) -> Result<()> {
    let page = world.with_prompt("boot_token").await?;
    page.run("env | grep -c TOKEN; cat /proc/$PPID/environ /proc/1/environ 2>&1 | grep -ac 'TOKEN='; ls /proc/$PPID/fd /proc/1/fd 2>&1 | grep -c denied; echo asked-$((1))").await?;
    page.until_terminal("\n0\n0\n2\nasked-1").await?;
    finish(page).await
}
