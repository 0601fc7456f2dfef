//! The life of a workload's identity from outside: its cluster proven and prepared, its account adopted by a release,
//! its drift repaired, its end; judged by what Azure and plain kubectl say afterwards.

mod account;
mod budget;
mod cluster;
mod obstacles;
mod owners;
mod rebuilt;
mod removal;
mod support;
