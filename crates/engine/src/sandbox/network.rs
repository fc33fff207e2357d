//! A sandbox's network: a pair of interfaces between two network namespaces. Programs live in one; the other holds only the
//! gate's listeners and a redirect, so nothing of ours can be seen or reached from inside.

use super::INSIDE_ADDRESS;
use crate::egress::gate::{DNS_PORT, GATEWAY, TCP_PORT};
use anyhow::{Context, Result, bail};
use caps::{CapSet, Capability};
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sched::{CloneFlags, setns, unshare},
};
use std::{
    fs::{self, File},
    io::Write,
    net::{TcpListener, UdpSocket},
    os::fd::{AsFd, AsRawFd},
    process::{Command, Stdio},
};

/// What `ip` and `nft` need. The user inside is not root, so a program started by it gets only what is made ambient.
const TOOL_CAPABILITIES: [Capability; 2] = [Capability::CAP_NET_ADMIN, Capability::CAP_SYS_ADMIN];

/// Called in a fresh network namespace, which becomes the gate's; returns in the sandbox's own, with the gate's listeners.
pub(super) fn set_up() -> Result<(TcpListener, UdpSocket)> {
    let tcp = TcpListener::bind(("0.0.0.0", TCP_PORT)).context("listen for TCP in the gate's namespace")?;
    let dns = UdpSocket::bind(("0.0.0.0", DNS_PORT)).context("listen for DNS in the gate's namespace")?;
    tcp.set_nonblocking(true)?;
    dns.set_nonblocking(true)?;
    let gate = File::open("/proc/self/ns/net").context("open the gate's namespace")?;
    unshare(CloneFlags::CLONE_NEWNET).context("make the sandbox's network namespace")?;
    let inside = File::open("/proc/self/ns/net").context("open the sandbox's namespace")?;
    for capability in TOOL_CAPABILITIES {
        caps::raise(None, CapSet::Inheritable, capability).context("make capabilities inheritable")?;
        caps::raise(None, CapSet::Ambient, capability).context("make capabilities ambient")?;
    }

    // `ip` refers to the gate's namespace by an inherited descriptor.
    fcntl(&gate, FcntlArg::F_SETFD(FdFlag::empty())).context("pass the gate's namespace on")?;
    let gate_path = format!("/proc/self/fd/{}", gate.as_raw_fd());
    tool(
        "ip",
        &["-batch", "-"],
        &format!(
            "link set lo up\nlink add eth0 type veth peer name gate netns {gate_path}\naddress add {INSIDE_ADDRESS}/30 dev eth0\n\
             link set eth0 up\nroute add default via {GATEWAY}\n"
        ),
    )?;
    for (key, value) in [("ipv6/conf/all/disable_ipv6", "1"), ("ipv4/ip_unprivileged_port_start", "0")] {
        // A kernel without the key has nothing to switch.
        let _ = fs::write(format!("/proc/sys/net/{key}"), value);
    }

    setns(gate.as_fd(), CloneFlags::CLONE_NEWNET).context("enter the gate's namespace")?;
    tool("ip", &["-batch", "-"], &format!("address add {GATEWAY}/30 dev gate\nlink set gate up\n"))?;
    tool("nft", &["-f", "-"], &redirect_rules())?;
    setns(inside.as_fd(), CloneFlags::CLONE_NEWNET).context("return to the sandbox's namespace")?;
    caps::clear(None, CapSet::Ambient).context("drop ambient capabilities")?;
    caps::clear(None, CapSet::Inheritable).context("drop inheritable capabilities")?;
    Ok((tcp, dns))
}

/// Everything TCP goes to the gate, DNS too; all else is refused with an answer, so that programs need not wait.
fn redirect_rules() -> String {
    format!(
        "table ip berth {{
           chain way_out {{
             type nat hook prerouting priority dstnat; policy accept;
             meta l4proto tcp redirect to :{TCP_PORT}
             udp dport 53 redirect to :{DNS_PORT}
           }}
           chain input {{
             type filter hook input priority filter; policy drop;
             tcp dport {TCP_PORT} accept
             udp dport {DNS_PORT} accept
             reject
           }}
           chain forward {{ type filter hook forward priority filter; policy drop; }}
         }}"
    )
}

fn tool(name: &str, args: &[&str], input: &str) -> Result<()> {
    let mut child = Command::new(name)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("run `{name}` (Debian and Ubuntu: apt-get install nftables iproute2)"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("`{name}` refused the sandbox's network: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
