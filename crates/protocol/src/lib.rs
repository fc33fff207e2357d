//! Every byte and JSON body that crosses a boundary of Berth: ids, limits, terminal frames, control-link messages, HTTP
//! bodies, error codes. A leaf crate without IO; anything here decodes totally or is refused with the field named.

pub mod agent_http;
pub mod api;
pub mod control_link;
pub mod error_code;
pub mod ids;
pub mod limits;
pub mod terminal_frame;

/// A message that does not decode: which field, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct DecodeError {
    /// Name of the field that was refused, as in the type's documentation.
    pub field: &'static str,
    /// What is wrong, in words for a log; never echoes the input.
    pub problem: String,
}

impl DecodeError {
    /// Makes an error for `field`.
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}
