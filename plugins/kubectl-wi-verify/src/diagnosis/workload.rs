//! What is particular to the workload, to its pods, and to what else uses the service account.

use super::{annotated_client, names, place, stores};
use crate::facts::workload::{CREDENTIALS, ContainerFacts, POD_IDENTITY_LABEL, PodFacts, SKIP_ANNOTATION};
use crate::facts::{Facts, Injection, Known, WorkloadFacts};
use crate::finding::{Finding, FindingCode, Verdict};
use aks_shared::injection::{AUTHORITY_HOST, CLIENT_ID, TENANT_ID, TOKEN_FILE};
use aks_shared::labels::USE_LABEL;
use std::collections::BTreeSet;

const TEMPLATE: &str = "pod template";

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(workload) = &facts.workload {
        findings.extend(label(facts, workload));
        findings.extend(skipped(workload));
        findings.extend(preset(facts, workload));
        findings.extend(credentials(workload));
        if findings.is_empty() {
            findings.push(Finding::new(
                FindingCode::WorkloadOk,
                Verdict::Pass,
                &workload.name,
                format!(
                    "pods of {} ask for a token as the service account {}",
                    workload.name, workload.account
                ),
            ));
        }
    }
    if let Some(surroundings) = &facts.surroundings {
        match &surroundings.pods {
            Known::Known(pods) => findings.extend(outdated(facts, pods)),
            Known::Unknown(why) => findings.push(Finding::new(
                FindingCode::PodsUnknown,
                Verdict::Unknown,
                facts.account.to_string(),
                format!("the pods of the account could not be listed: {why}"),
            )),
        }
    }
    findings.extend(pod_identity(facts));
    if let Some(surroundings) = &facts.surroundings {
        findings.extend(stores::findings(facts, surroundings));
    }
    findings
}

fn label(facts: &Facts, workload: &WorkloadFacts) -> Option<Finding> {
    let found = workload.use_label.as_deref();
    if found == Some("true") {
        return None;
    }
    let on_account = facts.account_facts();
    let elsewhere = if on_account.is_some_and(|account| account.has_use_label) {
        "; it stands on the service account, where it does nothing"
    } else {
        ""
    };
    // The Secrets Store driver requests the token itself.
    let (verdict, but) = if workload.provider_classes.is_empty() {
        (Verdict::Fail, "")
    } else {
        (Verdict::Warn, "; the Secrets Store volume works without it")
    };
    let finding = Finding::new(
        FindingCode::LabelMissing,
        verdict,
        &workload.name,
        format!(
            "the pods of {} lack the label {USE_LABEL}: \"true\", so the webhook gives them neither token nor settings{elsewhere}{but}",
            workload.name
        ),
    )
    .compared(USE_LABEL, Some("true"), found, TEMPLATE);
    Some(finding.fix(label_fix(facts, workload)))
}

