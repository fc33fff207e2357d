//! The private socket between the engine and a sandbox's first process: one JSON message per packet, with open files.

use anyhow::{Context, Result};
use nix::{
    cmsg_space,
    sys::socket::{
        AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, Shutdown, SockFlag, SockType, recvmsg, sendmsg,
        setsockopt, shutdown, socketpair, sockopt,
    },
    sys::time::TimeVal,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io::{IoSlice, IoSliceMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    time::Duration,
};

/// Bytes of one message; a spec with a full environment is a few KiB.
const MESSAGE_BYTES_MAX: usize = 128 * 1024;

/// One end.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
}

impl Channel {
    /// Both ends, closed on exec.
    pub fn pair() -> Result<(Self, Self)> {
        let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .context("make a socket pair")?;
        Ok((Self { socket: a }, Self { socket: b }))
    }

    /// An end that was inherited.
    pub fn from_fd(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Sends a message and open files with it.
    pub fn send<T: Serialize>(&self, message: &T, files: &[&dyn AsFd]) -> Result<()> {
        let bytes = serde_json::to_vec(message)?;
        let fds: Vec<RawFd> = files.iter().map(|file| file.as_fd().as_raw_fd()).collect();
        let rights = [ControlMessage::ScmRights(&fds)];
        let control = if fds.is_empty() { &[][..] } else { &rights[..] };
        sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(&bytes)], control, MsgFlags::MSG_NOSIGNAL, None)
            .context("send to the sandbox's channel")?;
        Ok(())
    }

    /// Receives a message and its open files; `None` when the other end is closed.
    pub fn receive<T: DeserializeOwned>(&self) -> Result<Option<(T, Vec<OwnedFd>)>> {
        let mut bytes = vec![0; MESSAGE_BYTES_MAX];
        let mut control = cmsg_space!([RawFd; 4]);
        let (length, files) = {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let received =
                recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)
                    .context("receive from the sandbox's channel")?;
            let mut files = Vec::new();
            for message in received.cmsgs()? {
                if let ControlMessageOwned::ScmRights(fds) = message {
                    // SAFETY: the kernel just made these descriptors for this message; nobody else owns them.
                    files.extend(fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
                }
            }
            (received.bytes, files)
        };
        let Some(message) = bytes.get(..length).filter(|message| !message.is_empty()) else { return Ok(None) };
        Ok(Some((serde_json::from_slice(message)?, files)))
    }

    /// Lets `receive` fail after this long.
    pub fn set_timeout(&self, limit: Duration) -> Result<()> {
        let limit = TimeVal::new(i64::try_from(limit.as_secs())?, 0);
        setsockopt(&self.socket, sockopt::ReceiveTimeout, &limit).context("set the channel's timeout")
    }

    /// Ends the conversation; the other end reads the end.
    pub fn close(&self) {
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> OwnedFd {
        channel.socket
    }
}
