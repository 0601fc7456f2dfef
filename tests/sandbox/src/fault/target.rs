//! The processes and objects of a cluster that a fault is about, and when they are well again.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::order::WebhookAct;
use crate::api::{Api, ApiError};
use crate::spec::Cluster;
use crate::state::StateDir;
use crate::{control_plane, node, webhook};

/// A process that faults know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    Api,
    Containerd,
    Kubelet,
    Webhook,
}

const CONNECT: Duration = Duration::from_secs(1);

impl Process {
    pub(super) const ALL: [Self; 4] = [Self::Api, Self::Containerd, Self::Kubelet, Self::Webhook];

    /// Its name among the sandbox's processes.
    pub(super) fn unit(self, cluster: &Cluster) -> String {
        match self {
            Self::Api => control_plane::api_server_name(cluster),
            Self::Containerd => node::containerd_name(cluster),
            Self::Kubelet => node::kubelet_name(cluster),
            Self::Webhook => webhook::name(cluster),
        }
    }

    /// Whether it does its work.
    pub(super) fn is_well(self, state: &StateDir, cluster: &Cluster) -> bool {
        let listens = |port| {
            let address = SocketAddr::from((cluster.node_address, port));
            TcpStream::connect_timeout(&address, CONNECT).is_ok()
        };
        match self {
            Self::Api => Api::new(state, cluster).is_ok_and(|api| api.is_ready()),
            Self::Containerd => node::is_containerd_ready(cluster),
            Self::Kubelet => listens(node::KUBELET_PORT),
            Self::Webhook => listens(webhook::PORT),
        }
    }
}

/// Changes how the webhook is registered.
pub(super) fn register(state: &StateDir, cluster: &Cluster, act: WebhookAct) -> Result<(), ApiError> {
    let api = Api::new(state, cluster)?;
    match act {
        WebhookAct::Remove => webhook::unregister(&api),
        WebhookAct::Double => webhook::register_twice(&api, state, cluster),
        WebhookAct::Start => {
            webhook::unregister_second(&api)?;
            webhook::register(&api, state, cluster)
        }
        WebhookAct::Kill | WebhookAct::Stop | WebhookAct::Pause | WebhookAct::OtherCloud => Ok(()),
    }
}
