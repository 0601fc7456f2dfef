//! How much of a subscription's limits is used.

use super::{Arm, ArmError, ArmRequest};
use serde_json::Value;

/// How many role assignments a subscription can have, at itself and below
/// (<https://learn.microsoft.com/azure/role-based-access-control/troubleshoot-limits>).
pub const ROLE_ASSIGNMENT_LIMIT: usize = 4000;

const API_VERSION: &str = "2022-04-01";

impl Arm {
    /// How many role assignments of a subscription count towards its limit: inherited ones do not.
    pub async fn role_assignments_used(&self, subscription: &str) -> Result<usize, ArmError> {
        let scope = format!("/subscriptions/{subscription}");
        let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments");
        let found = self.list(ArmRequest::get(path, API_VERSION)).await?;
        Ok(found.iter().filter(|one| is_at_or_below(one, &scope)).count())
    }
}

fn is_at_or_below(assignment: &Value, subscription: &str) -> bool {
    let scope = assignment["properties"]["scope"].as_str().unwrap_or_default();
    scope
        .get(..subscription.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(subscription))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_inherited_does_not_count() {
        let at = |scope: &str| is_at_or_below(&json!({"properties": {"scope": scope}}), "/subscriptions/s");
        assert!(at("/subscriptions/S") && at("/subscriptions/s/resourceGroups/g"));
        assert!(!at("/") && !at("/providers/Microsoft.Management/managementGroups/m"));
    }
}
