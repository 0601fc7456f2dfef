//! The processes of a cluster's control plane.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::spec::{Cluster, Kind, Programs};
use crate::state::StateDir;
use crate::supervise::Unit;

/// The Kubernetes service network, which nothing here uses: there is no service proxy on the nodes.
const SERVICE_RANGE: &str = "10.0.0.0/16";

/// An etcd for the cluster with this number, or the one that all share: number 0.
pub fn etcd(state: &StateDir, programs: &Programs, number: u8) -> Unit {
    let name = etcd_name(number);
    let peers = etcd_port(number) + 1000;
    let loopback = Ipv4Addr::LOCALHOST;
    Unit::new(&name, &programs.etcd)
        .flag("name", &name)
        .flag("data-dir", state.file("etcd").join(&name))
        .flag("listen-client-urls", etcd_url(number))
        .flag("advertise-client-urls", etcd_url(number))
        .flag("listen-peer-urls", format!("http://{loopback}:{peers}"))
        .flag(
            "initial-advertise-peer-urls",
            format!("http://{loopback}:{peers}"),
        )
        .flag("initial-cluster", format!("{name}=http://{loopback}:{peers}"))
        .flag("log-level", "warn")
        // A sandbox that loses power is made anew.
        .argument("--unsafe-no-fsync")
}

fn etcd_name(number: u8) -> String {
    if number == 0 {
        "etcd".to_owned()
    } else {
        format!("etcd-{number}")
    }
}

fn etcd_port(number: u8) -> u16 {
    2379 + u16::from(number)
}

/// Where that etcd listens, inside the sandbox.
pub fn etcd_url(number: u8) -> String {
    format!("http://{}:{}", Ipv4Addr::LOCALHOST, etcd_port(number))
}

/// The name of a cluster's API server among the processes.
pub fn api_server_name(cluster: &Cluster) -> String {
    format!("{}-kube-apiserver", cluster.name)
}

/// The API server, issuer of its own service account tokens.
pub fn api_server(state: &StateDir, programs: &Programs, kind: Kind, cluster: &Cluster) -> Unit {
    issuing_as(&[&cluster.issuer()], state, programs, kind, cluster)
}

/// The API server whose tokens name the first of these issuers, and which takes tokens of all of them.
fn issuing_as(
    issuers: &[&str],
    state: &StateDir,
    programs: &Programs,
    kind: Kind,
    cluster: &Cluster,
) -> Unit {
    let folder = state.cluster(&cluster.name);
    let store = if kind == Kind::Nodes { cluster.number } else { 0 };
    let unit = Unit::new(api_server_name(cluster), &programs.kube_apiserver)
        .flag("etcd-servers", etcd_url(store))
        .flag("etcd-prefix", format!("/{}", cluster.name))
        .flag("bind-address", cluster.address.to_string())
        .flag("advertise-address", cluster.address.to_string())
        .flag("secure-port", "443")
        .flag("tls-cert-file", folder.join("server.pem"))
        .flag("tls-private-key-file", folder.join("server.key"))
        .flag("client-ca-file", folder.join("clients.pem"))
        // Nothing is aggregated here; without an authority for it two components complain every second.
        .flag("requestheader-client-ca-file", folder.join("aggregation.pem"))
        .flag("requestheader-username-headers", "X-Remote-User")
        .flag("requestheader-group-headers", "X-Remote-Group")
        .flag("requestheader-extra-headers-prefix", "X-Remote-Extra-")
        .flag(
            "service-account-jwks-uri",
            format!("{}openid/v1/jwks", cluster.issuer()),
        )
        .flag(
            "service-account-signing-key-file",
            folder.join("service-accounts.key"),
        )
        .flag("service-account-key-file", folder.join("service-accounts.key"))
        .flag("service-cluster-ip-range", SERVICE_RANGE)
        .flag("authorization-mode", "Node,RBAC")
        .flag("enable-admission-plugins", "NodeRestriction")
        // Policies that change pods are generally available in later versions.
        .flag("feature-gates", "MutatingAdmissionPolicy=true")
        .flag("runtime-config", "admissionregistration.k8s.io/v1beta1=true")
        .flag("endpoint-reconciler-type", "none")
        .flag("allow-privileged", "true")
        .flag("authentication-config", folder.join("authentication.json"))
        .flag("audit-policy-file", folder.join("audit-policy.json"))
        .flag(
            "audit-log-path",
            state.logs().join(format!("{}-requests.ndjson", cluster.name)),
        )
        .flag("profiling", "false");
    let unit = issuers
        .iter()
        .fold(unit, |unit, issuer| unit.flag("service-account-issuer", issuer));
    if kind != Kind::Nodes {
        return unit;
    }
    unit.flag("kubelet-preferred-address-types", "InternalIP")
        .flag("kubelet-certificate-authority", state.ca_certificate())
        .flag("kubelet-client-certificate", folder.join("kubelet-client.pem"))
        .flag("kubelet-client-key", folder.join("kubelet-client.key"))
}

/// The API server with a new key for its tokens, while it publishes the old one alone: as where the documents that an
/// issuer publishes stay behind a rotation.
pub fn api_server_with_unpublished_key(
    state: &StateDir,
    programs: &Programs,
    kind: Kind,
    cluster: &Cluster,
) -> Unit {
    // Of a flag that is given twice the last one counts.
    api_server(state, programs, kind, cluster).flag(
        "service-account-signing-key-file",
        unpublished_key(state, cluster),
    )
}

/// The API server after it was told of another issuer: its tokens name that one, and those of before still count.
pub fn api_server_of_another_issuer(
    state: &StateDir,
    programs: &Programs,
    kind: Kind,
    cluster: &Cluster,
    issuer: &str,
) -> Unit {
    issuing_as(&[issuer, &cluster.issuer()], state, programs, kind, cluster)
}

/// Where the key is that nobody knows of.
pub fn unpublished_key(state: &StateDir, cluster: &Cluster) -> PathBuf {
    state.cluster(&cluster.name).join("service-accounts-next.key")
}

/// The controllers.
pub fn controller_manager(state: &StateDir, programs: &Programs, cluster: &Cluster) -> Unit {
    let folder = state.cluster(&cluster.name);
    let config = folder.join("controller-manager.kubeconfig");
    Unit::new(
        format!("{}-kube-controller-manager", cluster.name),
        &programs.kube_controller_manager,
    )
    .flag("kubeconfig", &config)
    .flag("authentication-kubeconfig", &config)
    .flag("authorization-kubeconfig", &config)
    .flag("bind-address", cluster.address.to_string())
    .flag(
        "service-account-private-key-file",
        folder.join("service-accounts.key"),
    )
    .flag("root-ca-file", state.ca_certificate())
    .flag("use-service-account-credentials", "true")
    .flag("leader-elect", "false")
    .flag("profiling", "false")
}

/// The scheduler.
pub fn scheduler(state: &StateDir, programs: &Programs, cluster: &Cluster) -> Unit {
    let config = state.cluster(&cluster.name).join("scheduler.kubeconfig");
    Unit::new(
        format!("{}-kube-scheduler", cluster.name),
        &programs.kube_scheduler,
    )
    .flag("kubeconfig", &config)
    .flag("authentication-kubeconfig", &config)
    .flag("authorization-kubeconfig", &config)
    .flag("bind-address", cluster.address.to_string())
    .flag("leader-elect", "false")
    .flag("profiling", "false")
}
