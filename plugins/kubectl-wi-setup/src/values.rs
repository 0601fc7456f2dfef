//! Helm values from an outcome: what `-o values` prints and `--values-dir` writes. Pure.
//!
//! The shapes for the Secrets Store CSI driver and for External Secrets avoid what is often got wrong there; each says
//! where.

use crate::Outcome;
use aks_shared::labels;
use serde_json::{Map, Value, json};
use std::fmt;
use std::str::FromStr;

/// `KEY=FACT`: which fact becomes which value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    key: Path,
    fact: Path,
}

/// A path of names, written with dots; a dot inside a name is written `\.`, as `helm --set` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Path(Vec<String>);

/// A mapping cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ValuesError {
    /// It is no `KEY=FACT`.
    #[error("{given:?} must be KEY=FACT, e.g. 'azure.clientId=clientId'")]
    Mapping {
        /// The text.
        given: String,
    },
    /// There is no such fact.
    #[error("there is no fact {fact}; known: {known}")]
    NoFact {
        /// What was asked for.
        fact: String,
        /// What there is.
        known: String,
    },
    /// Two mappings contradict each other.
    #[error("{key} cannot be set: another mapping makes it, or what is above it, a plain value")]
    Clash {
        /// The key.
        key: String,
    },
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(|name| name.replace('.', "\\.")).collect();
        formatter.write_str(&names.join("."))
    }
}

impl FromStr for Path {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut names = vec![String::new()];
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            match (c, names.last_mut()) {
                ('\\', Some(name)) => name.push(characters.next().ok_or(())?),
                ('.', _) => names.push(String::new()),
                (c, Some(name)) => name.push(c),
                (_, None) => {}
            }
        }
        if names.iter().any(String::is_empty) {
            return Err(());
        }
        Ok(Self(names))
    }
}

impl FromStr for Mapping {
    type Err = ValuesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ValuesError::Mapping {
            given: text.to_owned(),
        };
        // No fact has a '=' in its name; a key may have one.
        let (key, fact) = text.rsplit_once('=').ok_or_else(error)?;
        Ok(Self {
            key: key.parse().map_err(|()| error())?,
            fact: fact.parse().map_err(|()| error())?,
        })
    }
}

/// The values for a chart: without mappings those of the chart that `helm create` makes.
pub(crate) fn values(outcome: &Outcome, cloud: &str, mappings: &[Mapping]) -> Result<Value, ValuesError> {
    let facts = facts(outcome, cloud);
    if mappings.is_empty() {
        return Ok(facts["chart"].clone());
    }
    let mut values = Value::Object(Map::new());
    for mapping in mappings {
        let fact = mapping
            .fact
            .0
            .iter()
            .try_fold(&facts, |facts, name| facts.get(name));
        let fact = fact.ok_or_else(|| ValuesError::NoFact {
            fact: mapping.fact.to_string(),
            known: names(&facts).join(", "),
        })?;
        set(&mut values, &mapping.key.0, fact.clone()).ok_or_else(|| ValuesError::Clash {
            key: mapping.key.to_string(),
        })?;
    }
    Ok(values)
}

/// Puts a value at a path; none when something else stands in the way.
fn set(values: &mut Value, path: &[String], value: Value) -> Option<()> {
    let (name, rest) = path.split_first()?;
    let members = values.as_object_mut()?;
    if rest.is_empty() {
        let is_free = !members.contains_key(name);
        members.insert(name.clone(), value);
        return is_free.then_some(());
    }
    let below = members.entry(name.clone()).or_insert_with(|| json!({}));
    set(below, rest, value)
}

