//! Whether the identities and the releases of the targets may be written, in Azure by the signed-in principal and in
//! the cluster by the kubeconfig's user: asked before anything is written, and only where something is to be written.

use super::{CONCURRENCY, Problem, Subject, Target, render};
use futures::{StreamExt, stream};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

/// What forbids the identities or the releases of some targets.
pub async fn check(subject: &Subject, targets: &[Target]) -> Vec<Problem> {
    let mut problems = of_releases(subject, targets).await;
    problems.extend(of_identities(subject, targets).await);
    problems
}

/// Who may not write the Secrets in which helm keeps a release cannot even begin one. A "yes" says nothing of the
/// chart's own objects, and no answer nothing at all: then helm will tell.
async fn of_releases(subject: &Subject, targets: &[Target]) -> Vec<Problem> {
    let namespace = &subject.fleet.release.namespace;
    let asked: Vec<_> = targets
        .iter()
        .filter(|target| render::needs_helm(target))
        .map(|target| async move {
            let (create, update) = futures::join!(
                is_denied(target, namespace, "create"),
                is_denied(target, namespace, "update")
            );
            let denied = [(create, "create"), (update, "update")];
            let denied: Vec<&str> = denied.into_iter().filter(|(denied, _)| *denied).map(|(_, verb)| verb).collect();
            let (first, context) = (denied.first()?, &target.spec.context);
            let what = format!(
                "the user of context {context} may not {} secrets in namespace {namespace}, where helm keeps releases",
                denied.join(" and ")
            );
            let hint = format!("ask for it, then try: kubectl auth can-i {first} secrets --context {context} -n {namespace}");
            Some(Problem {
                hints: vec![hint],
                ..Problem::new(&target.spec.name, what)
            })
        })
        .collect();
    let answers: Vec<Option<Problem>> = stream::iter(asked).buffered(CONCURRENCY).collect().await;
    answers.into_iter().flatten().collect()
}

async fn is_denied(target: &Target, namespace: &str, verb: &str) -> bool {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.to_owned()),
                resource: Some("secrets".to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews = Api::<SelfSubjectAccessReview>::all(target.cluster.client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await;
    let status = answer.ok().and_then(|answer| answer.status);
    status.is_some_and(|status| !status.allowed)
}

/// What forbids the identities of some targets; nothing without identities.
async fn of_identities(subject: &Subject, targets: &[Target]) -> Vec<Problem> {
    let Some(azure) = &subject.azure else {
        return Vec::new();
    };
    let mut questions = Vec::new();
    for target in targets {
        for identity in target.identities.iter().filter(|one| !one.plan.is_empty()) {
            questions.push(async {
                // What was written is proven by a token of its account, so that right is needed too.
                let (in_azure, in_cluster) = futures::join!(
                    kubectl_wi_setup::check_rights(azure, &identity.plan),
                    kubectl_wi_setup::check_cluster_rights(&target.cluster, &identity.plan, true)
                );
                [in_azure, in_cluster]
                    .into_iter()
                    .filter_map(Result::err)
                    .map(|failure| Problem::of(&target.spec.name, failure))
                    .collect::<Vec<_>>()
            });
        }
    }
    let answers: Vec<Vec<Problem>> = stream::iter(questions).buffered(CONCURRENCY).collect().await;
    answers.into_iter().flatten().collect()
}
