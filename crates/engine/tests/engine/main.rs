//! The engine against the real kernel: a sandbox whose "agent" is a shell, so that a test can ask from inside.

mod docker_api;
mod sandbox;
