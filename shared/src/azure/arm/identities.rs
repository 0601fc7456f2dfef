//! User-assigned managed identities.

use super::pace::Budget;
use super::request::parse;
use super::{Arm, ArmError, ArmRequest, ArmResponse};
use crate::azure::ArmId;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Also the version of the credentials below an identity.
pub(super) const API_VERSION: &str = "2024-11-30";
const TYPE: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";

/// A user-assigned managed identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedIdentity {
    /// Its ARM id.
    pub id: ArmId,
    /// Its region.
    pub location: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Application id: what a service account is annotated with.
    pub client_id: String,
    /// Object id: what roles are assigned to.
    pub principal_id: String,
    /// Its tenant.
    pub tenant_id: String,
}

#[derive(Deserialize)]
struct Body {
    id: ArmId,
    #[serde(default)]
    location: String,
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
    properties: Properties,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(rename = "clientId")]
    client: String,
    #[serde(rename = "principalId")]
    principal: String,
    #[serde(rename = "tenantId")]
    tenant: String,
}

fn read(value: Value) -> Result<ManagedIdentity, ArmError> {
    let body: Body = parse(value, "managed identity")?;
    Ok(ManagedIdentity {
        id: body.id,
        location: body.location,
        tags: body.tags.unwrap_or_default(),
        client_id: body.properties.client,
        principal_id: body.properties.principal,
        tenant_id: body.properties.tenant,
    })
}

impl ManagedIdentity {
    /// The id of an identity in a resource group.
    pub fn id_of(subscription: &str, group: &str, name: &str) -> Result<ArmId, crate::azure::ArmIdError> {
        ArmId::resource(subscription, group, TYPE, name)
    }

    /// Whether an application id or an object id is this identity's.
    pub fn has_id(&self, id: &str) -> bool {
        self.client_id.eq_ignore_ascii_case(id) || self.principal_id.eq_ignore_ascii_case(id)
    }

    /// Whether an id is one of a user-assigned identity.
    pub fn is_id(id: &ArmId) -> bool {
        id.is_type(TYPE)
    }
}

impl Arm {
    /// An identity, or none.
    pub async fn identity(&self, id: &ArmId) -> Result<Option<ManagedIdentity>, ArmError> {
        self.0.pace.place(Budget::Reads, id).await;
        let found = self.send_opt(&ArmRequest::get(id.as_str(), API_VERSION)).await?;
        found.map(|answer| read(answer.body)).transpose()
    }

    /// The identities of a resource group; none when the group does not exist.
    pub async fn identities_of_group(
        &self,
        subscription: &str,
        group: &str,
    ) -> Result<Vec<ManagedIdentity>, ArmError> {
        let path = format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{TYPE}");
        self.list_identities(path).await
    }

    /// The identities of a subscription that the caller may read.
    pub(crate) async fn identities_of_subscription(
        &self,
        subscription: &str,
    ) -> Result<Vec<ManagedIdentity>, ArmError> {
        self.list_identities(format!("/subscriptions/{subscription}/providers/{TYPE}"))
            .await
    }

    async fn list_identities(&self, path: String) -> Result<Vec<ManagedIdentity>, ArmError> {
        match self.list(ArmRequest::get(path, API_VERSION)).await {
            Ok(values) => values.into_iter().map(read).collect(),
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Creates an identity or replaces its tags; the answer's request id comes with it. Paced like all writes of
    /// identities in a subscription.
    pub async fn put_identity(
        &self,
        id: &ArmId,
        location: &str,
        tags: &BTreeMap<String, String>,
    ) -> Result<(ManagedIdentity, Option<String>), ArmError> {
        let body = json!({"location": location, "tags": tags});
        self.place_of_write(id).await?;
        let answer: ArmResponse = self
            .send(&ArmRequest::put(id.as_str(), API_VERSION, body))
            .await?;
        self.0.pace.wrote(id);
        let request_id = answer.request_id.clone();
        Ok((read(answer.body)?, request_id))
    }

    /// Deletes an identity with its federated credentials; one that is gone is as good. Answers the request id. Paced
    /// like a write.
    pub async fn delete_identity(&self, id: &ArmId) -> Result<Option<String>, ArmError> {
        self.place_of_write(id).await?;
        let deleted = self
            .send_opt(&ArmRequest::delete(id.as_str(), API_VERSION))
            .await?;
        Ok(deleted.and_then(|answer| answer.request_id))
    }

    async fn place_of_write(&self, id: &ArmId) -> Result<(), ArmError> {
        tokio::select! {
            () = self.0.pace.write(id) => Ok(()),
            () = self.1.cancelled() => Err(ArmError::Stopped { source: None }),
        }
    }
}
