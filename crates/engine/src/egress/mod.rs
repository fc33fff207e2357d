//! The only way out of a sandbox: a gate for TCP and DNS whose destination comes from the kernel, and the policy it asks.

pub mod gate;
pub mod policy;
