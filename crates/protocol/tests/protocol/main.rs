//! Golden bytes of every message, and the proof that any bytes decode or are refused.

mod golden;
mod property;
