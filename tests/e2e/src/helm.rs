//! What plain helm says of a release, and what somebody does with it by hand.

use crate::World;
use serde_json::Value;

/// The revision and status of a release; none when there is none.
pub type Release = Option<(u64, String)>;

/// What plain helm says of the only release in a namespace.
///
/// # Panics
/// When helm cannot be asked.
pub fn release(world: &World, context: &str, namespace: &str) -> Release {
    // `--all` is not there in Helm 4, and all of these are in both.
    let line = format!(
        "helm --kube-context {context} -n {namespace} list --deployed --failed --pending --uninstalled \
         --uninstalling -o json"
    );
    let list = world.run(&line).expect(0).json();
    let release = list.as_array()?.first()?;
    let revision = release["revision"].as_str()?.parse().ok()?;
    Some((revision, release["status"].as_str()?.to_owned()))
}

/// How plain helm tells of a revision that is deployed.
#[must_use]
pub fn deployed(revision: u64) -> Release {
    Some((revision, "deployed".to_owned()))
}

/// How plain helm tells of a revision that failed.
#[must_use]
pub fn failed(revision: u64) -> Release {
    Some((revision, "failed".to_owned()))
}

/// How plain helm tells of a revision that an upgrade has begun.
#[must_use]
pub fn pending(revision: u64) -> Release {
    Some((revision, "pending-upgrade".to_owned()))
}

/// What plain helm says that the user's values of a release are.
///
/// # Panics
/// When helm cannot be asked.
pub fn values(world: &World, context: &str, namespace: &str, release: &str) -> Value {
    let line = format!("helm --kube-context {context} -n {namespace} get values {release} -o json");
    world.run(&line).expect(0).json()
}
