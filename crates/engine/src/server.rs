//! The engine's process: probes isolation, listens on a private socket, and ends every sandbox when it ends.

use crate::{
    container::{Registry, Settings},
    docker_api, http,
    limits::{self, Hierarchy},
    sandbox::{self, Launcher, Sandbox, Spec},
};
use anyhow::{Context, Result, bail};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
    sync::Arc,
};
use tokio::{
    net::UnixListener,
    signal::unix::{SignalKind, signal},
};

/// Slot of the probe's sandbox, outside those of sessions.
const PROBE_SLOT: u32 = limits::SANDBOXES_MAX;

/// The command line.
#[derive(Debug, Default)]
pub struct Options {
    /// Unix socket to listen on; its folder is private to this user.
    pub socket: PathBuf,
    /// The agent's static binary.
    pub agent: PathBuf,
    /// Let sandboxes reach private networks.
    pub allow_lan: bool,
    /// Do without isolation.
    pub unisolated: bool,
}

/// Builds and ends one sandbox; says what is in force.
pub fn probe(options: &Options) -> Result<()> {
    let launcher = launcher(options)?;
    let spec = Spec { args: vec![], env: vec![], host_id: None, probe: true };
    match Sandbox::start(&launcher, PROBE_SLOT, spec) {
        Ok((_, process, _)) => {
            process.wait();
            eprintln!("engine: sandboxes are isolated; {}", limits_in_force(launcher.hierarchy.as_ref()));
            Ok(())
        }
        Err(error) => bail!(sandbox::advice(&error)),
    }
}

fn launcher(options: &Options) -> Result<Launcher> {
    let hierarchy = limits::find_hierarchy();
    hierarchy.iter().for_each(limits::sweep);
    let init = std::env::current_exe().context("find the engine's own binary")?;
    Ok(Launcher { init, agent: options.agent.clone(), hierarchy })
}

fn limits_in_force(hierarchy: Option<&Hierarchy>) -> String {
    let gib = |bytes: u64| bytes / (1 << 30);
    let memory = match hierarchy {
        Some(_) => format!("memory {} GiB by control group", gib(limits::MEMORY_BYTES_MAX)),
        None => "memory not limited (no control group may be made here)".to_owned(),
    };
    format!("{memory}, {} processes, disk {} GiB", limits::PROCESSES_MAX, gib(limits::DISK_BYTES_MAX))
}

/// Serves until SIGTERM or SIGINT.
pub fn run(options: Options) -> Result<()> {
    if options.unisolated {
        eprintln!("engine: NOT ISOLATED: sessions are plain processes of this user");
    } else {
        probe(&options)?;
    }
    // Every carried connection takes two descriptors; common soft limits of 1,024 would let one session starve the rest.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("raise the limit of open files")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(serve(options))
}

async fn serve(options: Options) -> Result<()> {
    let folder = options.socket.parent().context("the socket needs a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    // The folder may be in a shared place under a name that others can guess.
    let metadata = fs::symlink_metadata(folder)?;
    if !metadata.is_dir() || metadata.uid() != nix::unistd::geteuid().as_raw() {
        bail!("{} is not a folder of this user; remove it", folder.display());
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    // A socket file that nobody listens on is a leftover; one that answers belongs to a running engine.
    if tokio::net::UnixStream::connect(&options.socket).await.is_ok() {
        bail!("another engine listens on {}", options.socket.display());
    }
    let _ = fs::remove_file(&options.socket);
    let listener =
        UnixListener::bind(&options.socket).with_context(|| format!("listen on {}", options.socket.display()))?;
    fs::set_permissions(&options.socket, fs::Permissions::from_mode(0o600))?;
    let registry = Arc::new(Registry::new(Settings {
        launcher: launcher(&options)?,
        allow_lan: options.allow_lan,
        unisolated: options.unisolated,
        scratch: folder.join("homes"),
    }));
    eprintln!("engine: ready");
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            accepted = listener.accept() => {
                let Some((connection, _)) = http::accepted(accepted).await else { continue };
                let registry = Arc::clone(&registry);
                tokio::spawn(async move {
                    let service = service_fn(|request| docker_api::answer(request, Arc::clone(&registry)));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
                });
            }
        }
    }
    let _ = fs::remove_file(&options.socket);
    for container in registry.all() {
        docker_api::remove(&registry, &container).await;
    }
    Ok(())
}
