//! What somebody may not see: it is unknown, with the right that is missing, and all else is told.

use crate::case::{CONTEXT, Case, Mend, Row, fails};
use e2e::azure::issuer;
use e2e::user::{allow, kubeconfig_of};
use serde_json::{Value, json};

const LOOK: &str = "--service-account orders --from local --kubeconfig LIMITED";
const RUN: &str = "--service-account orders --from pod --kubeconfig LIMITED";
const PRIVILEGES: &str = "--service-account orders --from local --least-privilege --kubeconfig LIMITED";

#[test]
fn what_may_not_be_seen_is_unknown_and_named() {
    let case = Case::new("rights");
    let _ = kubeconfig_of(&case.world, &case.namespace);
    case.allow_all();
    for row in rows() {
        case.try_it(&row);
    }
}

pub(crate) fn rows() -> Vec<Row> {
    let unknown = |flags, breaking, code, fix, mend| Row {
        flags,
        verdict: "unknown",
        ..fails(breaking, code, fix, mend)
    };
    let all = || Mend::Undo(Case::allow_all);
    vec![
        unknown(
            LOOK,
            |case| case.allow_but("serviceaccounts"),
            "account-unknown",
            "right to get service accounts",
            all(),
        ),
        unknown(
            LOOK,
            |case| case.allow_but("pods"),
            "pods-unknown",
            "right to list pods",
            all(),
        ),
        unknown(
            LOOK,
            Case::allow_only_to_list_pods,
            "injection-unknown",
            "right to create pods",
            all(),
        ),
        Row {
            // Neither the documents of the issuer nor a token.
            then: &[("issuer-unknown", "unknown"), ("secret-not-tried", "skipped")],
            verdict: "fail",
            ..unknown(
                LOOK,
                |case| case.allow_but("serviceaccounts/token"),
                "probe-failed",
                "--from pod",
                all(),
            )
        },
        Row {
            then: &[("exchange-ok", "pass"), ("secret-ok", "pass")],
            verdict: "warn",
            ..unknown(
                RUN,
                |case| case.allow_but("jobs"),
                "probe-pod-unavailable",
                "right to create jobs",
                all(),
            )
        },
        unknown(
            PRIVILEGES,
            Case::allow_tokens_of_the_account_alone,
            "other-account-unknown",
            "right to create tokens",
            all(),
        ),
        unknown(
            LOOK,
            |case| {
                let elsewhere = "issuerUrl=https://westeurope.oic.prod-aks.azure.com/of/another/";
                case.azure(&["set", "cluster/aks-weu-1", "fqdn=of.another.example", elsewhere]);
            },
            "cluster-unknown",
            "--subscription",
            Mend::Undo(|case| {
                let issuer = issuer(&case.world, CONTEXT);
                let host = issuer.trim_start_matches("https://").trim_end_matches('/');
                let (fqdn, issuer) = (format!("fqdn={host}"), format!("issuerUrl={issuer}"));
                case.azure(&["set", "cluster/aks-weu-1", &fqdn, &issuer]);
            }),
        ),
        unknown(
            LOOK,
            |case| case.close(&["ResourceGraph", "userAssignedIdentities"], "/"),
            "identity-unknown",
            "Reader where the identity lives",
            Mend::Undo(Case::calm),
        ),
        unknown(
            LOOK,
            |case| case.close(&["federatedIdentityCredentials"], &case.namespace),
            "credentials-unknown",
            "Reader on the identity",
            Mend::Undo(Case::calm),
        ),
    ]
}

/// What a verification asks of a namespace, besides the discovery of the issuer.
const ASKED: [(&str, &str, &[&str]); 5] = [
    ("", "serviceaccounts", &["get"]),
    ("", "serviceaccounts/token", &["create"]),
    ("", "pods", &["create", "list", "get", "watch"]),
    ("", "pods/log", &["get"]),
    ("batch", "jobs", &["create", "get", "delete", "watch"]),
];

fn rule((group, resource, verbs): (&str, &str, &[&str])) -> Value {
    json!({"apiGroups": [group], "resources": [resource], "verbs": verbs})
}

impl Case {
    /// Lets the resource manager refuse to read what has one of these in its path.
    fn close(&self, paths: &[&str], over: &str) {
        let refused = paths.iter().map(
            |path| json!({"service": "arm", "path": path, "status": 403, "code": "AuthorizationFailed"}),
        );
        let weather = json!({"faults": refused.collect::<Vec<_>>()});
        self.azure(&[
            "fault",
            &weather.to_string(),
            "--over",
            over,
            "--as",
            &self.namespace,
        ]);
    }

    fn allow(&self, rules: &[Value]) {
        allow(
            &self.world,
            CONTEXT,
            &self.namespace,
            &self.namespace,
            "Role",
            &json!(rules),
        );
    }

    fn allow_all(&self) {
        self.allow_but("");
    }

    /// Gives somebody every right that a verification uses but those to one kind of resource.
    fn allow_but(&self, resource: &str) {
        let rules = ASKED.iter().filter(|(_, name, _)| *name != resource);
        self.allow(&rules.map(|asked| rule(*asked)).collect::<Vec<_>>());
    }

    fn allow_only_to_list_pods(&self) {
        let rules = ASKED.iter().map(|(group, name, verbs)| match *name {
            "pods" => rule((group, name, &["list"])),
            _ => rule((group, name, verbs)),
        });
        self.allow(&rules.collect::<Vec<_>>());
    }

    fn allow_tokens_of_the_account_alone(&self) {
        let rules = ASKED.iter().map(|asked| {
            let mut rule = rule(*asked);
            if asked.1 == "serviceaccounts/token" {
                rule["resourceNames"] = json!(["orders"]);
            }
            rule
        });
        self.allow(&rules.collect::<Vec<_>>());
    }
}
