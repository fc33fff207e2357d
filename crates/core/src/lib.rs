//! The decisions of Berth, pure: an event and the time go in, effects come out. No clock, no socket, no randomness.

pub mod authorize;
pub mod lifecycle;
pub mod local_sign_in;
pub mod origin;
pub mod terminal;
pub mod terminal_client;
