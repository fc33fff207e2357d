//! Runs Berth on this machine: engine and wrangler's local runtime, one link, and an orderly end.

use crate::{
    build,
    command::{now, program, root, seconds},
    setup,
    state::State,
    tools,
};
use anyhow::{Context, Result, bail};
use berth_protocol::{
    api::{SessionList, SessionState},
    limits::STOP_MS_MAX,
};
use nix::{
    sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask},
    unistd::Pid,
};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    os::unix::{
        fs::{DirBuilderExt, MetadataExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    time::Duration,
};

const PORT_DEFAULT: u16 = 8787;
/// How long engine and runtime may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(90);
/// How long the whole drain may take.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(STOP_MS_MAX + 10_000);
/// How long a child may take to end after SIGTERM.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of one line of a child's output; a longer one is cut.
const LINE_BYTES_MAX: u64 = 16 * 1024;

/// The engine behind the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Ours.
    Process,
    /// The machine's Docker.
    Docker,
}

/// The command line.
#[derive(Debug)]
pub(crate) struct Options {
    port: u16,
    state: PathBuf,
    engine: Engine,
    fresh: bool,
    allow_lan: bool,
    unisolated: bool,
    build: bool,
}

impl Options {
    /// Reads the arguments after `dev`.
    pub(crate) fn parse(args: &[&str]) -> Result<Self> {
        let mut options = Self {
            port: PORT_DEFAULT,
            state: root().join(".berth"),
            engine: Engine::Process,
            fresh: false,
            allow_lan: false,
            unisolated: false,
            build: true,
        };
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let mut value = || rest.next().copied().with_context(|| format!("{arg} wants a value"));
            match *arg {
                "--port" => options.port = value()?.parse().context("--port wants a number from 1 to 65535")?,
                "--state" => options.state = PathBuf::from(value()?),
                "--engine" => {
                    options.engine = match value()? {
                        "process" => Engine::Process,
                        "docker" => Engine::Docker,
                        other => bail!("--engine is process or docker, not {other}"),
                    }
                }
                "--fresh" => options.fresh = true,
                "--allow-lan" => options.allow_lan = true,
                "--unisolated" => options.unisolated = true,
                "--no-build" => options.build = false,
                other => bail!("dev does not know {other}"),
            }
        }
        Ok(options)
    }
}

/// Everything that can happen while it runs.
enum Happening {
    Interrupt,
    NewLink,
    Ended(&'static str),
}

/// A child in a process group of its own: a Ctrl-C in the terminal reaches only us.
struct Service {
    name: &'static str,
    child: Child,
}

/// Runs until Ctrl-C.
pub(crate) fn run(options: &Options) -> Result<()> {
    let started = now();
    // Blocked before any thread starts, so that only the thread that waits for them gets them.
    let signals = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect::<SigSet>();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&signals), None)?;
    // Asked for and closed at once: a taken port is named now and not after a build.
    TcpListener::bind(("127.0.0.1", options.port))
        .with_context(|| format!("port {} is taken; choose another with --port", options.port))?;
    if options.build {
        setup::to_run()?;
        build::all()?;
    }
    let runtime_version = runtime_version()?;
    let state = State::open(&options.state, &runtime_version, options.fresh)?;
    let origin = format!("http://127.0.0.1:{}", options.port);
    let variables = state.write_variables(&origin, options.unisolated)?;
    let logs = state.folder().join("logs");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&logs)?;
    let (sender, happenings) = mpsc::channel();

    let mut services = Services { children: Vec::new() };
    let socket = match options.engine {
        Engine::Process => Some(start_engine(&mut services, options, &state, &logs, &sender)?),
        Engine::Docker => None,
    };
    migrate(&state)?;
    start_runtime(&mut services, options, &state, &variables, socket.as_deref(), &logs, &sender)?;
    listen_for_signals(signals, sender.clone());
    listen_for_enter(sender);

    println!("\n  Berth runs at {origin} ({})", seconds(started.elapsed()));
    println!("  open: {}\n", state.link(&origin)?);
    println!(
        "  The link works once. Enter: another link. Ctrl-C: stop every session, then Berth. Logs: {}",
        logs.display()
    );
    loop {
        match happenings.recv() {
            Ok(Happening::NewLink) => println!("  open: {}", state.link(&origin)?),
            Ok(Happening::Interrupt) => break,
            Ok(Happening::Ended(name)) => {
                services.end();
                bail!("{name} ended by itself; its last words:\n{}", last_lines(&logs.join(format!("{name}.log"))));
            }
            Err(_) => break,
        }
    }
    println!("\n  stopping every session (Ctrl-C again: at once)");
    if let Err(error) = drain(&state, &origin, &happenings) {
        eprintln!("  not every session was stopped in order: {error:#}");
    }
    services.end();
    println!("  stopped");
    Ok(())
}

