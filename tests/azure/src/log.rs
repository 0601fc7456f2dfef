//! The log: one entry per request, without tokens, secrets and signatures.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use axum::http::StatusCode;
use serde::Serialize;

use crate::clock::rfc3339;
use crate::http::Call;

/// Entries that are kept in memory.
const KEPT: usize = 50_000;

/// Which service was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Service {
    /// The token service.
    Entra,
    /// The resource manager.
    Arm,
    /// A vault.
    Vault,
    /// GitHub and Azure DevOps.
    Platform,
    /// The machine on which pipelines run.
    Machine,
}

impl Service {
    /// Its name in logs and faults.
    pub fn name(self) -> &'static str {
        match self {
            Self::Entra => "entra",
            Self::Arm => "arm",
            Self::Vault => "vault",
            Self::Platform => "platform",
            Self::Machine => "machine",
        }
    }
}

/// One request.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Counts from 1.
    pub number: u64,
    /// When it came, RFC 3339.
    pub time: String,
    /// Who was asked.
    pub service: Service,
    /// The vault's name, where a vault was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault: Option<String>,
    /// The method.
    pub method: String,
    /// Path and query; signatures in the query are left out.
    pub path: String,
    /// Client id of the caller, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// Address of the caller.
    pub peer: String,
    /// The answer's status.
    pub status: u16,
    /// The answer's error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The answer's request id.
    pub request_id: String,
    /// Milliseconds that the answer took.
    pub took_ms: u64,
}

/// What is known about an answered request besides the request itself.
pub(crate) struct Answered {
    pub(crate) service: Service,
    pub(crate) vault: Option<String>,
    pub(crate) caller: Option<String>,
    pub(crate) status: StatusCode,
    pub(crate) code: Option<String>,
    pub(crate) request_id: String,
    pub(crate) took_ms: u64,
}

#[derive(Debug, Default)]
struct Entries {
    last: u64,
    kept: VecDeque<Entry>,
    file: Option<File>,
}

/// All requests, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Entries>);

impl Log {
    /// Writes each entry to this file as well, one JSON document per line.
    pub(crate) fn to_file(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(Mutex::new(Entries {
            file: Some(file),
            ..Entries::default()
        })))
    }

    /// Adds an entry.
    pub(crate) fn add(&self, call: &Call, answered: Answered) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.last += 1;
        let entry = Entry {
            number: entries.last,
            time: rfc3339(call.now),
            service: answered.service,
            vault: answered.vault,
            method: call.method.to_string(),
            path: path_and_query(call),
            caller: answered.caller,
            peer: call.peer.to_string(),
            status: answered.status.as_u16(),
            code: answered.code,
            request_id: answered.request_id,
            took_ms: answered.took_ms,
        };
        if let Some(file) = &mut entries.file
            && let Ok(mut line) = serde_json::to_vec(&entry)
        {
            line.push(b'\n');
            if let Err(error) = file.write_all(&line) {
                tracing::warn!(%error, "cannot write the log");
            }
        }
        if entries.kept.len() == KEPT {
            entries.kept.pop_front();
        }
        entries.kept.push_back(entry);
    }

    /// The entries after the one with this number.
    pub(crate) fn after(&self, number: u64) -> Vec<Entry> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries
            .kept
            .iter()
            .filter(|entry| entry.number > number)
            .cloned()
            .collect()
    }
}

/// Only harmless parameters are kept: the others of poll URLs are signatures.
fn path_and_query(call: &Call) -> String {
    let harmless = ["api-version", "$filter", "$top", "$expand", "maxresults"];
    let query: Vec<String> = call
        .query
        .iter()
        .map(|(name, value)| {
            let shown = harmless.iter().any(|known| name.eq_ignore_ascii_case(known));
            if shown {
                format!("{name}={value}")
            } else {
                format!("{name}=…")
            }
        })
        .collect();
    if query.is_empty() {
        call.path.clone()
    } else {
        format!("{}?{}", call.path, query.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use axum::http::{HeaderMap, Method};

    use super::*;

    #[test]
    fn signatures_are_not_logged() {
        let query = "api-version=2025-03-01&t=1&c=certificate&h=signature";
        let peer = [127, 0, 0, 1].into();
        let call = Call::new(
            0,
            Method::GET,
            ("/operations/x", query),
            HeaderMap::new(),
            Bytes::new(),
            peer,
        );
        assert_eq!(
            path_and_query(&call),
            "/operations/x?api-version=2025-03-01&t=…&c=…&h=…"
        );
    }
}
