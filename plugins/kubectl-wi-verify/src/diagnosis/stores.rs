//! Objects of the Secrets Store driver and of External Secrets that use the account, and where they point.

use super::{annotated_client, names, place};
use crate::facts::workload::{ProviderClassFacts, StoreFacts, Surroundings};
use crate::facts::{AccountFacts, Facts, SecretName};
use crate::finding::{Finding, FindingCode, Verdict};

pub(super) fn findings(facts: &Facts, surroundings: &Surroundings) -> Vec<Finding> {
    let classes = surroundings.provider_classes.iter();
    let classes = classes.filter_map(|class| provider_class(facts, class));
    let stores = surroundings.stores.known().into_iter().flatten();
    let stores = stores.filter_map(|store| secret_store(facts, store));
    classes.chain(stores).collect()
}

/// The fields of an object that point elsewhere: name, wanted, found.
type Fields<'a> = Vec<(&'static str, Option<&'a str>, Option<&'a str>)>;

fn provider_class(facts: &Facts, class: &ProviderClassFacts) -> Option<Finding> {
    let subject = format!("secretproviderclass/{}", class.name);
    let finding = |message: String| {
        Finding::new(
            FindingCode::SecretProviderClassDiffers,
            Verdict::Fail,
            &subject,
            message,
        )
    };
    if !class.exists {
        return Some(
            finding(format!(
                "the pods mount the SecretProviderClass {}, which does not exist, so they cannot start",
                class.name
            ))
            .fix("create it, or correct the volume's secretProviderClass"),
        );
    }
    if class.provider.as_deref() != Some("azure") {
        return None;
    }
    let mut wrong: Fields<'_> = Vec::new();
    let client = annotated_client(facts);
    if client.is_some() && !same(class.client_id.as_deref(), client) {
        wrong.push(("clientID", client, class.client_id.as_deref()));
    }
    if let Some(tenant) = tenant(facts)
        && !same(class.tenant_id.as_deref(), Some(tenant))
    {
        wrong.push(("tenantID", Some(tenant), class.tenant_id.as_deref()));
    }
    let mut finding = if wrong.is_empty() {
        let vault = class
            .vault
            .as_deref()
            .filter(|vault| is_elsewhere(facts, vault))?;
        let wanted = facts.secrets.first().map(SecretName::vault_name);
        wrong.push(("keyvaultName", wanted, Some(vault)));
        let mut other = finding(format!(
            "the SecretProviderClass {} reads another vault than the secrets that were named",
            class.name
        ));
        other.verdict = Verdict::Warn;
        other
    } else {
        finding(format!(
            "the SecretProviderClass {} that the pods mount points to another {}",
            class.name,
            names(wrong.iter().map(|(field, ..)| *field))
        ))
    };
    for (field, wanted, found) in wrong {
        finding = finding.compared(
            field,
            wanted,
            found,
            format!("{subject}, spec.parameters.{field}"),
        );
    }
    Some(finding.fix(format!(
        "kubectl {} edit {subject}  # spec.parameters, and the chart's values",
        place(facts)
    )))
}

fn secret_store(facts: &Facts, store: &StoreFacts) -> Option<Finding> {
    let finding = |verdict, message: String| {
        Finding::new(FindingCode::SecretStoreDiffers, verdict, &store.name, message)
    };
    let account = facts.account_facts();
    let annotated = account.and_then(|account: &AccountFacts| account.tenant_id.as_deref());
    let found = store.tenant_id.as_deref();
    let finding = if store.auth_type.as_deref() != Some("WorkloadIdentity") {
        finding(
            Verdict::Warn,
            format!(
                "{} names the service account and does not use workload identity",
                store.name
            ),
        )
        .compared(
            "authType",
            Some("WorkloadIdentity"),
            store.auth_type.as_deref(),
            &store.name,
        )
    } else if found.is_some() && annotated.is_some() {
        finding(
            Verdict::Fail,
            format!(
                "{} and the service account both name a tenant, which External Secrets refuses",
                store.name
            ),
        )
        .compared("tenantId", None, found, &store.name)
    } else if found.is_some() && tenant(facts).is_some() && !same(found, tenant(facts)) {
        finding(
            Verdict::Fail,
            format!("{} names another tenant than the identity's", store.name),
        )
        .compared("tenantId", tenant(facts), found, &store.name)
    } else {
        // A store may well serve other secrets than the ones that were named here.
        let url = store
            .vault_url
            .as_deref()
            .filter(|url| is_elsewhere(facts, vault_of(url)))?;
        let wanted = facts.secrets.first().map(SecretName::vault_name);
        finding(
            Verdict::Warn,
            format!(
                "{} reads another vault than the secrets that were named",
                store.name
            ),
        )
        .compared("vaultUrl", wanted, Some(url), &store.name)
    };
    Some(finding.fix(format!("kubectl {} edit {}", place(facts), store.name)))
}

/// Whether secrets were named and none of them is in this vault.
fn is_elsewhere(facts: &Facts, vault: &str) -> bool {
    let mut named = facts.secrets.iter().map(SecretName::vault_name);
    !facts.secrets.is_empty() && !named.any(|known| known.eq_ignore_ascii_case(vault))
}

/// The name of a vault in its address, `https://NAME.vault.azure.net`.
fn vault_of(url: &str) -> &str {
    let host = url.split_once("://").map_or(url, |(_, host)| host);
    host.split(['.', '/', ':']).next().unwrap_or_default()
}

/// The tenant of the identity, as Azure names it, else as pods would have it.
fn tenant(facts: &Facts) -> Option<&str> {
    facts
        .identity()
        .map(|identity| identity.tenant_id.as_str())
        .or_else(|| super::injection(facts)?.tenant_id.as_deref())
}

fn same(left: Option<&str>, right: Option<&str>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => left.eq_ignore_ascii_case(right),
        (left, right) => left == right,
    }
}
