//! The clouds: authority, resource manager and vault endpoints, known or described by a file.

use crate::env::{self, Env};
use crate::injection::AUTHORITY_HOST;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use url::Url;

/// The endpoints of one Azure cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cloud {
    /// Its name as go-autorest spells it, e.g. `AzurePublicCloud`.
    pub name: String,
    /// Base URL of Entra's token endpoints, with a trailing slash.
    pub authority: Url,
    /// Base URL of the resource manager.
    pub arm: Url,
    /// Scope of tokens for the resource manager.
    pub arm_scope: String,
    /// Domain of vaults, without a leading dot; a vault's URL still comes from ARM, never from this.
    pub vault_suffix: String,
    /// Scope of tokens for vaults.
    pub vault_scope: String,
}

/// A cloud cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// A name that is neither a cloud nor a file.
    #[error("unknown cloud {name:?}: it must be public, usgov, china or a JSON file that describes one")]
    Unknown {
        /// What was given.
        name: String,
    },
    /// `AZURE_ENVIRONMENT` says that a file describes the cloud, and no file is named.
    #[error("AZURE_ENVIRONMENT is AzureStackCloud and AZURE_ENVIRONMENT_FILEPATH is not set")]
    NoFile,
    /// `AZURE_AUTHORITY_HOST` is of no cloud that is known: its other endpoints cannot be guessed.
    #[error("AZURE_AUTHORITY_HOST is {host}, and no known cloud has that authority")]
    Authority {
        /// What is set.
        host: String,
    },
    /// The file cannot be read.
    #[error("cannot read the cloud description {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what go-autorest would read.
    #[error("{} is no cloud description", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// An endpoint is no https URL.
    #[error("{field} of cloud {name:?} must be an https URL, not {given:?}")]
    Endpoint {
        /// The cloud.
        name: String,
        /// Which endpoint.
        field: &'static str,
        /// What stands there.
        given: String,
    },
}

/// The file format of go-autorest's `EnvironmentFromFile`; only what is needed is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    name: String,
    active_directory_endpoint: String,
    resource_manager_endpoint: String,
    token_audience: Option<String>,
    #[serde(rename = "keyVaultDNSSuffix")]
    key_vault_dns_suffix: String,
    #[serde(default)]
    resource_identifiers: ResourceIdentifiers,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceIdentifiers {
    key_vault: Option<String>,
}

impl Cloud {
    /// Resolves `--cloud`, else `$AZURE_ENVIRONMENT` (and `$AZURE_ENVIRONMENT_FILEPATH`), else the cloud whose authority
    /// `$AZURE_AUTHORITY_HOST` is, which the webhook sets in pods, else the public cloud.
    pub fn resolve(flag: Option<&str>, env: &Env) -> Result<Self, CloudError> {
        if let Some(name) = flag {
            let path = Path::new(name);
            return match Self::known(name) {
                Some(cloud) => cloud,
                None if path.is_file() || path.extension().is_some_and(|end| end == "json") => {
                    Self::from_file(path)
                }
                None => Err(CloudError::Unknown {
                    name: name.to_owned(),
                }),
            };
        }
        match env.get(env::azure::ENVIRONMENT) {
            None => match env.get(AUTHORITY_HOST) {
                None => Self::public(),
                Some(host) => Self::of_authority(&host),
            },
            Some(name) if name.eq_ignore_ascii_case("AzureStackCloud") => Self::from_file(
                &env.path(env::azure::ENVIRONMENT_FILEPATH)
                    .ok_or(CloudError::NoFile)?,
            ),
            Some(name) => Self::known(&name).unwrap_or(Err(CloudError::Unknown { name })),
        }
    }

    fn of_authority(host: &str) -> Result<Self, CloudError> {
        let wanted = host.trim_end_matches('/');
        let known = ["public", "usgov", "china"].into_iter().filter_map(Self::known);
        let mut found = known.filter_map(Result::ok);
        found
            .find(|cloud| {
                cloud
                    .authority
                    .as_str()
                    .trim_end_matches('/')
                    .eq_ignore_ascii_case(wanted)
            })
            .ok_or_else(|| CloudError::Authority {
                host: host.to_owned(),
            })
    }

    fn public() -> Result<Self, CloudError> {
        Self::of(
            "AzurePublicCloud",
            "https://login.microsoftonline.com/",
            "https://management.azure.com/",
            "vault.azure.net",
        )
    }

    fn known(name: &str) -> Option<Result<Self, CloudError>> {
        match name.to_ascii_lowercase().as_str() {
            "public" | "azurecloud" | "azurepubliccloud" => Some(Self::public()),
            "usgov" | "azureusgovernment" | "azureusgovernmentcloud" => Some(Self::of(
                "AzureUSGovernmentCloud",
                "https://login.microsoftonline.us/",
                "https://management.usgovcloudapi.net/",
                "vault.usgovcloudapi.net",
            )),
            "china" | "azurechinacloud" => Some(Self::of(
                "AzureChinaCloud",
                "https://login.chinacloudapi.cn/",
                "https://management.chinacloudapi.cn/",
                "vault.azure.cn",
            )),
            _ => None,
        }
    }

    fn of(name: &str, authority: &str, arm: &str, vault_suffix: &str) -> Result<Self, CloudError> {
        Ok(Self {
            name: name.to_owned(),
            authority: endpoint(name, "activeDirectoryEndpoint", authority)?,
            arm: endpoint(name, "resourceManagerEndpoint", arm)?,
            arm_scope: scope_of(arm),
            vault_suffix: vault_suffix.to_owned(),
            vault_scope: scope_of(&format!("https://{vault_suffix}")),
        })
    }

