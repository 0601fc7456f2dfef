//! A cluster's node: containerd and a kubelet of its own in a network namespace of its own.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::command::{self, CommandError};
use crate::files::{self, FileError};
use crate::image::PAUSE;
use crate::spec::{Cluster, NodeImage, Spec};
use crate::state::StateDir;
use crate::supervise::Unit;

/// Where Debian keeps the network plugins.
const NETWORK_PLUGINS: &str = "/usr/lib/cni";

/// The folder of a node's sockets and passing state, in memory.
fn run_folder(cluster: &Cluster) -> PathBuf {
    Path::new("/run/nodes").join(&cluster.name)
}

fn containerd_socket(cluster: &Cluster) -> PathBuf {
    run_folder(cluster).join("containerd.sock")
}

/// Writes the configuration of everything on the node.
pub fn prepare(state: &StateDir, spec: &Spec, cluster: &Cluster) -> Result<(), FileError> {
    let folder = state.cluster(&cluster.name);
    files::create_folder(&run_folder(cluster))?;
    files::create_folder(&folder.join("network"))?;
    files::create_folder(&folder.join("pod-logs"))?;
    files::write(
        &folder.join("containerd.toml"),
        &containerd_config(&folder, cluster),
    )?;
    files::write_json(&folder.join("network/10-pods.conflist"), &network_config(cluster))?;
    files::write(&folder.join("resolv.conf"), "")?;
    files::write_json(
        &folder.join("kubelet.json"),
        &kubelet_config(&folder, spec, cluster),
    )
}

/// Where a kubelet listens, on the address of its node.
pub const KUBELET_PORT: u16 = 10250;

/// The name of a node's container engine among the processes.
pub fn containerd_name(cluster: &Cluster) -> String {
    format!("{}-containerd", cluster.name)
}

/// The name of a node's agent among the processes.
pub fn kubelet_name(cluster: &Cluster) -> String {
    format!("{}-kubelet", cluster.name)
}

/// The container engine.
pub fn containerd(state: &StateDir, cluster: &Cluster) -> Unit {
    Unit::new(containerd_name(cluster), Path::new("containerd"))
        .argument("--config")
        .argument(state.cluster(&cluster.name).join("containerd.toml"))
        .in_network(&cluster.name)
}

/// Whether the engine answers.
pub fn is_containerd_ready(cluster: &Cluster) -> bool {
    ctr(cluster, &["version"]).is_ok()
}

/// Gives the node an image, as no registry can be reached.
pub fn import(cluster: &Cluster, image: &NodeImage) -> Result<(), CommandError> {
    let archive = image.archive.display().to_string();
    ctr(
        cluster,
        &[
            "--namespace",
            "k8s.io",
            "images",
            "import",
            "--snapshotter",
            "native",
            &archive,
        ],
    )?;
    Ok(())
}

fn ctr(cluster: &Cluster, arguments: &[&str]) -> Result<String, CommandError> {
    command::run(
        command::plain("ctr")
            .arg("--address")
            .arg(containerd_socket(cluster))
            .args(arguments),
    )
}

/// The node's agent.
pub fn kubelet(state: &StateDir, spec: &Spec, cluster: &Cluster) -> Unit {
    let folder = state.cluster(&cluster.name);
    let labels = [
        format!("kubernetes.azure.com/cluster={}", cluster.node_group()),
        "kubernetes.azure.com/agentpool=nodepool1".to_owned(),
        "kubernetes.azure.com/mode=system".to_owned(),
        "agentpool=nodepool1".to_owned(),
        format!("topology.kubernetes.io/region={}", cluster.region),
        "node.kubernetes.io/instance-type=Standard_D2s_v5".to_owned(),
    ];
    Unit::new(kubelet_name(cluster), &spec.programs.kubelet)
        .flag("config", folder.join("kubelet.json"))
        .flag("kubeconfig", folder.join("kubelet.kubeconfig"))
        .flag("root-dir", folder.join("kubelet"))
        .flag("cert-dir", folder.join("kubelet-certificates"))
        .flag("hostname-override", cluster.node_name())
        .flag("node-ip", cluster.node_address.to_string())
        .flag("node-labels", labels.join(","))
        .in_network(&cluster.name)
}

fn containerd_config(folder: &Path, cluster: &Cluster) -> String {
    let root = folder.join("containerd");
    let network = folder.join("network");
    let run = run_folder(cluster);
    let socket = containerd_socket(cluster);
    format!(
        r#"version = 2
root = "{root}"
state = "{run}/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
address = "{socket}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
# A machine may not let its processes become less killable; without this no pod would start there.
restrict_oom_score_adj = true
disable_apparmor = true

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{NETWORK_PLUGINS}"
conf_dir = "{network}"
"#,
        root = root.display(),
        run = run.display(),
        socket = socket.display(),
        network = network.display(),
    )
}

fn network_config(cluster: &Cluster) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": cluster.name,
        "plugins": [{
            "type": "bridge",
            "bridge": "pods",
            "isDefaultGateway": true,
            "ipMasq": false,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "dataDir": run_folder(cluster).join("addresses"),
                "ranges": [[{"subnet": cluster.pod_subnet()}]],
            },
        }],
    })
}

fn kubelet_config(folder: &Path, spec: &Spec, cluster: &Cluster) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": cluster.node_address,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": folder.join("clients.pem")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": folder.join("node.pem"),
        "tlsPrivateKeyFile": folder.join("node.key"),
        "providerID": cluster.provider_id(&spec.subscription_id()),
        "containerRuntimeEndpoint": format!("unix://{}", containerd_socket(cluster).display()),
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "failSwapOn": false,
        "failCgroupV1": false,
        "makeIPTablesUtilChains": false,
        "evictionHard": {
            "memory.available": "1Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "podLogsDir": folder.join("pod-logs"),
        "volumePluginDir": folder.join("volume-plugins"),
        "resolvConf": folder.join("resolv.conf"),
        "readOnlyPort": 0,
        "serializeImagePulls": false,
        "nodeStatusUpdateFrequency": "5s",
        "registryPullQPS": 0,
    })
}
