//! The service account, and what the webhook makes of a labelled pod that runs as it.

use super::{explained_by, is_granted, quoted, setup_command, update_command};
use crate::facts::{AccountFacts, DryRun, Facts, Injection, Known};
use crate::finding::{Finding, FindingCode, Verdict};
use aks_shared::labels::{CLIENT_ID_ANNOTATION, TENANT_ID_ANNOTATION, USE_LABEL};

const DRY_RUN: &str = "server-side dry run of a labelled pod";

pub(super) fn account(facts: &Facts) -> Vec<Finding> {
    let name = facts.account.to_string();
    let account = match &facts.cluster.account {
        Known::Unknown(why) => {
            return vec![Finding::new(
                FindingCode::AccountUnknown,
                Verdict::Unknown,
                name,
                format!("the service account could not be read: {why}"),
            )];
        }
        Known::Known(None) => {
            return vec![
                Finding::new(
                    FindingCode::AccountMissing,
                    Verdict::Fail,
                    name,
                    format!(
                        "there is no service account {} in namespace {}",
                        facts.account.name, facts.account.namespace
                    ),
                )
                .fix(format!("{} --service-account-owner setup", setup_command(facts))),
            ];
        }
        Known::Known(Some(account)) => account,
    };
    let mut findings = vec![annotation(facts, account)];
    if account.has_use_label {
        findings.push(
            Finding::new(
                FindingCode::LabelOnAccount,
                Verdict::Warn,
                name,
                format!("the label {USE_LABEL} stands on the service account, where it does nothing; it belongs on the pods"),
            )
            .fix(format!("set the label {USE_LABEL}: \"true\" in the pod template of the workload")),
        );
    }
    findings
}

fn annotation(facts: &Facts, account: &AccountFacts) -> Finding {
    let name = facts.account.to_string();
    let source = format!("service account {name}, annotation {CLIENT_ID_ANNOTATION}");
    let expected = facts.expected.client_id.as_deref();
    let Some(found) = account.client_id.as_deref() else {
        let finding = Finding::new(
            FindingCode::ClientIdMissing,
            Verdict::Fail,
            name,
            "the service account has no client id, so its pods do not know which identity they are",
        )
        .compared(
            "client id",
            expected.or(Some("the identity's client id")),
            None,
            source,
        )
        .fix(setup_command(facts));
        return match &account.helm_release {
            Some(release) => finding.fix(format!(
                "the account belongs to the Helm release {release}: set the annotation in its values, or it is lost with the next upgrade"
            )),
            None => finding,
        };
    };
    if let Some(expected) = expected
        && !expected.eq_ignore_ascii_case(found)
    {
        return Finding::new(
            FindingCode::ClientIdDiffers,
            Verdict::Fail,
            name,
            "the service account names another identity than the one that was set up for it",
        )
        .compared("client id", Some(expected), Some(found), source)
        .fix(format!("{} --replace-identity", setup_command(facts)));
    }
    Finding::new(
        FindingCode::AccountOk,
        Verdict::Pass,
        name,
        format!("the service account names the identity {found}"),
    )
    .compared("client id", expected, Some(found), source)
}

pub(super) fn injection(facts: &Facts, before: &[Finding]) -> Vec<Finding> {
    let webhooks = facts.cluster.webhooks.known();
    let mut findings = Vec::new();
    if let Some(several) = webhooks
        && several.len() > 1
    {
        findings.push(
            Finding::new(
                FindingCode::WebhookDuplicate,
                Verdict::Warn,
                several.join(", "),
                "more than one workload identity webhook mutates pods; whichever comes last wins",
            )
            .fix("keep the AKS add-on and remove the other: helm uninstall workload-identity-webhook -n azure-workload-identity-system"),
        );
    }
    let admitted = match &facts.cluster.dry_run {
        Known::Unknown(why) => {
            findings.push(no_dry_run(facts, why));
            return findings;
        }
        Known::Known(DryRun::Refused { message }) => {
            let cause = explained_by(before, FindingCode::WebhookRefuses);
            findings.push(refused(facts, message, cause));
            return findings;
        }
        Known::Known(DryRun::Admitted(injection)) => injection,
    };
    if admitted.is_empty() {
        findings.push(match webhooks {
            Some(none) if none.is_empty() => missing(facts),
            Some(_) | None => Finding::new(
                FindingCode::InjectionMissing,
                Verdict::Fail,
                &facts.account.namespace,
                "a labelled pod stays as it is: the webhook is installed and does not act on this namespace",
            )
            .compared("AZURE_FEDERATED_TOKEN_FILE", Some("set by the webhook"), None, DRY_RUN)
            .fix("kubectl get mutatingwebhookconfigurations -o yaml  # namespaceSelector and objectSelector of azure-wi-webhook"),
        });
        return findings;
    }
    findings.push(injected(facts, admitted));
    findings.extend(authority(facts, admitted));
    findings
}

