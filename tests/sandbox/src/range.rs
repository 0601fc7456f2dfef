//! The addresses of one sandbox.
//!
//! Each sandbox owns one /22 of 198.18.0.0/15, the block that RFC 2544 sets aside for test networks: never routed on
//! the internet, not loopback (Entra refuses loopback issuers), seldom used in offices and clouds.

use std::fs;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::files;
use crate::spec::Spec;
use crate::state;

/// Every one of the 128 ranges is taken.
#[derive(Debug, thiserror::Error)]
#[error("no free address range: all 128 blocks of 198.18.0.0/15 are routed on this machine")]
pub struct NoRange;

/// One sandbox's /22.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Range(u8);

/// How many clusters have an address.
pub const MAX_CLUSTERS: u8 = 200;

impl Range {
    /// The range with this number, 0 to 127.
    pub fn new(number: u8) -> Self {
        Self(number % 128)
    }

    /// A range that no route of this machine touches and no living sandbox of this user has.
    pub fn free() -> Result<Self, NoRange> {
        let taken: Vec<Self> = state::all()
            .unwrap_or_default()
            .iter()
            .filter(|state| state.is_alive())
            .filter_map(|state| files::read_json::<Spec>(&state.spec()).ok())
            .map(|spec| spec.range)
            .collect();
        let routes = routes(&fs::read_to_string("/proc/net/route").unwrap_or_default());
        (0..128)
            .map(Self::new)
            .find(|range| !taken.contains(range) && !routes.iter().any(|route| range.overlaps(*route)))
            .ok_or(NoRange)
    }

    fn address(self, block: u8, host: u8) -> Ipv4Addr {
        let third = u16::from(self.0) * 4 + u16::from(block);
        let [high, low] = third.to_be_bytes();
        Ipv4Addr::new(198, 18 + high, low, host)
    }

    /// In CIDR notation.
    pub fn cidr(self) -> String {
        format!("{}/22", self.address(0, 0))
    }

    /// This machine's end of the link.
    pub fn host(self) -> Ipv4Addr {
        self.address(0, 1)
    }

    /// The sandbox's own end.
    pub fn gateway(self) -> Ipv4Addr {
        self.address(0, 2)
    }

    /// Entra.
    pub fn entra(self) -> Ipv4Addr {
        self.address(0, 10)
    }

    /// Azure Resource Manager.
    pub fn arm(self) -> Ipv4Addr {
        self.address(0, 11)
    }

    /// GitHub, Azure DevOps, and the machine on which pipelines run.
    pub fn platform(self) -> Ipv4Addr {
        self.address(0, 12)
    }

    /// The vault with this number, from 1 to 100.
    pub fn vault(self, number: u8) -> Ipv4Addr {
        self.address(0, 100 + number)
    }

    /// A cluster's API server.
    pub fn api_server(self, cluster: u8) -> Ipv4Addr {
        self.address(1, cluster)
    }

    /// A cluster's node.
    pub fn node(self, cluster: u8) -> Ipv4Addr {
        self.address(2, cluster)
    }

    fn overlaps(self, (network, mask): (u32, u32)) -> bool {
        let own = u32::from(self.address(0, 0));
        let common = mask & (u32::MAX << 10);
        mask != 0 && network & common == own & common
    }
}

/// Destination and mask of each route in the kernel's table.
fn routes(table: &str) -> Vec<(u32, u32)> {
    // Addresses stand there as the machine keeps network order in memory.
    let number = |text: &str| u32::from_str_radix(text, 16).map(u32::from_be).ok();
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            Some((number(fields.get(1)?)?, number(fields.get(7)?)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_do_not_touch_one_another() {
        assert_eq!(Range::new(0).cidr(), "198.18.0.0/22");
        assert_eq!(Range::new(1).host(), Ipv4Addr::new(198, 18, 4, 1));
        assert_eq!(Range::new(64).cidr(), "198.19.0.0/22");
        assert_eq!(Range::new(127).node(200), Ipv4Addr::new(198, 19, 254, 200));
    }

    #[test]
    fn a_route_takes_the_ranges_that_it_covers_and_the_default_route_none() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
                     eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\n\
                     aks\t000412C6\t00000000\t0001\t0\t0\t0\t00FCFFFF\n";
        let routes = routes(table);
        let taken = |number| routes.iter().any(|route| Range::new(number).overlaps(*route));
        assert_eq!([taken(0), taken(1), taken(2)], [false, true, false]);
    }
}
