//! What the simulator does not answer as the specification does, each with its reason. A gap that is closed fails
//! the test until it is taken from this list.

use crate::specs::Example;

/// The reason, if this example is a known gap.
pub(crate) fn reason(example: &Example<'_>) -> Option<&'static str> {
    GAPS.iter()
        .find(|(operation, name, _)| {
            *operation == example.operation && (name.is_empty() || *name == example.name)
        })
        .map(|(.., reason)| *reason)
}

/// Operation, example (empty: all of them), reason.
const GAPS: &[(&str, &str, &str)] = &[
    (
        "SystemAssignedIdentities_GetByScope",
        "",
        "there are no system-assigned identities",
    ),
    (
        "Vaults_CreateOrUpdate",
        "createVaultWithNetworkAcls.json",
        "ranges in network rules are not understood",
    ),
    (
        "Vaults_List",
        "",
        "the list of all resources, in a version older than those served",
    ),
    (
        "Resources",
        "ResourcesNextPageQuery.json",
        "the skip token is the real service's own",
    ),
];
