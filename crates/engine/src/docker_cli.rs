//! Stands in for Docker's command-line client, which `wrangler dev` calls before it talks to the engine's socket.
//!
//! With this engine there is nothing to build, pull or tag: every image is the agent. Calls that would do something else
//! are refused, so that a wrong set-up is noticed.

use std::{io::Read, process::ExitCode};

/// The file name under which the engine's binary acts as this client.
pub const NAME: &str = "docker";

/// Answers one call.
pub fn run(args: &[String]) -> ExitCode {
    let words: Vec<&str> = args.iter().map(String::as_str).filter(|arg| !arg.starts_with('-')).collect();
    match words.as_slice() {
        ["build", ..] => {
            // The Dockerfile comes on standard input; read it, or the caller gets a broken pipe.
            let mut dockerfile = Vec::new();
            let _ = std::io::stdin().read_to_end(&mut dockerfile);
            ExitCode::SUCCESS
        }
        ["image", "inspect", ..] => {
            let asks_for_ports = args.iter().any(|arg| arg.contains("ExposedPorts"));
            println!("{}", if asks_for_ports { "1" } else { "" });
            ExitCode::SUCCESS
        }
        ["image", "rm", ..] => ExitCode::SUCCESS,
        ["info" | "pull" | "tag" | "rmi" | "ps" | "rm" | "login", ..] | ["context" | "version", ..] => {
            ExitCode::SUCCESS
        }
        _ if args.iter().any(|arg| arg == "info") => ExitCode::SUCCESS,
        _ => {
            eprintln!("berth-engine stands in for docker and does not know: {}", args.join(" "));
            ExitCode::FAILURE
        }
    }
}