/// Everything that a mapping can name: the outcome's document, and shapes made of it.
fn facts(outcome: &Outcome, cloud: &str) -> Value {
    let mut facts = serde_json::to_value(outcome).unwrap_or_default();
    let of_vaults = |shape: &dyn Fn(&str) -> Value| -> Map<String, Value> {
        let names = outcome.vaults.keys();
        names.map(|name| (name.clone(), shape(name))).collect()
    };
    facts["chart"] = chart(outcome);
    facts["secretProviderClass"] =
        Value::Object(of_vaults(&|vault| secret_provider_class(outcome, vault, cloud)));
    facts["secretStore"] = Value::Object(of_vaults(&|vault| secret_store(outcome, vault, cloud, false)));
    facts["clusterSecretStore"] =
        Value::Object(of_vaults(&|vault| secret_store(outcome, vault, cloud, true)));
    facts
}

/// Values by the names of the chart that `helm create` makes.
fn chart(outcome: &Outcome) -> Value {
    json!({
        "serviceAccount": {
            // An account that setup owns would make Helm refuse to install one of the same name.
            "create": outcome.chart_makes_account,
            "name": outcome.service_account,
            "annotations": {labels::CLIENT_ID_ANNOTATION: outcome.client_id},
        },
        // The webhook looks at the label of the pod; on the service account it does nothing.
        "podLabels": {labels::USE_LABEL: "true"},
    })
}

/// The parameters of a `SecretProviderClass`: every one a string, booleans too, or the driver cannot read them.
///
/// `clientID` switches workload identity on, with the service account of the pod that mounts; without it the driver
/// takes an identity of the machine. `tenantID` is the tenant of the vault
/// (<https://azure.github.io/secrets-store-csi-driver-provider-azure/docs/configurations/identity-access-modes/workload-identity-mode/>).
fn secret_provider_class(outcome: &Outcome, vault: &str, cloud: &str) -> Value {
    let mut objects = "array:\n".to_owned();
    for secret in outcome.secrets.iter().filter(|secret| secret.vault == vault) {
        objects.push_str("  - |\n    objectName: ");
        objects.push_str(&secret.name);
        objects.push_str("\n    objectType: secret\n");
    }
    let known = &outcome.vaults[vault];
    let mut parameters = json!({
        "usePodIdentity": "false",
        "useVMManagedIdentity": "false",
        "clientID": outcome.client_id,
        "keyvaultName": known.name,
        "tenantID": known.tenant_id,
        "objects": objects,
    });
    if cloud != "AzurePublicCloud" {
        parameters["cloudName"] = json!(cloud);
    }
    parameters
}

/// The `azurekv` provider of a `SecretStore` or `ClusterSecretStore`.
///
/// External Secrets takes the tenant from the account's annotation or from the store and refuses both at once; without
/// `serviceAccountRef` it would take its own identity for every store
/// (<https://external-secrets.io/latest/provider/azure-key-vault/>).
fn secret_store(outcome: &Outcome, vault: &str, cloud: &str, for_all_namespaces: bool) -> Value {
    let known = &outcome.vaults[vault];
    let mut account = json!({"name": outcome.service_account});
    if for_all_namespaces {
        account["namespace"] = json!(outcome.namespace);
    }
    let mut provider = json!({
        "authType": "WorkloadIdentity",
        "vaultUrl": known.uri,
        "serviceAccountRef": account,
    });
    if !outcome.tenant_annotated {
        provider["tenantId"] = json!(outcome.tenant_id);
    }
    let environment = match cloud {
        "AzureUSGovernmentCloud" => Some("USGovernmentCloud"),
        "AzureChinaCloud" => Some("ChinaCloud"),
        // The public one is its default, and one of one's own needs more than a name.
        _ => None,
    };
    if let Some(environment) = environment {
        provider["environmentType"] = json!(environment);
    }
    provider
}

