//! The chart: found once, read once, known from then on by its digest.

use crate::digest::Hasher;
use crate::folder::RunFolder;
use aks_shared::format;
use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A chart on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chart {
    /// Its name, from `Chart.yaml`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The version of what it installs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_version: Option<String>,
    /// Digest of all its content, hexadecimal.
    pub digest: String,
    /// The folder or the package.
    #[serde(skip)]
    pub path: PathBuf,
}

/// A chart cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// The reference is of a kind that is not read yet.
    #[error("chart {reference:?} is neither a folder nor a .tgz file")]
    Unsupported {
        /// The reference.
        reference: String,
    },
    /// The chart cannot be read.
    #[error("cannot read chart {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `Chart.yaml` is missing or malformed.
    #[error("{} holds no chart", path.display())]
    Metadata {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: format::FormatError,
    },
}

/// The part of `Chart.yaml` that a release record repeats.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    version: String,
    app_version: Option<String>,
}

impl Chart {
    /// Reads the chart that a fleet file names; relative references start at the file's folder.
    pub fn load(reference: &str, base: &Path) -> Result<Self, ChartError> {
        let path = base.join(reference);
        if reference.contains("://") || !path.exists() {
            return Err(ChartError::Unsupported {
                reference: reference.to_owned(),
            });
        }
        Self::read(path)
    }

    /// A copy that nobody changes while a run lasts, known by the copy's own content.
    pub fn kept_in(&self, folder: &RunFolder) -> Result<Self, ChartError> {
        let name = if self.path.is_dir() { "chart" } else { "chart.tgz" };
        let copy = folder.copy(&self.path, name).map_err(|source| ChartError::Read {
            path: self.path.clone(),
            source,
        })?;
        Self::read(copy)
    }

    fn read(path: PathBuf) -> Result<Self, ChartError> {
        let read = |source| ChartError::Read {
            path: path.clone(),
            source,
        };
        let (metadata, digest) = if path.is_dir() {
            let metadata = fs::read_to_string(path.join("Chart.yaml")).map_err(read)?;
            (metadata, digest_of_folder(&path).map_err(read)?)
        } else {
            let package = fs::read(&path).map_err(read)?;
            let metadata = chart_yaml_of_package(&package).map_err(read)?;
            (metadata, Hasher::new("chart").bytes("package", &package).hex())
        };
        let metadata: Metadata = format::from_yaml(&metadata).map_err(|source| ChartError::Metadata {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            name: metadata.name,
            version: metadata.version,
            app_version: metadata.app_version,
            digest,
            path,
        })
    }
}

/// Hashes names and contents of all files of a folder, in the order of their names.
fn digest_of_folder(root: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    list(root, root, &mut files)?;
    files.sort();
    let mut hasher = Hasher::new("chart");
    for file in &files {
        hasher = hasher.bytes(&file.to_string_lossy(), &fs::read(root.join(file))?);
    }
    Ok(hasher.hex())
}

fn list(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(root, &path, files)?;
        } else if let Ok(name) = path.strip_prefix(root) {
            files.push(name.to_owned());
        }
    }
    Ok(())
}

/// The `CHART/Chart.yaml` of a gzipped tar archive.
fn chart_yaml_of_package(package: &[u8]) -> io::Result<String> {
    const BLOCK: usize = 512;
    let mut archive = Vec::new();
    GzDecoder::new(package).read_to_end(&mut archive)?;
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "the package is no chart archive");
    let mut offset = 0;
    while let Some(header) = archive.get(offset..offset + BLOCK) {
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        // https://www.gnu.org/software/tar/manual/html_node/Standard.html: name at 0, size in octal at 124.
        let text = |range: std::ops::Range<usize>| {
            String::from_utf8_lossy(&header[range])
                .trim_end_matches(['\0', ' '])
                .to_owned()
        };
        let name = text(0..100);
        let size = usize::from_str_radix(text(124..136).trim(), 8).map_err(|_| malformed())?;
        let content = offset + BLOCK;
        if name.split('/').count() == 2 && name.ends_with("/Chart.yaml") {
            let bytes = archive.get(content..content + size).ok_or_else(malformed)?;
            return Ok(String::from_utf8_lossy(bytes).into_owned());
        }
        offset = content + size.div_ceil(BLOCK) * BLOCK;
    }
    Err(malformed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const METADATA: &str = "apiVersion: v2\nname: orders\nversion: 0.1.0\nappVersion: \"1.2\"\n";

    #[test]
    fn the_digest_of_a_folder_follows_names_and_contents() {
        let directory = tempfile::tempdir().unwrap();
        let chart = directory.path().join("orders");
        fs::create_dir_all(chart.join("templates")).unwrap();
        fs::write(chart.join("Chart.yaml"), METADATA).unwrap();
        fs::write(chart.join("templates/a.yaml"), "a").unwrap();
        let first = Chart::load("orders", directory.path()).unwrap();
        assert_eq!(
            (first.name.as_str(), first.app_version.as_deref()),
            ("orders", Some("1.2"))
        );
        assert_eq!(
            Chart::load("./orders", directory.path()).unwrap().digest,
            first.digest
        );
        fs::rename(chart.join("templates/a.yaml"), chart.join("templates/b.yaml")).unwrap();
        assert_ne!(
            Chart::load("orders", directory.path()).unwrap().digest,
            first.digest
        );
    }

    #[test]
    fn a_kept_chart_stays_what_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let chart = directory.path().join("orders");
        fs::create_dir_all(chart.join("templates")).unwrap();
        fs::write(chart.join("Chart.yaml"), METADATA).unwrap();
        fs::write(chart.join("templates/a.yaml"), "a").unwrap();
        let folder = RunFolder::create().unwrap();
        let original = Chart::load("orders", directory.path()).unwrap();
        let kept = original.kept_in(&folder).unwrap();
        assert_eq!(kept.digest, original.digest);
        fs::write(chart.join("templates/a.yaml"), "b").unwrap();
        assert!(kept.path.starts_with(folder.path()));
        assert_eq!(
            fs::read_to_string(kept.path.join("templates/a.yaml")).unwrap(),
            "a"
        );
    }

    #[test]
    fn a_package_tells_its_metadata() {
        let mut header = [0_u8; 512];
        header[..17].copy_from_slice(b"orders/Chart.yaml");
        header[124..135].copy_from_slice(format!("{:011o}", METADATA.len()).as_bytes());
        let mut archive = header.to_vec();
        archive.extend_from_slice(METADATA.as_bytes());
        archive.resize(512 * 4, 0);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&archive).unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::write(
            directory.path().join("orders-0.1.0.tgz"),
            encoder.finish().unwrap(),
        )
        .unwrap();
        let chart = Chart::load("orders-0.1.0.tgz", directory.path()).unwrap();
        assert_eq!((chart.name.as_str(), chart.version.as_str()), ("orders", "0.1.0"));
    }

    #[test]
    fn what_is_no_chart_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("x.tgz"), "not gzip").unwrap();
        assert!(matches!(
            Chart::load("x.tgz", directory.path()),
            Err(ChartError::Read { .. })
        ));
        assert!(matches!(
            Chart::load("oci://r/x", directory.path()),
            Err(ChartError::Unsupported { .. })
        ));
    }
}
