//! The `helm-fleet` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    let _terminal = helm_fleet::Foreground::take();
    aks_shared::entry::main::<helm_fleet::FleetCli>()
}
