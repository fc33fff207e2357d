//! Core's decisions under named cases and random operations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod lifecycle;
mod terminal;
mod terminal_client;
