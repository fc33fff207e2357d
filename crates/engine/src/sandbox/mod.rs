//! A sandbox: the agent in namespaces of its own, started and addressed over one private socket to its first process.

pub mod channel;
pub mod init;
mod network;
mod root_fs;

use crate::limits::{ControlGroup, Hierarchy};
use anyhow::{Context, Result, bail};
use channel::Channel;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The user inside.
pub const USER_ID: u32 = 1000;
/// That user's name.
pub const USER_NAME: &str = "berth";
/// That user's home; the workspace is `work` in it.
pub const HOME: &str = "/home/berth";
/// Where the agent's binary is inside.
pub const AGENT_PATH: &str = "/opt/berth/berth-agent";
/// First of the host user ids that sandboxes of a root engine run as: one each, far above real users.
const HOST_ID_BASE: u32 = 1_879_048_192;
/// A sandbox is ready within milliseconds; one that is not has hung.
const READY_TIMEOUT: Duration = Duration::from_secs(15);

/// What the first process is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// Arguments after the agent's path.
    pub args: Vec<String>,
    /// Environment, complete.
    pub env: Vec<(String, String)>,
    /// Host user id to become before anything else; only a root engine sets it.
    pub host_id: Option<u32>,
    /// Set everything up, start nothing.
    pub probe: bool,
}

/// What the first process answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// The gate's listeners come with this message: TCP, then DNS.
    Listeners,
    /// The agent was started (or the probe is complete).
    Ready,
    /// Something was refused: which step, and the kernel's word for it.
    Failed {
        /// The step, in words.
        step: String,
    },
    /// A connection to the asked port comes with this message.
    Dialled,
    /// Nothing listens on the asked port.
    NotListening,
}

/// What the engine asks later.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Connect to 127.0.0.1 and this port, inside.
    Dial(u16),
    /// Send this signal to the agent.
    Signal(i32),
}

/// The gate's listening sockets.
#[derive(Debug)]
pub struct Listeners {
    /// Every outgoing TCP connection.
    pub tcp: TcpListener,
    /// Every DNS query.
    pub dns: UdpSocket,
}

/// What every sandbox of an engine is started from.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// The engine's own binary, which is also the first process.
    pub init: PathBuf,
    /// The agent's static binary.
    pub agent: PathBuf,
    /// Where control groups can be made.
    pub hierarchy: Option<Hierarchy>,
}

/// Bytes of an agent's complaints that reach the engine's log; the rest is dropped.
const WORDS_BYTES_MAX: u64 = 64 * 1024;

/// Copies what the agent says to the engine's log, within a limit, and drains the rest so that the agent never waits.
fn log_words(mut words: impl Read, slot: u32) {
    let mut reader = BufReader::new((&mut words).take(WORDS_BYTES_MAX));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        eprintln!("sandbox {slot}: {}", String::from_utf8_lossy(&line).trim_end().escape_debug());
        line.clear();
    }
    let _ = std::io::copy(&mut words, &mut std::io::sink());
}

/// A running sandbox. Dropping the engine's end of the channel ends it, so nothing outlives the engine.
#[derive(Debug)]
pub struct Sandbox {
    channel: Channel,
    /// One question at a time.
    asking: Mutex<()>,
}

/// A sandbox's outer process, to be waited for; its exit status is the agent's.
#[derive(Debug)]
pub struct Process {
    child: Child,
    group: Option<ControlGroup>,
}

impl Process {
    /// The control group it is in, where one could be made.
    pub fn group(&self) -> Option<&ControlGroup> {
        self.group.as_ref()
    }

    /// Waits for the end and returns the exit code, 128 + signal if killed.
    pub fn wait(mut self) -> i32 {
        self.child.wait().map_or(255, exit_code)
    }
}

/// The shell's form of an exit status.
fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255)
}

