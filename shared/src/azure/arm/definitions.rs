//! Role definitions: from the name of a role, built-in or custom, to its id.

use super::request::parse;
use super::{Arm, ArmError, ArmRequest};
use crate::azure::Scope;
use serde::Deserialize;
use serde_json::Value;

const API_VERSION: &str = "2022-04-01";
const TYPE: &str = "Microsoft.Authorization/roleDefinitions";

/// A role that can be assigned at the scope at which it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleDefinition {
    /// Its full id, as an assignment names it.
    pub id: String,
    /// The last part of that id, in lower case.
    pub role: String,
    /// Its name for people.
    pub name: String,
}

#[derive(Deserialize)]
struct Body {
    id: String,
    name: String,
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    role_name: String,
}

fn read(value: Value) -> Result<RoleDefinition, ArmError> {
    let body: Body = parse(value, "role definition")?;
    Ok(RoleDefinition {
        id: body.id,
        role: body.name.to_ascii_lowercase(),
        name: body.properties.role_name,
    })
}

impl Arm {
    /// The role of a name or id that can be assigned at `scope`, or none.
    pub async fn role_definition(
        &self,
        scope: &Scope,
        named: &str,
    ) -> Result<Option<RoleDefinition>, ArmError> {
        let path = format!("{scope}/providers/{TYPE}");
        if uuid::Uuid::parse_str(named).is_ok() {
            let found = self
                .send_opt(&ArmRequest::get(format!("{path}/{named}"), API_VERSION))
                .await?;
            return found.map(|answer| read(answer.body)).transpose();
        }
        // A quote is doubled inside a literal of OData.
        let filter = format!("roleName eq '{}'", named.replace('\'', "''"));
        let found = self
            .list(ArmRequest::get(path, API_VERSION).query("$filter", &filter))
            .await?;
        let mut roles = found.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        // The filter is the service's; what it answers must still be what was asked for.
        roles.retain(|role| role.name.eq_ignore_ascii_case(named));
        Ok(roles.pop())
    }
}
