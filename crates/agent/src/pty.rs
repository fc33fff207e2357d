//! One PTY: a login shell on its own session and controlling terminal, read and written without blocking.

use anyhow::{Context, Result};
use berth_protocol::{agent_http::TOKEN_VARIABLE, terminal_frame::Size};
use nix::{
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
    pty::{Winsize, openpty},
    unistd::Pid,
};
use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tokio::io::unix::AsyncFd;

mod window_size {
    //! The one ioctl of a PTY's master that `nix` leaves to its users.
    nix::ioctl_write_ptr_bad!(
        /// Tells the terminal's programs their size.
        set,
        nix::libc::TIOCSWINSZ,
        nix::pty::Winsize
    );
}

/// The master side.
#[derive(Debug)]
pub struct Pty {
    master: AsyncFd<OwnedFd>,
}

impl Pty {
    /// Starts a login shell in the workspace folder; returns the PTY and the shell's process id.
    pub fn start_shell(size: Size) -> Result<(Self, Pid)> {
        let pair = openpty(&window(size), None).context("open a PTY")?;
        fcntl(&pair.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        fcntl(&pair.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let slave = || Ok::<_, io::Error>(Stdio::from(pair.slave.try_clone()?));
        let mut command = Command::new(shell());
        command
            .arg("-l")
            .current_dir(working_folder())
            .env_remove(TOKEN_VARIABLE)
            .env("TERM", "xterm-256color")
            .env("COLORTERM", "truecolor")
            .stdin(slave()?)
            .stdout(slave()?)
            .stderr(slave()?);
        let take_terminal = || {
            nix::unistd::setsid()?;
            // SAFETY: a plain ioctl on standard input, which is the PTY's slave.
            nix::errno::Errno::result(unsafe { nix::libc::ioctl(0, nix::libc::TIOCSCTTY, 0) })?;
            Ok(())
        };
        // SAFETY: the closure makes two async-signal-safe system calls.
        unsafe { command.pre_exec(take_terminal) };
        let child = command.spawn().context("start the shell")?;
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        // SAFETY: `OwnedFd` always answers with the one descriptor it owns, and this type never gives it away.
        let master = unsafe { AsyncFd::register(pair.master) }.context("watch the PTY")?;
        Ok((Self { master }, pid))
    }

    /// Waits for output; `None` when every program on the terminal is gone.
    pub async fn read(&self, buffer: &mut [u8]) -> Option<usize> {
        let mut read = async || self.master.async_io(tokio::io::Interest::READABLE, |fd| read_fd(fd, buffer)).await;
        read().await.ok().filter(|length| *length > 0)
    }

    /// Output that is there already; `None` when there is none.
    pub fn read_now(&self, buffer: &mut [u8]) -> Option<usize> {
        read_fd(self.master.get_ref(), buffer).ok().filter(|length| *length > 0)
    }

    /// Writes some bytes as soon as the program takes any; how many were written.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let write = |fd: &OwnedFd| nix::unistd::write(fd.as_fd(), bytes).map_err(io::Error::from);
        self.master.async_io(tokio::io::Interest::WRITABLE, write).await
    }

    /// Tells programs the new size.
    pub fn resize(&self, size: Size) {
        // SAFETY: a plain ioctl with a valid pointer. It fails only when the terminal is gone, and then nobody needs it.
        let _ = unsafe { window_size::set(self.master.as_raw_fd(), &window(size)) };
    }
}

fn read_fd(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    nix::unistd::read(fd.as_fd(), buffer).map_err(io::Error::from)
}

fn window(size: Size) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn shell() -> PathBuf {
    let asked = std::env::var_os("SHELL").map(PathBuf::from).filter(|path| path.is_file());
    asked.unwrap_or_else(|| PathBuf::from(if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" }))
}

/// `~/work`, else `~`, else `/`.
fn working_folder() -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    [home.join("work"), home].into_iter().find(|path| path.is_dir()).unwrap_or_else(|| PathBuf::from("/"))
}