/// The version of the runtime that wrangler brings.
fn runtime_version() -> Result<String> {
    let file = root().join("node_modules/workerd/package.json");
    let text = fs::read_to_string(&file).context("workerd is not installed; run `cargo xtask setup`")?;
    let package: serde_json::Value = serde_json::from_str(&text)?;
    Ok(package.get("version").and_then(|version| version.as_str()).unwrap_or_default().to_owned())
}

fn start_engine(
    services: &mut Services,
    options: &Options,
    state: &State,
    logs: &Path,
    sender: &Sender<Happening>,
) -> Result<PathBuf> {
    // Not in the state folder: a socket's path may have 107 characters only.
    let folder =
        std::env::temp_dir().join(format!("berth-{}-{:08x}", nix::unistd::geteuid(), short_hash(state.folder())));
    let socket = folder.join("engine.sock");
    let mut command = program(build::engine_path());
    command.arg("serve").arg("--socket").arg(&socket).arg("--agent").arg(build::agent_path());
    command.args(options.allow_lan.then_some("--allow-lan")).args(options.unisolated.then_some("--unisolated"));
    // `wrangler dev` calls Docker's client first; the engine's binary answers under that name.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let metadata = fs::symlink_metadata(&folder)?;
    if !metadata.is_dir() || metadata.uid() != nix::unistd::geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
        bail!("{} is not a private folder of this user; remove it", folder.display());
    }
    let client = folder.join("docker");
    let _ = fs::remove_file(&client);
    std::os::unix::fs::symlink(build::engine_path(), &client)?;
    services.start("engine", command, logs, sender, |line| line == "engine: ready")?;
    Ok(socket)
}

fn migrate(state: &State) -> Result<()> {
    let mut command = tools::wrangler()?;
    command.args(["d1", "migrations", "apply", "DB", "--local", "--persist-to"]).arg(state.folder().join("runtime"));
    crate::command::quiet_step("database migrations", &mut command)
}

fn start_runtime(
    services: &mut Services,
    options: &Options,
    state: &State,
    variables: &Path,
    socket: Option<&Path>,
    logs: &Path,
    sender: &Sender<Happening>,
) -> Result<()> {
    let mut command = tools::wrangler()?;
    command
        .args(["dev", "--ip", "127.0.0.1", "--port", &options.port.to_string(), "--inspector-port", "0"])
        .args(["--show-interactive-dev-session=false", "--log-level", "log", "--env-file"])
        .arg(variables)
        .arg("--persist-to")
        .arg(state.folder().join("runtime"));
    if let Some(socket) = socket {
        command.env("WRANGLER_DOCKER_HOST", format!("unix://{}", socket.display()));
        command.env("WRANGLER_DOCKER_BIN", socket.with_file_name("docker"));
        command.env("MINIFLARE_CONTAINER_EGRESS_IMAGE", "berth/sidecar:local");
    }
    services.start("runtime", command, logs, sender, |line| line.contains("Ready on http"))
}

struct Services {
    children: Vec<Service>,
}

