//! `kubectl wi`: the front of the workload identity commands, all in this process.
//!
//! Installed under the name of one command (`kubectl-wi-setup`, `kubectl-wi-verify`), it is that command.

mod front;

use front::Front;
use kubectl_wi_setup::SetupCli;
use kubectl_wi_verify::VerifyCli;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    match Path::new(&name).file_stem().and_then(|stem| stem.to_str()) {
        Some("kubectl-wi-setup") => aks_shared::entry::main::<SetupCli>(),
        Some("kubectl-wi-verify") => aks_shared::entry::main::<VerifyCli>(),
        _ => aks_shared::entry::main::<Front>(),
    }
}
