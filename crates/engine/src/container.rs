//! The engine's containers: a registry of names, and what can be done to one. A container is either the agent in its sandbox
//! or the sidecar that workerd starts before it, which owns the way in and the way out.

use crate::{
    egress::gate::{self, Rules},
    limits::SANDBOXES_MAX,
    sandbox::{HOME, Launcher, Sandbox, Spec, USER_NAME},
    sidecar,
};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::{sync::watch, task::JoinHandle};

/// What the engine was started with.
#[derive(Debug)]
pub struct Settings {
    /// What sandboxes are started from.
    pub launcher: Launcher,
    /// Let sandboxes reach private networks.
    pub allow_lan: bool,
    /// Start agents as plain processes of this user. For machines without namespaces, and only when asked.
    pub unisolated: bool,
    /// Folder for homes of unisolated sessions.
    pub scratch: PathBuf,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Made, not started.
    Created,
    /// Being started.
    Starting,
    /// Its process runs.
    Running,
    /// Its process ended with this code.
    Exited(i32),
    /// It is gone; handles that remain only wait.
    Removed,
}

/// What `create` asked for.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Image name.
    pub image: String,
    /// Arguments in place of the image's.
    pub args: Vec<String>,
    /// `KEY=value` lines.
    pub env: Vec<String>,
    /// Labels, returned as they came.
    pub labels: BTreeMap<String, String>,
    /// `bridge`, or `container:<sidecar>`.
    pub network_mode: String,
}

/// One container.
#[derive(Debug)]
pub struct Container {
    /// Docker's 64 hexadecimal characters.
    pub id: String,
    /// Name, unique in the engine.
    pub name: String,
    /// As created.
    pub config: Config,
    /// Changes of status.
    pub status: watch::Sender<Status>,
    /// The sidecar's rules for its app's way out.
    pub rules: Arc<Rules>,
    running: Mutex<Option<Running>>,
    /// Set by a removal, so that a start under way ends at once.
    removed: AtomicBool,
}

#[derive(Debug)]
enum Running {
    Isolated { sandbox: Arc<Sandbox>, tasks: [JoinHandle<()>; 2] },
    Unisolated { pid: i32, port: u16 },
    Sidecar { address: SocketAddr, task: JoinHandle<()> },
}

/// Why a request about a container was refused.
#[derive(Debug)]
pub enum Refusal {
    /// No such container.
    NoContainer,
    /// No such image.
    NoImage(String),
    /// The name is taken.
    NameTaken,
    /// It runs already.
    AlreadyRunning,
    /// It does not run.
    NotRunning,
    /// Something failed, in words.
    Failed(anyhow::Error),
}

/// All containers of one engine.
#[derive(Debug)]
pub struct Registry {
    settings: Settings,
    containers: Mutex<HashMap<String, Arc<Container>>>,
    slots: Mutex<BTreeSet<u32>>,
    next_id: AtomicU64,
}

impl Registry {
    /// An empty registry.
    pub fn new(settings: Settings) -> Self {
        Self { settings, containers: Mutex::default(), slots: Mutex::default(), next_id: AtomicU64::new(1) }
    }

    /// Makes a container.
    pub fn create(&self, name: String, config: Config) -> Result<Arc<Container>, Refusal> {
        let is_ours =
            is_sidecar(&name) || ["cloudflare-dev/", "berth"].iter().any(|ours| config.image.starts_with(ours));
        if !is_ours {
            return Err(Refusal::NoImage(config.image));
        }
        let mut containers = lock(&self.containers);
        if containers.contains_key(&name) {
            return Err(Refusal::NameTaken);
        }
        let number = self.next_id.fetch_add(1, Ordering::Relaxed);
        let container = Arc::new(Container {
            id: format!("{:032x}{number:032x}", std::process::id()),
            name: name.clone(),
            config,
            status: watch::Sender::new(Status::Created),
            rules: Arc::new(Rules { allow_lan: self.settings.allow_lan, ..Rules::default() }),
            running: Mutex::default(),
            removed: AtomicBool::new(false),
        });
        containers.insert(name, Arc::clone(&container));
        Ok(container)
    }

    /// Finds by name or id.
    pub fn find(&self, name_or_id: &str) -> Result<Arc<Container>, Refusal> {
        let containers = lock(&self.containers);
        let by_name = containers.get(name_or_id);
        by_name.or_else(|| containers.values().find(|c| c.id == name_or_id)).cloned().ok_or(Refusal::NoContainer)
    }

