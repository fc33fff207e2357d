//! The engine against the real kernel: a sandbox whose "agent" is a shell, so that a test can ask from inside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod docker_api;
mod sandbox;
