//! The network of a sandbox: one bridge inside that carries all its addresses, one link to this machine, one
//! network namespace per node. There is no route out of it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::command::{self, CommandError, ip, plain};
use crate::spec::{Cluster, Spec};
use crate::state::StateDir;

/// The link's end inside the sandbox.
const UPLINK: &str = "uplink";
const BRIDGE: &str = "fleet";

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// `ip` failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The other side did not do its part.
    #[error("{0} did not appear within {1:?}")]
    Missing(String, Duration),
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Links this machine to the network namespace of the process `pid`, which is about to make it.
pub fn link_host(state: &StateDir, spec: &Spec, pid: u32) -> Result<(), NetworkError> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let own = namespace("self");
    let pid_text = pid.to_string();
    wait(&format!("the network of process {pid}"), || {
        let theirs = namespace(&pid_text);
        theirs.is_some() && theirs != own
    })?;
    let link = state.link();
    ip(&format!(
        "link add {link} type veth peer name {UPLINK} netns {pid}"
    ))?;
    ip(&format!("addr add {}/22 dev {link}", spec.range.host()))?;
    ip(&format!("link set {link} up"))?;
    Ok(())
}

/// Removes this machine's end of the link, should it have outlived the sandbox.
pub fn unlink_host(state: &StateDir) -> Result<(), NetworkError> {
    let link = state.link();
    let present = || fs::exists(format!("/sys/class/net/{link}")).unwrap_or(false);
    if present()
        && let Err(error) = ip(&format!("link delete {link}"))
        && present()
    {
        return Err(error.into());
    }
    wait_gone(&link)
}

fn wait_gone(link: &str) -> Result<(), NetworkError> {
    wait(&format!("the end of link {link}"), || {
        !fs::exists(format!("/sys/class/net/{link}")).unwrap_or(false)
    })
}

/// Inside: the bridge, its addresses, the link and the namespaces of the nodes.
pub fn prepare(spec: &Spec, addresses: &[std::net::Ipv4Addr], nodes: &[Cluster]) -> Result<(), NetworkError> {
    wait("the link to this machine", || {
        fs::read_to_string("/proc/net/dev")
            .unwrap_or_default()
            .lines()
            .any(|line| line.trim_start().starts_with("uplink:"))
    })?;
    ip(&format!("link add {BRIDGE} type bridge"))?;
    ip(&format!("addr add {}/22 dev {BRIDGE}", spec.range.gateway()))?;
    for address in addresses {
        ip(&format!("addr add {address}/32 dev {BRIDGE}"))?;
    }
    ip(&format!("link set {BRIDGE} up"))?;
    ip(&format!("link set {UPLINK} master {BRIDGE} up"))?;
    for cluster in nodes {
        prepare_node(cluster)?;
    }
    Ok(())
}

fn prepare_node(cluster: &Cluster) -> Result<(), NetworkError> {
    let Cluster {
        name,
        number,
        node_address,
        ..
    } = cluster;
    let subnet = cluster.pod_subnet();
    ip(&format!("netns add {name}"))?;
    ip(&format!(
        "link add node{number} type veth peer name eth0 netns {name}"
    ))?;
    ip(&format!("link set node{number} master {BRIDGE} up"))?;
    ip(&format!("-n {name} addr add {node_address}/22 dev eth0"))?;
    ip(&format!("-n {name} link set lo up"))?;
    ip(&format!("-n {name} link set eth0 up"))?;
    // Pods keep their own addresses towards the API servers and the simulated Azure.
    ip(&format!("route add {subnet} via {node_address}"))?;
    let network = format!("--net=/run/netns/{name}");
    // A pod that is refused (`cargo sandbox fault egress`) hears of it each time.
    let settings = "cd /proc/sys/net/ipv4 && echo 1 > ip_forward && echo 0 > icmp_ratelimit";
    command::run(plain("nsenter").args([&network, "sh", "-c", settings]))?;
    Ok(())
}

fn wait(what: &str, condition: impl Fn() -> bool) -> Result<(), NetworkError> {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() > deadline {
            return Err(NetworkError::Missing(what.to_owned(), PATIENCE));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
