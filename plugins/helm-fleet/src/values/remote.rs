//! Values files that helm reads itself (`secrets://…`, `https://…`): what is in them is asked of helm once, so that
//! equal content is known to be equal, and what is secret in it is known to be secret.

use crate::folder::RunFolder;
use crate::helm::process::{Helm, HelmError};
use crate::helm::redact::Redaction;
use aks_shared::format;
use aks_shared::interrupt::Interrupt;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Bound on reading one file: a key vault may be asked for the key.
const DEADLINE: Duration = Duration::from_mins(2);

/// A chart that renders nothing but the values it is given.
const CHART: &str = "apiVersion: v2\nname: values\nversion: 0.0.0\n";
const TEMPLATE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: values}\n\
    data: {values: \"{{ .Values | toJson | b64enc }}\"}\n";

/// What helm read at an address. Its `Debug` tells nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteContent(Arc<Value>);

impl RemoteContent {
    /// Keeps a content.
    pub fn new(content: Value) -> Self {
        Self(Arc::new(content))
    }

    /// The values themselves.
    pub fn values(&self) -> &Value {
        &self.0
    }
}

impl fmt::Debug for RemoteContent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RemoteContent")
    }
}

/// A file that helm reads itself cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// What is needed to read it cannot be written.
    #[error("values file {address} cannot be read")]
    Folder {
        /// The address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// Helm cannot read it.
    #[error("helm cannot read values file {address}")]
    Helm {
        /// The address.
        address: String,
        /// What helm said; without its output, which may tell of the content.
        source: HelmError,
    },
    /// Helm answered something else.
    #[error("what helm read from values file {address} is not known")]
    Answer {
        /// The address.
        address: String,
    },
}

/// Whether everything at an address is secret: all that is not plainly fetched was encrypted or kept in a vault.
pub fn is_secret(address: &str) -> bool {
    !(address.starts_with("https://") || address.starts_with("http://"))
}

/// Reads what is at an address through helm.
pub(crate) async fn read(
    address: &str,
    helm: &Helm,
    folder: &RunFolder,
    interrupt: &Interrupt,
) -> Result<RemoteContent, RemoteError> {
    let named = || address.to_owned();
    let chart = chart(folder).map_err(|source| RemoteError::Folder {
        address: named(),
        source,
    })?;
    let arguments = [
        "template".into(),
        "values".into(),
        chart.into(),
        "--values".into(),
        address.into(),
    ];
    // Whatever a decrypting plugin says may be the content.
    let nothing_passes = Redaction::default().blind();
    let text = helm.run(&arguments, DEADLINE, &nothing_passes, interrupt).await;
    let text = text.map_err(|source| RemoteError::Helm {
        address: named(),
        source,
    })?;
    parse(&text).ok_or_else(|| RemoteError::Answer { address: named() })
}

/// The chart, written when it is first needed.
fn chart(folder: &RunFolder) -> std::io::Result<PathBuf> {
    let chart = folder.path().join("values-chart");
    let templates = chart.join("templates");
    if !templates.exists() {
        std::fs::create_dir_all(&templates)?;
        std::fs::write(chart.join("Chart.yaml"), CHART)?;
        std::fs::write(templates.join("values.yaml"), TEMPLATE)?;
    }
    Ok(chart)
}

fn parse(text: &str) -> Option<RemoteContent> {
    let rendered: Value = format::from_yaml(text.trim_start_matches("---\n")).ok()?;
    let encoded = rendered.pointer("/data/values")?.as_str()?;
    let content = serde_json::from_slice(&STANDARD.decode(encoded).ok()?).ok()?;
    Some(RemoteContent::new(content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_chart_renders_is_read_and_told_to_nobody() {
        let encoded = STANDARD.encode(json!({"a": {"b": "canary"}}).to_string());
        let text = format!(
            "---\n# Source: values/templates/values.yaml\napiVersion: v1\nkind: ConfigMap\n\
             metadata: {{name: values}}\ndata: {{values: \"{encoded}\"}}\n"
        );
        let content = parse(&text).unwrap();
        assert_eq!(content.values(), &json!({"a": {"b": "canary"}}));
        assert!(!format!("{content:?}").contains("canary"));
        assert!(parse("nothing").is_none());
    }

    #[test]
    fn what_is_fetched_plainly_is_no_secret() {
        assert!(is_secret("secrets://prod.yaml") && is_secret("vals://x"));
        assert!(!is_secret("https://x.example/values.yaml"));
    }
}
