//! The agent: the one program of ours inside a container. It listens before anything else, runs terminals, and does what the
//! Session object says over the control link. One thread, one state (`Hub`), many small tasks that wake each other.

pub mod children;
pub mod client;
pub mod clock;
pub mod control;
pub mod http;
pub mod hub;
pub mod pty;
pub mod socket;
pub mod terminal_task;