    fn from_file(path: &Path) -> Result<Self, CloudError> {
        let text = std::fs::read_to_string(path).map_err(|source| CloudError::Read {
            path: path.to_owned(),
            source,
        })?;
        let file: Description = serde_json::from_str(&text).map_err(|source| CloudError::Parse {
            path: path.to_owned(),
            source,
        })?;
        let suffix = file.key_vault_dns_suffix.trim_start_matches('.');
        let mut cloud = Self::of(
            &file.name,
            &file.active_directory_endpoint,
            &file.resource_manager_endpoint,
            suffix,
        )?;
        // go-autorest writes "N/A" for what a cloud does not have.
        let given = |text: Option<String>| text.filter(|text| !text.is_empty() && text != "N/A");
        if let Some(audience) = given(file.token_audience) {
            cloud.arm_scope = scope_of(&audience);
        }
        if let Some(vault) = given(file.resource_identifiers.key_vault) {
            cloud.vault_scope = scope_of(&vault);
        }
        Ok(cloud)
    }
}

fn endpoint(name: &str, field: &'static str, given: &str) -> Result<Url, CloudError> {
    let error = || CloudError::Endpoint {
        name: name.to_owned(),
        field,
        given: given.to_owned(),
    };
    let with_slash = if given.ends_with('/') {
        given.to_owned()
    } else {
        format!("{given}/")
    };
    let url = Url::parse(&with_slash).map_err(|_| error())?;
    if url.scheme() == "https" && url.host_str().is_some() {
        Ok(url)
    } else {
        Err(error())
    }
}

/// The v2 endpoint wants `RESOURCE/.default`; a resource may be written with or without a trailing slash.
fn scope_of(resource: &str) -> String {
    format!("{}/.default", resource.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_env() -> Env {
        Env::of::<&str, &str>([])
    }

    #[test]
    fn clouds_are_known_by_both_their_names() {
        let public = Cloud::resolve(None, &no_env()).unwrap();
        assert_eq!(public, Cloud::resolve(Some("public"), &no_env()).unwrap());
        assert_eq!(public.arm_scope, "https://management.azure.com/.default");
        let env = Env::of([(env::azure::ENVIRONMENT, "AZUREUSGOVERNMENTCLOUD")]);
        assert_eq!(
            Cloud::resolve(None, &env).unwrap(),
            Cloud::resolve(Some("usgov"), &no_env()).unwrap()
        );
        assert!(matches!(
            Cloud::resolve(Some("mars"), &no_env()),
            Err(CloudError::Unknown { .. })
        ));
    }

    #[test]
    fn a_file_describes_a_custom_cloud() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cloud.json");
        std::fs::write(
            &path,
            r#"{"name": "AzureStackCloud", "activeDirectoryEndpoint": "https://10.0.0.2/",
                "resourceManagerEndpoint": "https://10.0.0.3", "tokenAudience": "https://management.azure.com/",
                "keyVaultDNSSuffix": "vault.example", "resourceIdentifiers": {"keyVault": "https://vault.azure.net"},
                "somethingElse": 1}"#,
        )
        .unwrap();
        let env = Env::of([
            (env::azure::ENVIRONMENT, "AzureStackCloud"),
            (env::azure::ENVIRONMENT_FILEPATH, path.to_str().unwrap()),
        ]);
        let cloud = Cloud::resolve(None, &env).unwrap();
        assert_eq!(cloud, Cloud::resolve(path.to_str(), &no_env()).unwrap());
        assert_eq!(cloud.arm.as_str(), "https://10.0.0.3/");
        assert_eq!(cloud.arm_scope, "https://management.azure.com/.default");
        assert_eq!(cloud.vault_scope, "https://vault.azure.net/.default");
    }

    #[test]
    fn in_a_pod_the_authority_tells_the_cloud() {
        for (host, name) in [
            ("https://login.microsoftonline.com/", "AzurePublicCloud"),
            ("https://LOGIN.microsoftonline.us", "AzureUSGovernmentCloud"),
            ("https://login.chinacloudapi.cn/", "AzureChinaCloud"),
        ] {
            let env = Env::of([(AUTHORITY_HOST, host)]);
            assert_eq!(Cloud::resolve(None, &env).unwrap().name, name);
        }
        // What is named by hand counts more; an authority that nobody knows is not taken for the public one.
        let env = Env::of([(AUTHORITY_HOST, "https://login.example/")]);
        assert!(Cloud::resolve(Some("china"), &env).is_ok());
        assert!(matches!(
            Cloud::resolve(None, &env),
            Err(CloudError::Authority { .. })
        ));
    }

    #[test]
    fn plain_http_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cloud.json");
        std::fs::write(
            &path,
            r#"{"name": "x", "activeDirectoryEndpoint": "http://10.0.0.2/",
                "resourceManagerEndpoint": "https://10.0.0.3", "keyVaultDNSSuffix": "vault.example"}"#,
        )
        .unwrap();
        assert!(matches!(
            Cloud::resolve(path.to_str(), &no_env()),
            Err(CloudError::Endpoint {
                field: "activeDirectoryEndpoint",
                ..
            })
        ));
    }

    #[test]
    fn a_custom_cloud_needs_its_file() {
        let env = Env::of([(env::azure::ENVIRONMENT, "AzureStackCloud")]);
        assert!(matches!(Cloud::resolve(None, &env), Err(CloudError::NoFile)));
    }
}
