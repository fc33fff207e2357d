//! What journeys are made of: the running product, a browser, and a bare HTTP client.

pub mod browser;
pub mod http;
pub mod stack;
