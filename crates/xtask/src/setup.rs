//! Installs what is missing, and says exactly what to do where it may not.

use crate::{
    command::{answer, cargo, program, quiet_step, root, step},
    tools::{self, CrateTool},
};
use anyhow::{Result, bail};
use std::{fs, path::Path};

/// A system package and files of which one proves it is there.
type Package = (&'static str, &'static [&'static str]);

/// What journeys use besides.
const FOR_TESTS: &[Package] = &[
    ("chromium", &["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]),
    ("chromium-driver", &["/usr/bin/chromedriver"]),
    ("curl", &["/usr/bin/curl"]),
    ("fonts-dejavu-core", &["/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf"]),
    ("procps", &["/usr/bin/top"]),
    ("python3", &["/usr/bin/python3", "/usr/local/bin/python3"]),
    ("vim-tiny", &["/usr/bin/vim", "/usr/bin/vi", "/usr/bin/vim.tiny"]),
];
/// What building and running Berth needs.
const TO_RUN: &[Package] = &[
    ("nftables", &["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"]),
    ("iproute2", &["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip"]),
    ("pkg-config", &["/usr/bin/pkg-config"]),
    ("libssl-dev", &["/usr/include/openssl/ssl.h"]),
];

/// Installs everything that is missing, for tests too; does nothing when nothing is.
pub(crate) fn run() -> Result<()> {
    system_packages(FOR_TESTS)?;
    to_run()
}

/// Installs what building and running needs.
pub(crate) fn to_run() -> Result<()> {
    rust_targets()?;
    npm_packages()?;
    system_packages(TO_RUN)?;
    for tool in tools::crate_tools()? {
        crate_tool(&tool)?;
    }
    Ok(())
}

fn rust_targets() -> Result<()> {
    let wanted = ["wasm32-unknown-unknown", "x86_64-unknown-linux-musl"];
    let installed = answer(program("rustup").args(["target", "list", "--installed"]));
    let Some(installed) = installed else {
        bail!("rustup is missing; install Rust from https://rustup.rs, or add the targets {wanted:?} by other means");
    };
    let missing: Vec<&str> =
        wanted.into_iter().filter(|target| !installed.lines().any(|line| line == *target)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    step("Rust targets", program("rustup").args(["target", "add"]).args(missing))
}

fn npm_packages() -> Result<()> {
    // npm writes this copy of the lock when it is done; an equal one means nothing is missing.
    let wanted = fs::read(root().join("package-lock.json"))?;
    let stamp = root().join("node_modules/.berth-lock");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if answer(program("npm").arg("--version")).is_none() {
        bail!("npm is missing; install Node.js (any version from 20 on) with npm");
    }
    // Install scripts are not needed: every binary comes inside a platform package.
    step(
        "npm packages",
        program("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]),
    )?;
    fs::write(stamp, wanted)?;
    Ok(())
}

fn system_packages(wanted: &[Package]) -> Result<()> {
    let is_missing = |files: &[&str]| !files.iter().any(|file| Path::new(file).exists());
    let missing: Vec<&str> = wanted.iter().filter(|(_, files)| is_missing(files)).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!("install these packages: apt-get install {}", missing.join(" "));
    if !nix::unistd::geteuid().is_root() || answer(program("apt-get").arg("--version")).is_none() {
        bail!("{by_hand}\n(elsewhere: the packages with the same programs)");
    }
    quiet_step("package lists", program("apt-get").args(["update", "-q"]))?;
    quiet_step(
        &format!("system packages: {}", missing.join(" ")),
        program("apt-get")
            .args(["install", "-y", "-q", "--no-install-recommends"])
            .args(missing)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

fn crate_tool(tool: &CrateTool) -> Result<()> {
    if tool.path().exists() {
        return Ok(());
    }
    println!("  (once per version, some minutes; kept in {})", tool.folder().display());
    let mut install = cargo(&["install", tool.name, "--version", &format!("={}", tool.version), "--root"]);
    install.arg(tool.folder()).arg("--target-dir").arg(root().join("target/tools"));
    // These tools run for a second; building them fast matters more than running them fast.
    for (key, value) in [("OPT_LEVEL", "1"), ("LTO", "off"), ("CODEGEN_UNITS", "16")] {
        install.env(format!("CARGO_PROFILE_RELEASE_{key}"), value);
    }
    step(&format!("{} {}", tool.name, tool.version), &mut install)
}
