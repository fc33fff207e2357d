//! The calls that workerd makes, in its order, against the engine's real process.

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

struct Engine {
    child: Child,
    socket: PathBuf,
}

impl Engine {
    fn start(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("berth-engine-{name}-{}", std::process::id()));
        let socket = folder.join("engine.sock");
        let mut child = Command::new(env!("CARGO_BIN_EXE_berth-engine"))
            .args(["serve", "--agent", "/bin/sh", "--socket"])
            .arg(&socket)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        lines.find(|line| line.as_ref().unwrap().ends_with("ready")).expect("the engine serves").unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, socket }
    }

    fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        // As workerd sends it: no version in the path, a chunked body.
        let chunks =
            if body.is_empty() { "0\r\n\r\n".into() } else { format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()) };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        stream.write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    fn create_app(&self, script: &str) {
        let config = json!({
            "Image": "cloudflare-dev/session:1234", "Cmd": ["-c", script], "Env": ["FOO=bar"],
            "HostConfig": { "NetworkMode": "container:n-proxy" }, "Labels": { "dev.workerd.session": "s" },
        });
        assert_eq!(self.call("POST", "/containers/create?name=n", Some(config)).0, 201);
    }

    fn create_sidecar(&self) -> u16 {
        let config = json!({ "Image": "cloudflare/proxy-everything:x", "HostConfig": { "NetworkMode": "bridge" } });
        assert_eq!(self.call("POST", "/containers/create?name=n-proxy", Some(config)).0, 201);
        assert_eq!(self.call("POST", "/containers/n-proxy/start", None).0, 204);
        let ports = self.call("GET", "/containers/n-proxy/json", None).1;
        ports["NetworkSettings"]["Ports"]["39001/tcp"][0]["HostPort"].as_str().unwrap().parse().unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        let _ = std::fs::remove_dir_all(self.socket.parent().unwrap());
    }
}

fn connect(ingress: u16, target: &str) -> (u16, TcpStream) {
    let mut stream = TcpStream::connect(("127.0.0.1", ingress)).unwrap();
    write!(stream, "CONNECT {target} HTTP/1.1\r\nX-Dst-Addr: {target}\r\n\r\n").unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let status = String::from_utf8(head).unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    (status, stream)
}

#[test]
fn a_container_lives_as_workerd_expects() {
    let engine = Engine::start("life");
    assert_eq!(engine.call("GET", "/containers/n/json", None).0, 404);
    let ingress = engine.create_sidecar();
    engine.create_app("exec sleep 1000");
    assert_eq!(engine.call("GET", "/containers/n/json", None).1["State"]["Status"], "created");
    assert_eq!(engine.call("POST", "/containers/n/start", None).0, 204);
    assert_eq!(engine.call("POST", "/containers/n/start", None).0, 304, "started already");
    assert_eq!(engine.call("GET", "/containers/n/json", None).1["State"]["Status"], "running");
    let config = json!({ "Image": "cloudflare-dev/session:1234" });
    assert_eq!(engine.call("POST", "/containers/create?name=n", Some(config)).0, 409, "the name is taken");
    assert_eq!(connect(ingress, "127.0.0.1:9").0, 400, "nothing listens");
    assert_eq!(connect(ingress, "127.0.0.2:9").0, 400, "only loopback");
    let listed = engine
        .call("GET", "/containers/json?all=1&filters=%7B%22label%22%3A%5B%22dev.workerd.session%3Ds%22%5D%7D", None)
        .1;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(engine.call("POST", "/containers/n/kill?signal=SIGKILL", None).0, 204);
    assert_eq!(engine.call("POST", "/containers/n/wait", None).1["StatusCode"], 137);
    assert_eq!(engine.call("POST", "/containers/n/kill?signal=SIGTERM", None).0, 409, "not running");
    assert_eq!(engine.call("DELETE", "/containers/n?force=true", None).0, 204);
    assert_eq!(engine.call("DELETE", "/containers/n?force=true", None).0, 404);
}

#[test]
fn a_pending_wait_returns_when_the_container_is_deleted() {
    let engine = Engine::start("wait");
    engine.create_sidecar();
    engine.create_app("exec sleep 1000");
    assert_eq!(engine.call("POST", "/containers/n/start", None).0, 204);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| engine.call("POST", "/containers/n/wait?condition=removed", None));
        assert_eq!(engine.call("DELETE", "/containers/n?force=true", None).0, 204);
        assert!(matches!(waiter.join().unwrap().0, 200 | 404));
    });
}

#[test]
fn an_unknown_image_and_an_unknown_call_are_named() {
    let engine = Engine::start("unknown");
    let (status, body) = engine.call("POST", "/containers/create?name=x", Some(json!({ "Image": "debian:12" })));
    assert_eq!((status, body["message"].as_str()), (404, Some("no such image: debian:12")));
    assert_eq!(engine.call("POST", "/containers/create", Some(json!({ "Image": "berth" }))).0, 400, "no name");
    let (status, body) = engine.call("GET", "/swarm", None);
    assert_eq!(status, 501);
    assert!(body["message"].as_str().unwrap().contains("/swarm"));
}

#[test]
fn a_second_engine_on_the_same_socket_is_refused() {
    let engine = Engine::start("second");
    let output = Command::new(env!("CARGO_BIN_EXE_berth-engine"))
        .args(["serve", "--agent", "/bin/sh", "--socket"])
        .arg(&engine.socket)
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("another engine listens"));
}

#[test]
fn of_two_starts_one_wins_and_a_removal_ends_a_start_under_way() {
    let engine = Engine::start("race");
    engine.create_sidecar();
    for _ in 0..5 {
        engine.create_app("exec sleep 2222");
        std::thread::scope(|scope| {
            let starts = [(); 2].map(|()| scope.spawn(|| engine.call("POST", "/containers/n/start", None).0));
            let mut answers = starts.map(|start| start.join().unwrap());
            answers.sort_unstable();
            assert_eq!(answers, [204, 304]);
        });
        assert_eq!(engine.call("GET", "/containers/n/json", None).1["State"]["Status"], "running");
        assert_eq!(engine.call("DELETE", "/containers/n?force=true", None).0, 204);
        engine.create_app("exec sleep 2222");
        std::thread::scope(|scope| {
            let start = scope.spawn(|| engine.call("POST", "/containers/n/start", None).0);
            assert_eq!(engine.call("DELETE", "/containers/n?force=true", None).0, 204);
            assert!(matches!(start.join().unwrap(), 204 | 304 | 404));
        });
    }
    let left = std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
        std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line.windows(4).any(|part| part == b"2222"))
    });
    assert_eq!(left.count(), 0, "no sandbox is left that nobody knows");
}
