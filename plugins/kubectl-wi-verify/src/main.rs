//! The binary `kubectl-wi-verify`.

use std::process::ExitCode;

fn main() -> ExitCode {
    aks_shared::entry::main::<kubectl_wi_verify::VerifyCli>()
}
