//! The first process of a sandbox. The outer half gives up the host, the inner half is PID 1: it builds the root, starts the
//! agent, reaps orphans, dials for the engine, and ends everything when the engine's end of the channel closes.

use super::{AGENT_PATH, Ask, HOME, Report, Spec, USER_ID, channel::Channel, network, root_fs};
use crate::limits::{OPEN_FILES_MAX, PROCESSES_MAX};
use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, unshare},
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask},
        signalfd::{SfdFlags, SignalFd},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Gid, Pid, Uid, fork, getgid, getuid, setgroups, sethostname, setresgid, setresuid, setsid},
};
use std::{
    fs::{self, File},
    net::TcpStream,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Command, Stdio, exit},
    time::Duration,
};

/// Runs with the channel as standard input. Never returns on success: the process ends as the agent ended.
pub fn run() -> Result<()> {
    let channel = take_channel()?;
    let Some((spec, files)) = channel.receive::<Spec>()? else { return Ok(()) };
    let outcome = files.into_iter().next().context("no agent came with the spec").and_then(|agent| {
        leave_host(&spec)?;
        let (tcp, dns) = network::set_up()?;
        channel.send(&Report::Listeners, &[&tcp, &dns])?;
        Ok(File::from(agent))
    });
    let agent = match outcome {
        Ok(agent) => agent,
        Err(error) => return report_failure(&channel, &error),
    };
    unshare(CloneFlags::CLONE_NEWPID).context("make a PID namespace")?;
    // SAFETY: this process has one thread, so the child may use everything it inherits.
    match unsafe { fork() }.context("fork the sandbox's PID 1")? {
        ForkResult::Child => first_process(channel, &spec, agent),
        ForkResult::Parent { child } => {
            drop(channel);
            // Signals of a terminal's Ctrl-C reach the engine, which decides; only PID 1's end ends this process.
            let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), None);
            loop {
                match waitpid(child, None) {
                    Ok(WaitStatus::Exited(_, code)) => exit(code),
                    Ok(WaitStatus::Signaled(_, signal, _)) => exit(128 + signal as i32),
                    Err(Errno::EINTR) | Ok(_) => {}
                    Err(_) => exit(255),
                }
            }
        }
    }
}

/// Moves the channel away from standard input, which becomes `/dev/null`.
fn take_channel() -> Result<Channel> {
    let socket: OwnedFd = std::io::stdin().as_fd().try_clone_to_owned().context("take the channel")?;
    let null = File::open("/dev/null")?;
    nix::unistd::dup2_stdin(&null).context("close standard input")?;
    Ok(Channel::from_fd(socket))
}

/// Gives up the host's user and every namespace but the PID's, which a fork must follow.
fn leave_host(spec: &Spec) -> Result<()> {
    if let Some(id) = spec.host_id {
        setgroups(&[]).context("drop groups")?;
        let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
        setresgid(group, group, group).context("drop the group")?;
        setresuid(user, user, user).context("drop the user")?;
        // A process that changed its user is not dumpable, and then may not write its own id maps.
        prctl::set_dumpable(true).context("become dumpable")?;
    }
    // A keyring crosses namespaces: whatever keys the engine's user holds stay with that user.
    join_empty_keyring()?;
    let (user, group) = (getuid(), getgid());
    setsid().context("leave the terminal")?;
    unshare(CloneFlags::CLONE_NEWUSER).context("make a user namespace")?;
    fs::write("/proc/self/setgroups", "deny").context("deny setgroups")?;
    fs::write("/proc/self/uid_map", format!("{USER_ID} {user} 1")).context("map the user")?;
    fs::write("/proc/self/gid_map", format!("{USER_ID} {group} 1")).context("map the group")?;
    unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWCGROUP,
    )
    .context("make mount, network, IPC, UTS and control-group namespaces")
}

fn join_empty_keyring() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: nix::libc::c_long = 1;
    // SAFETY: this call takes a number and a name, and null asks for an anonymous keyring.
    let joined =
        unsafe { nix::libc::syscall(nix::libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<u8>()) };
    match Errno::result(joined) {
        Ok(_) | Err(Errno::ENOSYS) => Ok(()),
        Err(error) => Err(error).context("leave the user's keyring"),
    }
}

