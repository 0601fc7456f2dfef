//! The simulator, asked over TLS: what it grants, and each refusal by its own cause.

#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test fails, also in its helpers"
)]

mod admin;
mod assertions;
mod budgets;
#[expect(dead_code, reason = "here tests sign, and not a client by the key's text")]
mod certificate;
mod certificates;
mod changes;
mod clients;
mod clusters;
mod codes;
mod credentials;
mod custom_roles;
mod entra;
mod fronts;
mod governance;
mod graph;
mod issuer;
mod library;
mod outages;
mod pipelines;
mod refusal;
mod resources;
mod roles;
mod support;
mod vault;
mod vaults;
mod weather;
