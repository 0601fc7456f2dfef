//! Reading a fleet file: what is wrong is told by file, line, column and key.

use super::{Fleet, RolloutSpec, twice};
use aks_shared::azure::ArmId;
use aks_shared::format;
use aks_shared::identity::{SecretRef, ServiceAccountRef};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The JSON schema of fleet files, as `helm fleet validate --print-schema` prints it.
pub const SCHEMA: &str = include_str!("schema.json");

/// A fleet file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The file cannot be read.
    #[error("cannot read the fleet file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no fleet.
    #[error("{place}: {what}")]
    Parse {
        /// The file, and in it the line and the column.
        place: String,
        /// What is wrong, with its key.
        what: String,
    },
    /// The file contradicts itself.
    #[error("the fleet file {} cannot be used", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Every problem, with its place and its key.
        problems: Vec<String>,
    },
}

/// The text of a fleet file, by which places in it are told.
#[derive(Debug, Clone)]
pub struct FleetText {
    path: PathBuf,
    text: String,
}

impl FleetText {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, FleetError> {
        let text = std::fs::read_to_string(path).map_err(|source| FleetError::Read {
            path: path.to_owned(),
            source,
        })?;
        let path = path.to_owned();
        Ok(Self { path, text })
    }

    /// What it says, checked as far as that is possible without clusters.
    pub fn fleet(&self) -> Result<Fleet, FleetError> {
        let twice = twice::keys(&self.text);
        if !twice.is_empty() {
            return Err(self.invalid(twice.iter().map(|key| format!("{key}: is there twice"))));
        }
        let fleet: Fleet = format::from_yaml(&self.text).map_err(|error| FleetError::Parse {
            place: self.place(error.location()),
            what: error.what(),
        })?;
        let problems = fleet.problems();
        if problems.is_empty() {
            return Ok(fleet);
        }
        Err(self.invalid(problems))
    }

    fn invalid(&self, problems: impl IntoIterator<Item = String>) -> FleetError {
        FleetError::Invalid {
            path: self.path.clone(),
            problems: problems
                .into_iter()
                .map(|problem| self.placed(&problem))
                .collect(),
        }
    }

    /// A problem of the form `KEY: WHAT` with the place of its key before it.
    pub fn placed(&self, problem: &str) -> String {
        let key = problem.split_once(": ").map_or(problem, |(key, _)| key);
        format!("{}: {problem}", self.place(format::location_of(&self.text, key)))
    }

    fn place(&self, location: Option<(usize, usize)>) -> String {
        match location {
            Some((line, column)) => format!("{}:{line}:{column}", self.path.display()),
            None => self.path.display().to_string(),
        }
    }
}

impl Fleet {
    /// What contradicts itself or cannot be, each as `KEY: WHAT`.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut name = |key: &str, text: &str, longest: usize| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let edges = text.starts_with('-') || text.ends_with('-');
            if text.is_empty() || text.len() > longest || edges || !text.chars().all(plain) {
                problems.push(format!(
                    "{key}: {text:?} is not 1 to {longest} lower-case letters, digits and '-'"
                ));
            }
        };
        // Helm's own bound on release names.
        name("release.name", &self.release.name, 53);
        name("release.namespace", &self.release.namespace, 63);
        let mut accounts = BTreeMap::new();
        for (key, identity) in &self.identities {
            if let Some(other) = accounts.insert(&identity.service_account, key) {
                problems.push(format!(
                    "identities.{key}.serviceAccount: {:?} is the account of {other} already",
                    identity.service_account
                ));
            }
            if let Some(Err(error)) = identity
                .name
                .as_deref()
                .map(kubectl_wi_setup::check_identity_name)
            {
                problems.push(format!("identities.{key}.name: {error}"));
            }
            for (index, secret) in identity.secrets.iter().enumerate() {
                if let Err(error) = secret.parse::<SecretRef>() {
                    problems.push(format!("identities.{key}.secrets[{index}]: {error}"));
                }
            }
            let account =
                ServiceAccountRef::new(self.release.namespace.clone(), identity.service_account.clone());
            if let Err(error) = account {
                problems.push(format!("identities.{key}.serviceAccount: {error}"));
            }
        }
        if self.helm.deadline.is_some_and(|deadline| deadline.is_zero()) {
            problems.push("helm.deadline: 0 would let no helm run".to_owned());
        }
        if let Some(digest) = &self.chart.digest
            && !is_digest(digest)
        {
            problems.push(format!(
                "chart.digest: {digest:?} is not sha256: and 64 hexadecimal digits"
            ));
        }
        if self
            .discover
            .azure
            .as_ref()
            .is_some_and(|azure| azure.tags.is_empty())
        {
            problems.push("discover.azure.tags: name at least one tag".to_owned());
        }
        let checks = self.verify.iter().enumerate();
        problems.extend(checks.filter_map(|(index, check)| check.problem(&format!("verify[{index}]"))));
        let mut seen = BTreeSet::new();
        for (index, cluster) in self.clusters.iter().enumerate() {
            let key = format!("clusters[{index}]");
            if !seen.insert(&cluster.name) {
                problems.push(format!("{key}.name: {:?} is there twice", cluster.name));
            }
            if cluster.context.is_empty() && cluster.id.is_none() {
                problems.push(format!("{key}: give its context, its id, or both"));
            }
            if let Some(Err(error)) = cluster.id.as_deref().map(str::parse::<ArmId>) {
                problems.push(format!("{key}.id: {error}"));
            }
        }
        problems.extend(self.rollout.iter().flat_map(RolloutSpec::problems));
        problems
    }
}

fn is_digest(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    digits.len() == 64 && digits.chars().all(|digit| digit.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