impl Sandbox {
    /// Starts a sandbox; blocks until the agent was started or a step was refused.
    pub fn start(launcher: &Launcher, slot: u32, mut spec: Spec) -> Result<(Self, Process, Listeners)> {
        let agent = &launcher.agent;
        let agent = File::open(agent).with_context(|| format!("open the agent {}", agent.display()))?;
        spec.host_id = nix::unistd::geteuid().is_root().then_some(HOST_ID_BASE + slot);
        let (ours, theirs) = Channel::pair()?;
        let mut child = Command::new(&launcher.init)
            // Programs inside can read it: it must not name a folder of the host.
            .arg0("berth-init")
            .arg("init")
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("start the sandbox's first process")?;
        if let Some(words) = child.stderr.take() {
            std::thread::spawn(move || log_words(words, slot));
        }
        let name = format!("{}-{slot}", std::process::id());
        let group = launcher.hierarchy.as_ref().map(|hierarchy| ControlGroup::create(hierarchy, &name)).transpose();
        let mut process = Process { child, group: None };
        // The first process waits for its spec, so it is inside its limits before it does anything.
        process.group = match group {
            Ok(group) => group,
            Err(error) => return Err(process.give_up(ours, error)),
        };
        if let Some(Err(error)) = process.group.as_ref().map(|group| group.add(process.child.id())) {
            return Err(process.give_up(ours, error));
        }
        match Self::handshake(&ours, &spec, agent) {
            Ok(listeners) => Ok((Self { channel: ours, asking: Mutex::default() }, process, listeners)),
            Err(error) => Err(process.give_up(ours, error)),
        }
    }

    fn handshake(channel: &Channel, spec: &Spec, agent: File) -> Result<Listeners> {
        channel.set_timeout(READY_TIMEOUT)?;
        channel.send(spec, &[&agent])?;
        let (report, fds) = channel.receive::<Report>()?.context("the first process ended")?;
        let listeners = match (report, <[OwnedFd; 2]>::try_from(fds)) {
            (Report::Listeners, Ok([tcp, dns])) => Listeners { tcp: TcpListener::from(tcp), dns: UdpSocket::from(dns) },
            (Report::Failed { step }, _) => bail!("{step}"),
            (other, _) => bail!("unexpected report {other:?}"),
        };
        match channel.receive::<Report>()?.context("the first process ended before it was ready")? {
            (Report::Ready, _) => Ok(listeners),
            (Report::Failed { step }, _) => bail!("{step}"),
            (other, _) => bail!("unexpected report {other:?}"),
        }
    }

    /// Connects to a port inside, or `None` when nothing listens there. Blocks for less than a millisecond.
    pub fn dial(&self, port: u16) -> Result<Option<TcpStream>> {
        let _one_at_a_time = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        self.channel.send(&Ask::Dial(port), &[])?;
        match self.channel.receive::<Report>()?.context("the sandbox has ended")? {
            (Report::Dialled, fds) => Ok(fds.into_iter().next().map(TcpStream::from)),
            (Report::NotListening, _) => Ok(None),
            (other, _) => bail!("unexpected report {other:?}"),
        }
    }

    /// Sends a signal to the agent.
    pub fn signal(&self, signal: i32) -> Result<()> {
        self.channel.send(&Ask::Signal(signal), &[])
    }

    /// Ends everything inside at once, also while a question waits for its answer.
    pub fn kill(&self) {
        self.channel.close();
    }
}

impl Process {
    /// Ends a sandbox that did not come up and keeps the first error.
    fn give_up(mut self, channel: Channel, error: anyhow::Error) -> anyhow::Error {
        drop(channel);
        let _ = self.child.kill();
        let _ = self.child.wait();
        error
    }
}

/// The address programs inside see as their own.
pub(crate) const INSIDE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 2);

/// Where namespaces are refused: the fix, in words for a person.
pub fn advice(error: &anyhow::Error) -> String {
    let apparmor = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
    let restricted = std::fs::read_to_string(apparmor).is_ok_and(|text| text.trim() == "1");
    let fix = if restricted {
        "this kernel restricts user namespaces; allow them with: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    } else {
        "user namespaces must be allowed (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone) and nft and ip installed"
    };
    format!(
        "sessions cannot be isolated on this machine: {error:#}\n  fix: {fix}\n  or use Docker: cargo xtask dev --engine docker\n  \
         or, for trusted code only, run without isolation: cargo xtask dev --unisolated"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_process_reports_128_and_the_signal() {
        let status = Command::new("sh").args(["-c", "kill -9 $$"]).status().unwrap();
        assert_eq!(exit_code(status), 137);
    }
}
