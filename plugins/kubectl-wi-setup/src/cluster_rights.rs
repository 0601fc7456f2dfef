//! Whether the kubeconfig's user may do in the cluster what a plan says, asked before the first write.
//!
//! A "no" of the API server refuses. A "yes" says nothing of admission; where it does not answer, the writes will.

use crate::plan::{Change, Plan};
use aks_shared::Failure;
use aks_shared::cluster::Cluster;
use aks_shared::identity::ServiceAccountRef;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

/// A verb on an object of the core group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClusterRight {
    /// The verb.
    verb: &'static str,
    /// The resource, `serviceaccounts/token`.
    resource: &'static str,
    /// The namespace; none for what is in none.
    namespace: Option<String>,
    /// The object; none for those that are to be made.
    name: Option<String>,
}

impl ClusterRight {
    /// A verb on a service account; a name that does not exist yet cannot be asked for when it is made.
    pub(crate) fn on(account: &ServiceAccountRef, verb: &'static str, resource: &'static str) -> Self {
        let makes_it = verb == "create" && resource == "serviceaccounts";
        Self {
            verb,
            resource,
            namespace: Some(account.namespace.clone()),
            name: (!makes_it).then(|| account.name.clone()),
        }
    }

    fn in_words(&self) -> String {
        let place = match &self.namespace {
            Some(namespace) => format!(" in namespace {namespace}"),
            None => String::new(),
        };
        format!("{} {}{place}", self.verb, self.resource)
    }

    fn review(&self) -> SelfSubjectAccessReview {
        let (resource, subresource) = match self.resource.split_once('/') {
            Some((resource, subresource)) => (resource, Some(subresource)),
            None => (self.resource, None),
        };
        SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(self.verb.to_owned()),
                    resource: Some(resource.to_owned()),
                    subresource: subresource.map(str::to_owned),
                    namespace: self.namespace.clone(),
                    name: self.name.clone(),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        }
    }
}

/// Refuses a plan that the user of the cluster's context certainly may not carry out there, or with `waits` not prove;
/// to be asked before anything is written. An empty plan needs nothing.
pub async fn check(cluster: &Cluster, plan: &Plan, waits: bool) -> Result<(), Failure> {
    if plan.is_empty() {
        return Ok(());
    }
    check_all(cluster, needed(plan, waits)).await
}

/// Refuses when the user of the cluster's context certainly lacks one of some rights.
pub(crate) async fn check_all(cluster: &Cluster, needed: Vec<ClusterRight>) -> Result<(), Failure> {
    let missing = missing(cluster, needed).await;
    if missing.is_empty() {
        Ok(())
    } else {
        Err(refusal(&missing, &cluster.context))
    }
}

/// What carrying out a plan needs in the cluster, and with `waits` what proving it there needs.
fn needed(plan: &Plan, waits: bool) -> Vec<ClusterRight> {
    let mut rights = Vec::new();
    if plan
        .namespace
        .as_ref()
        .is_some_and(|change| change.written().is_some())
    {
        rights.push(ClusterRight {
            verb: "create",
            resource: "namespaces",
            namespace: None,
            name: None,
        });
    }
    if plan.service_account.written().is_some() {
        // An apply that makes an object needs both.
        rights.push(ClusterRight::on(&plan.account, "patch", "serviceaccounts"));
    }
    if matches!(plan.service_account, Change::Create { .. }) {
        rights.push(ClusterRight::on(&plan.account, "create", "serviceaccounts"));
    }
    if waits && !matches!(plan.service_account, Change::Left { .. }) {
        rights.push(ClusterRight::on(&plan.account, "create", TOKENS));
    }
    rights
}

const TOKENS: &str = "serviceaccounts/token";

/// Those that the user certainly lacks.
async fn missing(cluster: &Cluster, needed: Vec<ClusterRight>) -> Vec<ClusterRight> {
    let reviews = Api::<SelfSubjectAccessReview>::all(cluster.client.clone());
    let asked = needed.into_iter().map(|right| async {
        let answer = reviews.create(&PostParams::default(), &right.review()).await;
        let status = answer.ok().and_then(|answer| answer.status);
        status.is_some_and(|status| !status.allowed).then_some(right)
    });
    futures::future::join_all(asked)
        .await
        .into_iter()
        .flatten()
        .collect()
}

/// The refusal that names each right and how it is asked for again.
fn refusal(missing: &[ClusterRight], context: &str) -> Failure {
    let lacks: Vec<String> = missing.iter().map(ClusterRight::in_words).collect();
    let failure = Failure::refused(format!(
        "the user of context {context} may not do in the cluster what the plan needs: {}",
        lacks.join("; ")
    ));
    let failure = missing.iter().fold(failure, |failure, right| {
        let namespace = right.namespace.as_deref().map(|name| format!(" -n {name}"));
        failure.hint(format!(
            "ask for it, then try: kubectl auth can-i {} {} --context {context}{}",
            right.verb,
            right.resource,
            namespace.unwrap_or_default()
        ))
    });
    if missing.iter().all(|right| right.resource == TOKENS) {
        failure
            .hint("or do not wait for the exchange, which is tried with a token of the account: --wait none")
    } else {
        failure.hint("or leave the cluster's part to others: --skip service-account")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Workload;
    use crate::plan::tests::{everything, nothing, workload};
    use crate::{AccountOwner, Observed, plan};
    use pretty_assertions::assert_eq;

    fn words(plan: &Plan, waits: bool) -> Vec<String> {
        needed(plan, waits).iter().map(ClusterRight::in_words).collect()
    }

    #[test]
    fn an_account_that_is_made_needs_more_than_one_that_is_annotated() {
        let workload = Workload {
            account_owner: AccountOwner::Setup,
            ..workload()
        };
        let observed = Observed {
            namespace_exists: false,
            ..nothing()
        };
        assert_eq!(
            words(&plan(&workload, &observed), true),
            [
                "create namespaces",
                "patch serviceaccounts in namespace shop",
                "create serviceaccounts in namespace shop",
                "create serviceaccounts/token in namespace shop",
            ]
        );
        let mut annotated = everything();
        annotated.account.as_mut().unwrap().client_id = None;
        assert_eq!(
            words(&plan(&workload, &annotated), false),
            ["patch serviceaccounts in namespace shop"]
        );
    }

    #[test]
    fn what_is_left_to_the_chart_needs_nothing() {
        assert_eq!(needed(&plan(&workload(), &nothing()), true), []);
    }

    #[test]
    fn the_refusal_says_what_to_ask_for() {
        let token = ClusterRight::on(&workload().account, "create", TOKENS);
        let failure = refusal(&[token], "weu-1");
        assert_eq!(failure.status, aks_shared::ExitStatus::Refused);
        assert_eq!(
            failure.hints[0],
            "ask for it, then try: kubectl auth can-i create serviceaccounts/token --context weu-1 -n shop"
        );
        assert!(failure.hints[1].contains("--wait none"), "{:?}", failure.hints);
    }
}
