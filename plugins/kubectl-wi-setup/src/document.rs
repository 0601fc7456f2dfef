//! The documents that programs read: a plan, an outcome, a failure, or a list of them.

use crate::run::Told;
use aks_shared::ExitStatus;
use aks_shared::azure::Principal;
use aks_shared::failure::API_VERSION;
use serde_json::{Map, Value, json};

/// One document for all clusters: the only one's own, or a list.
pub(crate) fn of_run(kind: &str, principal: &Principal, status: ExitStatus, told: &[Told]) -> Value {
    let mut document = match told {
        [only] => with_content(headed(kind, status), only),
        several => {
            let items: Vec<Value> = several
                .iter()
                .map(|one| Value::Object(with_content(headed(kind, one.status), one)))
                .collect();
            let mut list = headed(&format!("{kind}List"), status);
            list.insert("items".to_owned(), Value::Array(items));
            list
        }
    };
    document.insert("principal".to_owned(), json!(principal));
    Value::Object(document)
}

fn headed(kind: &str, status: ExitStatus) -> Map<String, Value> {
    let mut document = Map::new();
    document.insert("apiVersion".to_owned(), json!(API_VERSION));
    document.insert("kind".to_owned(), json!(kind));
    document.insert("exitCode".to_owned(), json!(status.code()));
    document.insert("exitName".to_owned(), json!(status.name()));
    document
}

fn with_content(mut document: Map<String, Value>, told: &Told) -> Map<String, Value> {
    document.insert("context".to_owned(), json!(told.unit.context));
    document.insert("namespace".to_owned(), json!(told.unit.account.namespace));
    document.insert("serviceAccount".to_owned(), json!(told.unit.account.name));
    if let Value::Object(content) = &told.content {
        document.extend(content.clone());
    }
    if let Some(failure) = &told.failure {
        let error = json!({"message": failure.message, "causes": failure.causes, "hints": failure.hints});
        document.insert("error".to_owned(), error);
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::Unit;
    use aks_shared::Failure;
    use aks_shared::identity::ServiceAccountRef;

    fn principal() -> Principal {
        Principal {
            method: "azure-cli".into(),
            tenant: "t".into(),
            object_id: None,
            name: None,
        }
    }

    fn told(context: &str, failure: Option<Failure>) -> Told {
        let status = failure.as_ref().map_or(ExitStatus::Ok, |failure| failure.status);
        Told {
            unit: Unit {
                label: context.to_owned(),
                context: context.to_owned(),
                account: ServiceAccountRef::new("shop", "orders").unwrap(),
            },
            status,
            content: json!({"clientId": "c"}),
            failure,
        }
    }

    #[test]
    fn one_cluster_is_no_list() {
        let document = of_run(
            "WorkloadIdentity",
            &principal(),
            ExitStatus::Ok,
            &[told("a", None)],
        );
        assert_eq!(
            (&document["kind"], &document["clientId"]),
            (&json!("WorkloadIdentity"), &json!("c"))
        );
        assert_eq!(document["exitName"], "ok");
    }

    #[test]
    fn every_item_has_its_own_code() {
        let failed = told("b", Some(Failure::refused("no")));
        let document = of_run(
            "WorkloadIdentity",
            &principal(),
            ExitStatus::Refused,
            &[told("a", None), failed],
        );
        assert_eq!(document["kind"], "WorkloadIdentityList");
        assert_eq!(document["items"][0]["exitCode"], 0);
        assert_eq!(document["items"][1]["exitCode"], 8);
        assert_eq!(document["items"][1]["error"]["message"], "no");
    }
}
