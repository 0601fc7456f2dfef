//! Whether a target is where the fleet wants it, from its release record alone.

use crate::chart::Chart;
use crate::digest::Hasher;
use crate::event::Action;
use crate::fleet::Fleet;
use crate::release::Record;
use crate::values::{Values, is_part_of};

/// What a target's release shall be.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Its values.
    pub values: Values,
    /// Digest of everything that decides what helm stores.
    pub digest: String,
}

impl Desired {
    /// What the release of a target with these values shall be.
    pub fn new(fleet: &Fleet, chart: &Chart, values: Values) -> Self {
        let settings = &fleet.helm;
        let hasher = Hasher::new("release")
            .bytes("chart", chart.digest.as_bytes())
            .json("policy", &serde_json::json!(settings.values_policy))
            .json("arguments", &serde_json::json!(settings.args));
        let digest = values.add_to(hasher).hex();
        Self { values, digest }
    }
}

/// Whether anything was or will be changed about a target's identities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityState {
    /// All are in order.
    InOrder,
    /// Something was missing or different.
    Changed,
}

/// What is to be done, and why.
///
/// A label alone is no proof of anything: Helm copies labels forward through an upgrade by hand. So the record
/// itself is compared as far as it can be, and the mark must be of this very revision.
pub fn decide(
    record: Option<&Record>,
    desired: &Desired,
    chart: &Chart,
    identity: IdentityState,
) -> (Action, String) {
    let Some(record) = record else {
        return (Action::Install, "there is no release yet".to_owned());
    };
    if let Some(reason) = difference(record, desired, chart) {
        return (Action::Upgrade, reason);
    }
    match identity {
        IdentityState::Changed => (
            Action::RepairIdentity,
            "the release is at target, its identity is not".to_owned(),
        ),
        IdentityState::InOrder => (Action::Nothing, "at target and verified".to_owned()),
    }
}

fn difference(record: &Record, desired: &Desired, chart: &Chart) -> Option<String> {
    let revision = record.revision;
    if !record.is_deployed() {
        return Some(format!("revision {revision} is {}", record.status));
    }
    if (&record.chart, &record.chart_version) != (&chart.name, &chart.version) {
        let (old, old_version) = (&record.chart, &record.chart_version);
        return Some(format!(
            "chart {old} {old_version} becomes {} {}",
            chart.name, chart.version
        ));
    }
    if !desired.values.are_comparable() {
        return Some("its values are read by helm alone and cannot be compared".to_owned());
    }
    if !record.has_digest(&desired.digest) || !is_part_of(&desired.values.overrides, &record.config) {
        return Some(format!("chart or values differ from revision {revision}"));
    }
    if !record.is_verified(&desired.digest) {
        return Some(format!("revision {revision} has not been verified"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::{DIGEST_LABEL, VERIFIED_LABEL, label_of};
    use crate::values::ValuesFile;
    use serde_json::json;

    fn chart() -> Chart {
        Chart {
            name: "orders".into(),
            version: "0.1.0".into(),
            app_version: None,
            digest: "c".into(),
            path: std::path::PathBuf::new(),
        }
    }

    fn desired() -> Desired {
        let fleet: Fleet =
            serde_json::from_value(json!({"apiVersion": "helmfleet/v1alpha1", "kind": "Fleet",
            "release": {"name": "orders", "namespace": "shop"}, "chart": {"ref": "x"}}))
            .unwrap();
        Desired::new(
            &fleet,
            &chart(),
            Values {
                files: Vec::new(),
                overrides: json!({"a": "1"}),
                kept: Vec::new(),
            },
        )
    }

    fn at_target() -> Record {
        let digest = desired().digest;
        let label = label_of(&digest).to_owned();
        Record::sample(
            3,
            "deployed",
            json!({"a": "1", "b": 2}),
            [
                (DIGEST_LABEL.to_owned(), label.clone()),
                (VERIFIED_LABEL.to_owned(), format!("v3.{label}")),
            ],
        )
    }

    fn changed(change: impl Fn(&mut Record)) -> Record {
        let mut record = at_target();
        change(&mut record);
        record
    }

    fn action(record: &Record) -> Action {
        decide(Some(record), &desired(), &chart(), IdentityState::InOrder).0
    }

    #[test]
    fn a_verified_revision_of_the_same_content_is_left_alone() {
        assert_eq!(action(&at_target()), Action::Nothing);
        let (action, _) = decide(Some(&at_target()), &desired(), &chart(), IdentityState::Changed);
        assert_eq!(action, Action::RepairIdentity);
        assert_eq!(
            decide(None, &desired(), &chart(), IdentityState::InOrder).0,
            Action::Install
        );
    }

    #[test]
    fn anything_else_is_upgraded() {
        let copied_by_a_manual_upgrade = changed(|record| record.revision = 4);
        let failed = changed(|record| record.status = "failed".into());
        let other_chart = changed(|record| record.chart_version = "0.0.9".into());
        let other_values = changed(|record| record.config = json!({"a": "2"}));
        let unlabelled = changed(|record| record.labels.clear());
        for record in [
            copied_by_a_manual_upgrade,
            failed,
            other_chart,
            other_values,
            unlabelled,
        ] {
            assert_eq!(action(&record), Action::Upgrade, "{record:?}");
        }
    }

    #[test]
    fn values_that_only_helm_reads_are_never_known_to_be_at_target() {
        let mut desired = desired();
        desired.values.files.push(ValuesFile::Remote {
            address: "secrets://x".into(),
            content: None,
        });
        assert_eq!(
            decide(Some(&at_target()), &desired, &chart(), IdentityState::InOrder).0,
            Action::Upgrade
        );
    }
}
