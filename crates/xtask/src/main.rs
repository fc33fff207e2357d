//! `cargo xtask …`: set up, build, run, test and check Berth. CI only calls this.

mod build;
mod command;
mod dev;
mod setup;
mod state;
mod test;
mod tidy;
mod tools;

use anyhow::{Result, bail};
use std::process::ExitCode;

const USAGE: &str = "cargo xtask <command>

  setup                 install what is missing: Rust targets, npm packages, build tools, system packages
  dev [options]         build, run Berth on this machine, print a one-time link
      --port N          listen on 127.0.0.1:N (default 8787)
      --state DIR       keep sessions and settings there (default .berth)
      --engine NAME     process (default) or docker
      --fresh           forget the state first
      --allow-lan       let sessions reach private networks
      --unisolated      run sessions without isolation; for trusted code only
      --no-build        run what was built last
  test [--quick]        everything CI checks; --quick leaves out wasm, the page and journeys
  e2e [--list] [NAME]   journeys in a real browser
  build                 agent, engine, Worker and page
  tidy                  the house rules: module docs, crate arrows, long files, forgotten tests";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<()> {
    match args {
        ["setup"] => setup::run(),
        ["dev", rest @ ..] => dev::run(&dev::Options::parse(rest)?),
        ["test"] => test::run(false),
        ["test", "--quick"] => test::run(true),
        ["e2e", rest @ ..] => test::e2e(rest),
        ["build"] => setup::run().and_then(|()| build::all()),
        ["tidy"] => tidy::run(),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("unknown: {}\n\n{USAGE}", other.join(" ")),
    }
}
