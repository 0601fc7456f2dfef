//! `cargo sandbox fault …`: the weather of the clusters, as `cargo sandbox azure fault` is that of the cloud.
//!
//! The supervisor inside the sandbox does it all ([`serve`]), because processes and networks are its own; the command
//! asks it through a socket ([`FaultCommand::run`]). Nothing of it outlives the sandbox.

mod copy;
mod door;
mod egress;
mod order;
mod target;

pub use door::{FaultError, serve};
pub use order::FaultCommand;
