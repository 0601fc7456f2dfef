//! Everything that lies ready in the state folder before the first process starts: certificates, kubeconfigs,
//! signing keys. Nothing here talks to anybody.

use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::files::{self, FileError};
use crate::pki::{self, Authority, Pair, PkiError};
use crate::spec::{Cluster, FLEET_GROUP, Kind, Spec};
use crate::state::StateDir;

/// The file name of the administrator's certificate in a cluster's folder.
pub const ADMINISTRATOR: &str = "administrator";

/// The application behind the API servers of all AKS clusters: the audience of tokens for them.
const AKS_SERVER: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";

/// Where Debian keeps the system's authorities.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Writes it all.
///
/// # Panics
/// Never, unless making a certificate does.
pub fn prepare(state: &StateDir, spec: &Spec) -> Result<(), PkiError> {
    let authority = authority(state)?;
    let own = authority.pair();
    // Keys take time: one thread each keeps a dozen clusters within a second or two.
    let administrators = std::thread::scope(|scope| {
        let threads: Vec<_> = spec
            .clusters
            .iter()
            .map(|cluster| scope.spawn(|| prepare_cluster(state, spec, cluster, &authority)))
            .collect();
        let results = threads
            .into_iter()
            .map(|thread| thread.join().expect("preparing a cluster does not panic"));
        results.collect::<Result<Vec<_>, _>>()
    })?;
    let entries = spec.clusters.iter().zip(&administrators);
    let config = kubeconfig(
        entries.map(|(cluster, pair)| (cluster, user(cluster), pair)),
        &own.certificate,
    );
    files::write_json(&state.kubeconfig(), &config)?;
    Ok(())
}

/// The authority of everything in a sandbox, new, with the files that make clients believe it.
pub fn authority(state: &StateDir) -> Result<Authority, PkiError> {
    let authority = Authority::new(&format!("sandbox {}", state.name()))?;
    let own = authority.pair();
    files::write(&state.ca_certificate(), &own.certificate)?;
    files::write(&state.ca_key(), &own.key)?;
    let system = match files::read(Path::new(SYSTEM_AUTHORITIES)) {
        Err(error) if error.is_missing() => String::new(),
        other => other?,
    };
    files::write(&state.ca_bundle(), &(system + &own.certificate))?;
    Ok(authority)
}

/// One cluster's certificates; the administrator's.
fn prepare_cluster(
    state: &StateDir,
    spec: &Spec,
    cluster: &Cluster,
    authority: &Authority,
) -> Result<Pair, PkiError> {
    let kind = spec.kind;
    let folder = state.cluster(&cluster.name);
    files::create_folder(&folder)?;
    let clients = Authority::new(&format!("{} clients", cluster.name))?;
    files::write(&folder.join("clients.pem"), &clients.pair().certificate)?;
    let aggregation = Authority::new(&format!("{} aggregation", cluster.name))?;
    files::write(&folder.join("aggregation.pem"), &aggregation.pair().certificate)?;
    files::write(&folder.join("service-accounts.key"), &pki::signing_key()?)?;
    files::write_json(&folder.join("audit-policy.json"), &audit_policy())?;
    let authentication = authentication(spec, &authority.pair().certificate);
    files::write_json(&folder.join("authentication.json"), &authentication)?;
    let names = ["kubernetes", "kubernetes.default.svc", "localhost"];
    authority
        .server(&cluster.name, &[cluster.address], &names)?
        .write(&folder, "server")?;

    let client = |file: &str, name: &str, group: &str| -> Result<Pair, PkiError> {
        let pair = clients.client(name, group)?;
        pair.write(&folder, file)?;
        let config = kubeconfig([(cluster, name.to_owned(), &pair)], &authority.pair().certificate);
        files::write_json(&folder.join(format!("{file}.kubeconfig")), &config)?;
        Ok(pair)
    };
    let administrator = client(ADMINISTRATOR, "clusterAdmin", "system:masters")?;
    if kind != Kind::ApiOnly {
        client(
            "controller-manager",
            "system:kube-controller-manager",
            "system:authenticated",
        )?;
        client("scheduler", "system:kube-scheduler", "system:authenticated")?;
    }
    if kind == Kind::Workloads {
        client("kwok", "kwok", "system:masters")?;
    }
    if kind == Kind::Nodes {
        let node = cluster.node_name();
        client("kubelet", &format!("system:node:{node}"), "system:nodes")?;
        client(
            "kubelet-client",
            "kube-apiserver-kubelet-client",
            "system:masters",
        )?;
        client("webhook", "azure-wi-webhook-admin", "system:masters")?;
        authority
            .server(&node, &[cluster.node_address], &[&node])?
            .write(&folder, "node")?;
        let webhooks = folder.join("webhook-certificates");
        files::create_folder(&webhooks)?;
        let pair = authority.server("azure-wi-webhook", &[cluster.node_address], &[])?;
        files::write(&webhooks.join("tls.crt"), &pair.certificate)?;
        files::write(&webhooks.join("tls.key"), &pair.key)?;
        files::write(&webhooks.join("ca.crt"), &authority.pair().certificate)?;
    }
    Ok(administrator)
}

