//! What stands above rights: locks, policies and deny assignments.

use serde::{Deserialize, Serialize};

/// A management lock.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lock {
    /// Its name.
    pub name: String,
    /// What is locked, with everything below it.
    pub scope: String,
    /// What it forbids.
    pub level: LockLevel,
    /// Why it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

/// What a lock forbids (409 `ScopeLocked`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockLevel {
    /// Deleting.
    CanNotDelete,
    /// Deleting and changing.
    ReadOnly,
}

/// A policy whose effect is `deny` (403 `RequestDisallowedByPolicy`).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// Name of the assignment.
    pub name: String,
    /// Where it counts, with everything below.
    pub scope: String,
    /// The kind of resources, e.g. `Microsoft.ManagedIdentity/userAssignedIdentities`; all kinds if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// A tag that resources must have; with one of the two conditions, only what breaks it is denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_tag: Option<String>,
    /// Regions in which resources may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_locations: Option<Vec<String>>,
}

/// A deny assignment: it wins over every role (403).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DenyAssignment {
    /// Its name.
    pub name: String,
    /// Where it counts, with everything below.
    pub scope: String,
    /// Actions that it denies; `*` is any text.
    #[serde(default)]
    pub actions: Vec<String>,
    /// Actions that it leaves alone.
    #[serde(default)]
    pub not_actions: Vec<String>,
    /// Actions on data that it denies.
    #[serde(default)]
    pub data_actions: Vec<String>,
    /// Whom it denies: object ids, or names of service principals or identities; everybody if absent.
    #[serde(default)]
    pub principals: Vec<String>,
    /// Whom it does not deny.
    #[serde(default)]
    pub exclude_principals: Vec<String>,
}
