//! Federated credentials of a managed identity.

use super::identities::API_VERSION;
use super::pace::Budget;
use super::request::parse;
use super::{Arm, ArmError, ArmRequest, ArmResponse, retry};
use crate::azure::ArmId;
use crate::identity::{Audience, Issuer, Subject, Trust};
use backon::{BackoffBuilder, ConstantBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// How many federated credentials one identity may have
/// (workload-identity-federation-considerations).
pub const FEDERATED_CREDENTIAL_LIMIT: usize = 20;

const TYPE: &str = "federatedIdentityCredentials";

/// The code of a write that met another one under the same identity.
const CONCURRENT: &str = "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity";

/// A federated credential: which tokens an identity trusts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FederatedCredential {
    /// Its name, unique under the identity.
    pub name: String,
    /// Who signs the token.
    pub issuer: Issuer,
    /// Whom the token is about.
    pub subject: Subject,
    /// Whom the token is for; Azure allows exactly one.
    pub audiences: Vec<Audience>,
    /// What a flexible credential has in place of a subject: an expression over the token's claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
}

impl FederatedCredential {
    /// Whether it trusts exactly these tokens; Entra compares byte for byte.
    pub fn trusts(&self, trust: &Trust) -> bool {
        self.issuer == trust.issuer
            && self.subject == trust.subject
            && self.audiences.as_slice() == std::slice::from_ref(&trust.audience)
    }
}

#[derive(Deserialize)]
struct Body {
    name: String,
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    // Flexible credentials have an expression in place of a subject; stable versions of the API leave both out.
    #[serde(default)]
    issuer: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default)]
    claims_matching_expression: Option<Expression>,
}

#[derive(Deserialize)]
struct Expression {
    value: String,
}

fn read(value: Value) -> Result<FederatedCredential, ArmError> {
    let body: Body = parse(value, "federated credential")?;
    Ok(FederatedCredential {
        name: body.name,
        issuer: Issuer(body.properties.issuer),
        subject: Subject(body.properties.subject),
        audiences: body.properties.audiences.into_iter().map(Audience).collect(),
        expression: body
            .properties
            .claims_matching_expression
            .map(|expression| expression.value),
    })
}

impl Arm {
    /// The federated credentials of an identity; none when the identity does not exist.
    pub async fn federated_credentials(
        &self,
        identity: &ArmId,
    ) -> Result<Vec<FederatedCredential>, ArmError> {
        let path = format!("{identity}/{TYPE}");
        self.0.pace.place(Budget::Lists, identity).await;
        match self.list(ArmRequest::get(path, API_VERSION)).await {
            Ok(values) => values.into_iter().map(read).collect(),
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Creates a federated credential or replaces its content; answers the request id.
    ///
    /// Writes under one identity are serial and paced here. A write that meets somebody else's, and an identity
    /// that is too new to be found, are tried again.
    pub async fn put_federated_credential(
        &self,
        identity: &ArmId,
        name: &str,
        trust: &Trust,
    ) -> Result<Option<String>, ArmError> {
        let body = json!({"properties": {
            "issuer": trust.issuer, "subject": trust.subject, "audiences": [trust.audience],
        }});
        let request = ArmRequest::put(format!("{identity}/{TYPE}/{name}"), API_VERSION, body);
        let answer = self.in_turn(identity, &request).await?;
        Ok(answer.request_id)
    }

    /// Deletes a federated credential; one that is gone is as good. Answers the request id. Paced like a write.
    pub async fn delete_federated_credential(
        &self,
        identity: &ArmId,
        name: &str,
    ) -> Result<Option<String>, ArmError> {
        let request = ArmRequest::delete(format!("{identity}/{TYPE}/{name}"), API_VERSION);
        match self.in_turn(identity, &request).await {
            Ok(answer) => Ok(answer.request_id),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a write below an identity when it is its turn.
    async fn in_turn(&self, identity: &ArmId, request: &ArmRequest) -> Result<ArmResponse, ArmError> {
        let _turn = tokio::select! {
            turn = self.0.pace.turn(identity) => turn,
            () = self.1.cancelled() => return Err(ArmError::Stopped { source: None }),
        };
        let is_delete = request.is_delete();
        let pauses = ConstantBuilder::default()
            .with_delay(Duration::from_secs(5))
            .with_max_times(12)
            .with_jitter()
            .build();
        let again = |error: &ArmError| is_concurrent(error) || (!is_delete && is_too_new(error));
        let answer = retry::until(&self.1, pauses, again, || self.send(request)).await;
        self.0.pace.wrote(identity);
        answer
    }
}

/// A write that another one under the same identity got in the way of.
fn is_concurrent(error: &ArmError) -> bool {
    error.code() == Some(CONCURRENT)
}

/// A fresh identity is not yet known to the service that keeps its credentials.
fn is_too_new(error: &ArmError) -> bool {
    error.is_not_found() && error.code() == Some("ParentResourceNotFound")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_is_compared_byte_for_byte() {
        let credential = read(json!({"name": "n", "properties": {
            "issuer": "https://i/", "subject": "system:serviceaccount:a:b", "audiences": ["aud"]}}))
        .unwrap();
        let trust = Trust {
            issuer: "https://i/".into(),
            subject: "system:serviceaccount:a:b".into(),
            audience: "aud".into(),
        };
        assert!(credential.trusts(&trust));
        for other in [
            Trust {
                issuer: "https://i".into(),
                ..trust.clone()
            },
            Trust {
                subject: "system:serviceaccount:A:b".into(),
                ..trust.clone()
            },
            Trust {
                audience: "AUD".into(),
                ..trust.clone()
            },
        ] {
            assert!(!credential.trusts(&other), "{other:?}");
        }
    }

    #[test]
    fn a_flexible_credential_trusts_nothing_of_ours() {
        let credential = read(
            json!({"name": "n", "properties": {"issuer": "https://i/", "audiences": ["aud"],
            "claimsMatchingExpression": {"value": "claims['sub'] matches '*'", "languageVersion": 1}}}),
        )
        .unwrap();
        assert_eq!(credential.subject.as_str(), "");
        assert_eq!(
            credential.expression.as_deref(),
            Some("claims['sub'] matches '*'")
        );
    }
}
