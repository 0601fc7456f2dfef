//! The managed identity that the service account names.

use super::{annotate_command, annotated_client, injection, is_granted, setup_command};
use crate::facts::{AzureFacts, Facts, IdentityFacts, Known};
use crate::finding::{Finding, FindingCode, Verdict};
use aks_shared::labels::{CLIENT_ID_ANNOTATION, TENANT_ID_ANNOTATION};

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let Some(azure) = facts.azure.known() else {
        return Vec::new();
    };
    let Some(client_id) = annotated_client(facts) else {
        return Vec::new();
    };
    match &azure.identity {
        Known::Unknown(why) => vec![Finding::new(
            FindingCode::IdentityUnknown,
            Verdict::Unknown,
            client_id,
            format!("the managed identities could not be searched: {why}"),
        )],
        Known::Known(None) => vec![absent(facts, azure, client_id)],
        Known::Known(Some(identity)) => {
            let found = Finding::new(
                FindingCode::IdentityOk,
                Verdict::Pass,
                &identity.name,
                format!("the client id is that of the managed identity {}", identity.name),
            )
            .compared(
                "client id",
                Some(client_id),
                Some(&identity.client_id),
                &identity.id,
            );
            std::iter::once(found).chain(tenant(facts, identity)).collect()
        }
    }
}

fn absent(facts: &Facts, azure: &AzureFacts, client_id: &str) -> Finding {
    let source = format!(
        "service account {}, annotation {CLIENT_ID_ANNOTATION}",
        facts.account
    );
    if let Some(identity) = &azure.mistaken {
        return Finding::new(
            FindingCode::ClientIdIsPrincipal,
            Verdict::Fail,
            &identity.name,
            format!(
                "the annotation holds the principal id of the identity {}, not its client id",
                identity.name
            ),
        )
        .compared("client id", Some(&identity.client_id), Some(client_id), source)
        .fix(annotate_command(
            facts,
            CLIENT_ID_ANNOTATION,
            Some(&identity.client_id),
        ));
    }
    if let Some(finding) = intended(facts, client_id).filter(|_| !is_granted(facts)) {
        return finding;
    }
    if is_granted(facts) {
        return Finding::new(
            FindingCode::ClientIdUnknown,
            Verdict::Unknown,
            client_id,
            "you can read no managed identity with this client id, and yet Entra knows it: it lives where you may not look, or it is an app registration",
        )
        .compared("client id", None, Some(client_id), source);
    }
    Finding::new(
        FindingCode::ClientIdUnknown,
        Verdict::Fail,
        client_id,
        "no managed identity that you can read has this client id: it was deleted, lives in another tenant or subscription, or the id is no client id",
    )
    .compared("client id", Some("that of a managed identity"), Some(client_id), source)
    .fix(format!("{} --replace-identity", setup_command(facts)))
}

/// That setup made another identity for this account than the one that it names, if so.
pub(super) fn intended(facts: &Facts, client_id: &str) -> Option<Finding> {
    let intended = facts.azure.known()?.intended.as_ref()?;
    Some(
        Finding::new(
            FindingCode::ClientIdDiffers,
            Verdict::Fail,
            facts.account.to_string(),
            format!(
                "the service account names another identity than {}, which was set up for it and trusts it",
                intended.name
            ),
        )
        .compared(
            "client id",
            Some(&intended.client_id),
            Some(client_id),
            format!(
                "service account {}, annotation {CLIENT_ID_ANNOTATION}",
                facts.account
            ),
        )
        .fix(annotate_command(
            facts,
            CLIENT_ID_ANNOTATION,
            Some(&intended.client_id),
        )),
    )
}

fn tenant(facts: &Facts, identity: &IdentityFacts) -> Option<Finding> {
    let found = injection(facts)?.tenant_id.as_deref()?;
    if found.eq_ignore_ascii_case(&identity.tenant_id) {
        return None;
    }
    Some(
        Finding::new(
            FindingCode::TenantMismatch,
            Verdict::Fail,
            facts.account.to_string(),
            "pods of this account sign in to another tenant than the identity's",
        )
        .compared(
            "tenant",
            Some(&identity.tenant_id),
            Some(found),
            "server-side dry run of a labelled pod",
        )
        .fix(annotate_command(
            facts,
            TENANT_ID_ANNOTATION,
            Some(&identity.tenant_id),
        )),
    )
}
