//! Weather of one place: what else happens there is as everywhere.

use serde::{Deserialize, Serialize};

use super::{Fault, Weather};

/// Weather that hangs over one identity, account, path or caller, so that whoever works beside it is not hit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Front {
    /// Where: a part of a resource id, a client or principal id, a subject, a vault's name or a request's path, compared
    /// without case. Everywhere if empty.
    pub over: String,
    /// As [`Weather::credential_delay_ms`], of one identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_delay_ms: Option<u64>,
    /// As [`Weather::role_delay_ms`], of one scope or principal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_delay_ms: Option<u64>,
    /// As [`Weather::principal_delay_ms`], of one identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal_delay_ms: Option<u64>,
    /// As [`Weather::identity_delay_ms`], of one identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_delay_ms: Option<u64>,
    /// As [`Weather::graph_delay_ms`], of one resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph_delay_ms: Option<u64>,
    /// As [`Weather::cluster_update_ms`], of one cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_update_ms: Option<u64>,
    /// As [`Weather::cluster_update_fails`], of one cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_update_fails: Option<bool>,
    /// As [`Weather::credential_write_ms`], of one identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_write_ms: Option<u64>,
    /// As [`Weather::spurious_700213`], of one identity or subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spurious_700213: Option<f64>,
    /// As [`Weather::budgets`]; what is counted here is counted apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budgets: Option<bool>,
    /// Requests that go wrong here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

impl Front {
    /// Whether this hangs over something that has these marks: ids, names, paths.
    pub(super) fn is_over(&self, marks: &[&str]) -> bool {
        let over = self.over.to_lowercase();
        marks.iter().any(|mark| mark.to_lowercase().contains(&over))
    }

    /// Puts what it says in the place of what the weather says.
    pub(super) fn apply(&self, weather: &mut Weather) {
        fn set<T: Copy>(to: &mut T, from: Option<T>) {
            if let Some(value) = from {
                *to = value;
            }
        }
        set(&mut weather.credential_delay_ms, self.credential_delay_ms);
        set(&mut weather.role_delay_ms, self.role_delay_ms);
        set(&mut weather.principal_delay_ms, self.principal_delay_ms);
        set(&mut weather.identity_delay_ms, self.identity_delay_ms);
        set(&mut weather.graph_delay_ms, self.graph_delay_ms);
        set(&mut weather.cluster_update_ms, self.cluster_update_ms);
        set(&mut weather.cluster_update_fails, self.cluster_update_fails);
        set(&mut weather.credential_write_ms, self.credential_write_ms);
        set(&mut weather.spurious_700213, self.spurious_700213);
    }
}
