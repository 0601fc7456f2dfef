//! What a service account says today, and who owns it.

use aks_shared::labels;
use k8s_openapi::api::core::v1::ServiceAccount;
use std::collections::BTreeMap;

/// Labels by which Flux marks what it applies.
const FLUX_LABELS: [&str; 2] = ["kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name"];

/// A service account that exists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedAccount {
    /// The identity that its pods become.
    pub client_id: Option<String>,
    /// The tenant of that identity.
    pub tenant_id: Option<String>,
    /// The Helm release that owns it, as `NAMESPACE/NAME`.
    pub helm_release: Option<String>,
    /// Whether Flux applies it.
    pub is_flux: bool,
    /// Whether our field manager wrote its client id.
    pub is_ours: bool,
    /// Whether we created it, and no release was to own it.
    pub created_by_us: bool,
    /// Whether nobody but us has ever written to it.
    pub only_ours: bool,
    /// The account's own id: another account of the same name has another one.
    pub uid: Option<String>,
}

impl ObservedAccount {
    pub(crate) fn read(account: &ServiceAccount) -> Self {
        let none = BTreeMap::new();
        let annotations = account.metadata.annotations.as_ref().unwrap_or(&none);
        let labelled = account.metadata.labels.as_ref().unwrap_or(&none);
        let managed_by = labelled.get(labels::MANAGED_BY_LABEL).map(String::as_str);
        let annotation = |name: &str| annotations.get(name).filter(|value| !value.is_empty()).cloned();
        let helm_release = (managed_by == Some(labels::MANAGED_BY_HELM))
            .then(|| {
                let name = annotation(labels::HELM_RELEASE_NAME_ANNOTATION)?;
                let namespace = annotation(labels::HELM_RELEASE_NAMESPACE_ANNOTATION)?;
                Some(format!("{namespace}/{name}"))
            })
            .flatten();
        Self {
            client_id: annotation(labels::CLIENT_ID_ANNOTATION),
            tenant_id: annotation(labels::TENANT_ID_ANNOTATION),
            helm_release,
            is_flux: FLUX_LABELS.iter().any(|label| labelled.contains_key(*label)),
            is_ours: we_wrote_the_client_id(account),
            created_by_us: managed_by == Some(labels::FIELD_MANAGER),
            only_ours: only_we_wrote(account),
            uid: account.metadata.uid.clone(),
        }
    }
}

/// Whether the client id's field belongs to our field manager.
fn we_wrote_the_client_id(account: &ServiceAccount) -> bool {
    // A slash inside a key is "~1" in a JSON pointer.
    let field = labels::CLIENT_ID_ANNOTATION.replace('/', "~1");
    let pointer = format!("/f:metadata/f:annotations/f:{field}");
    account.metadata.managed_fields.iter().flatten().any(|entry| {
        entry.manager.as_deref() == Some(labels::FIELD_MANAGER)
            && entry
                .fields_v1
                .as_ref()
                .is_some_and(|fields| fields.0.pointer(&pointer).is_some())
    })
}

/// Whether every field belongs to our field manager alone.
fn only_we_wrote(account: &ServiceAccount) -> bool {
    let mut writers = account.metadata.managed_fields.iter().flatten().peekable();
    writers.peek().is_some() && writers.all(|entry| entry.manager.as_deref() == Some(labels::FIELD_MANAGER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn account(metadata: &Value) -> ObservedAccount {
        ObservedAccount::read(&serde_json::from_value(json!({"metadata": metadata})).unwrap())
    }

    #[test]
    fn a_plain_account_belongs_to_nobody() {
        assert_eq!(account(&json!({"name": "orders"})), ObservedAccount::default());
    }

    #[test]
    fn a_release_owns_what_carries_its_label_and_annotations() {
        let annotations =
            json!({"meta.helm.sh/release-name": "orders", "meta.helm.sh/release-namespace": "shop"});
        let owned =
            account(&json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": annotations}));
        assert_eq!(owned.helm_release.as_deref(), Some("shop/orders"));
        assert_eq!(account(&json!({"annotations": annotations})).helm_release, None);
    }

    #[test]
    fn the_client_id_is_ours_when_our_manager_wrote_it() {
        let managed = |manager: &str| {
            account(&json!({
                "annotations": {"azure.workload.identity/client-id": "c"},
                "managedFields": [{"manager": manager, "operation": "Apply", "fieldsV1":
                    {"f:metadata": {"f:annotations": {"f:azure.workload.identity/client-id": {}}}}}],
            }))
        };
        assert!(managed("kubectl-wi").is_ours && managed("kubectl-wi").only_ours);
        assert!(!managed("helm").is_ours && !managed("helm").only_ours);
        assert_eq!(managed("helm").client_id.as_deref(), Some("c"));
    }
}
