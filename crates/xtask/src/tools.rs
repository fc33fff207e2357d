//! Where pinned tools are: Node and wrangler from `node_modules`, wasm tools built once per version and kept for all checkouts.

use crate::command::{answer, program, root};
use anyhow::{Context, Result};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The Node that wrangler 4.164 needs at least.
const NODE_MINIMUM: (u32, u32) = (22, 12);
/// A build tool that is installed from its crate.
pub(crate) struct CrateTool {
    /// The crate.
    pub(crate) name: &'static str,
    /// Its exact version.
    pub(crate) version: String,
    /// A program it installs.
    pub(crate) program: &'static str,
}

/// Every build tool.
pub(crate) fn crate_tools() -> Result<[CrateTool; 2]> {
    Ok([
        CrateTool { name: "wasm-bindgen-cli", version: locked_version("wasm-bindgen")?, program: "wasm-bindgen" },
        CrateTool { name: "worker-build", version: locked_version("worker")?, program: "worker-build" },
    ])
}

impl CrateTool {
    /// Where this version is installed: outside the checkout, so that a fresh one need not build it again.
    pub(crate) fn folder(&self) -> PathBuf {
        cache().join(format!("{}-{}", self.name, self.version))
    }

    /// The program, installed or not.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder().join("bin").join(self.program)
    }
}

/// Folder of tools that outlive a checkout.
pub(crate) fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home =
        || std::env::var_os("HOME").map_or_else(|| root().join("target"), |home| Path::new(&home).join(".cache"));
    base.unwrap_or_else(home).join("berth/tools")
}

/// The version of a crate in `Cargo.lock`.
pub(crate) fn locked_version(name: &str) -> Result<String> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).context("read Cargo.lock")?;
    let mut lines = lock.lines().skip_while(|line| *line != format!("name = \"{name}\"")).skip(1);
    let version = lines.next().and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    version.map(str::to_owned).with_context(|| format!("{name} is not in Cargo.lock"))
}

/// A Node that is new enough: the machine's, or the one from npm.
pub(crate) fn node() -> Result<PathBuf> {
    let version = answer(program("node").arg("--version")).unwrap_or_default();
    let mut numbers = version.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let machine = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if machine >= NODE_MINIMUM {
        return Ok(PathBuf::from("node"));
    }
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let bundled = root().join(format!("node_modules/node-linux-{architecture}/bin/node"));
    bundled.exists().then_some(bundled).context("no Node 22.12 or newer; run `cargo xtask setup`")
}

/// wrangler under that Node, without its questions and reports.
pub(crate) fn wrangler() -> Result<Command> {
    let node = node()?;
    let mut command = program(&node);
    if let Some(folder) = node.parent().filter(|folder| folder.is_absolute()) {
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", folder.display()));
    }
    command
        .arg(root().join("node_modules/wrangler/bin/wrangler.js"))
        .env("WRANGLER_SEND_METRICS", "false")
        .env("WRANGLER_HIDE_BANNER", "true")
        .env("NO_COLOR", "1")
        .env("CI", "true");
    Ok(command)
}

/// A program of an npm package.
pub(crate) fn npm_bin(name: &str) -> PathBuf {
    root().join("node_modules/.bin").join(name)
}
