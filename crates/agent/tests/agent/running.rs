//! A running agent, and clients that speak its protocols. Every wait is for an event, with one deadline.

use berth_protocol::{
    agent_http::{ATTACH_PATH, BOOT_VARIABLE, CONTROL_PATH, GRANT_HEADER, Grant, TOKEN_HEADER, TOKEN_VARIABLE},
    api::Role,
    control_link::{self, Command, Report},
    ids::{BootId, ClientId, InputStreamId, UserId},
    terminal_frame::{self, AgentFrame, ClientFrame, Size},
};
use futures_util::{SinkExt, StreamExt};
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Stdio},
    time::Duration,
};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest, http::Request},
};

pub(crate) const TOKEN: &str = "a-boot-token";
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Agent {
    child: Child,
    pub(crate) port: u16,
    pub(crate) boot: BootId,
    home: PathBuf,
}

impl Agent {
    pub(crate) async fn start() -> Self {
        let boot = BootId::from_uuid(uuid::Uuid::new_v4());
        let home = std::env::temp_dir().join(format!("berth-agent-test-{boot}"));
        std::fs::create_dir_all(home.join("work")).unwrap();
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_berth-agent"))
            .env_clear()
            .envs([("PATH", "/usr/bin:/bin"), ("SHELL", "/bin/sh"), ("PS1", "$ "), ("LANG", "C.UTF-8")])
            .env("HOME", &home)
            .env(TOKEN_VARIABLE, TOKEN)
            .env(BOOT_VARIABLE, boot.to_string())
            .env("BERTH_AGENT_LISTEN", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let listening = lines.find_map(|line| Some(line.split_once("listening on 127.0.0.1:")?.1.parse().unwrap()));
        std::thread::spawn(move || lines.for_each(|line| eprintln!("{line}")));
        Self { child, port: listening.expect("the agent listens"), boot, home }
    }

    pub(crate) fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(self.child.id() as i32)
    }

    pub(crate) async fn exit_code(mut self) -> Option<i32> {
        let mut child = std::mem::replace(&mut self.child, std::process::Command::new("true").spawn().unwrap());
        let waited = tokio::task::spawn_blocking(move || child.wait().unwrap().code());
        tokio::time::timeout(DEADLINE, waited).await.expect("the agent ends").unwrap()
    }

    fn request(&self, path: &str) -> Request<()> {
        let mut request = format!("ws://127.0.0.1:{}{path}", self.port).into_client_request().unwrap();
        request.headers_mut().insert(TOKEN_HEADER, TOKEN.parse().unwrap());
        request
    }

    pub(crate) async fn open(&self, request: Request<()>) -> Result<WebSocketStream<TcpStream>, u16> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(socket),
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }

    pub(crate) fn attach_request(&self, grant: &Grant) -> Request<()> {
        let mut request = self.request(ATTACH_PATH);
        request.headers_mut().insert(GRANT_HEADER, grant.to_header().parse().unwrap());
        request.headers_mut().insert("sec-websocket-protocol", terminal_frame::SUBPROTOCOL.parse().unwrap());
        request
    }

    /// Connects and attaches to terminal 1 with nothing in hand.
    pub(crate) async fn client(&self, role: Role) -> Client {
        self.client_with(role, 0).await
    }

    /// Connects and attaches to terminal 1 as a page that holds all output before `have`.
    pub(crate) async fn client_with(&self, role: Role, have: u64) -> Client {
        let grant = grant(role);
        let socket = self.open(self.attach_request(&grant)).await.unwrap();
        let mut client = Client { socket, grant, shown: Vec::new(), offset: 0, typed: 0 };
        assert!(matches!(client.frame().await, AgentFrame::Welcome { boot, .. } if boot == self.boot));
        client.attach(self.boot, have).await;
        client
    }

    pub(crate) async fn link(&self) -> Link {
        let mut request = self.request(CONTROL_PATH);
        request.headers_mut().insert("sec-websocket-protocol", control_link::SUBPROTOCOL.parse().unwrap());
        Link { socket: self.open(request).await.unwrap() }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

pub(crate) fn grant(role: Role) -> Grant {
    let uuid = uuid::Uuid::new_v4;
    Grant { client: ClientId::from_uuid(uuid()), user: UserId::from_uuid(uuid()), role, expires_ms: u64::MAX }
}

/// A page without a screen: it keeps all bytes and acknowledges them.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) grant: Grant,
    pub(crate) shown: Vec<u8>,
    pub(crate) offset: u64,
    typed: u64,
}

impl Client {
    pub(crate) async fn send(&mut self, frame: ClientFrame) {
        self.socket.send(Message::Binary(frame.encode().into())).await.unwrap();
    }

    pub(crate) async fn attach(&mut self, boot: BootId, have: u64) {
        let input_stream = InputStreamId::from_uuid(uuid::Uuid::new_v4());
        let size = Size { columns: 80, rows: 24 };
        self.offset = have;
        self.send(ClientFrame::Attach { terminal: 1, have, boot, input_stream, size }).await;
    }

    pub(crate) async fn type_text(&mut self, text: &str) {
        let bytes = text.as_bytes().to_vec();
        let offset = self.typed;
        self.typed += bytes.len() as u64;
        self.send(ClientFrame::Input { terminal: 1, offset, bytes }).await;
    }

    /// The next frame; output is kept and acknowledged.
    pub(crate) async fn frame(&mut self) -> AgentFrame {
        let message = tokio::time::timeout(DEADLINE, self.socket.next()).await.expect("a frame comes in time");
        let Some(Ok(Message::Binary(bytes))) = message else {
            panic!("no frame but {message:?} after {:?}", String::from_utf8_lossy(&self.shown))
        };
        let frame = AgentFrame::decode(&bytes).unwrap();
        if let AgentFrame::Output { offset, bytes, .. } = &frame {
            assert_eq!(*offset, self.offset, "no hole and no repetition");
            self.offset += bytes.len() as u64;
            self.shown.extend(bytes);
            self.send(ClientFrame::Ack { terminal: 1, offset: self.offset }).await;
        }
        frame
    }

    /// Reads until the text has been shown.
    pub(crate) async fn until(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.shown).contains(text) {
            self.frame().await;
        }
    }

    /// Reads until a frame that is not output satisfies the question.
    pub(crate) async fn until_frame(&mut self, is_it: impl Fn(&AgentFrame) -> bool) -> AgentFrame {
        loop {
            let frame = self.frame().await;
            if is_it(&frame) {
                return frame;
            }
        }
    }

    /// Whether the agent ends the connection now.
    pub(crate) async fn is_closed(&mut self) -> bool {
        loop {
            match tokio::time::timeout(DEADLINE, self.socket.next()).await.expect("the agent acts in time") {
                None | Some(Ok(Message::Close(_)) | Err(_)) => return true,
                Some(Ok(_)) => {}
            }
        }
    }
}

pub(crate) struct Link {
    socket: WebSocketStream<TcpStream>,
}

impl Link {
    pub(crate) async fn send(&mut self, command: &Command) {
        self.socket.send(Message::Text(control_link::encode(command).into())).await.unwrap();
    }

    pub(crate) async fn report(&mut self) -> Option<Report> {
        let message = tokio::time::timeout(DEADLINE, self.socket.next()).await.expect("a report comes in time");
        match message {
            Some(Ok(Message::Text(text))) => Some(control_link::decode(&text).unwrap()),
            _ => None,
        }
    }
}
