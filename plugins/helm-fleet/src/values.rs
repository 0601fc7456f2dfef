//! The values of one target: the user's files, untouched, and our overrides, rendered and merged last.

pub mod files;
pub mod keys;
pub mod remote;

use crate::digest::Hasher;
use crate::fleet::{ClusterSpec, Fleet, ValuesSpec};
use aks_shared::template::{self, TemplateError};
use files::ValuesFiles;
use keys::KeyPath;
use remote::RemoteContent;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What `helm upgrade` is given as values, and the digest of all that decides what it stores.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    /// The user's files, in order.
    pub files: Vec<ValuesFile>,
    /// Our overrides, what is kept of the cluster's own values among them.
    pub overrides: Value,
    /// The keys of those.
    pub kept: Vec<KeyPath>,
}

/// One `-f` of Helm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValuesFile {
    /// A file on this machine, with the digest of its content.
    Local {
        /// Where it is.
        path: PathBuf,
        /// Digest of its content.
        digest: String,
    },
    /// An address that Helm reads itself.
    Remote {
        /// The address.
        address: String,
        /// What is there, when helm was asked.
        content: Option<RemoteContent>,
    },
}

/// The values of a target cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ValuesError {
    /// A template fails.
    #[error("{key}")]
    Template {
        /// The key of the fleet file.
        key: String,
        /// Why.
        source: TemplateError,
    },
    /// There is no such file.
    #[error("{key}: there is no values file {}; give it as {{file: NAME, optional: true}} if it may be absent", path.display())]
    Missing {
        /// The key of the fleet file.
        key: String,
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("{key}: cannot read values file {}", path.display())]
    Read {
        /// The key of the fleet file.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Values {
    /// Renders the values of a cluster; `identities` is what templates know as `identities`.
    pub fn of(
        fleet: &Fleet,
        source: &ValuesFiles,
        cluster: &ClusterSpec,
        identities: &Value,
    ) -> Result<Self, ValuesError> {
        let (values, problems) = Self::rendered(fleet, source, cluster, identities);
        problems.into_iter().next().map_or(Ok(values), Err)
    }

    /// The same as far as they can be made, and everything that is wrong.
    pub(crate) fn rendered(
        fleet: &Fleet,
        source: &ValuesFiles,
        cluster: &ClusterSpec,
        identities: &Value,
    ) -> (Self, Vec<ValuesError>) {
        let variables = variables(fleet, cluster, identities);
        let (mut files, mut problems) = (Vec::new(), Vec::new());
        let own = fleet
            .clusters
            .iter()
            .position(|listed| listed.name == cluster.name);
        let own = own.map_or_else(String::new, |index| format!("clusters[{index}]."));
        for (key, list) in [
            ("values".to_owned(), &fleet.values),
            (format!("{own}values"), &cluster.values),
        ] {
            for (index, spec) in list.iter().enumerate() {
                match values_file(&format!("{key}[{index}]"), spec, source, &variables) {
                    Ok(file) => files.extend(file),
                    Err(problem) => problems.push(problem),
                }
            }
        }
        let mut overrides = Value::Object(fleet.overrides.clone());
        render_tree("overrides", &mut overrides, &variables, &mut problems);
        let values = Self {
            files,
            overrides,
            kept: Vec::new(),
        };
        (values, problems)
    }

    /// Keeps what a cluster has at these keys; the fleet sets none of them.
    pub fn keep(&mut self, kept: Vec<KeyPath>, stored: &Value) {
        for key in &kept {
            if let Some(value) = key.value_in(stored) {
                keys::merge(&mut self.overrides, key.alone(value.clone()));
            }
        }
        self.kept = kept;
    }

    /// Digest of the values alone: equal for clusters that one rendering can stand for.
    pub fn digest(&self) -> String {
        self.add_to(Hasher::new("values")).hex()
    }

    /// Adds files and overrides to a digest.
    pub fn add_to(&self, hasher: Hasher) -> Hasher {
        let hasher = self.files.iter().fold(hasher, |hasher, file| match file {
            ValuesFile::Local { digest, .. } => hasher.bytes("file", digest.as_bytes()),
            ValuesFile::Remote {
                address,
                content: None,
            } => hasher.bytes("remote", address.as_bytes()),
            ValuesFile::Remote {
                content: Some(content),
                ..
            } => hasher.json("content", content.values()),
        });
        let hasher = hasher.json("overrides", &self.overrides);
        // A key that the fleet begins to set is not kept any more, even if its value stays.
        let kept = self.kept.iter();
        kept.fold(hasher, |hasher, key| {
            hasher.bytes("kept", key.to_string().as_bytes())
        })
    }

    /// Whether all content is known here, so that equal digests mean equal values.
    pub fn are_comparable(&self) -> bool {
        self.files
            .iter()
            .all(|file| !matches!(file, ValuesFile::Remote { content: None, .. }))
    }
}

/// What templates of the fleet file may name.
pub(crate) fn variables(fleet: &Fleet, cluster: &ClusterSpec, identities: &Value) -> Value {
    json!({
        "cluster": {"name": cluster.name, "context": cluster.context, "labels": cluster.labels},
        "release": {"name": fleet.release.name, "namespace": fleet.release.namespace},
        "identities": identities,
    })
}

