//! Everything CI checks, in the order in which a mistake is found soonest.

use crate::{
    build,
    command::{cargo, now, quiet_step, root, seconds, step},
    setup, tidy, tools,
};
use anyhow::{Result, bail};

/// Crates that only exist as wasm.
const WASM_CRATES: [&str; 2] = ["berth-edge", "berth-web"];
/// Crates that build for both.
const SHARED_CRATES: [&str; 2] = ["berth-protocol", "berth-core"];

/// Runs every check; `quick` leaves out wasm, the page and journeys.
pub(crate) fn run(quick: bool) -> Result<()> {
    let started = now();
    setup::run()?;
    step("format", &mut cargo(&["fmt", "--all", "--check"]))?;
    tidy::run()?;
    let mut lints = cargo(&["clippy", "--quiet", "--workspace", "--all-targets"]);
    for name in WASM_CRATES {
        lints.args(["--exclude", name]);
    }
    step("lints", lints.args(["--", "-D", "warnings"]))?;
    // The Worker's pure parts (routes, headers) are tested natively; the page's need a browser.
    step(
        "unit, property and integration tests",
        &mut cargo(&["test", "--quiet", "--workspace", "--exclude", "berth-web", "--exclude", "berth-tests"]),
    )?;
    if !quick {
        let mut lints = cargo(&["clippy", "--quiet", "--target", "wasm32-unknown-unknown"]);
        for name in WASM_CRATES.iter().chain(&SHARED_CRATES) {
            lints.args(["--package", name]);
        }
        step("lints for wasm", lints.args(["--", "-D", "warnings"]))?;
        page_widgets()?;
        build::all()?;
        deploy_dry_run()?;
        journeys(&[])?;
    }
    println!("▸ all passed in {}", seconds(started.elapsed()));
    Ok(())
}

/// `cargo xtask e2e`: builds what journeys use, then runs those that match.
pub(crate) fn e2e(args: &[&str]) -> Result<()> {
    if args == ["--list"] {
        return journeys(args);
    }
    if let Some(unknown) = args.iter().find(|arg| arg.starts_with('-')) {
        bail!("e2e does not know {unknown}");
    }
    setup::run()?;
    build::all()?;
    journeys(args)
}

/// Widgets of the page in a real browser.
fn page_widgets() -> Result<()> {
    let [wasm_bindgen, _] = tools::crate_tools()?;
    let mut command =
        cargo(&["test", "--package", "berth-web", "--target", "wasm32-unknown-unknown", "--test", "widgets"]);
    command
        .env(
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER",
            wasm_bindgen.path().with_file_name("wasm-bindgen-test-runner"),
        )
        .env("CHROMEDRIVER", "/usr/bin/chromedriver")
        .env("WASM_BINDGEN_TEST_TIMEOUT", "120");
    step("widgets of the page", &mut command)
}

/// What Cloudflare would be given.
fn deploy_dry_run() -> Result<()> {
    // A dry run pipes the Dockerfile into Docker's client. The engine's binary stands in for it: it reads its input to the
    // end, so that wrangler never writes into a closed pipe.
    let client = build::engine_path().with_file_name("docker");
    let _ = std::fs::remove_file(&client);
    std::os::unix::fs::symlink(build::engine_path(), &client)?;
    let mut command = tools::wrangler()?;
    command
        .args(["deploy", "--dry-run", "--outdir"])
        .arg(root().join("target/deploy"))
        .env("WRANGLER_DOCKER_BIN", client);
    quiet_step("deploy, dry run", &mut command)
}

fn journeys(args: &[&str]) -> Result<()> {
    let mut command = cargo(&["test", "--quiet", "--package", "berth-tests", "--test", "journeys", "--"]);
    // Journeys start the product as its user does: by this very program.
    command.args(args).env("BERTH_XTASK", std::env::current_exe()?);
    step("journeys", &mut command)?;
    let pictures = root().join("target/journeys");
    if args.is_empty() && pictures.exists() {
        println!("  pictures: {}", pictures.display());
    }
    Ok(())
}
