//! Core's decisions under named cases and random operations.

mod lifecycle;
mod terminal;
