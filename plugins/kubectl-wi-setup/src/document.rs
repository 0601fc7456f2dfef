//! The documents that programs read: a plan, an outcome, a failure, or a list of them.

use crate::run::Told;
use aks_shared::ExitStatus;
use aks_shared::azure::Principal;
use aks_shared::failure::API_VERSION;
use serde_json::{Value, json};

/// One document for all clusters: the only one's own, or a list.
pub(crate) fn of_run(kind: &str, principal: &Principal, status: ExitStatus, told: &[Told]) -> Value {
    let mut document = match told {
        [only] => status.document(API_VERSION, kind, content(only)),
        several => {
            let items = several
                .iter()
                .map(|one| one.status.document(API_VERSION, kind, content(one)));
            let items: Vec<Value> = items.collect();
            status.document(API_VERSION, &format!("{kind}List"), json!({"items": items}))
        }
    };
    document["principal"] = json!(principal);
    document
}

/// What the document says of one cluster.
fn content(told: &Told) -> Value {
    let mut content = json!({
        "context": told.unit.context,
        "namespace": told.unit.account.namespace,
        "serviceAccount": told.unit.account.name,
    });
    if let (Value::Object(content), Value::Object(more)) = (&mut content, &told.content) {
        content.extend(more.clone());
    }
    if let Some(failure) = &told.failure {
        content["error"] =
            json!({"message": failure.message, "causes": failure.causes, "hints": failure.hints});
    }
    content
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
