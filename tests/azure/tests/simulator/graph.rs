//! Resource Graph.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{CLIENT, OPERATOR, READER, Setup};

async fn ask(setup: &Setup, client: &str, body: Value) -> crate::support::Answer {
    setup
        .arm_as(
            client,
            Method::POST,
            "providers/Microsoft.ResourceGraph/resources",
            Some(&body),
        )
        .await
}

const BY_HOST: &str = "Resources | where type =~ 'Microsoft.ContainerService/managedClusters' \
                       | where properties.fqdn =~ '198.18.1.1' or properties.privateFQDN =~ '198.18.1.1' \
                       | project id, location, tenantId";

#[tokio::test]
async fn a_cluster_is_found_by_its_host() {
    let setup = Setup::new();
    let answer = ask(&setup, OPERATOR, json!({"query": BY_HOST})).await;
    assert_eq!((answer.status, &answer.body["totalRecords"]), (200, &json!(1)));
    let row = answer.body["data"][0].as_object().unwrap();
    assert_eq!(
        row.keys().map(String::as_str).collect::<Vec<_>>(),
        ["id", "location", "tenantId"]
    );
    assert_eq!(row["tenantId"], setup.tenant.as_str());
    assert!(!answer.header("x-ms-user-quota-remaining").is_empty());
    let elsewhere = json!({"query": BY_HOST, "subscriptions": ["99999999-9999-4999-8999-999999999999"]});
    assert_eq!(ask(&setup, OPERATOR, elsewhere).await.body["data"], json!([]));
}

#[tokio::test]
async fn rows_are_those_that_one_may_read() {
    let setup = Setup::with(|seed| {
        seed.role_assignments
            .retain(|assignment| assignment.principal != "reader");
    });
    let answer = ask(&setup, READER, json!({"query": BY_HOST})).await;
    assert_eq!((answer.status, &answer.body["data"]), (200, &json!([])));
}

#[tokio::test]
async fn identities_are_found_by_client_id_and_pages_go_on() {
    let setup = Setup::new();
    let query = format!(
        "resources | where type =~ 'microsoft.managedidentity/userassignedidentities' and properties.clientId == \
         '{CLIENT}' | project name"
    );
    assert_eq!(
        ask(&setup, OPERATOR, json!({"query": query})).await.body["data"],
        json!([{"name": "id-orders"}])
    );
    let query = "Resources | project name | order by name asc";
    let first = ask(&setup, OPERATOR, json!({"query": query, "options": {"$top": 2}}))
        .await
        .body;
    assert_eq!(
        first["data"],
        json!([{"name": "aks-weu-1"}, {"name": "id-orders"}])
    );
    let options = json!({"$top": 2, "$skipToken": first["$skipToken"]});
    let second = ask(&setup, OPERATOR, json!({"query": query, "options": options}))
        .await
        .body;
    assert_eq!(
        (&second["data"], second.get("$skipToken")),
        (&json!([{"name": "kv-central"}]), None)
    );
}

#[tokio::test]
async fn what_is_not_understood_is_refused() {
    let setup = Setup::new();
    let answer = ask(&setup, OPERATOR, json!({"query": "Resources | distinct type"})).await;
    assert_eq!((answer.status, answer.code()), (400, "BadRequest"));
    assert!(answer.message().contains("'distinct'"), "{answer:?}");
}
