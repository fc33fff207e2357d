//! The product, started as its user starts it: `cargo xtask dev`, in a state folder of its own.

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, channel},
    },
    time::Duration,
};

/// How long the stack may take to print its link.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a new link may take.
const LINK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an orderly end may take.
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// A running Berth.
pub struct Stack {
    child: Mutex<Child>,
    links: Mutex<Receiver<String>>,
    /// `http://127.0.0.1:<port>`.
    pub origin: String,
    /// Its state folder.
    pub state: PathBuf,
}

impl Stack {
    /// Starts what was built last and waits for the link.
    pub fn start(name: &str, options: &[&str]) -> Result<Self> {
        let xtask = std::env::var_os("BERTH_XTASK").context("run journeys by `cargo xtask e2e`")?;
        let state = std::env::temp_dir().join(format!("berth-journeys-{name}-{}", std::process::id()));
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut child = Command::new(xtask)
            .args(["dev", "--no-build", "--port", &port.to_string(), "--state"])
            .arg(&state)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start cargo xtask dev")?;
        let output = child.stdout.take().context("its output")?;
        let (sender, links) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(link) = line.trim().strip_prefix("open: ") {
                    let _ = sender.send(link.to_owned());
                }
            }
        });
        let stack = Self {
            child: Mutex::new(child),
            links: Mutex::new(links),
            origin: format!("http://127.0.0.1:{port}"),
            state,
        };
        let first = lock(&stack.links).recv_timeout(READY_TIMEOUT);
        if first.is_err() {
            let logs = stack.logs();
            stack.interrupt()?;
            bail!("cargo xtask dev printed no link\n{logs}");
        }
        Ok(stack)
    }

    /// A new one-time link, as Enter gives it.
    pub fn link(&self) -> Result<String> {
        let links = lock(&self.links);
        lock(&self.child).stdin.as_mut().context("its input")?.write_all(b"\n")?;
        links.recv_timeout(LINK_TIMEOUT).context("no new link")
    }

    /// Ctrl-C.
    pub fn interrupt(&self) -> Result<()> {
        let pid = i32::try_from(lock(&self.child).id())?;
        Ok(kill(Pid::from_raw(pid), Signal::SIGINT)?)
    }

    /// Waits for the end after [`Stack::interrupt`]; whether it was a success.
    pub fn wait(&self) -> Result<bool> {
        let (sender, ended) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let status = lock(&self.child).wait();
                let _ = sender.send(status.is_ok_and(|status| status.success()));
            });
            let outcome = ended.recv_timeout(END_TIMEOUT);
            if outcome.is_err() {
                bail!("cargo xtask dev did not end");
            }
            Ok(outcome?)
        })
    }

    /// The last lines of every log.
    pub fn logs(&self) -> String {
        let tail = |path: &Path| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let from = lines.len().saturating_sub(30);
            format!("--- {}\n{}\n", path.display(), lines.get(from..).unwrap_or_default().join("\n"))
        };
        ["runtime.log", "engine.log"].iter().map(|name| tail(&self.state.join("logs").join(name))).collect()
    }

    /// Every process below `cargo xtask dev` now: engine, runtime, sandboxes and what runs in them.
    pub fn processes(&self) -> Vec<Process> {
        let all = Process::all();
        let mut found: Vec<Process> = Vec::new();
        let mut parents = vec![lock(&self.child).id()];
        while let Some(parent) = parents.pop() {
            for process in all.iter().filter(|process| process.parent == parent) {
                parents.push(process.pid);
                found.push(process.clone());
            }
        }
        found
    }
}

/// A process, told apart from a later one with the same id by its start time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pid: u32,
    parent: u32,
    name: String,
    started: String,
}

impl Process {
    /// Whether it still runs; its parent may have changed.
    pub fn runs(&self) -> bool {
        Self::all().iter().any(|other| (other.pid, &other.started) == (self.pid, &self.started))
    }

    /// Every process of the machine that is no zombie.
    fn all() -> Vec<Self> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| Self::read(&entry.path().join("stat"))).collect()
    }

    fn read(stat: &Path) -> Option<Self> {
        // `pid (name) state ppid …`, with the start time in field 22; the name may hold anything.
        let text = std::fs::read_to_string(stat).ok()?;
        let (pid, rest) = text.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let process = Self {
            pid: pid.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            name: name.to_owned(),
            started: (*fields.get(19)?).to_owned(),
        };
        (*fields.first()? != "Z").then_some(process)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        if matches!(child.try_wait(), Ok(None)) {
            let _ = i32::try_from(child.id()).map(|pid| kill(Pid::from_raw(pid), Signal::SIGINT));
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.state);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