/// The sign-in address that pods get against that of the cloud that Azure was read from.
fn authority(facts: &Facts, injection: &Injection) -> Option<Finding> {
    let wanted = facts.azure.known()?.authority.as_deref()?;
    let found = injection.authority.as_deref()?;
    if cloud_of(wanted) == cloud_of(found) {
        return None;
    }
    let verdict = if is_granted(facts) {
        Verdict::Warn
    } else {
        Verdict::Fail
    };
    Some(
        Finding::new(
            FindingCode::AuthorityMismatch,
            verdict,
            &facts.context,
            format!("the webhook sends pods to {found} to sign in, and the identity lives at {wanted}"),
        )
        .compared("AZURE_AUTHORITY_HOST", Some(wanted), Some(found), DRY_RUN)
        .fix("kubectl get configmap -A -l azure-workload-identity.io/system=true -o yaml  # AZURE_ENVIRONMENT is that of another cloud"),
    )
}

/// What a sign-in address stands for: its host without port, and one name for hosts that are one cloud.
fn cloud_of(authority: &str) -> String {
    let rest = authority.split_once("://").map_or(authority, |(_, rest)| rest);
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    match host.to_ascii_lowercase().as_str() {
        "login.windows.net" | "login.microsoft.com" | "sts.windows.net" => {
            "login.microsoftonline.com".to_owned()
        }
        "login.partner.microsoftonline.cn" => "login.chinacloudapi.cn".to_owned(),
        host => host.to_owned(),
    }
}

fn no_dry_run(facts: &Facts, why: &str) -> Finding {
    match facts.cluster.webhooks.known() {
        Some(none) if none.is_empty() => missing(facts),
        _ => Finding::new(
            FindingCode::InjectionUnknown,
            Verdict::Unknown,
            &facts.account.namespace,
            format!("what the webhook injects could not be read by a server-side dry run: {why}"),
        ),
    }
}

fn missing(facts: &Facts) -> Finding {
    Finding::new(
        FindingCode::WebhookMissing,
        Verdict::Fail,
        &facts.context,
        "no workload identity webhook is installed, so pods get neither token nor settings",
    )
    .compared(
        "mutating webhooks for workload identity",
        Some("one"),
        None,
        "mutatingwebhookconfigurations",
    )
    .fix(update_command(facts, " --enable-workload-identity"))
}

fn refused(facts: &Facts, message: &str, cause: Option<FindingCode>) -> Finding {
    let by_webhook = message.contains("azure-workload-identity.io");
    let finding = Finding::new(
        FindingCode::WebhookRefuses,
        Verdict::Fail,
        &facts.account.namespace,
        format!("a labelled pod of this account is refused at admission: {message}"),
    )
    .because(cause);
    if cause.is_some() {
        finding
    } else if by_webhook {
        finding.fix("kubectl get pods,endpointslices -A -l azure-workload-identity.io/system=true  # is the webhook running?")
    } else {
        finding.fix(format!(
            "kubectl --context {} -n {} describe quota,limitrange  # or satisfy the policy that the message names",
            quoted(&facts.context),
            facts.account.namespace
        ))
    }
}

fn injected(facts: &Facts, injection: &Injection) -> Finding {
    let account = facts.cluster.account.known().and_then(Option::as_ref);
    let wanted = account.and_then(|account| account.client_id.as_deref());
    let tenant = account.and_then(|account| account.tenant_id.as_deref());
    let same = |wanted: Option<&str>, found: Option<&str>| wanted.is_none() || wanted == found;
    let complete = injection.token_file.is_some()
        && injection.audience.is_some()
        && injection.tenant_id.is_some()
        && injection.authority.is_some()
        && same(wanted, injection.client_id.as_deref())
        && same(tenant, injection.tenant_id.as_deref());
    let (code, verdict, message) = if complete {
        (
            FindingCode::InjectionOk,
            Verdict::Pass,
            "the webhook gives labelled pods a token and the settings to use it",
        )
    } else {
        (
            FindingCode::InjectionIncomplete,
            Verdict::Fail,
            "the webhook injects less, or something else, than the service account asks for",
        )
    };
    Finding::new(code, verdict, &facts.account.namespace, message)
        .compared("AZURE_CLIENT_ID", wanted, injection.client_id.as_deref(), DRY_RUN)
        .compared("AZURE_TENANT_ID", tenant, injection.tenant_id.as_deref(), DRY_RUN)
        .compared("AZURE_AUTHORITY_HOST", None, injection.authority.as_deref(), DRY_RUN)
        .compared("AZURE_FEDERATED_TOKEN_FILE", None, injection.token_file.as_deref(), DRY_RUN)
        .compared("audience of the token", None, injection.audience.as_deref(), DRY_RUN)
        .fixes_when(!complete, &format!("check the annotation {TENANT_ID_ANNOTATION} and the webhook's settings: kubectl get configmap -A -l azure-workload-identity.io/system=true -o yaml"))
}

impl Finding {
    fn fixes_when(self, needed: bool, fix: &str) -> Self {
        if needed { self.fix(fix) } else { self }
    }
}
