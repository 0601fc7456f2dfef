//! What other parties do while the simulator runs: they make, change and delete resources.

use serde_json::Value;

use super::{AzureSim, StartError};
use crate::arm::graph;
use crate::seed::{self, SeedError};

/// Resources to add while the simulator runs; with names of their own, so that nobody else's are touched.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Addition {
    /// Subscriptions.
    pub subscriptions: Vec<seed::Subscription>,
    /// Resource groups.
    pub resource_groups: Vec<seed::ResourceGroup>,
    /// AKS clusters.
    pub clusters: Vec<seed::Cluster>,
    /// Managed identities.
    pub identities: Vec<seed::Identity>,
    /// Key vaults.
    pub vaults: Vec<seed::Vault>,
    /// Roles that somebody made.
    pub custom_roles: Vec<seed::CustomRole>,
    /// Role assignments.
    pub role_assignments: Vec<seed::RoleAssignment>,
    /// Management locks.
    pub locks: Vec<seed::Lock>,
    /// Policies that deny.
    pub policies: Vec<seed::Policy>,
    /// Deny assignments.
    pub deny_assignments: Vec<seed::DenyAssignment>,
    /// Applications that sign in.
    pub service_principals: Vec<seed::ServicePrincipal>,
    /// Jobs of GitHub Actions.
    pub github_jobs: Vec<seed::GithubJob>,
    /// Jobs of Azure Pipelines.
    pub pipeline_jobs: Vec<seed::PipelineJob>,
    /// Names of managed identities to assign to the machine.
    pub machine_identities: Vec<String>,
}

impl AzureSim {
    /// Adds what another party would have made.
    pub fn add(&self, more: &Addition) -> Result<(), StartError> {
        let now = self.host.world.clock.now();
        {
            let mut guard = self.host.world.state();
            let state = &mut *guard;
            for subscription in &more.subscriptions {
                state.add_subscription(subscription, now)?;
            }
            for principal in &more.service_principals {
                let name = &principal.display_name;
                if state.applications.iter().any(|known| known.name == *name) {
                    return Err(SeedError::Twice { what: name.clone() }.into());
                }
                state.add_application(principal)?;
            }
            for job in &more.github_jobs {
                state.running.add_github(job)?;
            }
            for job in &more.pipeline_jobs {
                state.running.add_pipeline(job, &mut state.ids)?;
            }
            state.running.machine.extend_from_slice(&more.machine_identities);
            for group in &more.resource_groups {
                state.add_group(group)?;
            }
            for cluster in &more.clusters {
                state.add_cluster(cluster)?;
            }
            for identity in &more.identities {
                state.add_identity(identity, now)?;
            }
        }
        for vault in &more.vaults {
            self.host.add_vault(vault, now)?;
        }
        let mut state = self.host.world.state();
        for role in &more.custom_roles {
            state.add_role(role, now)?;
        }
        for assignment in &more.role_assignments {
            state.add_assignment(assignment, now)?;
        }
        state.rules.locks.extend_from_slice(&more.locks);
        state.rules.policies.extend_from_slice(&more.policies);
        for denial in &more.deny_assignments {
            state.add_denial(denial)?;
        }
        drop(state);
        graph::index(&self.host.world, now);
        Ok(())
    }

    /// Changes settings of the cluster, vault or secret with this id: fields as in the seed, and only those that are
    /// given. A secret's `value`, or an entry of a vault's `secrets`, is a new version.
    pub fn change(&self, id: &str, fields: &Value) -> Result<(), SeedError> {
        let now = self.host.world.clock.now();
        self.host.world.state().change(id, fields, now)?;
        graph::index(&self.host.world, now);
        Ok(())
    }

    /// Deletes what has this id, everything below it included; false if nothing had. An application goes by its client
    /// id; what runs goes by `githubJobs/NAME`, `pipelineJobs/NAME` and `machineIdentities/NAME`.
    pub fn delete(&self, id: &str) -> bool {
        let known = self.host.world.state().delete(id);
        graph::index(&self.host.world, self.host.world.clock.now());
        known
    }
}
