//! The local container engine (Linux): the Docker Engine API subset that workerd calls, answered by starting the agent as a
//! process in its own mount, PID, network, IPC and UTS namespaces. It stands apart from the other crates.

pub mod container;
pub mod docker_api;
pub mod docker_cli;
pub mod egress;
pub mod http;
pub mod limits;
pub mod sandbox;
pub mod server;
pub mod sidecar;
