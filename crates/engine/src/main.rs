//! `berth-engine`: `serve` answers workerd, `init` is the first process of a sandbox, `docker …` stands in for Docker's client.

use anyhow::{Context, Result, bail};
use berth_engine::{docker_cli, sandbox, server};
use std::{path::PathBuf, process::ExitCode};

const USAGE: &str = "usage: berth-engine serve --socket PATH --agent PATH [--allow-lan] [--unisolated]
       berth-engine probe --agent PATH";

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let invoked_as = args.next().map(PathBuf::from).unwrap_or_default();
    let args: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    if invoked_as.file_name().is_some_and(|name| name == docker_cli::NAME) {
        return docker_cli::run(&args);
    }
    let outcome = match args.first().map(String::as_str) {
        Some("serve") => parse(args.get(1..).unwrap_or_default()).and_then(server::run),
        Some("probe") => parse(args.get(1..).unwrap_or_default()).and_then(|options| server::probe(&options)),
        Some("init") => sandbox::init::run(),
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("berth-engine: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn parse(args: &[String]) -> Result<server::Options> {
    let mut options = server::Options::default();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let mut value = || rest.next().map(PathBuf::from).with_context(|| format!("{arg} wants a value"));
        match arg.as_str() {
            "--socket" => options.socket = value()?,
            "--agent" => options.agent = value()?,
            "--allow-lan" => options.allow_lan = true,
            "--unisolated" => options.unisolated = true,
            other => bail!("unknown argument {other}\n{USAGE}"),
        }
    }
    Ok(options)
}
