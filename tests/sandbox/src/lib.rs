//! A fleet on one machine: real Kubernetes clusters and a simulated Azure.
//!
//! One sandbox is one set of namespaces around one supervisor ([`namespace`], [`boot`]); killing that leaves nothing
//! but files, a link and empty control groups, which [`cleanup`] knows how to find. Everything that a sandbox consists
//! of follows from its [`spec`]; what it is doing stands on its [`board`].

pub mod api;
pub mod azure;
pub mod bench;
pub mod board;
pub mod boot;
pub mod cgroup;
pub mod cleanup;
pub mod cli;
pub mod command;
pub mod control_plane;
pub mod demo;
pub mod doctor;
pub mod environment;
pub mod fault;
pub mod files;
pub mod http;
pub mod image;
mod inotify;
mod interrupt;
pub mod inventory;
pub mod kwok;
pub mod material;
pub mod namespace;
pub mod network;
pub mod node;
pub mod operator;
pub mod output;
pub mod packages;
pub mod pki;
pub mod programs;
pub mod range;
pub mod spec;
pub mod state;
pub mod status;
pub mod supervise;
pub mod test;
pub mod tools;
pub mod turnstile;
pub mod up;
pub mod webhook;