fn first_process(channel: Channel, spec: &Spec, mut agent: File) -> Result<()> {
    let prepared = (|| {
        root_fs::set_up(&mut agent)?;
        sethostname("berth").context("set the host name")?;
        prctl::set_name(c"berth-init").context("name PID 1")?;
        for (resource, limit) in [
            (Resource::RLIMIT_NPROC, PROCESSES_MAX),
            (Resource::RLIMIT_NOFILE, OPEN_FILES_MAX),
            (Resource::RLIMIT_CORE, 0),
        ] {
            let limit = limit.min(nix::sys::resource::getrlimit(resource)?.1);
            setrlimit(resource, limit, limit).with_context(|| format!("set {resource:?}"))?;
        }
        // Capabilities in a namespace of one's own would reach much more of the kernel, and the control group's files.
        fs::write("/proc/sys/user/max_user_namespaces", "0").context("refuse nested user namespaces")?;
        prctl::set_no_new_privs().context("give up new privileges")?;
        // Programs inside have the same user: without this they could read this process's memory and take its channel.
        prctl::set_dumpable(false).context("become undumpable")?;
        let signals = SigSet::from(Signal::SIGCHLD);
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), None)?;
        let children = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let agent = if spec.probe { None } else { Some(start_agent(spec)?) };
        Ok::<_, anyhow::Error>((children, agent))
    })();
    let (children, agent) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            let _ = report_failure(&channel, &error);
            exit(1)
        }
    };
    channel.send(&Report::Ready, &[])?;
    let Some(agent) = agent else { exit(0) };
    serve(&channel, &children, agent)
}

fn start_agent(spec: &Spec) -> Result<Pid> {
    let mut command = Command::new(AGENT_PATH);
    command
        .args(&spec.args)
        .env_clear()
        .envs(spec.env.iter().map(|(key, value)| (key, value)))
        .current_dir(HOME)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let unblock = || {
        sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&SigSet::all()), None)?;
        Ok(())
    };
    // SAFETY: the closure makes one async-signal-safe system call.
    unsafe { command.pre_exec(unblock) };
    let child = command.spawn().context("start the agent")?;
    // Reaped below by PID, together with every orphan.
    Ok(Pid::from_raw(i32::try_from(child.id())?))
}

/// PID 1's loop: two sources, one closed list of things that can happen.
fn serve(channel: &Channel, children: &SignalFd, agent: Pid) -> Result<()> {
    loop {
        let mut sources =
            [PollFd::new(channel.as_fd(), PollFlags::POLLIN), PollFd::new(children.as_fd(), PollFlags::POLLIN)];
        match poll(&mut sources, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("wait for events"),
        }
        let [asked, child_ended] = sources.map(|source| source.any().unwrap_or(false));
        if child_ended {
            while let Ok(Some(_)) = children.read_signal() {}
            if let Some(code) = reap(agent) {
                exit(code);
            }
        }
        if asked {
            match channel.receive::<Ask>() {
                Ok(Some((Ask::Dial(port), _))) => dial(channel, port)?,
                Ok(Some((Ask::Signal(number), _))) => {
                    let _ = Signal::try_from(number).map(|signal| kill(agent, signal));
                }
                // The engine is gone or has had enough: PID 1's end ends the namespace.
                Ok(None) | Err(_) => exit(137),
            }
        }
    }
}

/// Reaps all that ended; the agent's exit code if it is among them.
fn reap(agent: Pid) -> Option<i32> {
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == agent => return Some(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == agent => return Some(128 + signal as i32),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return None,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
}

fn dial(channel: &Channel, port: u16) -> Result<()> {
    /// Loopback answers at once; only a full backlog does not, and callers try again.
    const LIMIT: Duration = Duration::from_millis(20);
    match TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), LIMIT) {
        Ok(connection) => channel.send(&Report::Dialled, &[&connection]),
        Err(_) => channel.send(&Report::NotListening, &[]),
    }
}

fn report_failure(channel: &Channel, error: &anyhow::Error) -> Result<()> {
    channel.send(&Report::Failed { step: format!("{error:#}") }, &[])
}