/// Lets the simulated Entra's tokens for AKS in, by the object id of whom they are for, as AKS does. Anonymous requests
/// stay possible: the issuer's keys are public.
fn authentication(spec: &Spec, authority: &str) -> Value {
    let tenant = spec.tenant_id();
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1beta1",
        "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": {
                "url": format!("https://sts.windows.net/{tenant}/"),
                "discoveryURL": format!("https://{}/{tenant}/.well-known/openid-configuration", spec.range.entra()),
                "certificateAuthority": authority,
                "audiences": [AKS_SERVER],
            },
            "claimMappings": {"username": {"claim": "oid", "prefix": ""}},
        }],
    })
}

/// Logs what users ask of the API server, each request once; what the cluster's own parts ask would drown it.
fn audit_policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "userGroups": ["system:nodes", "system:serviceaccounts", "system:unauthenticated"]},
            {"level": "None", "users": [
                "system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "kwok",
                "azure-wi-webhook-admin",
            ]},
            {"level": "Metadata"},
        ],
    })
}

/// The administrator's name in the kubeconfig, as `az aks get-credentials --admin` writes it.
fn user(cluster: &Cluster) -> String {
    format!("clusterAdmin_{FLEET_GROUP}_{}", cluster.name)
}

/// A kubeconfig with a context per cluster, named like it; the first is the current one.
fn kubeconfig<'a>(
    entries: impl IntoIterator<Item = (&'a Cluster, String, &'a Pair)>,
    authority: &str,
) -> Value {
    let authority = BASE64_STANDARD.encode(authority);
    let (mut clusters, mut contexts, mut users) = (Vec::new(), Vec::new(), Vec::new());
    for (cluster, user, pair) in entries {
        let name = &cluster.name;
        clusters.push(json!({
            "name": name,
            "cluster": {"server": cluster.server(), "certificate-authority-data": authority},
        }));
        contexts.push(json!({"name": name, "context": {"cluster": name, "user": user}}));
        users.push(json!({
            "name": user,
            "user": {
                "client-certificate-data": BASE64_STANDARD.encode(&pair.certificate),
                "client-key-data": BASE64_STANDARD.encode(&pair.key),
            },
        }));
    }
    let current = contexts.first().map(|context| context["name"].clone());
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": clusters,
        "contexts": contexts,
        "users": users,
        "current-context": current.unwrap_or_default(),
    })
}

/// Creates the folders that processes expect.
pub fn create_folders(state: &StateDir) -> Result<(), FileError> {
    files::create_folder(state.path())?;
    files::create_folder(&state.logs())
}
