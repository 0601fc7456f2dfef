//! What the workload identity webhook put into a pod, read from the pod. Pure.
//!
//! Names of volumes and mount paths differ between versions of the webhook, so they are followed, not assumed.

use crate::identity::Audience;
use k8s_openapi::api::core::v1::{Container, PodSpec};

/// The variable that holds the client id.
pub const CLIENT_ID: &str = "AZURE_CLIENT_ID";
/// The variable that holds the tenant.
pub const TENANT_ID: &str = "AZURE_TENANT_ID";
/// The variable that holds the authority.
pub const AUTHORITY_HOST: &str = "AZURE_AUTHORITY_HOST";
/// The variable that names the file with the token.
pub const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";

/// The value of a variable of a container; an empty one counts as none.
pub fn variable(container: &Container, name: &str) -> Option<String> {
    let found = container
        .env
        .iter()
        .flatten()
        .find(|variable| variable.name == name)?;
    found.value.clone().filter(|value| !value.is_empty())
}

/// The audience of the projected token that [`TOKEN_FILE`] points a container at.
pub fn token_audience(spec: &PodSpec, container: &Container) -> Option<Audience> {
    let file = variable(container, TOKEN_FILE)?;
    container.volume_mounts.iter().flatten().find_map(|mount| {
        let path = file
            .strip_prefix(mount.mount_path.trim_end_matches('/'))?
            .strip_prefix('/')?;
        let volume = spec
            .volumes
            .iter()
            .flatten()
            .find(|volume| volume.name == mount.name)?;
        let sources = volume.projected.as_ref()?.sources.as_ref()?;
        let tokens = sources
            .iter()
            .filter_map(|source| source.service_account_token.as_ref());
        let audience = tokens
            .into_iter()
            .find(|token| token.path == path)?
            .audience
            .as_deref();
        audience.map(Audience::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn audience(env: &Value) -> Option<Audience> {
        let spec: PodSpec = serde_json::from_value(json!({
            "containers": [{"name": "c", "env": env, "volumeMounts": [{"name": "t", "mountPath": "/var/run/x/"}]}],
            "volumes": [{"name": "t", "projected": {"sources": [
                {"serviceAccountToken": {"path": "another", "audience": "api://another"}},
                {"serviceAccountToken": {"path": "azure-identity-token", "audience": "api://custom"}}]}}],
        }))
        .unwrap();
        token_audience(&spec, &spec.containers[0])
    }

    #[test]
    fn the_audience_is_that_of_the_token_behind_the_file() {
        let env = json!([{"name": TOKEN_FILE, "value": "/var/run/x/azure-identity-token"}]);
        assert_eq!(audience(&env), Some(Audience::from("api://custom")));
    }

    #[test]
    fn a_container_that_was_not_mutated_has_none() {
        assert_eq!(audience(&json!([])), None);
        for elsewhere in ["/var/run/xy/azure-identity-token", "/var/run/x/absent", ""] {
            assert_eq!(
                audience(&json!([{"name": TOKEN_FILE, "value": elsewhere}])),
                None,
                "{elsewhere}"
            );
        }
    }
}