fn values_file(
    key: &str,
    spec: &ValuesSpec,
    source: &ValuesFiles,
    variables: &Value,
) -> Result<Option<ValuesFile>, ValuesError> {
    let name = render(key, &spec.file, variables)?;
    if name.contains("://") {
        return Ok(Some(ValuesFile::Remote {
            content: source.remote(&name),
            address: name,
        }));
    }
    let failed = |error| ValuesError::Read {
        key: key.to_owned(),
        path: source.source(&name),
        source: error,
    };
    match source.get(&name).map_err(failed)? {
        Some(kept) => Ok(Some(ValuesFile::Local {
            path: kept.path,
            digest: kept.digest,
        })),
        None if spec.optional => Ok(None),
        None => Err(ValuesError::Missing {
            key: key.to_owned(),
            path: source.source(&name),
        }),
    }
}

/// Renders the texts of a tree; keys and other scalars stay as they are, and what is rendered stays a text.
fn render_tree(key: &str, tree: &mut Value, variables: &Value, problems: &mut Vec<ValuesError>) {
    match tree {
        Value::String(text) => match render(key, text, variables) {
            Ok(rendered) => *text = rendered,
            Err(problem) => problems.push(problem),
        },
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                render_tree(&format!("{key}[{index}]"), item, variables, problems);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                render_tree(&format!("{key}.{name}"), member, variables, problems);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Renders a text of the fleet file; `key` is its place there.
pub(crate) fn render(key: &str, text: &str, variables: &Value) -> Result<String, ValuesError> {
    if !template::is_template(text) {
        return Ok(text.to_owned());
    }
    template::render(text, variables).map_err(|source| ValuesError::Template {
        key: key.to_owned(),
        source,
    })
}

/// Whether every member of `part` is in `whole` with the same value, as far as Helm stores it: a member that is
/// null deletes and is not stored.
pub fn is_part_of(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(name, member)| match whole.get(name) {
                Some(stored) => is_part_of(member, stored),
                None => member.is_null(),
            })
        }
        // Helm keeps numbers as Go floats: 1 and 1.0 are the same to it.
        (Value::Number(one), Value::Number(two)) => one.as_f64() == two.as_f64(),
        (one, two) => one == two,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn fleet(overrides: &Value, values: &str) -> Fleet {
        let text = format!(
            r#"{{"apiVersion": "helmfleet/v1alpha1", "kind": "Fleet", "release": {{"name": "orders", "namespace": "shop"}},
                "chart": {{"ref": "x"}}, "values": {values}, "overrides": {overrides}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn here() -> ValuesFiles {
        ValuesFiles::new(Path::new("."))
    }

    fn cluster() -> ClusterSpec {
        serde_json::from_value(json!({"name": "weu-1", "context": "aks-weu-1", "labels": {"env": "prod"}}))
            .unwrap()
    }

    #[test]
    fn texts_are_rendered_and_other_scalars_stay() {
        let overrides = json!({"id": "{{ identities.orders.clientId }}", "n": 1, "list": ["{{ cluster.labels.env }}", true],
            "vault": "{{ identities.orders.vaults['kv-central'].name }}"});
        let identities =
            json!({"orders": {"clientId": "123", "vaults": {"kv-central": {"name": "kv-central"}}}});
        let values = Values::of(&fleet(&overrides, "[]"), &here(), &cluster(), &identities).unwrap();
        assert_eq!(
            values.overrides,
            json!({"id": "123", "n": 1, "list": ["prod", true], "vault": "kv-central"})
        );
    }

    #[test]
    fn an_unknown_variable_names_its_key() {
        let overrides = json!({"a": {"b": ["{{ cluster.nam }}"]}});
        let error = Values::of(&fleet(&overrides, "[]"), &here(), &cluster(), &json!({})).unwrap_err();
        assert_eq!(error.to_string(), "overrides.a.b[0]");
    }

    #[test]
    fn optional_files_may_be_absent_and_contents_decide_the_digest() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("prod.yaml"), "a: 1").unwrap();
        let list = r#"["{{ cluster.labels.env }}.yaml", {"file": "absent.yaml", "optional": true}]"#;
        let of = || {
            Values::of(
                &fleet(&json!({}), list),
                &ValuesFiles::new(directory.path()),
                &cluster(),
                &json!({}),
            )
            .unwrap()
        };
        let first = of();
        assert_eq!(first.files.len(), 1);
        assert!(first.are_comparable());
        std::fs::write(directory.path().join("prod.yaml"), "a: 2").unwrap();
        assert_ne!(of().digest(), first.digest());
        let required = fleet(&json!({}), r#"["absent.yaml"]"#);
        let error = Values::of(
            &required,
            &ValuesFiles::new(directory.path()),
            &cluster(),
            &json!({}),
        )
        .unwrap_err();
        assert!(matches!(error, ValuesError::Missing { .. }));
    }

    #[test]
    fn addresses_are_left_to_helm() {
        let list = r#"["secrets://prod.yaml"]"#;
        let files = here();
        let of = || Values::of(&fleet(&json!({}), list), &files, &cluster(), &json!({})).unwrap();
        let unread = of();
        let address = "secrets://prod.yaml".to_owned();
        assert_eq!(
            unread.files,
            [ValuesFile::Remote {
                address: address.clone(),
                content: None
            }]
        );
        assert!(!unread.are_comparable());
        files.learn(&address, RemoteContent::new(json!({"a": 1})));
        let first = of();
        assert!(first.are_comparable());
        files.learn(&address, RemoteContent::new(json!({"a": 2})));
        assert_ne!(of().digest(), first.digest());
    }

    #[test]
    fn parts_are_found_in_what_is_stored() {
        let stored = json!({"a": {"b": 1.0, "c": "x"}, "d": [1]});
        assert!(is_part_of(&json!({"a": {"b": 1}, "e": null}), &stored));
        assert!(!is_part_of(&json!({"a": {"b": "1"}}), &stored));
        assert!(!is_part_of(&json!({"d": [1, 2]}), &stored));
    }
}
