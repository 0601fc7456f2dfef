//! What a policy, or another webhook, does to the pods besides the webhook.

use crate::case::{CONTEXT, Case, ELSEWHERE, Mend, POD, Row, fails};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// Gives each container the file of a token that somebody stored.
const STORED: &str = "Object{spec: Object.spec{
    volumes: [Object.spec.volumes{name: 'stored', secret: Object.spec.volumes.secret{secretName: 'stored'}}],
    containers: object.spec.containers.map(c, Object.spec.containers{
        name: c.name,
        env: [Object.spec.containers.env{name: 'AZURE_FEDERATED_TOKEN_FILE', value: '/stored/token'}],
        volumeMounts: [Object.spec.containers.volumeMounts{name: 'stored', mountPath: '/stored'}]})}}";

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            then: &[("exchange-refused", "fail"), ("secret-not-tried", "skipped")],
            ..fails(
                // What a team once set for all pods wins over the webhook.
                |case| {
                    case.add_policy(&format!(
                        "Object{{spec: Object.spec{{containers: object.spec.containers.map(c, Object.spec.containers{{
                            name: c.name,
                            env: [Object.spec.containers.env{{name: 'AZURE_CLIENT_ID', value: '{ELSEWHERE}'}}]}})}}}}"
                    ));
                },
                "injection-incomplete",
                "sets AZURE_CLIENT_ID in pods",
                Mend::Undo(Case::remove_policy),
            )
        },
        Row {
            flags: POD,
            then: &[
                ("token-expired", "fail"),
                ("exchange-refused", "fail"),
                ("secret-not-tried", "skipped"),
            ],
            ..fails(
                |case| {
                    case.store_old_token();
                    case.add_policy(STORED);
                },
                "injection-incomplete",
                "sets AZURE_FEDERATED_TOKEN_FILE in pods",
                Mend::Undo(Case::remove_policy),
            )
        },
        Row {
            flags: POD,
            then: &[("exchange-refused", "fail"), ("secret-not-tried", "skipped")],
            ..fails(
                // As a webhook with side effects does, it leaves dry runs alone.
                |case| {
                    case.store_old_token();
                    case.add_policy(&format!(
                        "has(request.dryRun) && request.dryRun ? Object{{}} : {STORED}"
                    ));
                },
                "token-expired",
                "sets AZURE_FEDERATED_TOKEN_FILE in pods",
                Mend::Undo(Case::remove_policy),
            )
        },
    ]
}

impl Case {
    /// Lets a policy change the pods of the namespace; returns when it does.
    fn add_policy(&self, change: &str) {
        let name = &self.namespace;
        let mark = format!("Object{{metadata: Object.metadata{{labels: {{'{MARK}': 'true'}}}}}}");
        let mutations = [mark.as_str(), change].map(|expression| {
            json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}})
        });
        let api = "admissionregistration.k8s.io/v1beta1";
        self.apply(&json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": api, "kind": "MutatingAdmissionPolicy", "metadata": {"name": name}, "spec": {
                "failurePolicy": "Fail", "reinvocationPolicy": "Never", "mutations": mutations,
                "matchConstraints": {"resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]}}},
            {"apiVersion": api, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": {
                "policyName": name,
                "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}}},
        ]}));
        e2e::until("the policy's change of pods", || self.is_marked());
    }

    /// Takes the policy away; returns when pods stay as they are.
    pub(crate) fn remove_policy(&self) {
        let name = &self.namespace;
        self.kubectl(&format!(
            "delete mutatingadmissionpolicies/{name} mutatingadmissionpolicybindings/{name}"
        ));
        e2e::until("the policy's end", || !self.is_marked());
    }

    fn is_marked(&self) -> bool {
        self.admitted()["metadata"]["labels"][MARK] == "true"
    }

    /// Stores a token of the account that ended an hour ago, signed as the cluster signs.
    fn store_old_token(&self) {
        let fresh = self.kubectl("create token orders --audience api://AzureADTokenExchange");
        let header = jsonwebtoken::decode_header(fresh.trim()).expect("a token has a header");
        let key = self
            .world
            .state()
            .join(format!("clusters/{CONTEXT}/service-accounts.key"));
        let key = std::fs::read(key).expect("the sandbox keeps its clusters' keys");
        let key = EncodingKey::from_rsa_pem(&key).expect("it is an RSA key");
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("the clock is set")
            .as_secs();
        let claims = json!({
            "iss": self.credential["properties"]["issuer"],
            "sub": self.credential["properties"]["subject"],
            "aud": self.credential["properties"]["audiences"],
            "iat": now - 7200, "nbf": now - 7200, "exp": now - 3600,
        });
        let header = Header {
            kid: header.kid,
            ..Header::new(Algorithm::RS256)
        };
        let token = jsonwebtoken::encode(&header, &claims, &key).expect("it can be signed");
        let secret: Value = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "stored"},
            "stringData": {"token": token}});
        self.apply(&secret);
    }
}

/// The label by which a change of the policy is seen.
const MARK: &str = "e2e/policy";
