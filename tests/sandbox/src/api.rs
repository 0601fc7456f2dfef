//! Talking to a cluster's API server as its administrator.

use std::net::SocketAddrV4;

use serde_json::{Value, json};

use crate::files::{self, FileError};
use crate::http::{Client, HttpError, Request, Response};
use crate::material::ADMINISTRATOR;
use crate::spec::Cluster;
use crate::state::StateDir;

/// Why a cluster did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A refusal.
    #[error("{what}: status {status}: {message}")]
    Refused {
        /// What was asked.
        what: String,
        /// The HTTP status.
        status: u16,
        /// Its reason.
        message: String,
    },
    /// The certificates could not be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// One cluster's API.
#[derive(Debug)]
pub struct Api {
    client: Client,
    address: SocketAddrV4,
}

impl Api {
    /// Of this cluster, with the certificate that the state folder holds.
    pub fn new(state: &StateDir, cluster: &Cluster) -> Result<Self, ApiError> {
        let folder = state.cluster(&cluster.name);
        let authority = files::read(&state.ca_certificate())?;
        let certificate = files::read(&folder.join(format!("{ADMINISTRATOR}.pem")))?;
        let key = files::read(&folder.join(format!("{ADMINISTRATOR}.key")))?;
        Ok(Self {
            client: Client::new(&authority, Some((&certificate, &key)))?,
            address: SocketAddrV4::new(cluster.address, 443),
        })
    }

    /// Whether the API server says that it is ready; no answer is no.
    pub fn is_ready(&self) -> bool {
        self.send("GET", "/readyz", None)
            .is_ok_and(|response| response.is_success())
    }

    /// Creates or updates an object whose own path is `path`.
    pub fn apply(&self, path: &str, object: &Value) -> Result<(), ApiError> {
        let path = format!("{path}?fieldManager=aks-sandbox&force=true");
        self.expect(
            "PATCH",
            &path,
            Some(("application/apply-patch+yaml", &object.to_string())),
        )?;
        Ok(())
    }

    /// What the API server would make of a new pod.
    pub fn dry_run_pod(&self, pod: &Value) -> Result<Value, ApiError> {
        let path = "/api/v1/namespaces/default/pods?dryRun=All";
        let response = self.expect("POST", path, Some(("application/json", &pod.to_string())))?;
        Ok(parse(&response))
    }

    /// Whether the node has said that it is ready.
    pub fn is_node_ready(&self, node: &str) -> Result<bool, ApiError> {
        let response = self.expect("GET", &format!("/api/v1/nodes/{node}"), None)?;
        let node = parse(&response);
        let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
        Ok(node["status"]["conditions"]
            .as_array()
            .is_some_and(|conditions| conditions.iter().any(is_ready)))
    }

    /// Deletes an object; one that is not there is fine.
    pub fn delete(&self, path: &str) -> Result<(), ApiError> {
        match self.expect("DELETE", path, None) {
            Err(ApiError::Refused { status: 404, .. }) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// An object or list.
    pub fn get(&self, path: &str) -> Result<Value, ApiError> {
        Ok(parse(&self.expect("GET", path, None)?))
    }

    fn send(&self, method: &str, path: &str, body: Option<(&str, &str)>) -> Result<Response, HttpError> {
        self.client.send(
            self.address,
            Request {
                method,
                path,
                body,
                bearer: None,
            },
        )
    }

    fn expect(&self, method: &str, path: &str, body: Option<(&str, &str)>) -> Result<Response, ApiError> {
        let response = self.send(method, path, body)?;
        if response.is_success() {
            return Ok(response);
        }
        let message = parse(&response)["message"]
            .as_str()
            .unwrap_or(response.body.trim())
            .to_owned();
        let what = format!("{method} {}", path.split('?').next().unwrap_or(path));
        Err(ApiError::Refused {
            what,
            status: response.status,
            message,
        })
    }
}

fn parse(response: &Response) -> Value {
    serde_json::from_str(&response.body).unwrap_or_default()
}

/// Lets everybody read the issuer's keys, as every AKS issuer does.
pub fn issuer_discovery() -> (&'static str, Value) {
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/sandbox-issuer-discovery";
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "sandbox-issuer-discovery"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:service-account-issuer-discovery",
        },
        "subjects": [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:unauthenticated"},
        ],
    });
    (path, binding)
}

/// Makes the operator an administrator of the cluster, by the name that tokens of Entra give it.
pub fn operator_access(object_id: &str) -> (&'static str, Value) {
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/sandbox-operator";
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "sandbox-operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": object_id}],
    });
    (path, binding)
}
