//! How a tester names a resource of the simulated Azure, a field's value and a span of time on the command line.

use serde_json::Value;

/// Why a resource is not known.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// Neither an id nor a kind and a name.
    #[error(
        "`{0}` names no resource: give its id, or cluster/NAME, identity/NAME, vault/NAME, secret/VAULT/NAME, \
         application/NAME, role/NAME, github-job/NAME, pipeline-job/NAME, machine-identity/NAME"
    )]
    Form(String),
    /// None or several have the name.
    #[error(
        "{count} resources are called `{name}`; give the resource id, as `cargo sandbox azure show -o json` has it"
    )]
    Count {
        /// What was asked for.
        name: String,
        /// How many there are.
        count: usize,
    },
}

/// The id of what is called KIND/NAME in the state document.
pub(super) fn id(state: &Value, name: &str) -> Result<String, ResourceError> {
    let form = || ResourceError::Form(name.to_owned());
    let (kind, rest) = name.split_once('/').ok_or_else(form)?;
    // What runs on the machine and in pipelines has no id but its name.
    let running = match kind {
        "github-job" => Some("githubJobs"),
        "pipeline-job" => Some("pipelineJobs"),
        "machine-identity" => Some("machineIdentities"),
        _ => None,
    };
    if let Some(running) = running {
        return Ok(format!("{running}/{rest}"));
    }
    let (list, called, id, own, below) = match kind {
        "cluster" => ("clusters", "name", "id", rest, String::new()),
        "identity" => ("identities", "name", "id", rest, String::new()),
        "vault" => ("vaults", "name", "id", rest, String::new()),
        "role" => ("customRoles", "name", "id", rest, String::new()),
        "application" => (
            "servicePrincipals",
            "displayName",
            "clientId",
            rest,
            String::new(),
        ),
        "secret" => {
            let (vault, secret) = rest.split_once('/').ok_or_else(form)?;
            ("vaults", "name", "id", vault, format!("/secrets/{secret}"))
        }
        _ => return Err(form()),
    };
    let resources = state[list].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_called = |resource: &&Value| {
        resource[called]
            .as_str()
            .is_some_and(|name| name.eq_ignore_ascii_case(own))
    };
    let found: Vec<&str> = resources
        .iter()
        .filter(is_called)
        .filter_map(|resource| resource[id].as_str())
        .collect();
    match found[..] {
        [id] => Ok(format!("{id}{below}")),
        _ => Err(ResourceError::Count {
            name: name.to_owned(),
            count: found.len(),
        }),
    }
}

/// `FIELD=VALUE`; the value is JSON where it is any, text otherwise.
pub(super) fn field(text: &str) -> Result<(String, Value), String> {
    let (field, value) = text.split_once('=').ok_or("not FIELD=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((field.to_owned(), value))
}

/// A span of time in milliseconds: `-90s`, `10m`, `2h`, `1d`.
pub(super) fn offset(text: &str) -> Result<i64, String> {
    let seconds = |unit| match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3600),
        'd' => Some(86_400),
        _ => None,
    };
    let parse = || {
        let unit = text.chars().last()?;
        let count: i64 = text.strip_suffix(unit)?.parse().ok()?;
        count.checked_mul(seconds(unit)? * 1000)
    };
    parse().ok_or_else(|| "not a span of time such as -90s, 10m, 2h or 1d".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn resources_are_found_by_kind_and_name_without_case() {
        let state = json!({
            "clusters": [{"name": "aks-1", "id": "/c/aks-1"}, {"name": "two", "id": "/a"}, {"name": "TWO", "id": "/b"}],
            "vaults": [{"name": "kv", "id": "/v/kv"}],
            "servicePrincipals": [{"displayName": "operator", "clientId": "c-1"}],
        });
        assert_eq!(id(&state, "cluster/AKS-1").unwrap(), "/c/aks-1");
        assert_eq!(id(&state, "secret/kv/db").unwrap(), "/v/kv/secrets/db");
        assert_eq!(id(&state, "application/operator").unwrap(), "c-1");
        assert_eq!(id(&state, "github-job/deploy").unwrap(), "githubJobs/deploy");
        for (name, count) in [("cluster/two", 2), ("identity/x", 0)] {
            let error = id(&state, name).unwrap_err();
            assert!(
                matches!(error, ResourceError::Count { count: found, .. } if found == count),
                "{error}"
            );
        }
        for name in ["aks-1", "secret/kv", "pod/x"] {
            assert!(matches!(id(&state, name), Err(ResourceError::Form(_))), "{name}");
        }
    }

    #[test]
    fn values_are_json_or_text() {
        assert_eq!(field("a=false").unwrap(), ("a".to_owned(), json!(false)));
        assert_eq!(field("a=Disabled").unwrap().1, json!("Disabled"));
        assert_eq!(field("a=[\"x=y\"]").unwrap().1, json!(["x=y"]));
        assert!(field("a").is_err());
    }

    #[test]
    fn spans_are_read_in_their_unit() {
        assert_eq!(offset("-90s"), Ok(-90_000));
        assert_eq!(offset("2h"), Ok(7_200_000));
        assert_eq!(offset("0s"), Ok(0));
        for text in ["", "5", "m", "1.5h", "1y", "9223372036854775807d"] {
            assert!(offset(text).is_err(), "{text}");
        }
    }
}