    /// Every container.
    pub fn all(&self) -> Vec<Arc<Container>> {
        lock(&self.containers).values().cloned().collect()
    }

    /// Starts a container. Blocks while the sandbox is built.
    pub fn start(self: &Arc<Self>, container: &Arc<Container>) -> Result<(), Refusal> {
        // Claimed at once: of two starts one is refused.
        let claim = |status: &mut Status| {
            *status == Status::Created && std::mem::replace(status, Status::Starting) == Status::Created
        };
        if !container.status.send_if_modified(claim) {
            return Err(Refusal::AlreadyRunning);
        }
        let started = if is_sidecar(&container.name) {
            self.start_sidecar(container)
        } else if self.settings.unisolated {
            self.start_unisolated(container)
        } else {
            self.start_isolated(container)
        };
        started.map_err(|error| {
            container.status.send_replace(Status::Exited(1));
            Refusal::Failed(error)
        })
    }

    fn start_sidecar(self: &Arc<Self>, container: &Arc<Container>) -> Result<()> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("listen for the runtime")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let task = tokio::spawn(sidecar::serve(listener, Arc::clone(self), Arc::clone(container)));
        container.publish(Running::Sidecar { address, task });
        Ok(())
    }

    fn start_isolated(self: &Arc<Self>, container: &Arc<Container>) -> Result<()> {
        let sidecar = self.sidecar_of(container)?;
        let slot = self.take_slot()?;
        let spec = Spec {
            args: container.config.args.clone(),
            env: environment(&container.config, HOME),
            host_id: None,
            probe: false,
        };
        let started = Sandbox::start(&self.settings.launcher, slot, spec);
        let (sandbox, process, listeners) = started.inspect_err(|_| self.free_slot(slot))?;
        let rules = Arc::clone(&sidecar.rules);
        let tasks = [
            tokio::spawn(gate::carry_tcp(tokio::net::TcpListener::from_std(listeners.tcp)?, Arc::clone(&rules))),
            tokio::spawn(gate::carry_dns(tokio::net::UdpSocket::from_std(listeners.dns)?, rules)),
        ];
        container.publish(Running::Isolated { sandbox: Arc::new(sandbox), tasks });
        let (registry, container) = (Arc::clone(self), Arc::clone(container));
        std::thread::spawn(move || {
            let code = process.wait();
            registry.free_slot(slot);
            container.ended(code);
        });
        Ok(())
    }

    fn start_unisolated(self: &Arc<Self>, container: &Arc<Container>) -> Result<()> {
        let home = self.settings.scratch.join(&container.id);
        std::fs::create_dir_all(home.join("work")).context("make the session's home")?;
        // The port is free now and the agent takes it at once; another program could be faster, and then the start fails.
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let child: Child = Command::new(&self.settings.launcher.agent)
            .args(&container.config.args)
            .env_clear()
            .envs(environment(&container.config, &home.to_string_lossy()))
            .env("BERTH_AGENT_LISTEN", format!("127.0.0.1:{port}"))
            .current_dir(&home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("start the agent")?;
        container.publish(Running::Unisolated { pid: i32::try_from(child.id())?, port });
        let container = Arc::clone(container);
        std::thread::spawn(move || {
            let mut child = child;
            let code = child.wait().ok().and_then(|status| status.code()).unwrap_or(255);
            let _ = std::fs::remove_dir_all(&home);
            container.ended(code);
        });
        Ok(())
    }

    /// Connects to a port inside the app of this sidecar; `None` when nothing listens.
    pub fn dial(&self, sidecar: &Container, port: u16) -> Result<Option<TcpStream>> {
        let wanted = format!("container:{}", sidecar.name);
        let app = self.all().into_iter().find(|c| c.config.network_mode == wanted).context("no app")?;
        let sandbox = match &*lock(&app.running) {
            Some(Running::Isolated { sandbox, .. }) => Arc::clone(sandbox),
            // Without a namespace there is one port, the agent's, wherever it listens.
            Some(Running::Unisolated { port, .. }) => return Ok(TcpStream::connect(("127.0.0.1", *port)).ok()),
            Some(Running::Sidecar { .. }) | None => return Ok(None),
        };
        sandbox.dial(port)
    }

    /// Removes a container and all it runs; its waiters return.
    pub fn remove(&self, container: &Arc<Container>) {
        container.removed.store(true, Ordering::SeqCst);
        let _ = container.kill();
        let mut containers = lock(&self.containers);
        // The name may be another container's by now.
        if containers.get(&container.name).is_some_and(|named| Arc::ptr_eq(named, container)) {
            containers.remove(&container.name);
        }
    }

    fn sidecar_of(&self, container: &Container) -> Result<Arc<Container>> {
        let name =
            container.config.network_mode.strip_prefix("container:").context("an app joins its sidecar's network")?;
        self.find(name).ok().with_context(|| format!("no sidecar {name}"))
    }

    fn take_slot(&self) -> Result<u32> {
        let mut slots = lock(&self.slots);
        let free = (0..SANDBOXES_MAX).find(|slot| !slots.contains(slot));
        let Some(slot) = free else { bail!("{SANDBOXES_MAX} sandboxes run already; stop one") };
        slots.insert(slot);
        Ok(slot)
    }

    fn free_slot(&self, slot: u32) {
        lock(&self.slots).remove(&slot);
    }
}

