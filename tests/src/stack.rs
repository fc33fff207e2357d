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
    pub fn start(name: &str) -> Result<Self> {
        let xtask = std::env::var_os("BERTH_XTASK").context("run journeys by `cargo xtask e2e`")?;
        let state = std::env::temp_dir().join(format!("berth-journeys-{name}-{}", std::process::id()));
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut child = Command::new(xtask)
            .args(["dev", "--no-build", "--port", &port.to_string(), "--state"])
            .arg(&state)
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

    /// Processes that belong to this stack, by their command lines.
    pub fn processes(&self) -> Vec<String> {
        let state = self.state.to_string_lossy().into_owned();
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let lines = entries.filter_map(|entry| {
            let bytes = std::fs::read(entry.path().join("cmdline")).ok()?;
            Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
        });
        let own = std::process::id().to_string();
        lines
            .filter(|line| line.contains(&state) && !line.contains(&own) || line.contains(&format!("{state}/")))
            .collect()
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