impl Services {
    /// Starts a child, writes its output to a log, and returns when a line says it is ready.
    fn start(
        &mut self,
        name: &'static str,
        mut command: Command,
        logs: &Path,
        sender: &Sender<Happening>,
        is_ready: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<()> {
        println!("▸ {name}");
        let log_path = logs.join(format!("{name}.log"));
        let mut log = File::create(&log_path)?;
        let (output, writer) = std::io::pipe()?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
        // SAFETY: one async-signal-safe call: if this process is killed, so is its child.
        unsafe {
            command.pre_exec(|| {
                sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&SigSet::all()), None)?;
                Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?)
            });
        }
        let child = command.spawn().with_context(|| format!("start the {name}"))?;
        drop(command); // closes this process's ends of the pipe
        self.children.push(Service { name, child });
        let (ready_sender, ready) = mpsc::channel();
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut bytes = Vec::new();
            // Lossily and in bounded pieces: whatever a child writes, only its end is its end.
            while (&mut output).take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes).is_ok_and(|length| length > 0) {
                let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                bytes.clear();
                let _ = std::io::Write::write_all(&mut log, format!("{line}\n").as_bytes());
                if is_ready(&line) {
                    let _ = ready_sender.send(());
                }
            }
            drop(ready_sender);
            let _ = sender.send(Happening::Ended(name));
        });
        match ready.recv_timeout(READY_TIMEOUT) {
            Ok(()) => Ok(()),
            Err(reason) => {
                self.end();
                let what = if reason == RecvTimeoutError::Timeout { "was not ready in time" } else { "ended" };
                bail!("the {name} {what}:\n{}", last_lines(&log_path))
            }
        }
    }

    /// Ends every child, last started first: SIGTERM, then SIGKILL to its whole group.
    fn end(&mut self) {
        while let Some(mut service) = self.children.pop() {
            let Ok(pid) = i32::try_from(service.child.id()).map(Pid::from_raw) else { continue };
            let _ = kill(pid, Signal::SIGTERM);
            let (sender, ended) = mpsc::channel();
            std::thread::spawn(move || {
                let _ = service.child.wait();
                let _ = sender.send(());
            });
            if ended.recv_timeout(END_TIMEOUT).is_err() {
                eprintln!("  the {} did not end; killed", service.name);
            }
            // Whatever it left in its group goes with it.
            let _ = nix::sys::signal::killpg(pid, Signal::SIGKILL);
        }
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.end();
    }
}

/// Stops every session and waits until each is; another interrupt ends the waiting.
fn drain(state: &State, origin: &str, happenings: &Receiver<Happening>) -> Result<()> {
    let host = origin.trim_start_matches("http://");
    let call = |method: &str, path: &str| -> Result<String> {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{origin}{path}"))
            .header("cookie", state.cookie(host)?)
            .header("origin", origin)
            .body(())?;
        Ok(ureq::run(request)?.body_mut().read_to_string()?)
    };
    let busy = || -> Result<Vec<_>> {
        let list: SessionList = serde_json::from_str(&call("GET", "/api/sessions")?)?;
        let is_busy = |state| !matches!(state, SessionState::Stopped | SessionState::Failed);
        Ok(list.sessions.into_iter().filter(|session| is_busy(session.state)).collect())
    };
    for session in busy()? {
        println!("  stopping {}", session.name);
        call("POST", &format!("/api/sessions/{}/stop", session.id))?;
    }
    let deadline = now() + DRAIN_TIMEOUT;
    while !busy()?.is_empty() {
        match happenings.recv_timeout(Duration::from_millis(100)) {
            Ok(Happening::Interrupt) => bail!("interrupted"),
            Ok(Happening::Ended(name)) => bail!("the {name} ended"),
            _ if now() > deadline => bail!("it took longer than {}", seconds(DRAIN_TIMEOUT)),
            _ => {}
        }
    }
    Ok(())
}

fn listen_for_signals(signals: SigSet, sender: Sender<Happening>) {
    std::thread::spawn(move || {
        while signals.wait().is_ok() {
            if sender.send(Happening::Interrupt).is_err() {
                return;
            }
        }
    });
}

fn listen_for_enter(sender: Sender<Happening>) {
    std::thread::spawn(move || {
        let mut byte = [0];
        // The end of the input (no terminal, no pipe) only ends this.
        while std::io::stdin().read(&mut byte).is_ok_and(|length| length > 0) {
            if byte == *b"\n" && sender.send(Happening::NewLink).is_err() {
                return;
            }
        }
    });
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
}

/// Tells state folders apart in a short path.
fn short_hash(path: &Path) -> u32 {
    path.to_string_lossy().bytes().fold(2_166_136_261, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_parsed_or_named() {
        let options = Options::parse(&["--port", "9000", "--engine", "docker", "--fresh"]).unwrap();
        assert_eq!((options.port, options.engine, options.fresh), (9000, Engine::Docker, true));
        for (args, word) in [
            (&["--port"][..], "--port"),
            (&["--port", "x"], "--port"),
            (&["--engine", "podman"], "podman"),
            (&["--nope"], "--nope"),
        ] {
            assert!(Options::parse(args).unwrap_err().to_string().contains(word), "{args:?}");
        }
    }
}
