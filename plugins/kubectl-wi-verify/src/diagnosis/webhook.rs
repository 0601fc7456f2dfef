//! The service account, and what the webhook makes of a labelled pod that runs as it.

use super::{
    annotate_command, explained_by, is_granted, kubectl, place, quoted, setup_command, update_command,
};
use crate::facts::{AccountFacts, DryRun, Facts, Injection, Known, WebhookFacts};
use crate::finding::{Finding, FindingCode, Verdict};
use aks_shared::injection::{AUTHORITY_HOST, CLIENT_ID, TENANT_ID, TOKEN_FILE};
use aks_shared::labels::{CLIENT_ID_ANNOTATION, TENANT_ID_ANNOTATION, USE_LABEL};

const AUDIENCE: &str = "audience of the token";
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
    let acting = webhooks.into_iter().flatten();
    let acting = acting.filter(|webhook| webhook.left_out_by.is_none());
    let acting: Vec<&str> = acting.map(|webhook| webhook.name.as_str()).collect();
    if acting.len() > 1 {
        findings.push(
            Finding::new(
                FindingCode::WebhookDuplicate,
                Verdict::Warn,
                acting.join(", "),
                "more than one workload identity webhook mutates pods; whichever comes last wins",
            )
            .fix(format!("keep the AKS add-on and remove the other: helm --kube-context {} uninstall workload-identity-webhook -n azure-workload-identity-system", quoted(&facts.context))),
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
            Some(_) | None => idle(facts, webhooks.map_or(&[], Vec::as_slice)),
        });
        return findings;
    }
    findings.push(injected(facts, admitted));
    findings.extend(authority(facts, admitted));
    findings
}

/// That the webhook is installed and does not do anything.
fn idle(facts: &Facts, webhooks: &[WebhookFacts]) -> Finding {
    let left_out = webhooks.iter().map(|webhook| webhook.left_out_by.as_deref());
    let left_out: Option<Vec<&str>> = left_out.collect();
    let selector = left_out.and_then(|selectors| selectors.first().copied());
    let why = selector.map_or_else(
        || "does not act on this namespace".to_owned(),
        |selector| format!("its {selector} leaves it out"),
    );
    Finding::new(
        FindingCode::InjectionMissing,
        Verdict::Fail,
        &facts.account.namespace,
        format!("a labelled pod stays as it is: the webhook is installed and {why}"),
    )
    .compared(TOKEN_FILE, Some("set by the webhook"), None, DRY_RUN)
    .fix(format!("{} get mutatingwebhookconfigurations -o yaml  # namespaceSelector and objectSelector of azure-wi-webhook", kubectl(facts)))
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
        .compared(AUTHORITY_HOST, Some(wanted), Some(found), DRY_RUN)
        .fix(format!(
            "{}  # AZURE_ENVIRONMENT is that of another cloud",
            settings_command(facts)
        )),
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
        finding.fix(format!("{} get pods,endpointslices -A -l azure-workload-identity.io/system=true  # is the webhook running?", kubectl(facts)))
    } else {
        finding.fix(format!(
            "kubectl {} describe quota,limitrange  # or satisfy the policy that the message names",
            place(facts)
        ))
    }
}

fn injected(facts: &Facts, injection: &Injection) -> Finding {
    let account = facts.account_facts();
    let wanted_client = account.and_then(|account| account.client_id.as_deref());
    let wanted_tenant = account.and_then(|account| account.tenant_id.as_deref());
    let settings = [
        (CLIENT_ID, wanted_client, injection.client_id.as_deref()),
        (TENANT_ID, wanted_tenant, injection.tenant_id.as_deref()),
        (AUTHORITY_HOST, None, injection.authority.as_deref()),
        (TOKEN_FILE, None, injection.token_file.as_deref()),
        (AUDIENCE, None, injection.audience.as_deref()),
    ];
    let mut wrong = settings.iter().filter(|(name, wanted, found)| match wanted {
        Some(_) => wanted != found,
        // An account without a client id is a finding of its own.
        None => *name != CLIENT_ID && found.is_none(),
    });
    let first = wrong.next();
    let finding = match first {
        None => Finding::new(
            FindingCode::InjectionOk,
            Verdict::Pass,
            &facts.account.namespace,
            "the webhook gives labelled pods a token and the settings to use it",
        ),
        Some((first, _, found)) => {
            let names = std::iter::once(*first).chain(wrong.map(|(name, ..)| *name));
            Finding::new(
                FindingCode::InjectionIncomplete,
                Verdict::Fail,
                &facts.account.namespace,
                format!(
                    "labelled pods get less, or something else, than the service account asks for: {}",
                    names.collect::<Vec<_>>().join(", ")
                ),
            )
            .fix(completion(facts, injection, first, *found))
        }
    };
    settings.iter().fold(finding, |finding, (name, wanted, found)| {
        finding.compared(name, *wanted, *found, DRY_RUN)
    })
}

/// The command that shows the webhook's settings.
fn settings_command(facts: &Facts) -> String {
    format!(
        "{} get configmap -A -l azure-workload-identity.io/system=true -o yaml",
        kubectl(facts)
    )
}

/// What makes the injection complete, by the first setting that is not as it should be.
fn completion(facts: &Facts, injection: &Injection, name: &str, found: Option<&str>) -> String {
    let by_another = |variable: &str| {
        format!(
            "{} get mutatingwebhookconfigurations  # which of them, or which policy, sets {variable} in pods? The webhook leaves alone what is there",
            kubectl(facts)
        )
    };
    match (name, found) {
        (TENANT_ID, None) => format!(
            "{}  # an empty one counts; without any the webhook's own tenant does",
            annotate_command(facts, TENANT_ID_ANNOTATION, None)
        ),
        (CLIENT_ID | TENANT_ID, Some(_)) => by_another(name),
        // The file is there, and it is no token that the kubelet renews.
        (AUDIENCE, None) if injection.token_file.is_some() => by_another(TOKEN_FILE),
        _ => format!("{}  # the webhook's settings", settings_command(facts)),
    }
}
