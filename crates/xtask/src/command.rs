//! Runs other programs: with a line that says what is happening, and with their output when they fail.

use anyhow::{Context, Result, bail};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The repository.
pub(crate) fn root() -> PathBuf {
    // crates/xtask is two folders below it, wherever the checkout is.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_owned).unwrap_or_default()
}

/// A program to run in the repository.
pub(crate) fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root());
    command
}

/// `cargo`, the one that runs us.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    // Set by the outer `cargo run`; they would make inner builds of other packages rebuild.
    for variable in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(variable);
    }
    command
}

/// Runs a step: its output is shown as it comes, and how long it took.
pub(crate) fn step(what: &str, command: &mut Command) -> Result<()> {
    println!("▸ {what}");
    let started = now();
    let status = command.status().with_context(|| format!("run {}", display(command)))?;
    if !status.success() {
        bail!("{what} failed ({status}): {}", display(command));
    }
    println!("  {what}: {}", seconds(started.elapsed()));
    Ok(())
}

/// Runs a step quietly; its output is shown only when it fails.
pub(crate) fn quiet_step(what: &str, command: &mut Command) -> Result<()> {
    println!("▸ {what}");
    let started = now();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("run {}", display(command)))?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        bail!("{what} failed ({}): {}\n{text}", output.status, display(command));
    }
    println!("  {what}: {}", seconds(started.elapsed()));
    Ok(())
}

/// What a program prints, trimmed; `None` if it cannot run or fails.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The clock of a native tool.
#[expect(clippy::disallowed_methods, reason = "xtask is native, and reports how long steps take")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// `1 m 02 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} m {:02} s", seconds as u64 / 60, seconds as u64 % 60)
    }
}

fn display(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
