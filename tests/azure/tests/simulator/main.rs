//! The simulator, asked over TLS: what it grants, and each refusal by its own cause.

#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test fails, also in its helpers"
)]

mod admin;
mod assertions;
mod budgets;
mod clusters;
mod credentials;
mod entra;
mod graph;
mod issuer;
mod outages;
mod refusal;
mod resources;
mod roles;
mod support;
mod vault;
mod weather;
