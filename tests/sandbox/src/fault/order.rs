//! What can be asked for, on the command line and through the socket.

use std::fmt;

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use super::egress::Egress;
use crate::spec::Cluster;
use crate::supervise::Act;

/// What goes wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultCommand {
    /// Cut the pods of a cluster off from what they call, or let them through
    Egress(EgressFault),
    /// Disturb the API server of a cluster, which is also its issuer
    Api(ProcessFault),
    /// Disturb the container engine of a cluster's node; the containers live on
    Containerd(ProcessFault),
    /// Disturb the kubelet of a cluster's node
    Kubelet(ProcessFault),
    /// Disturb the workload identity webhook of a cluster, or its registration
    Webhook(WebhookFault),
    /// Let what a cluster publishes as issuer stay behind its tokens
    Issuer(IssuerFault),
    /// End every fault, or those of one cluster
    Calm {
        /// The cluster; all of them if absent
        cluster: Option<String>,
    },
}

/// A fault of the pods' network.
#[derive(Debug, Clone, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct EgressFault {
    /// The cluster, by its name
    pub cluster: String,
    /// Whether its pods get through
    pub gate: Gate,
    /// Where to; everything that is `blocked` is opened if absent, everything that there is blocked
    #[arg(long)]
    pub to: Option<Egress>,
    /// Refuse at once instead of dropping silently
    #[arg(long)]
    pub reject: bool,
}

/// Whether packets get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// They do not.
    Block,
    /// They do.
    Open,
}

/// A fault of a process.
#[derive(Debug, Clone, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct ProcessFault {
    /// The cluster, by its name
    pub cluster: String,
    /// What happens to the process; `kill` and `start` return when it answers again
    pub act: Act,
}

/// A fault of the issuer that the API server is.
#[derive(Debug, Clone, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct IssuerFault {
    /// The cluster, by its name
    pub cluster: String,
    /// What stays behind; returns when the API server, started anew, answers again
    pub act: IssuerAct,
}

/// What is done to the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IssuerAct {
    /// Sign with a new key, and publish the old one
    Rotate,
    /// Name another address as issuer in tokens, at which lies a copy of the document that names the old one
    Move,
    /// Sign with the key that is published, as the issuer that publishes it
    Restore,
}

/// A fault of the webhook.
#[derive(Debug, Clone, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct WebhookFault {
    /// The cluster, by its name
    pub cluster: String,
    /// What happens to it
    pub act: WebhookAct,
}

/// What is done to the webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookAct {
    /// End its process by SIGKILL; it is started again
    Kill,
    /// End its process: the API server refuses the pods that should pass it
    Stop,
    /// Freeze its process: such pods are refused when the API server has waited long enough
    Pause,
    /// Unregister it: pods pass unchanged
    Remove,
    /// Register it a second time, as an installation beside the managed one does
    Double,
    /// Run it as one that was set up for the Azure of China
    OtherCloud,
    /// Registered once and running, as it was
    Start,
}

impl EgressFault {
    /// Everything is let through.
    pub(super) fn open(cluster: &Cluster) -> Self {
        Self {
            cluster: cluster.name.clone(),
            gate: Gate::Open,
            to: None,
            reject: false,
        }
    }
}

impl WebhookAct {
    /// What it does to the process, if anything.
    pub(super) const fn on_process(self) -> Option<Act> {
        match self {
            Self::Kill => Some(Act::Kill),
            Self::Stop => Some(Act::Stop),
            Self::Pause => Some(Act::Pause),
            Self::Start => Some(Act::Start),
            Self::Remove | Self::Double | Self::OtherCloud => None,
        }
    }
}

impl FaultCommand {
    /// The cluster that is meant; none: all.
    pub(super) fn cluster(&self) -> Option<&str> {
        match self {
            Self::Egress(fault) => Some(&fault.cluster),
            Self::Api(fault) | Self::Containerd(fault) | Self::Kubelet(fault) => Some(&fault.cluster),
            Self::Webhook(fault) => Some(&fault.cluster),
            Self::Issuer(fault) => Some(&fault.cluster),
            Self::Calm { cluster } => cluster.as_deref(),
        }
    }
}

/// As it is typed after `cargo sandbox fault`.
impl fmt::Display for FaultCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn word<T: ValueEnum>(value: &T) -> String {
            let value = value.to_possible_value();
            value.map(|value| value.get_name().to_owned()).unwrap_or_default()
        }
        match self {
            Self::Egress(fault) => {
                write!(f, "egress {} {}", fault.cluster, word(&fault.gate))?;
                if let Some(to) = &fault.to {
                    write!(f, " --to {}", word(to))?;
                }
                f.write_str(if fault.reject { " --reject" } else { "" })
            }
            Self::Api(fault) => write!(f, "api {} {}", fault.cluster, word(&fault.act)),
            Self::Containerd(fault) => write!(f, "containerd {} {}", fault.cluster, word(&fault.act)),
            Self::Kubelet(fault) => write!(f, "kubelet {} {}", fault.cluster, word(&fault.act)),
            Self::Webhook(fault) => write!(f, "webhook {} {}", fault.cluster, word(&fault.act)),
            Self::Issuer(fault) => write!(f, "issuer {} {}", fault.cluster, word(&fault.act)),
            Self::Calm { cluster } => match cluster {
                Some(cluster) => write!(f, "calm {cluster}"),
                None => f.write_str("calm"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: FaultCommand,
    }

    #[test]
    fn a_fault_is_shown_as_it_is_typed_and_survives_the_socket() {
        for line in [
            "egress aks-weu-1 block --to azure --reject",
            "egress aks-weu-1 open",
            "api aks-weu-1 pause",
            "containerd aks-weu-1 kill",
            "kubelet aks-weu-1 stop",
            "webhook aks-weu-1 double",
            "webhook aks-weu-1 other-cloud",
            "issuer aks-weu-1 rotate",
            "issuer aks-weu-1 move",
            "calm aks-weu-1",
            "calm",
        ] {
            let words = ["fault"].into_iter().chain(line.split(' '));
            let command = Line::try_parse_from(words).unwrap().command;
            assert_eq!(command.to_string(), line);
            let sent = serde_json::to_string(&command).unwrap();
            assert_eq!(serde_json::from_str::<FaultCommand>(&sent).unwrap(), command);
        }
    }
}
