//! `berth-agent`: configuration from the environment, then serve until told to end.

use anyhow::{Context, Result};
use berth_agent::{
    children, control,
    http::{self, Configuration},
    hub::{Hub, Shared},
    terminal_task,
};
use berth_protocol::{
    agent_http::{BOOT_VARIABLE, TOKEN_VARIABLE},
    control_link::AgentEvent,
    limits::AGENT_PORT,
};
use std::{cell::RefCell, process::ExitCode, rc::Rc};
use tokio::signal::unix::{SignalKind, signal};

/// Where to listen, when it is not every address: a sandbox without a network namespace has only loopback.
const LISTEN_VARIABLE: &str = "BERTH_AGENT_LISTEN";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("berth-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    // Programs of the same user must not read the token from this process.
    nix::sys::prctl::set_dumpable(false).context("protect the agent's memory")?;
    nix::sys::prctl::set_child_subreaper(true).context("adopt orphans")?;
    let variable = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
    let configuration = Configuration { token: variable(TOKEN_VARIABLE)? };
    let boot = variable(BOOT_VARIABLE)?.parse()?;
    let address = std::env::var(LISTEN_VARIABLE).unwrap_or_else(|_| format!("0.0.0.0:{AGENT_PORT}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let listener = tokio::net::TcpListener::bind(&address).await.with_context(|| format!("listen on {address}"))?;
        eprintln!("berth-agent: listening on {}", listener.local_addr()?);
        let hub: Shared = Rc::new(RefCell::new(Hub::new(boot)));
        tokio::task::spawn_local(http::serve(listener, configuration, Rc::clone(&hub)));
        tokio::task::spawn_local(children::reap(Rc::clone(&hub)));
        terminal_task::open(&hub)?;
        let mut terminate = signal(SignalKind::terminate())?;
        terminate.recv().await;
        control::emit(&hub, AgentEvent::Terminating);
        children::end_all().await;
        Ok(())
    })
}
