//! Cutting pods off: routing rules of the node that drop or refuse what its pods send to an address.
//!
//! Only the pods' own packets: the node itself keeps talking to its API server, so that logs can be read and pods be
//! deleted meanwhile.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::command::{CommandError, ip};
use crate::range::Range;
use crate::spec::Cluster;

/// Where pods want to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Egress {
    /// Anything outside the node
    All,
    /// Entra, Azure Resource Manager and the vaults
    Azure,
    /// Microsoft Entra ID, where tokens are exchanged
    Entra,
    /// Azure Resource Manager
    Arm,
    /// The vaults
    Vault,
    /// The cluster's own issuer, which is its API server
    Issuer,
}

impl Egress {
    /// Networks in CIDR notation.
    fn networks(self, range: Range, cluster: &Cluster) -> Vec<String> {
        let one = |address: std::net::Ipv4Addr| format!("{address}/32");
        match self {
            Self::All => vec!["0.0.0.0/0".to_owned()],
            Self::Azure => vec![one(range.entra()), one(range.arm()), one(range.vault(1))],
            Self::Entra => vec![one(range.entra())],
            Self::Arm => vec![one(range.arm())],
            Self::Vault => vec![one(range.vault(1))],
            Self::Issuer => vec![one(cluster.address)],
        }
    }
}

/// Before all rules but the one for the node's own addresses, which is number 0: pods may talk to their node.
const PRIORITY: u16 = 100;

/// Makes these, each with whether it refuses at once, all that is blocked for the pods of a cluster.
pub(super) fn set(range: Range, cluster: &Cluster, blocked: &[(Egress, bool)]) -> Result<(), CommandError> {
    for rule in ip(&format!("-n {} rule list priority {PRIORITY}", cluster.name))?.lines() {
        let (_, rule) = rule.split_once(':').unwrap_or_default();
        ip(&format!(
            "-n {} rule del priority {PRIORITY} {}",
            cluster.name,
            rule.trim()
        ))?;
    }
    for rule in rules(range, cluster, blocked) {
        ip(&format!(
            "-n {} rule add priority {PRIORITY} {rule}",
            cluster.name
        ))?;
    }
    Ok(())
}

fn rules(range: Range, cluster: &Cluster, blocked: &[(Egress, bool)]) -> Vec<String> {
    let pods = cluster.pod_subnet();
    let rules = blocked.iter().flat_map(|(to, reject)| {
        let action = if *reject { "prohibit" } else { "blackhole" };
        let networks = to.networks(range, cluster).into_iter();
        networks.map({
            let pods = pods.clone();
            move |network| format!("from {pods} to {network} {action}")
        })
    });
    rules.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec;

    #[test]
    fn only_pods_are_cut_off_and_only_from_what_is_meant() {
        let range = Range::new(0);
        let cluster = &spec::clusters(range, 2)[1];
        assert_eq!(
            rules(range, cluster, &[(Egress::Vault, false), (Egress::Issuer, true)]),
            [
                "from 10.244.2.0/24 to 198.18.0.101/32 blackhole",
                "from 10.244.2.0/24 to 198.18.1.2/32 prohibit",
            ]
        );
        assert_eq!(rules(range, cluster, &[(Egress::Azure, false)]).len(), 3);
    }
}