/// The facts to choose from, one level deep where that is enough to go on.
fn names(facts: &Value) -> Vec<String> {
    let members = facts.as_object().into_iter().flatten();
    members
        .flat_map(|(name, fact)| match fact {
            Value::Object(below) => below
                .keys()
                .map(|key| Path(vec![name.clone(), key.clone()]).to_string())
                .collect(),
            Value::Array(_) => Vec::new(),
            _ => vec![name.clone()],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::plan;
    use crate::plan::tests::{everything, workload};
    use pretty_assertions::assert_eq;

    fn outcome() -> Outcome {
        let plan = plan(&workload(), &everything());
        Outcome::of(&plan, "client".into(), "principal".into(), Vec::new())
    }

    fn mapped(cloud: &str, mappings: &[&str]) -> Result<Value, ValuesError> {
        let mappings: Vec<Mapping> = mappings.iter().map(|text| text.parse().unwrap()).collect();
        values(&outcome(), cloud, &mappings)
    }

    #[test]
    fn without_a_map_the_values_are_those_of_the_usual_chart() {
        assert_eq!(
            mapped("AzurePublicCloud", &[]).unwrap(),
            json!({
                "serviceAccount": {"create": false, "name": "orders",
                    "annotations": {"azure.workload.identity/client-id": "client"}},
                "podLabels": {"azure.workload.identity/use": "true"},
            })
        );
    }

    #[test]
    fn a_map_chooses_keys_and_facts() {
        let values = mapped(
            "AzurePublicCloud",
            &[
                r"sa.annotations.azure\.workload\.identity/client-id=clientId",
                "sa.name=serviceAccount",
                "keyVault.url=vaults.kv-central.uri",
            ],
        );
        assert_eq!(
            values.unwrap(),
            json!({
                "sa": {"annotations": {"azure.workload.identity/client-id": "client"}, "name": "orders"},
                "keyVault": {"url": "https://kv-central.vault.azure.net/"},
            })
        );
    }

    #[test]
    fn a_map_that_makes_no_sense_is_refused() {
        for text in ["clientId", "=clientId", "a.=clientId", "a=", r"a\=b"] {
            assert!(text.parse::<Mapping>().is_err(), "{text}");
        }
        let unknown = mapped("AzurePublicCloud", &["a=clientID"])
            .unwrap_err()
            .to_string();
        assert!(
            unknown.contains("clientId") && unknown.contains("vaults.kv-central"),
            "{unknown}"
        );
        for clash in [
            ["a=clientId", "a.b=tenantId"],
            ["a.b=clientId", "a=tenantId"],
            ["a=clientId", "a=tenantId"],
        ] {
            assert!(
                matches!(mapped("AzurePublicCloud", &clash), Err(ValuesError::Clash { .. })),
                "{clash:?}"
            );
        }
    }

    #[test]
    fn a_secret_provider_class_has_strings_only() {
        let values = mapped("AzurePublicCloud", &["csi=secretProviderClass.kv-central"]).unwrap();
        let csi = values["csi"].as_object().unwrap();
        assert!(csi.values().all(Value::is_string), "{csi:?}");
        assert_eq!(csi["clientID"], "client");
        assert_eq!(
            csi["objects"],
            "array:\n  - |\n    objectName: db-password\n    objectType: secret\n"
        );
        let abroad = mapped("AzureUSGovernmentCloud", &["csi=secretProviderClass.kv-central"]).unwrap();
        assert_eq!(abroad["csi"]["cloudName"], "AzureUSGovernmentCloud");
    }

    #[test]
    fn a_secret_store_names_the_tenant_in_one_place_only() {
        let store = |outcome: &Outcome, fact: &str| {
            let mapping = format!("s={fact}").parse().unwrap();
            values(outcome, "AzureChinaCloud", &[mapping]).unwrap()["s"].clone()
        };
        let mut outcome = outcome();
        let named = store(&outcome, "secretStore.kv-central");
        assert_eq!(
            (&named["tenantId"], &named["environmentType"]),
            (&json!("t"), &json!("ChinaCloud"))
        );
        assert_eq!(named["serviceAccountRef"], json!({"name": "orders"}));
        outcome.tenant_annotated = true;
        let annotated = store(&outcome, "clusterSecretStore.kv-central");
        assert_eq!(annotated.get("tenantId"), None);
        assert_eq!(
            annotated["serviceAccountRef"],
            json!({"name": "orders", "namespace": "shop"})
        );
    }
}
