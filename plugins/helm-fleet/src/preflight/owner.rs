//! Releases and objects that somebody else looks after: helm would fight with them, or stop at them.

use crate::manifest::Manifests;
use crate::release::Record;
use serde_json::Value;

/// Marks that Flux's helm-controller puts on all objects of its releases
/// (<https://fluxcd.io/flux/components/helm/helmreleases/>).
const FLUX_NAME: &str = "helm.toolkit.fluxcd.io/name";
const FLUX_NAMESPACE: &str = "helm.toolkit.fluxcd.io/namespace";
/// The mark of Argo CD on what it applies
/// (<https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/>).
const ARGO_TRACKING: &str = "argocd.argoproj.io/tracking-id";
const ARGO_INSTANCE: &str = "argocd.argoproj.io/instance";

/// What the names of all these marks begin with.
const DOMAINS: [&str; 2] = ["helm.toolkit.fluxcd.io/", "argocd.argoproj.io/"];

/// Who else rolls a release out, as its objects tell.
pub(super) fn of_release(record: &Record) -> Option<String> {
    // Most releases have none of these marks, and many have large manifests.
    if !DOMAINS.iter().any(|domain| record.manifest.contains(domain)) {
        return None;
    }
    let manifests = Manifests::parse(&record.manifest).ok()?;
    manifests.objects().find_map(controller)
}

/// One of an object's `labels` or `annotations`.
pub(super) fn mark<'a>(object: &'a Value, kind: &str, name: &str) -> Option<&'a str> {
    object.get("metadata")?.get(kind)?.get(name)?.as_str()
}

/// The controller that an object is marked for.
pub(super) fn controller(object: &Value) -> Option<String> {
    if let Some(name) = mark(object, "labels", FLUX_NAME) {
        let namespace = mark(object, "labels", FLUX_NAMESPACE).unwrap_or_default();
        return Some(format!("HelmRelease {namespace}/{name} of Flux"));
    }
    let tracking = mark(object, "annotations", ARGO_TRACKING).and_then(|id| id.split(':').next());
    let instance = tracking
        .or_else(|| mark(object, "labels", ARGO_INSTANCE))
        .or_else(|| mark(object, "annotations", ARGO_INSTANCE))?;
    Some(format!("application {instance} of Argo CD"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn controllers_are_known_by_their_marks() {
        let of = |metadata: Value| controller(&json!({"kind": "ConfigMap", "metadata": metadata}));
        assert_eq!(
            of(json!({"name": "x", "labels": {"app.kubernetes.io/instance": "x"}})),
            None
        );
        let flux = of(json!({"labels": {FLUX_NAME: "orders", FLUX_NAMESPACE: "flux-system"}}));
        assert_eq!(flux.as_deref(), Some("HelmRelease flux-system/orders of Flux"));
        let argo = of(json!({"annotations": {ARGO_TRACKING: "orders:apps/Deployment:shop/orders"}}));
        assert_eq!(argo.as_deref(), Some("application orders of Argo CD"));
        assert!(of(json!({"labels": {ARGO_INSTANCE: "orders"}})).is_some());
    }

    #[test]
    fn a_release_is_somebody_elses_when_its_objects_are() {
        let mut record = Record::sample(1, "deployed", Value::Null, []);
        record.manifest = "kind: ConfigMap\nmetadata: {name: a}\n".to_owned();
        assert_eq!(of_release(&record), None);
        record.manifest +=
            "---\nkind: Service\nmetadata: {name: b, labels: {helm.toolkit.fluxcd.io/name: orders}}\n";
        assert!(of_release(&record).is_some());
    }
}
