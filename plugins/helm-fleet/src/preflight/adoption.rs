//! Objects that a first install would meet: helm adopts none that another made, and stops half-way.

use super::owner::{controller, mark};
use super::{CONCURRENCY, Problem, Target};
use crate::event::Action;
use crate::fleet::ReleaseSpec;
use crate::manifest::Manifests;
use aks_shared::labels;
use futures::{StreamExt, stream};
use kube::Api;
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

/// Kinds that are looked for: every chart's own, in the namespace of the release.
const KINDS: [(&str, &str); 7] = [
    ("v1", "ServiceAccount"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
];

/// What forbids a first install of these objects, where somebody else made some of them already. Service accounts of
/// identities are judged with these.
pub(super) async fn problems(target: &Target, release: &ReleaseSpec, rendered: &Manifests) -> Vec<Problem> {
    if target.action != Action::Install {
        return Vec::new();
    }
    let namespace = release.namespace.as_str();
    let accounts: Vec<&str> = target
        .identities
        .iter()
        .map(|identity| identity.workload.account.name.as_str())
        .collect();
    let asked: Vec<_> = rendered
        .objects()
        .filter_map(|object| known(object, namespace))
        .filter(|(resource, name)| !(resource.kind == "ServiceAccount" && accounts.contains(name)))
        .map(|(resource, name)| async move {
            let objects: Api<DynamicObject> =
                Api::namespaced_with(target.cluster.client.clone(), namespace, &resource);
            // Who may not read it learns of it from helm.
            let found = objects.get_metadata_opt(name).await.ok()??;
            let found = serde_json::to_value(&found).ok()?;
            obstacle(&resource.kind, name, &found, release)
        })
        .collect();
    let answers: Vec<Option<String>> = stream::iter(asked).buffered(CONCURRENCY).collect().await;
    let hint = "delete it, rename it in the chart, or mark it for the release: \
                https://helm.sh/docs/topics/advanced/ tells of adoption by --take-ownership in helm.args";
    answers
        .into_iter()
        .flatten()
        .map(|what| Problem {
            hints: vec![hint.to_owned()],
            ..Problem::new(&target.spec.name, what)
        })
        .collect()
}

/// The kind and the name of a rendered object that is looked for.
fn known<'a>(object: &'a Value, namespace: &str) -> Option<(ApiResource, &'a str)> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let (version, kind) = (text("/apiVersion")?, text("/kind")?);
    let is_hook = object.pointer("/metadata/annotations/helm.sh~1hook").is_some();
    if !KINDS.contains(&(version, kind))
        || is_hook
        || text("/metadata/namespace").is_some_and(|one| one != namespace)
    {
        return None;
    }
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Some((resource, text("/metadata/name")?))
}

/// Why helm would not adopt an object that is there, if so.
fn obstacle(kind: &str, name: &str, found: &Value, release: &ReleaseSpec) -> Option<String> {
    let namespace = release.namespace.as_str();
    let owner = mark(found, "annotations", labels::HELM_RELEASE_NAME_ANNOTATION);
    let place = mark(found, "annotations", labels::HELM_RELEASE_NAMESPACE_ANNOTATION);
    let is_helms = mark(found, "labels", labels::MANAGED_BY_LABEL) == Some(labels::MANAGED_BY_HELM);
    if is_helms && owner == Some(release.name.as_str()) && place == Some(namespace) {
        return None;
    }
    let whose = match (controller(found), owner, place) {
        (Some(controller), ..) => format!("belongs to {controller}"),
        (None, Some(owner), Some(place)) => format!("belongs to release {place}/{owner}"),
        _ => "belongs to no release".to_owned(),
    };
    Some(format!(
        "{kind} {namespace}/{name} exists and {whose}, so helm will not adopt it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn helm_adopts_its_own_alone() {
        let release = serde_json::from_value(json!({"name": "orders", "namespace": "shop"})).unwrap();
        let judge = |metadata: Value| obstacle("ConfigMap", "a", &json!({"metadata": metadata}), &release);
        let owned = |release: &str| {
            json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {
                "meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": "shop"}})
        };
        assert_eq!(judge(owned("orders")), None);
        assert!(
            judge(owned("other"))
                .unwrap()
                .contains("belongs to release shop/other")
        );
        assert!(judge(json!({})).unwrap().contains("belongs to no release"));
        let argo = json!({"annotations": {"argocd.argoproj.io/tracking-id": "orders:x"}});
        assert!(judge(argo).unwrap().contains("application orders of Argo CD"));
    }

    #[test]
    fn hooks_and_foreign_kinds_and_places_are_not_looked_for() {
        let rendered = Manifests::parse(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n---\n\
             apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: other}\n---\n\
             apiVersion: v1\nkind: Secret\nmetadata: {name: c, annotations: {helm.sh/hook: pre-install}}\n---\n\
             apiVersion: x.io/v1\nkind: Thing\nmetadata: {name: d}\n",
        )
        .unwrap();
        let known: Vec<(ApiResource, &str)> = rendered
            .objects()
            .filter_map(|object| known(object, "shop"))
            .collect();
        assert_eq!(known.len(), 1);
        assert_eq!((known[0].0.plural.as_str(), known[0].1), ("deployments", "a"));
    }
}
