//! The agent's real binary with real PTYs, over loopback sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod control;
mod door;
mod running;
mod terminal;
