//! Every way to sign in, with the built binary against the simulated Azure: which one is used, as whom, and what is
//! said when none is or two are. Each test makes the applications that it signs in as.

mod jobs;
mod machines;
mod people;
mod support;