impl Container {
    /// Makes known what was started; ends it again if the container was removed meanwhile.
    fn publish(&self, running: Running) {
        *lock(&self.running) = Some(running);
        self.status.send_replace(Status::Running);
        if self.removed.load(Ordering::SeqCst) {
            let _ = self.kill();
        }
    }

    /// Ends it at once; its status changes when its process is reaped.
    pub fn kill(&self) -> Result<(), Refusal> {
        match lock(&self.running).take() {
            Some(Running::Isolated { sandbox, tasks }) => {
                sandbox.kill();
                tasks.iter().for_each(JoinHandle::abort);
            }
            Some(Running::Unisolated { pid, .. }) => signal_process(pid, nix::libc::SIGKILL),
            Some(Running::Sidecar { task, .. }) => {
                task.abort();
                self.status.send_replace(Status::Exited(137));
            }
            None => return Err(Refusal::NotRunning),
        }
        Ok(())
    }

    /// Sends a signal to its entry process.
    pub fn signal(&self, number: i32) -> Result<(), Refusal> {
        let sandbox = match &*lock(&self.running) {
            Some(Running::Isolated { sandbox, .. }) => Arc::clone(sandbox),
            Some(Running::Unisolated { pid, .. }) => {
                signal_process(*pid, number);
                return Ok(());
            }
            Some(Running::Sidecar { .. }) | None => return Err(Refusal::NotRunning),
        };
        sandbox.signal(number).map_err(Refusal::Failed)
    }

    /// As `GET /containers/{id}/json` shows it.
    pub fn inspect(&self) -> Value {
        let status = *self.status.borrow();
        let (word, code) = match status {
            Status::Created | Status::Starting => ("created", 0),
            Status::Running => ("running", 0),
            Status::Exited(code) => ("exited", code),
            Status::Removed => ("dead", 0),
        };
        let ports = match &*lock(&self.running) {
            Some(Running::Sidecar { address, .. }) => {
                json!({ sidecar::INGRESS_PORT: [{ "HostIp": "127.0.0.1", "HostPort": address.port().to_string() }] })
            }
            _ => json!({}),
        };
        json!({
            "Id": self.id,
            "Name": format!("/{}", self.name),
            "State": { "Status": word, "Running": status == Status::Running, "Pid": 0, "ExitCode": code },
            "Config": { "Image": self.config.image, "Labels": self.config.labels },
            "HostConfig": { "NetworkMode": self.config.network_mode },
            "NetworkSettings": { "Ports": ports },
        })
    }

    fn ended(&self, code: i32) {
        if let Some(Running::Isolated { tasks, .. }) = lock(&self.running).take() {
            tasks.iter().for_each(JoinHandle::abort);
        }
        self.status.send_replace(Status::Exited(code));
    }
}

/// Whether a name is that of workerd's sidecar.
fn is_sidecar(name: &str) -> bool {
    name.ends_with("-proxy")
}

/// A complete environment: nothing of the host's but the search path of any Linux.
fn environment(config: &Config, home: &str) -> Vec<(String, String)> {
    let fixed = [
        ("HOME", home),
        ("USER", USER_NAME),
        ("LOGNAME", USER_NAME),
        ("SHELL", if std::path::Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" }),
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("LANG", "C.UTF-8"),
    ];
    let fixed = fixed.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    let asked = config.env.iter().filter_map(|line| line.split_once('='));
    fixed.chain(asked.map(|(key, value)| (key.to_owned(), value.to_owned()))).collect()
}

fn signal_process(pid: i32, number: i32) {
    if let Ok(signal) = nix::sys::signal::Signal::try_from(number) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere must not take the engine with it; the data is a map or an option, whole at every step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
