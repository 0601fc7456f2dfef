//! The simulated Azure's documents as text for people.

use serde_json::Value;

use crate::output;

/// Everything that exists, one table per kind.
pub(super) fn state(document: &Value) -> String {
    let section = |title: &str, head: &[&str], rows: Vec<Vec<String>>| {
        let head = head.iter().map(ToString::to_string).collect();
        let table = [vec![head], rows].concat();
        let table = if table.len() == 1 {
            "none\n".to_owned()
        } else {
            output::table(&table)
        };
        format!("{title}\n{table}")
    };
    let list = |key: &str| document[key].as_array().cloned().unwrap_or_default();
    let clusters = list("clusters")
        .iter()
        .map(|cluster| {
            let workload_identity = &cluster["securityProfile"]["workloadIdentity"]["enabled"];
            vec![
                text(&cluster["name"]),
                text(&cluster["location"]),
                if cluster["oidcIssuerProfile"]["enabled"] == true {
                    text(&cluster["issuerUrl"])
                } else {
                    "off".to_owned()
                },
                text(workload_identity),
            ]
        })
        .collect();
    let identities = list("identities");
    let credentials = identities.iter().flat_map(|identity| {
        let credentials = identity["federatedCredentials"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let name = text(&identity["name"]);
        credentials.into_iter().map(move |credential| {
            let field = |key| text(&credential[key]);
            vec![
                name.clone(),
                field("name"),
                field("issuer"),
                field("subject"),
                text(&credential["audiences"][0]),
            ]
        })
    });
    let credentials = credentials.collect();
    let identities = identities
        .iter()
        .map(|identity| {
            ["name", "clientId", "principalId"]
                .map(|key| text(&identity[key]))
                .to_vec()
        })
        .collect();
    let grants = list("roleAssignments")
        .iter()
        .map(|grant| {
            vec![
                text(&grant["principal"]),
                text(&grant["role"]),
                short(&text(&grant["scope"])).to_owned(),
            ]
        })
        .collect();
    let vaults = list("vaults")
        .iter()
        .map(|vault| {
            let secrets = vault["secrets"].as_array().cloned().unwrap_or_default();
            let secrets: Vec<String> = secrets.iter().map(|secret| text(&secret["name"])).collect();
            let model = if vault["enableRbacAuthorization"] == true {
                "roles"
            } else {
                "access policies"
            };
            vec![
                text(&vault["name"]),
                text(&vault["vaultUri"]),
                model.to_owned(),
                secrets.join(", "),
            ]
        })
        .collect();
    [
        section(
            "CLUSTERS",
            &["NAME", "REGION", "ISSUER", "WORKLOAD IDENTITY"],
            clusters,
        ),
        section(
            "MANAGED IDENTITIES",
            &["NAME", "CLIENT ID", "PRINCIPAL ID"],
            identities,
        ),
        section(
            "FEDERATED CREDENTIALS",
            &["IDENTITY", "NAME", "ISSUER", "SUBJECT", "AUDIENCE"],
            credentials,
        ),
        section("GRANTS", &["PRINCIPAL", "ROLE", "SCOPE"], grants),
        section("VAULTS", &["NAME", "URI", "ACCESS BY", "SECRETS"], vaults),
    ]
    .join("\n")
}

/// Every request, one line each.
pub(super) fn log(document: &Value) -> String {
    let mut rows = vec![
        ["TIME", "SERVICE", "METHOD", "STATUS", "CODE", "PEER", "PATH"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for entry in document.as_array().cloned().unwrap_or_default() {
        let time = text(&entry["time"]);
        let time = time
            .split('T')
            .nth(1)
            .unwrap_or(&time)
            .trim_end_matches('Z')
            .to_owned();
        let field = |key| text(&entry[key]);
        let path = field("path");
        rows.push(vec![
            time,
            field("service"),
            field("method"),
            field("status"),
            field("code"),
            field("peer"),
            short(&path).to_owned(),
        ]);
    }
    output::table(&rows)
}

/// Without the subscription, which is the same everywhere, unless there is nothing else.
fn short(id: &str) -> &str {
    let Some(rest) = id.strip_prefix("/subscriptions/") else {
        return id;
    };
    rest.find('/').map_or(id, |end| &rest[end..])
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn credentials_stand_beside_their_identity() {
        let credential = json!({"name": "c", "issuer": "https://i/", "subject": "s", "audiences": ["a"]});
        let document = json!({"identities": [{"name": "id-1", "federatedCredentials": [credential]}]});
        let text = state(&document);
        assert!(
            text.contains("id-1       c      https://i/   s         a\n"),
            "{text}"
        );
        assert!(text.contains("VAULTS\nnone\n"), "{text}");
    }

    #[test]
    fn only_the_subscription_is_cut() {
        assert_eq!(short("/subscriptions/x/resourceGroups/y"), "/resourceGroups/y");
        assert_eq!(short("/subscriptions/x"), "/subscriptions/x");
        assert_eq!(short("/t/oauth2"), "/t/oauth2");
    }
}