/// The command that sets the label where a template can be changed.
fn label_fix(facts: &Facts, workload: &WorkloadFacts) -> String {
    let metadata = format!(r#"{{"metadata":{{"labels":{{"{USE_LABEL}":"true"}}}}}}"#);
    let patch = match workload.name.split('/').next() {
        Some("deployment" | "statefulset" | "daemonset") => {
            format!(r#"{{"spec":{{"template":{metadata}}}}}"#)
        }
        Some("cronjob") => format!(r#"{{"spec":{{"jobTemplate":{{"spec":{{"template":{metadata}}}}}}}}}"#),
        _ => return format!("make the pod anew with the label {USE_LABEL}: \"true\""),
    };
    format!(
        "kubectl {} patch {} --type merge -p '{patch}'",
        place(facts),
        workload.name
    )
}

fn skipped(workload: &WorkloadFacts) -> Option<Finding> {
    let (skipped, others): (Vec<&ContainerFacts>, Vec<&ContainerFacts>) = workload
        .containers
        .iter()
        .partition(|container| container.is_skipped);
    if skipped.is_empty() {
        return None;
    }
    let verdict = if others.is_empty() {
        Verdict::Fail
    } else {
        Verdict::Warn
    };
    let names = names(skipped.iter().map(|container| container.name.as_str()));
    Some(
        Finding::new(
            FindingCode::ContainersSkipped,
            verdict,
            &workload.name,
            format!("containers get neither token nor settings, as an annotation says so: {names}"),
        )
        .compared(SKIP_ANNOTATION, None, Some(&names), TEMPLATE)
        .fix(format!(
            "take the containers that need the identity out of the annotation {SKIP_ANNOTATION}"
        )),
    )
}

/// Variables that a container sets itself and that the webhook therefore leaves alone.
fn preset(facts: &Facts, workload: &WorkloadFacts) -> Vec<Finding> {
    let injection = super::injection(facts).cloned().unwrap_or_default();
    let each = workload.containers.iter().flat_map(|container| {
        let settings = container.preset.iter();
        settings
            .filter(|(name, _)| !CREDENTIALS.contains(&name.as_str()))
            .filter_map(|(name, value)| {
                preset_variable(facts, workload, container, &injection, (name, value.as_deref()))
            })
            .collect::<Vec<_>>()
    });
    each.collect()
}

fn preset_variable(
    facts: &Facts,
    workload: &WorkloadFacts,
    container: &ContainerFacts,
    injection: &Injection,
    (name, value): (&str, Option<&str>),
) -> Option<Finding> {
    let wanted = match name {
        CLIENT_ID => annotated_client(facts).or(injection.client_id.as_deref()),
        TENANT_ID => injection.tenant_id.as_deref(),
        AUTHORITY_HOST => injection.authority.as_deref(),
        TOKEN_FILE => injection.token_file.as_deref(),
        _ => None,
    };
    let (verdict, how) = match (value, wanted) {
        (Some(value), Some(wanted)) if value.eq_ignore_ascii_case(wanted) => return None,
        (Some(_), Some(_)) => (Verdict::Fail, "to another value"),
        (None, _) => (Verdict::Warn, "from an object that was not read"),
        (Some(_), None) => (Verdict::Warn, "and what it should be is not known"),
    };
    let found = value.unwrap_or("(from another object)");
    Some(
        Finding::new(
            FindingCode::PresetEnvironment,
            verdict,
            &workload.name,
            format!(
                "the container {} sets {name} itself, {how}; the webhook leaves it alone",
                container.name
            ),
        )
        .compared(name, wanted, Some(found), TEMPLATE)
        .fix(format!(
            "kubectl {} set env {} -c {} {name}-  # and take it out of the chart's values",
            place(facts),
            workload.name,
            container.name
        )),
    )
}

fn credentials(workload: &WorkloadFacts) -> Option<Finding> {
    let found: BTreeSet<&str> = workload
        .containers
        .iter()
        .flat_map(|container| container.preset.keys())
        .map(String::as_str)
        .filter(|name| CREDENTIALS.contains(name))
        .collect();
    if found.is_empty() {
        return None;
    }
    let found = names(found);
    Some(
        Finding::new(
            FindingCode::ClientSecretPresent,
            Verdict::Warn,
            &workload.name,
            format!("the pods have {found}: DefaultAzureCredential signs in with that and never comes to workload identity"),
        )
        .compared("credential", None, Some(&found), TEMPLATE)
        .fix(format!("take {found} out of the pod template, then delete the credential")),
    )
}

/// Pods that ask for a token and have none, or are another identity than the account names now.
fn outdated(facts: &Facts, pods: &[PodFacts]) -> Option<Finding> {
    let wanted = annotated_client(facts);
    let sets_own = facts.workload.as_ref().is_some_and(|workload| {
        let mut containers = workload.containers.iter();
        containers.any(|container| container.preset.contains_key(CLIENT_ID))
    });
    let differs = |pod: &&PodFacts| {
        let other = !sets_own && wanted.is_some() && pod.client_id.as_deref() != wanted;
        pod.asks && (!pod.has_token || other)
    };
    let old: Vec<&PodFacts> = pods.iter().filter(differs).collect();
    let first = old.first()?;
    let listed = names(old.iter().map(|pod| pod.name.as_str()));
    let (verdict, what) = match &facts.workload {
        Some(workload) => (Verdict::Fail, workload.name.clone()),
        None => (Verdict::Warn, "deployment".to_owned()),
    };
    let what_they_have = if first.has_token {
        "carry another client id"
    } else {
        "have no token"
    };
    Some(
        Finding::new(
            FindingCode::PodsOutdated,
            verdict,
            &listed,
            format!(
                "{} of {} pods {what_they_have}: they were made before the service account or the webhook was as it is now: {listed}",
                old.len(),
                pods.len()
            ),
        )
        .compared(CLIENT_ID, wanted, first.client_id.as_deref(), format!("pod {}", first.name))
        .fix(format!(
            "kubectl {} rollout restart {what}",
            place(facts)
        )),
    )
}

fn pod_identity(facts: &Facts) -> Option<Finding> {
    let label = facts
        .workload
        .as_ref()
        .and_then(|workload| workload.pod_identity.as_deref());
    let objects = facts
        .surroundings
        .as_ref()
        .and_then(|surroundings| surroundings.pod_identity.known())
        .map(Vec::as_slice)
        .unwrap_or_default();
    if label.is_none() && objects.is_empty() {
        return None;
    }
    let objects = names(objects.iter().map(String::as_str));
    let what = match (label, objects.as_str()) {
        (Some(label), "") => format!("the label {POD_IDENTITY_LABEL}={label}"),
        (Some(label), objects) => format!("the label {POD_IDENTITY_LABEL}={label} and {objects}"),
        (None, objects) => objects.to_owned(),
    };
    Some(
        Finding::new(
            FindingCode::PodIdentityLeftover,
            Verdict::Warn,
            &facts.account.namespace,
            format!("something of the retired pod-managed identity is left over: {what}"),
        )
        .fix(format!(
            "kubectl {} delete azureidentitybindings,azureidentities --all  # and remove the label {POD_IDENTITY_LABEL}",
            place(facts)
        )),
    )
}
