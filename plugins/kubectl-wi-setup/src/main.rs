//! The `kubectl-wi-setup` binary.

fn main() -> std::process::ExitCode {
    aks_shared::entry::main::<kubectl_wi_setup::SetupCli>()
}
